"""False matches among strangers, by age band, sex and origin of UTKFace's faces, at the manifest's thresholds.

    python -m evaluation.groups --data DATA --encoder ../encoder.onnx

The faces are those that the encoder was trained on, and UTKFace has hardly any two photos of one person: this compares groups with one
another and says nothing of missed matches. Pairs that the teacher calls the same person (cosine of 0.5 or more) are left out, for a few are.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from common import manifests
from encoder import inference, stored_faces

BANDS = (0, 6, 13, 18, 30, 45, 60, 200)
LABELS = {"sex": ("male", "female"), "origin": ("White", "Black", "Indian", "Asian", "other")}
SAME_PERSON = 0.5


def groups(rows):
    """Names and members: age bands, sexes, origins as the makers name them."""
    age = np.array([int(row["age"] or -1) for row in rows])
    for low, high in zip(BANDS, BANDS[1:]):
        yield f"aged {low} to {high - 1}" if high < 200 else f"aged {low} and more", (age >= low) & (age < high)
    for column, labels in LABELS.items():
        values = np.array([row[column] for row in rows])
        for label in labels:
            yield label, values == label


def false_matches(references, probes, teacher, levels):
    """How many pairs of a group reach each threshold, and how many pairs there are."""
    wrong, pairs = np.zeros(len(levels), int), 0
    for start in range(0, len(references), 1000):
        first = slice(start, start + 1000)
        later = np.arange(len(probes))[None] > np.arange(len(probes))[first, None]
        strangers = later & (teacher[first] @ teacher.T < SAME_PERSON)
        scores = (references[first] @ probes.T)[strangers]
        wrong += [int((scores >= level).sum()) for level in levels]
        pairs += len(scores)
    return wrong, pairs


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    arguments.add_argument("--encoder", default=Path("../encoder.onnx"), type=Path)
    arguments.add_argument("--most", default=4000, type=int, help="faces taken of a group")
    chosen = arguments.parse_args()
    manifest = manifests.read(chosen.encoder.with_suffix(".toml"))
    faces, teacher, source = stored_faces.load(chosen.data, chosen.work)
    utk = np.flatnonzero(source == stored_faces.SETS.index("utk"))
    rows = list(csv.DictReader((chosen.data / "faces" / "utk.csv").open()))
    references, probes = inference.both_sides(chosen.encoder, manifest, faces[utk, 4:-4, 4:-4])
    teacher = teacher[utk]
    scale, offset = manifest["comparison"]["scale"], manifest["comparison"]["offset"]
    levels = [(row["score"] + offset) / scale for row in manifests.told_rows(manifest)]
    print("| group | faces | " + " | ".join(f"FMR at the {row['fmr']:.0e} row" for row in manifests.told_rows(manifest)) + " |")
    print("| --- | --- |" + " --- |" * len(levels))
    rng = np.random.default_rng(0)
    for name, member in [("everybody", np.ones(len(rows), bool)), *groups(rows)]:
        taken = np.flatnonzero(member)
        taken = taken if len(taken) <= chosen.most else rng.choice(taken, chosen.most, replace=False)
        wrong, pairs = false_matches(references[taken], probes[taken], teacher[taken], levels)
        print(f"| {name} | {len(taken):,} | " + " | ".join(f"{count / pairs:.1e}" for count in wrong) + " |")


if __name__ == "__main__":
    main()
