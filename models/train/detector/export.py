"""Writes the trained detector as ONNX with its manifest, and compares onnxruntime with PyTorch.

    python -m detector.export [--work DIR] [--name detector] [--score 0.6] [--out ../detector.onnx]

Batch norms are folded into the convolutions, and weights are stored in 16 bits. The score is the best
one that detector/check.py finds on CFP's folds 1-5.
"""
import argparse
import hashlib
from pathlib import Path

import torch

from common.exporting import exported
from common.manifests import pattern
from common.weights import folded, rounded
from detector.network import MEAN, SCALE, Detector, Exported, network_input

# The longer sides of the copies that a photo is looked at in, chosen on CFP's folds 1-5.
SIZES = [96, 192, 320, 640]

MANIFEST = """# Written by models/train/detector/export.py.
[model]
name = "likeness-{name}"
sha256 = "{digest}"
licence = "{licence}"
provenance = "{provenance}"

[input]
sizes = {sizes}
channels = 3
layout = "nchw"
colour = "rgb"
mean = [{mean}, {mean}, {mean}]
scale = {scale}

[output]
family = "yunet"
score = {score}
nms_iou = 0.3

[golden]
output = [{golden}]
"""
LICENCE = "MIT OR Apache-2.0 for our part; made from photos whose makers allow research use only, see models/LICENSE.md"
PROVENANCE = ("Trained from nothing by models/train/detector/train.py on some 17,000 photos (CelebA, UTKFace, Congress portraits, masks, cats and dogs) with the boxes and landmarks "
              "of the teacher YuNet (OpenCV Zoo, MIT); no photo and no weight of others is in it.")


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--name", default="detector")
    ask.add_argument("--score", type=float, default=0.6)
    ask.add_argument("--out", type=Path, default=Path(__file__).parent / "../../detector.onnx")
    args = ask.parse_args()
    detector = Detector()
    detector.load_state_dict(torch.load(args.work / "detector" / f"{args.name}.pt", weights_only=False)["average"])
    net = rounded(Exported(folded(detector)).eval())
    session = exported(net, args.out, [(320, 320), (192, 192), (640, 640), (256, 320)], "image", Exported.NAMES,
                       {"image": {2: "height", 3: "width"}, **{name: {1: "cells"} for name in Exported.NAMES}})
    golden = [float(o.mean()) for o in session.run(None, {"image": network_input(pattern(SIZES[0], SIZES[0]))})]
    data = args.out.read_bytes()
    assert len(data) <= 1_000_000
    args.out.with_suffix(".toml").write_text(MANIFEST.format(
        name=args.name, digest=hashlib.sha256(data).hexdigest(), licence=LICENCE, provenance=PROVENANCE, sizes=SIZES, mean=MEAN, scale=SCALE, score=args.score,
        golden=", ".join(f"{g:.7g}" for g in golden)))
    print(f"{args.out}: {len(data)} bytes")


if __name__ == "__main__":
    main()
