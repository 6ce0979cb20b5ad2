"""A small MobileFaceNet (Chen et al. 2018) in PyTorch, an example of an encoder of another architecture.

    python -m other_encoders.mobilefacenet --data DATA --cfp CFP --detector YUNET.onnx --teacher SFACE.onnx --batch 64 --passes 60000

Bottlenecks of depthwise convolutions, PReLU, and a final depthwise convolution of the map's size;
narrower and shorter than in the paper. encoder/train.py trains it, with the same options. The
checkpoint, the curve and finally `mobilefacenet.onnx` with a manifest (cosine; not calibrated) are
stored under --work/encoder/NAME. With --export the command only exports the newest checkpoint.
"""

import sys

import torch
from torch import nn

from common import manifests
from encoder import export as encoder_export, train as encoder_train

PROVENANCE = (
    "A small MobileFaceNet, trained shortly by models/train/other_encoders/mobilefacenet.py on public collections of aligned faces whose makers allow research use, "
    "taught by the embeddings of OpenCV Zoo's SFace (Apache-2.0). A demonstration, not for use."
)


class Unit(nn.Sequential):
    """Convolution, batch norm and, unless told otherwise, PReLU."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, active=True, padding=None):
        padding = kernel // 2 if padding is None else padding
        layers = [nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
        super().__init__(*layers, *([nn.PReLU(outputs)] if active else []))


class Bottleneck(nn.Module):
    """Wider by a 1 x 1, a depthwise 3 x 3, narrower again; added to its input where their shapes agree."""

    def __init__(self, inputs, outputs, stride, factor=2):
        super().__init__()
        wide = inputs * factor
        self.body = nn.Sequential(Unit(inputs, wide), Unit(wide, wide, 3, stride, groups=wide), Unit(wide, outputs, active=False))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


class MobileFaceNet(nn.Module):
    """112 x 112 RGB to 128 numbers."""

    def __init__(self, width=256, length=128):
        super().__init__()
        self.body = nn.Sequential(
            Unit(3, 32, 7, 4), Unit(32, 32, 3, 2, groups=32), Bottleneck(32, 48, 1), Bottleneck(48, 48, 1),
            Bottleneck(48, 96, 2), Bottleneck(96, 96, 1), Bottleneck(96, 96, 1), Unit(96, width))
        self.head = nn.Sequential(
            Unit(width, width, 7, groups=width, active=False, padding=0), Unit(width, length, active=False), nn.Flatten())

    def forward(self, x):
        return self.head(self.body(x))


def export(folder, name):
    network = MobileFaceNet().eval()
    network.load_state_dict(torch.load(folder / "checkpoint.pt")["average"])
    path = folder / "mobilefacenet.onnx"
    difference, _ = encoder_export.export(network, path)
    print(f"{path}: {path.stat().st_size:,} bytes, largest difference between PyTorch and onnxruntime {difference:.1e}")
    assert difference < 1e-4
    manifest = {
        "model": {"name": name, "sha256": manifests.digest(path), "licence": "for demonstration only", "provenance": PROVENANCE},
        "input": {"width": 112, "height": 112, "channels": 3, "layout": "nchw", "colour": "rgb", "mean": [127.5] * 3, "scale": 0.0078125},
        "output": {"length": 128},
        **manifests.UNFITTED,
    }
    manifest["golden"] = {"output": manifests.golden_encoder(path, manifest)}
    manifests.write(path.with_suffix(".toml"), manifest)


def main():
    only_export = "--export" in sys.argv
    sys.argv = [sys.argv[0], "--name", "mobilefacenet"] + [word for word in sys.argv[1:] if word != "--export"]
    chosen = encoder_train.options()
    encoder_train.Encoder = MobileFaceNet  # the same training of another network
    encoder_train.JUDGE_SECONDS = 600  # judging on CFP takes as long as hundreds of steps of so small a network
    if not only_export:
        encoder_train.main()
    export(chosen.work / "encoder" / chosen.name, chosen.name)


if __name__ == "__main__":
    main()
