"""The encoder's network: one aligned face, 1 x 3 x 112 x 112, RGB, (pixel - 127.5) / 128, to 128 numbers.

Dense convolutions in shapes that tract runs fast: a 7 x 7 stem of stride 4, most of the work at 14 x 14
and 7 x 7 with 192 and 384 channels, ReLU. The head adds each channel's weighted sum over the face and
a projection of a few channels at each position. The output is not normalized.
`python -m encoder.network` prints its size.
"""

import torch
from torch import nn

FORMER = {"blocks": ("t", "bb", "bt"), "widths": (48, 128, 256)}  # likeness-encoder-5 and its predecessors' widths


class Norm(nn.BatchNorm2d):
    """Batch norm whose statistics are plain sums while training: the compiler makes one quick pass of them."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        wide = x.float()
        mean = wide.mean((0, 2, 3))
        variance = ((wide * wide).mean((0, 2, 3)) - mean * mean).clamp_min(0)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance, self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (wide * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).to(x.dtype)


class Gather(nn.Conv2d):
    """A depthwise convolution as large as its map: one weighted sum a channel, written as such while training, for speed."""

    def __init__(self, width, side):
        super().__init__(width, width, side, groups=width, bias=False)

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        return (x * self.weight[:, 0].to(x.dtype)).sum((2, 3), keepdim=True)


class Unit(nn.Sequential):
    """Convolution, batch norm and, unless told otherwise, ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=None, active=True):
        padding = kernel // 2 if padding is None else padding
        layers = [nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), Norm(outputs)]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if active else []))


class Residual(nn.Module):
    """A residual block: `b`, two 3 x 3, or `t`, 1 x 1 to half the width, 3 x 3, 1 x 1 back."""

    def __init__(self, kind, width):
        super().__init__()
        if kind == "b":
            self.body = nn.Sequential(Unit(width, width, 3), Unit(width, width, 3, active=False))
        else:
            half = width // 2
            self.body = nn.Sequential(Unit(width, half, 1), Unit(half, half, 3), Unit(half, width, 1, active=False))
        nn.init.zeros_(self.body[-1][1].weight)  # at first the block changes nothing

    def forward(self, x):
        return torch.relu(x + self.body(x))


class Head(nn.Module):
    """Embeddings of the last feature map: a linear layer reads one weighted sum a channel, another, of `few` channels, each place by itself."""

    def __init__(self, width, side, few, length):
        super().__init__()
        self.sums = nn.Sequential(Gather(width, side), Norm(width), nn.Flatten(), nn.Linear(width, length, bias=False), nn.BatchNorm1d(length))
        self.places = nn.Sequential(Unit(width, few, 1), nn.Flatten(), nn.Linear(few * side * side, length, bias=False))
        nn.init.zeros_(self.places[-1].weight)  # at first it adds nothing

    def forward(self, x):
        return self.sums(x) + self.places(x)


class Encoder(nn.Module):
    """Three stages at 28 x 28, 14 x 14 and 7 x 7; `blocks` names the residual blocks of each."""

    def __init__(self, stem=7, blocks=("t", "bbb", "bt"), widths=(64, 192, 384), few=64, length=128):
        super().__init__()
        layers = [Unit(3, widths[0], stem, 4, (stem - 4 + 1) // 2)]
        for stage, kinds in enumerate(blocks):
            if stage:
                layers.append(Unit(widths[stage - 1], widths[stage], 2, 2, 0))
            layers += [Residual(kind, widths[stage]) for kind in kinds]
        self.body = nn.Sequential(*layers)
        self.head = Head(widths[-1], 7, few, length)

    def forward(self, x):
        return self.head(self.body(x))


def cost(network):
    """Multiply-adds of the convolutions for one face, and parameters."""
    total = [0]

    def count(layer, _, output):
        total[0] += layer.weight.numel() * output.shape[2] * output.shape[3]

    hooks = [layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    network.eval()(torch.zeros(1, 3, 112, 112))
    for hook in hooks:
        hook.remove()
    return total[0], sum(p.numel() for p in network.parameters())


if __name__ == "__main__":
    for settings in ({}, {"blocks": ("t", "bb", "bbt")}, FORMER):
        operations, parameters = cost(Encoder(**settings))
        print(f"{settings}: {operations / 1e6:.0f} M multiply-adds, {parameters / 1e6:.2f} M parameters")
