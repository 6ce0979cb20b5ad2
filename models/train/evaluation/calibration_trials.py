"""What else than one line could make similarities true for frontal and for profile photos: trials, none of which is shipped.

    python -m evaluation.calibration_trials --cfp CFP --encoder ../encoder.onnx --detector ../detector.onnx --landmarks work/detector/cfp_teacher.npy

Fitted on CFP's folds 1-5, judged on folds 6-10, as in evaluation/cfp.py. How far a head is turned is told by what is left of its five landmarks' distance to the
alignment's target, root mean square, in eye distances: about 0.07 for frontal photos and 0.24 for profiles; a pair has its larger one. The
landmarks are YuNet's, as detector/check.py keeps them. Impostors are thinned at random to one in eight, alike for every trial.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common import alignment, cfp_photos
from evaluation import calibration, calibration_table, cfp_scores
from evaluation.cfp_pairs import KINDS, interval, pairs, resamples
from evaluation.error_rates import Tail

THIN = 8
KNOTS = 4
RIDGE = 1e-7
EYES = alignment.TEMPLATE[1, 0] - alignment.TEMPLATE[0, 0]


def turn(cfp, listed, landmarks):
    """Of each photo; NaN where the teacher found no face."""
    root = cfp / "cfp-dataset" if (cfp / "cfp-dataset").is_dir() else cfp
    place = {path: at for at, path in enumerate(sorted((root / "Data/Images").rglob("*.jpg")))}
    rows = np.load(landmarks)[[place[path] for path in listed.photos]]
    left = np.full(len(rows), np.nan)
    for at in np.flatnonzero(rows[:, 4:14].any(1)):
        points = rows[at, 4:14].reshape(5, 2).astype(np.float64)
        matrix = alignment.similarity(points)
        away = points @ matrix[:, :2].T + matrix[:, 2] - alignment.TEMPLATE
        left[at] = np.sqrt((away**2).sum(1).mean()) / EYES
    return left


@dataclass
class Kind:
    """Pairs of one kind with the turn of each."""

    pairs: object
    genuine_turn: np.ndarray
    impostor_turn: np.ndarray


def thinned(cosines, turns, listed, kind, people):
    found, turned = (pairs(matrix, listed, kind, people) for matrix in (cosines, turns))
    kept = np.random.default_rng(0).random(len(found.impostor)) < 1 / THIN
    acquired = np.isfinite(found.genuine)
    less = replace(found, genuine=found.genuine[acquired], owner=found.owner[acquired], impostor=found.impostor[kept], a=found.a[kept], b=found.b[kept])
    return Kind(less, turned.genuine[acquired], turned.impostor[kept])


def hinges(knots):
    return lambda x: [np.maximum(x - knot, 0) for knot in knots]


def features(bend, x, turned, with_turn):
    """The columns of a map: the line, its bends, and what the turn adds and scales."""
    columns = [x, np.ones_like(x), *bend(x)]
    return np.stack([*columns, *([turned, turned * x] if with_turn == "slope" else [turned] if with_turn == "shift" else [])])


def fitted(kinds, shares, bend, with_turn):
    """The map fitted on these kinds, as a function of cosines and turns, and its least slope."""
    columns, truth, weight = [], [], []
    for kind, share in zip(kinds.values(), shares):
        if share:
            x = np.concatenate([kind.pairs.genuine, kind.pairs.impostor]).astype(np.float64)
            columns.append(features(bend, x, np.concatenate([kind.genuine_turn, kind.impostor_turn]), with_turn))
            truth.append(np.repeat([1.0, 0.0], [len(kind.pairs.genuine), len(kind.pairs.impostor)]))
            weight.append(share * calibration.even(kind.pairs.genuine, kind.pairs.impostor))
    at = calibration.logistic(np.concatenate(columns, 1), np.concatenate(truth), np.concatenate(weight), RIDGE)
    bends = len(bend(np.zeros(1)))
    slopes = at[0] + np.concatenate([[0], np.cumsum(at[2:2 + bends])])
    return (lambda x, turned: at @ features(bend, np.asarray(x, np.float64), turned, with_turn)), slopes.min()


def best_line(kinds):
    """The line whose worse kind has the least calibration error: all that one line can do. Bins are by rank, so no line moves a pair out of its bin."""
    binned = []
    for kind in kinds.values():
        x = np.concatenate([kind.pairs.genuine, kind.pairs.impostor]).astype(np.float64)
        weight, truth = calibration.even(kind.pairs.genuine, kind.pairs.impostor), np.repeat([1.0, 0.0], [len(kind.pairs.genuine), len(kind.pairs.impostor)])
        edges = calibration.equal_bins(kind.pairs.genuine, kind.pairs.impostor)
        level, cell = (np.clip((x + 1) * 1000, 0, 1999)).astype(int), np.digitize(x, edges[1:-1])
        both = [np.bincount(level * calibration.BINS + cell, part, 2000 * calibration.BINS).reshape(2000, -1) for part in (weight, weight * truth)]
        binned.append(both)
    middles = (np.arange(2000) + 0.5) / 1000 - 1

    def worst(scale, offset):
        p = calibration.similarity(scale * middles - offset)
        return max(np.abs(p @ whole - own.sum(0)).sum() for whole, own in binned)

    grid = [(worst(scale, middle * scale), scale, middle * scale) for scale in np.linspace(8, 60, 105) for middle in np.linspace(0.0, 0.5, 201)]
    _, scale, offset = min(grid)
    return lambda x, _: calibration.Line(scale, offset)(x)


def row(name, judge, kinds, drawn):
    """Calibration error and costs of both kinds, what is told apart, and how often strangers in profile pass where frontal ones do at 1e-3."""
    said, tails, scored = [], {}, {}
    for kind, one in kinds.items():
        genuine, impostor = judge(one.pairs.genuine, one.genuine_turn), judge(one.pairs.impostor, one.impostor_turn)
        scored[kind] = replace(one.pairs, genuine=genuine, impostor=impostor)
        found = calibration_table.judge(scored[kind], calibration.Line(1, 0), drawn)
        low, high = interval(found.drawn_error)
        least = calibration.least_cllr(genuine, impostor)
        said += [f"{found.error:.4f} ({low:.4f} to {high:.4f})", f"{calibration.cllr(genuine, impostor) - least:.4f}", f"{least:.4f}"]
        tails[kind] = Tail(scored[kind])
    everybody = np.ones(len(drawn[0]))
    level = tails["FF"].thresholds([1e-3], tails["FF"].reached(everybody))[0]
    said += [f"{np.mean(scored[kind].genuine >= level):.2%}" for kind in KINDS]
    said += [f"{np.mean(scored['FP'].impostor >= level):.1e}"]
    print(f"| {name} | {' | '.join(said)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfp", required=True, type=Path)
    parser.add_argument("--landmarks", required=True, type=Path)
    parser.add_argument("--encoder", default=Path("../encoder.onnx"), type=Path)
    parser.add_argument("--detector", default=Path("../detector.onnx"), type=Path)
    parser.add_argument("--binary", default=Path("../../target/release/likeness"), type=Path)
    parser.add_argument("--work", default=Path("work"), type=Path)
    chosen = parser.parse_args()
    listed = cfp_photos.protocol(chosen.cfp)
    cosines, turned = cfp_scores.by_binary(chosen, listed), turn(chosen.cfp, listed, chosen.landmarks)
    cosines[np.isnan(turned)], cosines[:, np.isnan(turned)] = np.nan, np.nan
    turns = np.where(np.isfinite(cosines), np.maximum(turned[:, None], turned), np.nan).astype(np.float32)
    first, second = ({kind: thinned(cosines, turns, listed, kind, listed.people("FF", folds)) for kind in KINDS}
                     for folds in (cfp_photos.CHOOSING, cfp_photos.REPORTING))
    drawn = resamples(250)
    low = min(np.quantile(one.pairs.genuine, 0.02) for one in first.values())  # bends lie where both classes are found
    high = max(np.quantile(one.pairs.impostor, 0.999) for one in first.values())
    plain, bent = hinges([]), hinges(np.linspace(low, high, KNOTS))
    print("\n| map | FF error | Cllr - least | least Cllr | FP error | Cllr - least | least Cllr | TAR FF at FMR 1e-3 | TAR FP there | FMR of profiles there |")
    print("| --- |" + " --- |" * 9)
    row("the best line there is", best_line(first), second, drawn)
    for name, shares, bend, with_turn in (
        ("line, frontal-frontal", (1, 0), plain, None), ("line, both evenly", (0.5, 0.5), plain, None), ("line, frontal-profile", (0, 1), plain, None),
        (f"{KNOTS} bends, frontal-frontal", (1, 0), bent, None), (f"{KNOTS} bends, both evenly", (0.5, 0.5), bent, None), (f"{KNOTS} bends, frontal-profile", (0, 1), bent, None),
        ("line shifted by turn", (0.5, 0.5), plain, "shift"), ("line shifted and tilted by turn", (0.5, 0.5), plain, "slope"),
        (f"{KNOTS} bends, shifted and tilted by turn", (0.5, 0.5), bent, "slope"),
    ):
        judge, slope = fitted(first, shares, bend, with_turn)
        row(name + (f" (least slope {slope:.1f})" if bend is bent else ""), judge, second, drawn)


if __name__ == "__main__":
    main()
