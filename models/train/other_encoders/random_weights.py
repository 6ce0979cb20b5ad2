"""Encoders of usual kinds with random weights, to time them in floats and in 8 bits.

    python -m other_encoders.random_weights OUT

writes OUT/resnet18.onnx, a ResNet-18 after ArcFace (Deng et al. 2019: batch norm before the first
convolution of each block, PReLU, a fully connected layer), and OUT/mobilefacenet.onnx. Then
`likeness model check` times them.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from other_encoders.mobilefacenet import MobileFaceNet


class Block(nn.Module):
    """Two convolutions, added to their input, which a 1 x 1 fits to their shape."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))
        same = stride == 1 and inputs == outputs
        fitted = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Identity() if same else nn.Sequential(*fitted)

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def resnet18(length=512):
    """112 x 112 RGB to 512 numbers."""
    layers, inputs = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)], 64
    for outputs in (64, 128, 256, 512):
        layers += [Block(inputs, outputs, 2), Block(outputs, outputs, 1)]
        inputs = outputs
    head = [nn.BatchNorm2d(512), nn.Dropout(), nn.Flatten(), nn.Linear(512 * 7 * 7, length), nn.BatchNorm1d(length)]
    return nn.Sequential(*layers, *head)


def randomize(network):
    """Gives batch norms and PReLU unequal channels, and batch norms the statistics of random images."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
        if isinstance(module, nn.PReLU):
            module.weight.data.uniform_(0, 0.4)
    network.train()
    with torch.no_grad():
        for _ in range(12):
            network(torch.rand(8, 3, 112, 112) * 2 - 1)
    return network.eval()


def main():
    torch.manual_seed(0)
    folder = Path(sys.argv[1])
    for name, network in (("resnet18", resnet18()), ("mobilefacenet", MobileFaceNet())):
        names = {"input_names": ["image"], "output_names": ["embedding"]}
        torch.onnx.export(randomize(network), torch.zeros(1, 3, 112, 112), folder / f"{name}.onnx", dynamo=False, opset_version=13, **names)


if __name__ == "__main__":
    main()
