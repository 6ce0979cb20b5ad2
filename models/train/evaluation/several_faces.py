"""Measures the rule of prominence (`src/face/mod.rs`) on labeled photos with bystanders.

    python -m evaluation.several_faces --scenes SCENES [--binary ../../target/release/likeness]

SCENES holds `labels.jsonl` (a line for each photo: `file`, `kind`, `width`, `height`, and `faces` with `box`) and `photos.tar`. A photo
has several faces if a second one has at least a given share of the prominence of the first. The first table compares measures of
prominence on the labeled boxes. With `--binary`, a second table has what the shipped detector and rule answer to `POST /check`.

Photos of the kinds `portrait` and `loose` were taken of one person each; there, several faces are a false refusal. Photos of the kind
`mask` show half bodies and groups; there, most refusals are right.
"""

import argparse
import collections
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "e2e"))
from service import KIND, Service, form, started

KINDS = ["portrait", "loose", "mask"]
SHARES = [0.5, 0.6, 0.7, 0.8]
NEARNESS_AT_CORNER = 0.25


def area(photo, gray, face):
    _, _, width, height = face["box"]
    return width * height


def nearness(photo, gray, face):
    x, y, width, height = face["box"]
    away = np.hypot(x + (width - photo["width"]) / 2, y + (height - photo["height"]) / 2)
    distance = min(away / (np.hypot(photo["width"], photo["height"]) / 2), 1)
    return 1 - (1 - NEARNESS_AT_CORNER) * distance


def sharpness(photo, gray, face):
    """The measure of `src/quality.rs`, on the inner half of the box at 64 pixels."""
    x, y, width, height = face["box"]
    inner = cv2.getRectSubPix(gray, (max(int(width / 2), 2), max(int(height / 2), 2)), (x + width / 2, y + height / 2))
    inner = np.float64(cv2.resize(inner, (64, 64), interpolation=cv2.INTER_AREA))
    near, far = ([np.mean((inner[step:] - inner[:-step]) ** 2), np.mean((inner[:, step:] - inner[:, :-step]) ** 2)] for step in (1, 4))
    return min(a / max(b, 1e-6) for a, b in zip(near, far))


MEASURES = {
    "area": [area],
    "area x nearness": [area, nearness],
    "area x nearness x sharpness": [area, nearness, sharpness],
}


def several(photo, gray, factors, share):
    values = sorted(np.prod([factor(photo, gray, face) for factor in factors]) for face in photo["faces"])
    return len(values) > 1 and values[-2] >= share * values[-1]


def part(count, total):
    return f"{count} ({100 * count / total:.1f} %)"


def compare_measures(photos, pictures):
    print("| prominence | share | " + " | ".join(KINDS) + " |\n| --- | --- |" + " --- |" * len(KINDS))
    totals = collections.Counter(photo["kind"] for photo in photos)
    several_faces = [photo for photo in photos if len(photo["faces"]) > 1]
    grays = {photo["file"]: cv2.imdecode(np.frombuffer(pictures[photo["file"]], np.uint8), cv2.IMREAD_GRAYSCALE) for photo in several_faces}
    for name, factors in MEASURES.items():
        for share in SHARES:
            found = collections.Counter(photo["kind"] for photo in several_faces if several(photo, grays[photo["file"]], factors, share))
            print(f"| {name} | {share} | " + " | ".join(part(found[kind], totals[kind]) for kind in KINDS) + " |")


def ask_the_binary(binary, photos, pictures):
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", folder, "--log", "error"]
        with started(command) as (url, _):
            service = Service(url)
            for photo in photos:
                body = form({"photo": pictures[photo["file"]]})
                _, answer = service.call("POST", "/check", body, {"Content-Type": KIND})
                counts[photo["kind"], answer.get("code", "one face")] += 1
    print("| answer | " + " | ".join(KINDS) + " |\n| --- |" + " --- |" * len(KINDS))
    totals = collections.Counter(photo["kind"] for photo in photos)
    for code in ["one face", "several_faces", "no_face"]:
        print(f"| {code} | " + " | ".join(part(counts[kind, code], totals[kind]) for kind in KINDS) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--binary", type=Path)
    options = parser.parse_args()
    labels = (json.loads(line) for line in (options.scenes / "labels.jsonl").open())
    photos = [photo for photo in labels if photo["kind"] in KINDS]
    with tarfile.open(options.scenes / "photos.tar") as tar:
        pictures = {photo["file"]: tar.extractfile(photo["file"]).read() for photo in photos}
    compare_measures(photos, pictures)
    if options.binary:
        print()
        ask_the_binary(options.binary, photos, pictures)


if __name__ == "__main__":
    main()
