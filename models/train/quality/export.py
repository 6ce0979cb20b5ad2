"""Writes the trained quality network as ONNX with its manifest, and compares onnxruntime with PyTorch.

    python -m quality.export [--work DIR] [--out ../quality.onnx]

Batch norms are folded into the convolutions, and weights are stored in 16 bits.
"""

import argparse
import hashlib
from pathlib import Path

import torch

from common.exporting import exported
from common.manifests import pattern
from common.weights import folded, rounded
from detector.export import LICENCE
from quality.network import MEAN, SCALE, SIDE, Exported, QualityNetwork, network_input

MANIFEST = """# Written by models/train/quality/export.py.
[model]
name = "likeness-quality-1"
sha256 = "{digest}"
licence = "{licence}"
provenance = "Trained from nothing by models/train/quality/train.py on degraded photos of 10,000 people (UTKFace, All-Age-Faces, Congress portraits); its target is the cosine between the embeddings of degraded and original photo by SFace (OpenCV Zoo, Apache-2.0) and by likeness-encoder-5.1. No photo and no weight of others is in it."

[input]
side = {side}
channels = 3
layout = "nchw"
colour = "rgb"
mean = [{mean}, {mean}, {mean}]
scale = {scale}

[golden]
output = [{golden}]
"""


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--out", type=Path, default=Path(__file__).parent / "../../quality.onnx")
    args = ask.parse_args()
    network = QualityNetwork()
    network.load_state_dict(torch.load(args.work / "quality" / "network.pt", map_location="cpu"))
    net = rounded(Exported(folded(network.eval())).eval())
    session = exported(net, args.out, [(SIDE, SIDE)], "face", ["quality"])
    golden = session.run(None, {"face": network_input(pattern(SIDE, SIDE)[None])})[0][0]
    digest = hashlib.sha256(args.out.read_bytes()).hexdigest()
    args.out.with_suffix(".toml").write_text(MANIFEST.format(
        digest=digest, licence=LICENCE, side=SIDE, mean=MEAN, scale=SCALE, golden=", ".join(f"{value:.6g}" for value in golden)))


if __name__ == "__main__":
    main()
