"""Missed matches when the probe is a worse photo than the reference: CFP's folds 6-10, through the shipped pipeline.

    python -m evaluation.conditions --cfp CFP --yunet ../yunet.onnx --encoder ../encoder.onnx --detector ../detector.onnx

Each person's first frontal photo is the reference, the second and third are probes: as they are, dark, blurred, with a face of about 30
pixels, strongly compressed, grey, and with a mask drawn over mouth and chin (where YuNet sees them). Prints a table of FNMR at the
manifest's thresholds; a refused photo is a missed match.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

from common import alignment, cfp_photos, manifests

PROBES = ("02.jpg", "03.jpg")
SMALL_FACE = 30


def dark(photo, face, rng):
    dim = 255 * 0.12 * (photo / 255.0) ** 1.3
    return np.clip(dim + rng.normal(0, 4, photo.shape), 0, 255)


def blurred(photo, face, rng):
    return cv2.GaussianBlur(photo, (0, 0), 0.03 * face[3])


def small(photo, face, rng):
    by = SMALL_FACE / face[3]
    little = cv2.resize(photo, None, fx=by, fy=by, interpolation=cv2.INTER_AREA)
    side = max(112, *little.shape[:2])  # the service refuses photos with fewer pixels
    around = np.full((side, side, 3), 127, np.uint8)
    top, left = (side - little.shape[0]) // 2, (side - little.shape[1]) // 2
    around[top:top + little.shape[0], left:left + little.shape[1]] = little
    return around


def grey(photo, face, rng):
    return np.repeat(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)[:, :, None], 3, 2)


def masked(photo, face, rng):
    x, y, width, height = face[:4]
    nose = face[4 + 5]
    shape = [(0.02, nose), (0.5, nose - 0.06 * height), (0.98, nose), (0.88, y + 0.9 * height), (0.5, y + 1.03 * height), (0.12, y + 0.9 * height)]
    worn = photo.copy()
    cv2.fillPoly(worn, [np.array([(x + part * width, at) for part, at in shape], np.int32)], (205, 180, 150))
    return worn


def unchanged(photo, face, rng):
    return photo


CONDITIONS = {"as they are": (unchanged, 95), "dark": (dark, 90), "blurred": (blurred, 90), f"face of {SMALL_FACE} pixels": (small, 90),
              "JPEG quality 10": (unchanged, 10), "grey": (grey, 90), "mask drawn": (masked, 90)}


def spoil(listed, people, yunet, folder):
    """Writes every probe in every condition; returns (condition, person, path) and what had no face to begin with."""
    detector, rng, made = cv2.FaceDetectorYN.create(str(yunet), "", (320, 320), 0.6, 0.3), np.random.default_rng(0), []
    for path in listed.photos:
        person = int(path.parent.parent.name)
        if path.parent.name != "frontal" or path.name not in PROBES or person not in people:
            continue
        photo = cv2.imread(str(path))
        detector.setInputSize((photo.shape[1], photo.shape[0]))
        faces = detector.detect(photo)[1]
        if faces is None:
            continue
        face = alignment.prominent(faces, photo.shape[1], photo.shape[0])
        for number, (name, (change, quality)) in enumerate(CONDITIONS.items()):
            out = folder / f"{number}-{person:03}-{path.name}"
            cv2.imwrite(str(out), np.asarray(change(photo, face, rng), np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
            made.append((name, person, out))
    return made


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cfp", required=True, type=Path)
    arguments.add_argument("--yunet", required=True, type=Path, help="to know where to draw and how much to shrink")
    arguments.add_argument("--encoder", default=Path("../encoder.onnx"), type=Path)
    arguments.add_argument("--detector", default=Path("../detector.onnx"), type=Path)
    arguments.add_argument("--binary", default=Path("../../target/release/likeness"), type=Path)
    chosen = arguments.parse_args()
    listed, manifest = cfp_photos.protocol(chosen.cfp), manifests.read(chosen.encoder.with_suffix(".toml"))
    people = set(listed.people("FF", cfp_photos.REPORTING).tolist())
    references = {int(p.parent.parent.name): p.resolve() for p in listed.photos if p.parent.name == "frontal" and p.name == "01.jpg"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = spoil(listed, people, chosen.yunet, folder)
        order = [references[person] for person in sorted(people)] + [path for _, _, path in made]
        (folder / "photos.txt").write_text("".join(f"{path}\n" for path in order))
        subprocess.run([chosen.binary, "score", "--encoder", chosen.encoder, "--detector", chosen.detector,
                        "--photos", folder / "photos.txt", "--out", folder / "scores.f32"], stdout=subprocess.DEVNULL, check=True)
        scores = np.fromfile(folder / "scores.f32", "<f4").reshape(len(order), -1)
    row = {person: at for at, person in enumerate(sorted(people))}
    rates = [f"FNMR at the {level['fmr']:.0e} row" for level in manifests.told_rows(manifest)]
    print("| probe | pairs | refused | " + " | ".join(rates) + " |\n| --- | --- | --- |" + " --- |" * len(rates))
    for condition in CONDITIONS:
        own = np.array([scores[row[person], len(row) + at] for at, (name, person, _) in enumerate(made) if name == condition])
        missed = [np.mean(~(own >= level["score"])) for level in manifests.told_rows(manifest)]
        print(f"| {condition} | {len(own)} | {np.isnan(own).sum()} | " + " | ".join(f"{value:.1%}" for value in missed) + " |")


if __name__ == "__main__":
    main()
