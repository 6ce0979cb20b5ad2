"""Measures an encoder on CFP through the shipped pipeline, and fits its calibration.

    python cfp.py --cfp CFP --encoder ../encoder.onnx --detector ../detector.onnx [--fit]

`likeness score` compares every photo with every other by its own decoding, detection, alignment and network. Folds 1-5 choose
thresholds and, with --fit, scale, offset and error-rate rows, which are written into the encoder's manifest; folds 6-10, which hold
other people, are reported. A refused photo matches nobody. --opencv measures without the binary: YuNet and OpenCV's warp, the
encoder by onnxruntime. Intervals are 95 %, by resampling the people.
"""

import argparse
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

import cfp_faces
import encoder_manifest

RATES = (1e-2, 1e-3, 1e-4)
RESAMPLES = 300


def by_binary(chosen, listed):
    """The matrix of scores by `likeness score`; what was refused is printed."""
    with tempfile.TemporaryDirectory() as folder:
        photos, out = Path(folder) / "photos.txt", Path(folder) / "scores.f32"
        photos.write_text("".join(f"{photo.resolve()}\n" for photo in listed.photos))
        command = [chosen.binary, "score", "--encoder", chosen.encoder, "--detector", chosen.detector, "--photos", photos, "--out", out]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        matrix = np.fromfile(out, "<f4").reshape(len(listed.photos), -1)
    view = {str(photo.resolve()): photo.parent.name for photo in listed.photos}
    lines = [line.split("\t") for line in said.splitlines() if "\t" in line]
    print("refused:", dict(Counter(f"{view.get(line[0], '?')} {line[1]}" for line in lines)) or "none")
    return matrix


def by_opencv(chosen, listed, manifest):
    """The same by YuNet, OpenCV's warp and onnxruntime."""
    _, faces, found = cfp_faces.aligned(chosen.cfp, chosen.detector, chosen.work)
    run, name = encoder_manifest.session(chosen.encoder)
    given = manifest["input"]
    raw = np.zeros((len(faces), manifest["output"]["length"]), np.float32)
    for at, face in enumerate(faces):
        face = (face if given["colour"] == "rgb" else face[:, :, ::-1]).astype(np.float32)
        face = (face - np.array(given["mean"], np.float32)) * np.float32(given["scale"])
        raw[at] = run.run(None, {name: np.ascontiguousarray(face.transpose(2, 0, 1)[None])})[0]
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    cosines = raw @ raw.T
    cosines[~found], cosines[:, ~found] = np.nan, np.nan
    print(f"refused: {np.sum(~found & listed.frontal)} frontal, {np.sum(~found & ~listed.frontal)} profile")
    return cosines * manifest["comparison"]["scale"] - manifest["comparison"]["offset"]


class Frontal:
    """All pairs of frontal photos of some people."""

    def __init__(self, cosines, listed, people):
        chosen = np.flatnonzero(listed.frontal & np.isin(listed.person, people))
        self.people, number = np.unique(listed.person[chosen], return_inverse=True)
        first, second = np.triu_indices(len(chosen), 1)
        pairs, self.a, self.b = cosines[np.ix_(chosen, chosen)][first, second], number[first], number[second]
        same = self.a == self.b
        self.genuine, self.owner = pairs[same], self.a[same]
        self.impostor, self.a, self.b = pairs[~same], self.a[~same], self.b[~same]
        self.count = np.bincount(number)

    def threshold(self, rate):
        """The lowest score that at most this share of the impostors reaches."""
        allowed = int(rate * len(self.impostor))
        return np.nextafter(np.sort(self.impostor)[-1 - allowed], np.inf)

    def accepted(self, rates, weights, top):
        """Share of genuine pairs accepted at each FMR, people weighted."""
        every = np.outer(weights * self.count, weights * self.count)
        total = (every.sum() - np.trace(every)) / 2
        reached = np.cumsum(weights[self.a[top]] * weights[self.b[top]])
        own = weights[self.owner]
        levels = [self.impostor[top[min(np.searchsorted(reached, rate * total), len(top) - 1)]] for rate in rates]
        return [own[self.genuine > level].sum() / own.sum() for level in levels]

    def report(self, rates, rng):
        top = np.argsort(-self.impostor)[: int(0.05 * len(self.impostor))]
        values = self.accepted(rates, np.ones(len(self.people)), top)
        drawn = [self.accepted(rates, resample(len(self.people), rng), top) for _ in range(RESAMPLES)]
        for rate, value, low, high in zip(rates, values, *np.percentile(drawn, (2.5, 97.5), axis=0)):
            print(f"TAR at FMR {rate:.0e}: {value:.2%} ({low:.2%} to {high:.2%})")


def resample(people, rng):
    """How often each person is drawn when as many are drawn with replacement."""
    return np.bincount(rng.integers(0, people, people), minlength=people).astype(float)


def protocol_pairs(cosines, listed, kind, folds):
    first, second, same = (np.concatenate(part) for part in zip(*(listed.pairs[kind, fold] for fold in folds)))
    return cosines[first, second], same, listed.person[first], listed.person[second]


def best_threshold(scores, same):
    """The threshold of the highest accuracy."""
    order = np.argsort(-scores)
    right = np.cumsum(same[order]) + (~same).sum() - np.cumsum(~same[order])
    at = int(np.argmax(right))
    return (scores[order[at]] + scores[order[min(at + 1, len(order) - 1)]]) / 2


