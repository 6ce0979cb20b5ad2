"""Initializes a network with the weights of an exported one, whose batch norms are folded.

The batch norms' statistics are measured again, so that the function stays the same. Layers that the
exported network has not keep their initial weights, which must contribute nothing at first.
"""

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

MEASURED_ON = 2048
FORMER = {"head.sums.0": "head.0", "head.sums.3": "head.3"}  # as likeness-encoder-4 and those before it call them
RMS = 0.1  # of the weights, about where the steps and decay of Muon hold them


def pairs(network):
    """Each layer that a batch norm follows, by the name that the exported file has for it."""
    named = dict(network.named_modules())
    for name, layer in named.items():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            path, _, at = name.rpartition(".")
            norm = next((n for n in list(named[path].children())[int(at) + 1:] if not isinstance(n, nn.Flatten)), None)
            if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
                yield name, layer, norm


def stored(path):
    """The weights of an exported network, by the name of the layer's part."""
    weights = onnx.load(path).graph.initializer
    if any(w.data_type == onnx.TensorProto.INT8 for w in weights):
        raise SystemExit(f"{path} is a network of bytes; begin with the floats that it was made of")
    return {w.name.removesuffix("_16"): torch.from_numpy(numpy_helper.to_array(w).astype(np.float32)) for w in weights}


@torch.no_grad()
def normalised(network, kept, images):
    """Gives layers and batch norms what the folded layers had, and measures what the norms see of `images`."""
    hooks = []
    for name, layer, norm in pairs(network):
        if f"{name}.bias" not in kept:
            continue
        weight, bias = kept[f"{name}.weight"], kept[f"{name}.bias"]
        gain = weight.flatten(1).square().mean(1).sqrt() / RMS
        layer.weight.copy_((weight.flatten(1) / gain[:, None]).view_as(weight))
        hooks.append(layer.register_forward_hook(lambda _, __, seen, norm=norm, gain=gain, bias=bias: measure(norm, seen, gain, bias)))
    network.eval()(images)
    for hook in hooks:
        hook.remove()


def pixels(faces, chosen):
    """Stored faces as the network takes them."""
    return (torch.from_numpy(faces[chosen][:, 4:-4, 4:-4].copy()).permute(0, 3, 1, 2).float() - 127.5) / 128


def sample(faces):
    """The faces that batch norms are measured on."""
    return pixels(faces, np.sort(np.random.default_rng(0).choice(len(faces), MEASURED_ON, replace=False)))


def width(path):
    """Channels of the last stage of an exported network."""
    return stored(path)["head.sums.0.weight"].shape[0]


@torch.no_grad()
def take_over(network, path, faces):
    """`faces`: N x 120 x 120 x 3, uint8, as stored."""
    kept = stored(path)
    for name, former in FORMER.items():
        for part in ("weight", "bias"):
            if f"{former}.{part}" in kept:
                kept[f"{name}.{part}"] = kept[f"{former}.{part}"]
    for node in onnx.load(path).graph.node:
        if node.op_type == "MatMul":  # the one layer with neither norm nor bias, exported without its name
            network.head.places[-1].weight.copy_(kept[node.input[1]].T)
    normalised(network, kept, sample(faces))


def measure(norm, seen, gain, bias):
    """A batch norm that knows what the layer before it gives, and makes of it what the folded layer gave."""
    axes = [axis for axis in range(seen.ndim) if axis != 1]
    variance, mean = torch.var_mean(seen, axes, correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(gain * (variance + norm.eps).sqrt())
    norm.bias.copy_(bias + gain * mean)
