"""Scores all photos by the teachers, and prints how well these tell attacks.

    python -m pad.teachers --minifas FOLDER --facenox BEST_MODEL.onnx [--work DIR] [--cv2]

FOLDER holds minifas-2.7.onnx and minifas-4.0.onnx (`models/get-minifas.sh`), BEST_MODEL.onnx is `models/best/98.20/best_model.onnx` of
VietAnh954/face-antispoof-onnx. Kept: --work/pad/teachers.npz, the live scores in the order of faces.csv. --cv2 resizes by
cv2.INTER_LINEAR instead, as the teachers' own code does.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from pad import data
from pad.crops import Input, crops, network_input
from pad.measures import apcer, auc, eer, threshold

MINIFAS = {"2.7": Input(80, (2.7,), colour="bgr"), "4.0": Input(80, (4.0,), colour="bgr")}
FACENOX = Input(128, (1.5,), box="square", border="mirror", scale=1 / 255)
NAMES = ("minifas-2.7", "minifas-4.0", "facenox")


def read(path):
    """The photo in RGB."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def log_odds(logits, live):
    """Natural log-odds of the live class."""
    others = np.delete(logits, live, 1)
    top = others.max(1, keepdims=True)
    return logits[:, live] - (top[:, 0] + np.log(np.exp(others - top).sum(1)))


class Network:
    """A presentation-attack network with its input; gives live scores."""

    def __init__(self, path, given, live):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        self.session, self.given, self.live = onnxruntime.InferenceSession(str(path), options), given, live
        self.name = self.session.get_inputs()[0].name

    def raw(self, cut):
        """The output for side x side x 3n bytes."""
        return self.session.run(None, {self.name: np.ascontiguousarray(network_input(cut[None], self.given))})[0]

    def score(self, photo, box, resized=None):
        """The live score of a face in a photo."""
        return self.scored(crops(photo, box, self.given, resized))

    def scored(self, cut):
        """The live score for side x side x 3n bytes."""
        said = self.raw(cut)
        return float(said[0, 0]) if said.shape[1] == 1 else float(log_odds(said.astype(np.float64), self.live)[0])


def teachers(minifas, facenox):
    return [*(Network(minifas / f"minifas-{crop}.onnx", given, 1) for crop, given in MINIFAS.items()), Network(facenox, FACENOX, 0)]


def table(photos, scores):
    """Prints AUC, EER, and APCER at the own-camera threshold."""
    columns = {**{name: scores[:, i] for i, name in enumerate(NAMES)}, "both MiniFASNets": scores[:, :2].mean(1), "all": scores.mean(1)}
    print("| set | network | live | attacks | AUC | EER | APCER at BPCER 5 % |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, splits in {"replay": ("devel", "test"), "casia": ("test",)}.items():
        for split in splits:
            rows = np.array([photo.set == name and photo.split == split and photo.box is not None for photo in photos])
            attack = np.array([photo.attack for photo in photos])
            for network, column in columns.items():
                live, attacks = column[rows & ~attack], column[rows & attack]
                print(f"| {name} {split} | {network} | {len(live)} | {len(attacks)} | {auc(live, attacks):.3f} | {eer(live, attacks):.1%} | {apcer(attacks, threshold(live, 0.05)):.1%} |")


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--minifas", required=True, type=Path)
    ask.add_argument("--facenox", required=True, type=Path)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--cv2", action="store_true")
    args = ask.parse_args()
    cv2.setNumThreads(1)
    photos, networks = data.read(args.work), teachers(args.minifas, args.facenox)
    scores = np.full((len(photos), len(networks)), np.nan, np.float32)
    for row, photo in enumerate(photos):
        if photo.box is not None and (not args.cv2 or photo.split == "test" and photo.set in ("replay", "casia")):
            pixels = read(photo.path)
            scores[row] = [network.score(pixels, photo.box, cv2.resize if args.cv2 else None) for network in networks]
    if not args.cv2:
        np.savez(args.work / "pad" / "teachers.npz", scores=scores)
    table(photos, scores)


if __name__ == "__main__":
    main()
