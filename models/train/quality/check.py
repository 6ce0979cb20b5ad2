"""What the reference gate does, through the shipped binary: false matches of strangers whose photos are degraded alike.

    python -m quality.check --binary ../../target/release/likeness --cfp CFP --utk UTK --encoder ../sface.onnx [--people 100]

Of each set so many people are taken, CFP's from folds 6-10, with a photo each; for each of the degradations of
`quality/degradations.py` at three strengths all of them are degraded, each in another way, and compared with each other at the
threshold for an FMR of 1e-4. "Before" counts all references with a face, as if there were no gate; "after" those that are not refused.
Intervals are of 95 %, by resampling the people. Without --encoder the default is measured. Prints Markdown.
"""

import argparse
import csv
import random
import re
import subprocess
import tempfile
import tomllib
import zlib
from pathlib import Path

import cv2
import numpy as np

from common.cfp_photos import REPORTING, protocol
from quality.degradations import DEGRADATIONS, STRENGTHS, spectacles
from quality.samples import aligned, portrait

TARGET, RESAMPLES, ADULT = 1e-4, 200, 18


def people(cfp, utk, count):
    """Photos of different people: so many of CFP's folds 6-10, as many adults of UTKFace, the same number of each origin."""
    listed = protocol(cfp)
    reported = set(listed.people("FF", REPORTING).tolist())
    frontal = {}
    for photo, person, is_frontal in zip(listed.photos, listed.person, listed.frontal):
        if is_frontal and person in reported:
            frontal.setdefault(person, photo)
    chosen = random.Random(5).sample(sorted(frontal.values()), count)
    # The name says age, sex and origin; a tenth by checksum was kept out of the training of this network.
    adults = {}
    for path in sorted(utk.rglob("*.jpg")):
        named = re.match(r"(\d+)_[01]_([0-4])_", path.name)
        if named and int(named[1]) >= ADULT and zlib.crc32(path.name.encode()) % 10 == 0:
            adults.setdefault(named[2], []).append(path)
    for of_origin in adults.values():
        chosen += random.Random(5).sample(of_origin, count // len(adults))
    return chosen


def scores(binary, options, paths, folder):
    """N x N scores, references by probes, NaN where there is no face; and the rows of the quality table."""
    listed, matrix, table = (folder / name for name in ("list.txt", "scores.f32", "quality.csv"))
    listed.write_text("\n".join(map(str, paths)))
    subprocess.run([binary, "score", "--photos", listed, "--out", matrix, "--quality", table, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return np.fromfile(matrix, "<f4").reshape(len(paths), -1), list(csv.DictReader(table.open()))


def rate(matrix, references, threshold, rng):
    """FMR of these references against all probes with a face, with its 95 % interval and the number of comparisons."""
    rows = np.flatnonzero(references)
    if len(rows) < 2:
        return None
    part = matrix[rows].copy()
    part[np.arange(len(rows)), rows] = np.nan
    hits, seen = (part >= threshold).sum(1), np.isfinite(part).sum(1)
    drawn = rng.integers(len(rows), size=(RESAMPLES, len(rows)))
    spread = hits[drawn].sum(1) / np.maximum(1, seen[drawn].sum(1))
    return hits.sum() / max(1, seen.sum()), *np.quantile(spread, [0.025, 0.975]), int(seen.sum())


def shown(found):
    return "too few" if found is None else f"{found[0]:.1e} ({found[1]:.0e} to {found[2]:.0e})"


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--binary", required=True, type=Path)
    ask.add_argument("--align", type=Path, default=Path(__file__).parents[3] / "target/release/examples/align")
    ask.add_argument("--cfp", required=True, type=Path)
    ask.add_argument("--utk", required=True, type=Path)
    ask.add_argument("--encoder", type=Path)
    ask.add_argument("--people", type=int, default=100)
    args = ask.parse_args()
    cv2.setNumThreads(1)
    manifest = (args.encoder or Path(__file__).parents[2] / "encoder.onnx").with_suffix(".toml")
    threshold = next(row["score"] for row in tomllib.loads(manifest.read_text())["error_rate"] if row["fmr"] == TARGET)
    options, rng = (["--encoder", args.encoder] if args.encoder else []), np.random.default_rng(3)
    photos = people(args.cfp, args.utk, args.people)
    found = [(path, face) for path, face in zip(photos, aligned(photos, args.align)) if face]
    portraits = [portrait(path, face[1]) for path, face in found]
    conditions = [("undegraded", 0, None), *((name, s, change) for name, change in {**DEGRADATIONS, "spectacles": spectacles}.items() for s in STRENGTHS)]
    print("| degradation | strength | face found | FMR before | refused | FMR after |\n| --- | --- | --- | --- | --- | --- |")
    worst = []
    with tempfile.TemporaryDirectory() as folder:
        for name, strength, change in conditions:
            paths = []
            for number, (photo, landmarks) in enumerate(portraits):
                out = photo if change is None else change(photo.copy(), landmarks.copy(), strength, rng)
                paths.append(Path(folder) / f"{number:04}.jpg")
                cv2.imwrite(str(paths[-1]), out, [cv2.IMWRITE_JPEG_QUALITY, 95])
            matrix, table = scores(args.binary, options, paths, Path(folder))
            has_face = np.array([not row["code"] for row in table])
            kept = has_face & np.array([not row["reasons"] for row in table])
            before, after = rate(matrix, has_face, threshold, rng), rate(matrix, kept, threshold, rng)
            refused = 1 - kept.sum() / max(1, has_face.sum())
            print(f"| {name} | {strength:.1f} | {has_face.mean():.0%} | {shown(before)} | {refused:.1%} | {shown(after)} |", flush=True)
            worst.append((0.0 if after is None else after[0], name))
    over = [name for fmr, name in worst if fmr > 10 * TARGET]
    print(f"\n{len(worst) - len(over)} of {len(worst)} conditions have an FMR of at most ten times the target after the gate.")


if __name__ == "__main__":
    main()
