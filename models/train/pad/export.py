"""Writes the trained presentation-attack network as ONNX in 8 bits, with its manifest.

    python -m pad.export --binary ../../target/release/likeness [--name pad] [--model likeness-pad-1] [--out ../pad.onnx] [--floats] [--work DIR]

Batch norms are folded into the convolutions, and the ranges of the maps are measured on views of the training. The thresholds of the manifest
are those below which 1, 2, 5, 10 and 20 % of the live photos of DEVELOPMENT lie, each set with the same weight; no photo of them trains.
`likeness model check --pad` adds the golden output: a sum that rounds to another byte here and in onnxruntime changes it by a thousandth.
--floats keeps floats with 16-bit weights.
"""

import argparse
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
from torch import nn

from common import manifests
from common.exporting import exported
from common.weights import folded, rounded
from detector.export import LICENCE
from pad import data
from pad.measures import apcer, auc, common_threshold, threshold
from pad.network import GIVEN, PadNetwork
from pad.teachers import Network
from pad.views import family
from quantize import quantise

BPCERS, RANGE_VIEWS = (0.01, 0.02, 0.05, 0.1, 0.2), 600
DEVELOPMENT = (("replay",), ("casia",), ("tutorial",), ("aaf", "vote"))
PROVENANCE = ("Trained from nothing by models/train/pad/train.py on Replay-Attack, CASIA-FASD, public tutorial data, and simulated recaptures of UTKFace, All-Age-Faces and "
              "Congress portraits; softly taught by the MiniFASNets of minivision-ai (Apache-2.0). No photo and no weight of others is in it.")


class Exported(nn.Module):
    """The network without what only its training needs."""

    def __init__(self, network):
        super().__init__()
        self.maps, self.score = nn.Sequential(network.early, network.late), network.score

    def forward(self, x):
        return self.score(self.maps(x))


def thresholds(photos, scores):
    """Rows of [[threshold]]: quantiles of the live photos' scores, each development set weighing the same."""
    sets = [np.array([score for photo, score in zip(photos, scores) if photo.split == "devel" and not photo.attack and family(photo) in names]) for names in DEVELOPMENT]
    return [{"bpcer": bpcer, "score": round(common_threshold(sets, bpcer), 4)} for bpcer in BPCERS]


def told(photos, scores):
    """Prints how well these scores tell attacks."""
    for name, split in (("replay", "devel"), ("casia", "test"), ("tutorial", "devel")):
        chosen = [(photo.attack, score) for photo, score in zip(photos, scores) if family(photo) == name and photo.split == split]
        attack, said = (np.array(column) for column in zip(*chosen))
        print(f"  {name} {split}: AUC {auc(said[~attack], said[attack]):.4f}, APCER {apcer(said[attack], threshold(said[~attack], 0.05)):.1%} at BPCER 5 %")


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--binary", required=True, type=Path)
    ask.add_argument("--name", default="pad")
    ask.add_argument("--model", default="likeness-pad-1")
    ask.add_argument("--out", type=Path, default=Path(__file__).parent / "../../pad.onnx")
    ask.add_argument("--floats", action="store_true")
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    network = PadNetwork()
    network.load_state_dict(torch.load(args.work / "pad" / args.name / "network.pt", map_location="cpu", weights_only=True))
    floats = args.work / "pad" / args.name / "floats.onnx"
    exported(rounded(Exported(folded(network)).eval()), floats, [(GIVEN.side, GIVEN.side)], "crops", ["live"], channels=3 * len(GIVEN.crops))
    views = args.work / "pad" / "views"
    if args.floats:
        shutil.copy(floats, args.out)
    else:
        quantise(floats, args.out, GIVEN.mean, list(np.load(views / "000.npy", mmap_mode="r")[:RANGE_VIEWS]))
    photos, cut = data.read(args.work), np.load(views / "evaluation.npy", mmap_mode="r")
    judged, ready = [photos[row] for row in np.load(views / "evaluation.npz")["row"]], {}
    for path in (floats, args.out):
        run = Network(path, GIVEN, 0)
        ready[path] = np.array([run.raw(each)[0, 0] for each in cut])
        print(f"{path}: {path.stat().st_size:,} bytes")
        told(judged, ready[path])
    manifests.write(args.out.with_suffix(".toml"), {
        "model": {"name": args.model, "sha256": manifests.digest(args.out), "licence": LICENCE, "provenance": PROVENANCE},
        "input": {"side": GIVEN.side, "channels": 3, "layout": "nchw", "colour": GIVEN.colour, "mean": [GIVEN.mean] * 3, "scale": GIVEN.scale},
        "crop": {"sizes": list(GIVEN.crops), "shape": GIVEN.box, "border": GIVEN.border},
        "output": {"form": "logits", "live": 0},
        "threshold": thresholds(judged, ready[args.out]),
    })
    subprocess.run([args.binary, "model", "check", "--pad", args.out], check=True)


if __name__ == "__main__":
    main()
