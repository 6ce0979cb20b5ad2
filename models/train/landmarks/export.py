"""Writes the trained landmark network as ONNX with its manifest, and compares onnxruntime with PyTorch.

    python -m landmarks.export [--work DIR] [--name landmarks-3] [--score 0.01] [--out ../landmarks.onnx]

Batch norms are folded into the convolutions, and weights are stored in 16 bits. The score is the best
one that detector/check.py finds on CFP's folds 1-5.
"""
import argparse
import hashlib
from pathlib import Path

import torch
from torch import nn

from common.alignment import TEMPLATE
from common.exporting import exported
from common.manifests import pattern
from common.weights import folded, rounded
from detector.export import LICENCE
from detector.network import MEAN, SCALE
from landmarks.network import SIDE, TEMPLATE_SIDE, Landmarks, network_input

MANIFEST = """# Written by models/train/landmarks/export.py.
[model]
name = "likeness-{name}"
sha256 = "{digest}"
licence = "{licence}"
provenance = "{provenance}"

[input]
side = {side}
channels = 3
layout = "nchw"
colour = "rgb"
mean = [{mean}, {mean}, {mean}]
scale = {scale}

[output]
score = {score}

[golden]
output = [{golden}]
"""
PROVENANCE = ("Trained from nothing by models/train/landmarks/train.py on 70,000 aligned faces (CelebA, UTKFace, Congress portraits, masks), three in ten of them turned aside by us, with the landmarks "
              "of the teacher YuNet (OpenCV Zoo, MIT), and on photos of cats and dogs; no photo and no weight of others is in it.")


class Exported(nn.Module):
    """The network with one output of eleven: how sure it is of a face, 0 to 1, and the landmarks in sides of the square."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.register_buffer("template", torch.from_numpy(TEMPLATE.reshape(1, 10) / TEMPLATE_SIDE).float())

    def forward(self, x):
        said = self.network(x)
        return torch.cat([torch.sigmoid(said[:, :1]), said[:, 1:] + self.template], 1)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--name", default="landmarks-3")
    ask.add_argument("--score", type=float, default=0.01)
    ask.add_argument("--out", type=Path, default=Path(__file__).parent / "../../landmarks.onnx")
    args = ask.parse_args()
    network = Landmarks()
    network.load_state_dict(torch.load(args.work / "landmarks" / f"{args.name}.pt", weights_only=False)["average"])
    net = rounded(Exported(folded(network)).eval())
    session = exported(net, args.out, [(SIDE, SIDE)], "face", ["landmarks"])
    golden = session.run(None, {"face": network_input(pattern(SIDE, SIDE)[None])})[0][0]
    data = args.out.read_bytes()
    args.out.with_suffix(".toml").write_text(MANIFEST.format(
        name=args.name, digest=hashlib.sha256(data).hexdigest(), licence=LICENCE, provenance=PROVENANCE, side=SIDE, mean=MEAN, scale=SCALE, score=args.score,
        golden=", ".join(f"{g:.7g}" for g in golden.tolist())))
    print(f"{args.out}: {len(data)} bytes")


if __name__ == "__main__":
    main()
