"""Measures presentation-attack detection through the shipped binary, by ISO/IEC 30107-3.

    python -m pad.check --binary ../../target/release/likeness [--pad FILE[,FILE]] [--calibration FILE] [--work DIR]

The photos are those of faces.csv (`pad/data.py`) that train and choose nothing: Replay-Attack test, CASIA-FASD test, CFP's frontal photos, and
adults of UTKFace in the half that was held out. `likeness evaluate --pad` scores each set; the own-camera threshold rejects 5 % of the live
photos of the same set, the shipped one is that of the manifest or of --calibration. Error rates count all photos with a score; those
that the service calls uncertain by their quality, in all modes not live, are told beside. Intervals are of 95 %, by resampling people. Prints Markdown.
"""

import argparse
import csv
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

import numpy as np

from pad import data
from pad.measures import apcer, auc, eer, grouped, interval, threshold

BPCER = 0.05
ORIGINS = {"0": "White", "1": "Black", "2": "Asian", "3": "Indian", "4": "others"}
SETS = {"Replay-Attack test": ("replay", "test"), "CASIA-FASD test": ("casia", "test")}


def person(photo):
    """Who is shown, as far as the set tells."""
    client = re.search(r"client\d+", photo.group)
    return client[0] if client else photo.group


def scored(photos, binary, options, folder):
    """The photos for which the service gives a live score, these scores, and which of them are uncertain."""
    placed = {}
    for number, photo in enumerate(photos):
        parts = ("attack", re.sub(r"\W+", "_", photo.instrument)) if photo.attack else ("live",)
        link = folder.joinpath(*parts, f"{number:05}{Path(photo.path).suffix}")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(photo.path).resolve())
        placed[link.name] = photo
    table = folder / "scores.csv"
    subprocess.run([binary, "evaluate", "--pad", folder, "--pad-scores", table, *options], check=True, stdout=subprocess.DEVNULL)
    rows = [row for row in csv.DictReader(table.open()) if row["score"]]
    return [placed[Path(row["path"]).name] for row in rows], np.array([float(row["score"]) for row in rows]), np.array([row["uncertain"] == "true" for row in rows])


def rate(share, of, span):
    return f"{share:.1%} ({span[0]:.1%} to {span[1]:.1%}) of {of}"


def told(measure, *columns):
    """A figure with its interval; a column is (scores, people)."""
    return measure(*(scores for scores, _ in columns)), interval(measure, *(grouped(scores, people) for scores, people in columns))


def attacks(name, photos, scores, uncertain, shipped):
    """Prints the rows of a set with attacks."""
    people, attack = np.array([person(photo) for photo in photos]), np.array([photo.attack for photo in photos])
    instrument = np.array([photo.instrument for photo in photos])
    live = scores[~attack], people[~attack]
    ranked, spread = told(auc, live, (scores[attack], people[attack])), told(eer, live, (scores[attack], people[attack]))
    rejected = told(lambda own: float((own < shipped).mean()), live)
    unsure = f"{uncertain[~attack].mean():.1%} of the live photos and {uncertain[attack].mean():.1%} of the others"
    print(f"\n**{name}**: {len(live[0])} live photos, {attack.sum()} of attacks, {len(set(people))} people. AUC {ranked[0]:.3f} ({ranked[1][0]:.3f} to {ranked[1][1]:.3f}), "
          f"EER {spread[0]:.1%} ({spread[1][0]:.1%} to {spread[1][1]:.1%}); BPCER at the shipped threshold {rate(rejected[0], len(live[0]), rejected[1])}. Uncertain by the quality of the photo: {unsure}.\n")
    print("| attack instrument | APCER, own-camera threshold | APCER, shipped threshold |\n| --- | --- | --- |")
    for kind in ["all", *sorted(set(instrument[attack]))]:
        rows = attack & ((instrument == kind) | (kind == "all"))
        part = scores[rows], people[rows]
        own = told(lambda own, bad: apcer(bad, threshold(own, BPCER)), live, part)
        fixed = told(lambda bad: apcer(bad, shipped), part)
        print(f"| {kind} | {rate(own[0], rows.sum(), own[1])} | {rate(fixed[0], rows.sum(), fixed[1])} |")


def living(name, photos, scores, uncertain, shipped):
    """Prints the row of a set without attacks."""
    share, span = told(lambda own: float((own < shipped).mean()), (scores, np.array([person(photo) for photo in photos])))
    print(f"| {name} | {rate(share, len(scores), span)} | {uncertain.mean():.1%} |", flush=True)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--binary", required=True, type=Path)
    ask.add_argument("--pad")
    ask.add_argument("--calibration", type=Path)
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    manifest = args.calibration or Path(args.pad or Path(__file__).parents[2] / "pad.onnx").with_suffix(".toml")
    shipped = next(row["score"] for row in tomllib.loads(manifest.read_text())["threshold"] if row["bpcer"] == BPCER)
    options = ["--pad-networks", args.pad] if args.pad else []
    every = data.read(args.work)

    def of(chosen):
        with tempfile.TemporaryDirectory() as folder:
            return scored(chosen, args.binary, options, Path(folder))

    print(f"Shipped threshold for BPCER {BPCER:.0%}: {shipped}")
    for name, (kind, split) in SETS.items():
        attacks(name, *of([photo for photo in every if photo.set == kind and photo.split == split]), shipped)
    print("\n| live photos | BPCER, shipped threshold | uncertain |\n| --- | --- | --- |")
    living("CFP, frontal", *of([photo for photo in every if photo.set == "cfp"]), shipped)
    photos, scores, uncertain = of([photo for photo in every if photo.set == "utk" and photo.split == "test"])
    living("UTKFace, adults held out", photos, scores, uncertain, shipped)
    origin = np.array([re.match(r"\d+_[01]_([0-4])_", Path(photo.path).name)[1] for photo in photos])
    for digit, word in ORIGINS.items():
        rows = np.flatnonzero(origin == digit)
        living(f"UTKFace, {word}", [photos[row] for row in rows], scores[rows], uncertain[rows], shipped)


if __name__ == "__main__":
    main()
