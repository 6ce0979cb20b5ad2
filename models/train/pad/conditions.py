"""How darkness, compression and size change the live scores, and below which luma of the face they are not to be trusted.

    python -m pad.conditions --binary ../../target/release/likeness [--pad ../pad.onnx] [--photos 600] [--work DIR]

Live photos of Replay-Attack test, CASIA-FASD test and CFP, and attacks of the first two, are darkened in linear light with a camera's noise, compressed, or
halved. The luma is the quality measure `highlights` of the service (BT.601 luma that 95 % of the inner face stay below), by
`likeness score --quality`. Boxes are those of the unchanged photos. Prints Markdown.
"""

import argparse
import csv
import subprocess
import tempfile
import tomllib
from pathlib import Path

import cv2
import numpy as np

from pad import data
from pad.crops import Input
from pad.recapture import encoded, linear, noisy
from pad.teachers import Network, read

LIGHT = (1.0, 0.7, 0.4, 0.25, 0.15, 0.1, 0.06, 0.04, 0.025, 0.015)
NOISE = 5.0
EDGES = (0, 10, 16, 24, 32, 40, 50, 60, 75, 90, 110, 140, 180, 256)
SETS = ("replay", "casia", "cfp")
BATCH = 400


def darkened(photo, light, rng):
    return photo if light == 1 else noisy(encoded(linear(photo) * np.float32(light)), rng, NOISE)


def jpeg(photo, quality):
    return cv2.imdecode(cv2.imencode(".jpg", photo[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)[:, :, ::-1]


def highlights(binary, photos):
    """The luma of each photo's face by the service; NaN where it finds none."""
    with tempfile.TemporaryDirectory() as folder:
        paths, table = [], Path(folder) / "quality.csv"
        for number, photo in enumerate(photos):
            paths.append(Path(folder) / f"{number:05}.png")
            cv2.imwrite(str(paths[-1]), photo[:, :, ::-1])
        found = []
        for start in range(0, len(paths), BATCH):
            listed = Path(folder) / "list.txt"
            listed.write_text("\n".join(map(str, paths[start : start + BATCH])))
            subprocess.run([binary, "score", "--photos", listed, "--out", Path(folder) / "scores", "--quality", table], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            found += [float(row["highlights"] or "nan") for row in csv.DictReader(table.open())]
    return np.array(found)


def network(path):
    """The network of a file with its manifest, and the manifest's threshold for a BPCER of 5 %."""
    manifest = tomllib.loads(path.with_suffix(".toml").read_text())
    told, crop = manifest["input"], manifest["crop"]
    given = Input(told["side"], tuple(crop["sizes"]), crop["shape"], crop["border"], told["colour"], told["mean"][0], told["scale"])
    return Network(path, given, manifest["output"]["live"]), next(row["score"] for row in manifest["threshold"] if row["bpcer"] == 0.05)


def chosen(photos, count, attack):
    """So many photos of each set, evenly spaced."""
    for name in SETS:
        rows = [photo for photo in photos if photo.set == name and photo.split == "test" and photo.attack == attack and photo.box is not None]
        yield from rows[:: max(1, len(rows) // count)][:count]


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--binary", required=True, type=Path)
    ask.add_argument("--pad", type=Path, default=Path(__file__).parents[2] / "pad.onnx")
    ask.add_argument("--photos", type=int, default=200, help="of each set")
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    cv2.setNumThreads(1)
    run, at = network(args.pad)
    photos, rng = data.read(args.work), np.random.default_rng(7)
    live, attacks = list(chosen(photos, args.photos, False)), list(chosen(photos, args.photos, True))
    pixels, fakes = [read(photo.path) for photo in live], [read(photo.path) for photo in attacks]

    def rates(changed, boxes):
        return np.array([run.score(photo, box) for photo, box in zip(changed, boxes)])

    boxes, fake_boxes = [photo.box for photo in live], [photo.box for photo in attacks]
    print(f"{len(live)} live photos, {len(attacks)} of attacks; threshold {at}\n\n| change | BPCER | APCER |\n| --- | --- | --- |")
    changes = {"none": lambda photo: photo, "JPEG quality 40": lambda photo: jpeg(photo, 40)}
    for name, change in changes.items():
        print(f"| {name} | {(rates(map(change, pixels), boxes) < at).mean():.1%} | {(rates(map(change, fakes), fake_boxes) >= at).mean():.1%} |")
    half = [rates([cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for photo in some], [tuple(value / 2 for value in box) for box in where])
            for some, where in ((pixels, boxes), (fakes, fake_boxes))]
    print(f"| half size | {(half[0] < at).mean():.1%} | {(half[1] >= at).mean():.1%} |")
    seen = {False: ([], []), True: ([], [])}
    for light in LIGHT:
        share = {}
        for attack, (some, where) in {False: (pixels, boxes), True: (fakes, fake_boxes)}.items():
            dark = [darkened(photo, light, rng) for photo in some]
            scores = rates(dark, where)
            seen[attack][0].append(highlights(args.binary, dark))
            seen[attack][1].append(scores)
            share[attack] = (scores >= at).mean()
        if light < 1:
            print(f"| {light} times the light | {1 - share[False]:.1%} | {share[True]:.1%} |", flush=True)
    (luma, said), (fake_luma, fake_said) = (map(np.concatenate, seen[attack]) for attack in (False, True))
    print("\n| luma of the face | live photos | BPCER | photos of attacks | APCER |\n| --- | --- | --- | --- | --- |")
    for low, high in zip(EDGES, EDGES[1:]):
        rows, fake_rows = (luma >= low) & (luma < high), (fake_luma >= low) & (fake_luma < high)
        if min(rows.sum(), fake_rows.sum()) >= 20:
            print(f"| {low} to {high} | {rows.sum()} | {(said[rows] < at).mean():.1%} | {fake_rows.sum()} | {(fake_said[fake_rows] >= at).mean():.1%} |")


if __name__ == "__main__":
    main()
