"""Compares exported encoders on CFP, aligned by YuNet, without the service.

    python -m evaluation.compare_encoders ../encoder.onnx FORMER.onnx --cfp CFP --detector YUNET.onnx

Prints CFP-FF and CFP-FP accuracy (each fold by the threshold that suits the other folds best) and the TAR at FMR 1e-3 and 1e-4 of all
frontal pairs, for folds 1-5, with which encoders are chosen; `--report` takes folds 6-10. With `--mirrored`, an embedding is the
mean of the face's and its mirror image's, as the service has it for probes. Intervals: 95 %, by resampling the people.
"""

import argparse
from pathlib import Path

import numpy as np

from common import cfp_photos
from encoder import inference
from evaluation import cfp_pairs, error_rates

MANIFEST = {"input": {"colour": "rgb", "mean": [127.5] * 3, "scale": 0.0078125}, "output": {"length": 128}}
RATES = (1e-3, 1e-4)


def accuracy(cosines, listed, kind, folds):
    """Mean over the folds, each by the threshold of the others."""
    scores = {fold: (np.nan_to_num(cosines[first, second], nan=-1), same) for fold in folds for first, second, same in [listed.pairs[kind, fold]]}
    shares = []
    for fold in folds:
        others, truth = (np.concatenate(part) for part in zip(*(scores[f] for f in folds if f != fold)))
        order = np.argsort(-others)
        right = np.cumsum(truth[order]) + (~truth).sum() - np.cumsum(~truth[order])
        shares.append(np.mean((scores[fold][0] >= others[order][right.argmax()]) == scores[fold][1]))
    return float(np.mean(shares))


def figures(encoder, chosen, listed, faces, found, folds):
    people = np.union1d(listed.people("FF", folds), listed.people("FP", folds))
    where = np.flatnonzero(np.isin(listed.person, people) & found)
    seen = inference.probes(encoder, MANIFEST, faces[where])
    if chosen.mirrored:
        seen = inference.unit(seen + inference.probes(encoder, MANIFEST, faces[where][:, :, ::-1]))
    cosines = np.full((len(found), len(found)), np.nan, np.float32)
    cosines[np.ix_(where, where)] = seen @ seen.T
    pairs = cfp_pairs.pairs(cosines, listed, "FF", people)
    tail = error_rates.Tail(pairs)
    levels = tail.thresholds(RATES, tail.reached(np.ones(len(people))))
    _, (missed, missed_interval) = error_rates.measured(pairs, levels, cfp_pairs.resamples(len(people)))
    print(f"| {encoder.name} | " + " | ".join(f"{100 * accuracy(cosines, listed, kind, folds):.2f}" for kind in ("FF", "FP")), end=" | ")
    print(" | ".join(f"{100 * (1 - m):.2f} ({100 * (1 - high):.2f} to {100 * (1 - low):.2f})" for m, (low, high) in zip(missed, missed_interval.T)), "|", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("encoders", nargs="+", type=Path)
    arguments.add_argument("--cfp", required=True, type=Path)
    arguments.add_argument("--detector", required=True, type=Path, help="YuNet")
    arguments.add_argument("--work", default=Path("work"), type=Path)
    arguments.add_argument("--report", action="store_true", help="folds 6-10 instead of 1-5")
    arguments.add_argument("--mirrored", action="store_true")
    chosen = arguments.parse_args()
    folds = cfp_photos.REPORTING if chosen.report else cfp_photos.CHOOSING
    print("| encoder | CFP-FF | CFP-FP | " + " | ".join(f"TAR at FMR {rate:.0e}" for rate in RATES) + " |\n| --- | --- | --- | --- | --- |")
    for encoder in chosen.encoders:
        figures(encoder, chosen, *cfp_photos.aligned(chosen.cfp, chosen.detector, chosen.work), folds)


if __name__ == "__main__":
    main()