def accuracies(cosines, listed, rng):
    """Accuracy on folds 6-10 at the threshold that suits folds 1-5 best, frontal-frontal and frontal-profile."""
    for kind in ("FF", "FP"):
        level = best_threshold(*protocol_pairs(cosines, listed, kind, cfp_faces.CHOOSING)[:2])
        each = []
        for fold in range(1, cfp_faces.FOLDS + 1):
            scores, same, _, _ = protocol_pairs(cosines, listed, kind, [fold])
            each.append(np.mean((scores > level) == same))
        scores, same, a, b = protocol_pairs(cosines, listed, kind, cfp_faces.REPORTING)
        people, number = np.unique(np.concatenate([a, b]), return_inverse=True)
        a, b = number[: len(a)], number[len(a):]
        right, drawn = (scores > level) == same, []
        for _ in range(RESAMPLES):
            weights = resample(len(people), rng)
            pair = np.where(same, weights[a], weights[a] * weights[b])
            drawn.append((pair * right).sum() / pair.sum())
        low, high = np.percentile(drawn, (2.5, 97.5))
        print(f"CFP-{kind} accuracy, folds 6-10: {right.mean():.2%} ({low:.2%} to {high:.2%}); threshold (cosine, from folds 1-5) {level:.4f}")
        print(f"    each fold 1 to 10, at that threshold: {', '.join(f'{value:.2%}' for value in each)}; all ten {np.mean(each):.2%}")


def logistic(genuine, impostor):
    """Scale and offset of log-odds = scale x cosine - offset, both classes weighing the same, by Newton's method."""
    x = np.concatenate([genuine, impostor]).astype(np.float64)
    y = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostor))])
    weight = np.concatenate([np.full(len(genuine), 0.5 / len(genuine)), np.full(len(impostor), 0.5 / len(impostor))])
    columns, at = np.stack([x, np.ones_like(x)]), np.array([10.0, -3.0])
    for _ in range(30):
        p = 1 / (1 + np.exp(-(at @ columns)))
        gradient = columns @ (weight * (y - p))
        curvature = (columns * (weight * p * (1 - p))) @ columns.T
        at = at + np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
    return float(at[0]), float(-at[1])


def fit(frontal):
    """Calibration and table from these people's frontal pairs."""
    scale, offset = logistic(frontal.genuine[np.isfinite(frontal.genuine)], frontal.impostor[np.isfinite(frontal.impostor)])
    rows = [{"fmr": rate, "score": round(float(scale * frontal.threshold(rate) - offset), 4)} for rate in RATES]
    return {"comparison": {"kind": "cosine", "scale": round(scale, 4), "offset": round(offset, 4)}, "error_rate": rows}


def calibration_error(genuine, impostor):
    """Mean distance between similarity and share of genuine pairs, ten bins, both classes weighing the same."""
    p = 1 / (1 + np.exp(-np.concatenate([genuine, impostor]).astype(np.float64)))
    y = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostor))])
    weight = np.concatenate([np.full(len(genuine), 0.5 / len(genuine)), np.full(len(impostor), 0.5 / len(impostor))])
    place = np.minimum((p * 10).astype(int), 9)
    return sum(abs((weight * (p - y))[place == k].sum()) for k in range(10))


def table(frontal, manifest):
    scale, offset = manifest["comparison"]["scale"], manifest["comparison"]["offset"]
    genuine, impostor = scale * frontal.genuine - offset, scale * frontal.impostor - offset
    for row in manifest["error_rate"]:
        wrong = np.sum(impostor >= row["score"])
        print(f"row FMR {row['fmr']:.0e}, score {row['score']:.4f}: measured FMR {wrong / len(impostor):.2e}, FNMR {np.mean(genuine < row['score']):.2%}")
    kept = np.isfinite(genuine), np.isfinite(impostor)
    print(f"calibration error: {calibration_error(genuine[kept[0]], impostor[kept[1]]):.4f} (scale {scale}, offset {offset})")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cfp", required=True, type=Path)
    arguments.add_argument("--encoder", default=Path("../encoder.onnx"), type=Path)
    arguments.add_argument("--detector", default=Path("../detector.onnx"), type=Path)
    arguments.add_argument("--binary", default=Path("../../target/release/likeness"), type=Path)
    arguments.add_argument("--work", default=Path("../train"), type=Path)
    arguments.add_argument("--opencv", action="store_true")
    arguments.add_argument("--fit", action="store_true")
    chosen = arguments.parse_args()
    target = chosen.encoder.with_suffix(".toml")
    manifest, listed, rng = encoder_manifest.read(target), cfp_faces.protocol(chosen.cfp), np.random.default_rng(0)
    print(f"encoder {manifest['model']['name']} {manifest['model']['sha256'][:12]}, detector {chosen.detector.stem}, "
          f"{'OpenCV and onnxruntime' if chosen.opencv else 'likeness score'}")
    scores = by_opencv(chosen, listed, manifest) if chosen.opencv else by_binary(chosen, listed)
    cosines = (scores + manifest["comparison"]["offset"]) / manifest["comparison"]["scale"]
    cosines[np.isnan(cosines)] = -np.inf
    accuracies(cosines, listed, rng)
    reported = Frontal(cosines, listed, listed.people("FF", cfp_faces.REPORTING))
    print(f"frontal pairs of folds 6-10: {len(reported.people)} people, {len(reported.genuine):,} genuine, {len(reported.impostor):,} impostor")
    reported.report(RATES, rng)
    if chosen.fit:
        manifest |= fit(Frontal(cosines, listed, listed.people("FF", cfp_faces.CHOOSING)))
        encoder_manifest.write(target, manifest)
    table(reported, manifest)


if __name__ == "__main__":
    main()
