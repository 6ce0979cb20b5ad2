"""Draws the pictures of docs/error-rates.md from the generated people of the tests.

    python -m evaluation.pictures --binary ../../target/release/likeness --people ../../tests/data/people --out ../../docs

`error-rates.png`: the scores of all pairs of photos and the thresholds; `quality.png`: a photo, degraded, with the quality that the
service gives each.
"""

import argparse
import csv
import subprocess
import tempfile
import tomllib
from pathlib import Path

import cv2
import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

from quality.degradations import DEGRADATIONS, spectacles  # noqa: E402

SHOWN = ("undegraded", "spectacles", "blurred", "low light", "surgical mask", "mask and sunglasses", "upside down", "noise", "halftone", "negative", "wide", "painting")
# The landmarks of people/p02-a.jpg, in its pixels, as `/check` gives them.
LANDMARKS = [[101.1, 110.8], [137.1, 107.7], [119.1, 130.6], [107.1, 146.6], [137.7, 143.9]]
# The quality below which an enrollment is refused.
LEAST = 70


def score(binary, photos, folder):
    listed, matrix, table = (Path(folder) / name for name in ("list.txt", "scores.f32", "quality.csv"))
    listed.write_text("\n".join(map(str, photos)))
    subprocess.run([binary, "score", "--photos", listed, "--out", matrix, "--quality", table], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return np.fromfile(matrix, "<f4").reshape(len(photos), -1), list(csv.DictReader(table.open()))


def draw_scores(matrix, person, rates, path):
    pairs = ~np.eye(len(person), dtype=bool) & np.isfinite(matrix)
    same = person[:, None] == person[None]
    figure, axes = pyplot.subplots(figsize=(9, 3.6))
    bins = np.linspace(-14, 26, 81)
    for kind, label, color in ((pairs & ~same, "different people (impostor comparisons)", "#b4471f"), (pairs & same, "one person (genuine comparisons)", "#1f6f8b")):
        axes.hist(matrix[kind], bins, weights=np.full(kind.sum(), 100 / kind.sum()), alpha=0.75, color=color, label=label)
    for fmr in (1e-2, 1e-4, 1e-6):
        at = next(row["score"] for row in rates if row["fmr"] == fmr)
        axes.axvline(at, color="#333", linewidth=1, linestyle="--")
        axes.text(at + 0.2, axes.get_ylim()[1] * 0.93, f"FMR {fmr:.0e}", rotation=90, va="top", fontsize=8)
    axes.set_xlabel("score")
    axes.set_ylabel("% of the comparisons")
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def degraded(photo, landmarks, name):
    rng = np.random.default_rng(4)
    if name == "undegraded":
        return photo
    change = spectacles if name == "spectacles" else DEGRADATIONS[name]
    return change(photo.copy(), landmarks.copy(), 0.6, rng)


def draw_qualities(photos, qualities, path):
    figure, axes = pyplot.subplots(2, len(SHOWN) // 2, figsize=(9, 3.7))
    for cell, name, photo, quality in zip(axes.flat, SHOWN, photos, qualities):
        cell.imshow(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB))
        verdict = "no face" if quality is None else f"quality {quality}"
        cell.set_title(f"{name}\n{verdict}", fontsize=8, color="#1f6f8b" if quality is not None and quality >= LEAST else "#b4471f")
        cell.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("binary", "people", "out"):
        ask.add_argument(f"--{name}", required=True, type=Path)
    args = ask.parse_args()
    rates = tomllib.loads((Path(__file__).parents[2] / "encoder.toml").read_text())["error_rate"]
    photos = sorted(args.people.glob("*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        matrix, _ = score(args.binary, photos, folder)
        draw_scores(matrix, np.array([photo.stem.split("-")[0] for photo in photos]), rates, args.out / "error-rates.png")
        photo = cv2.imread(str(args.people / "p02-a.jpg"))
        landmarks = np.float64(LANDMARKS)
        made = [degraded(photo, landmarks, name) for name in SHOWN]
        for number, image in enumerate(made):
            cv2.imwrite(f"{folder}/{number:02}.png", image)
        _, table = score(args.binary, [f"{folder}/{number:02}.png" for number in range(len(made))], folder)
    draw_qualities(made, [None if row["code"] else round(100 * float(row["recognizability"])) for row in table], args.out / "quality.png")


if __name__ == "__main__":
    main()
