"""Widens and deepens an encoder without changing its embeddings.

After Net2Net (Chen et al. 2016): a new channel computes what a random former channel computes, plus noise. The layers that read
it begin with weights of zero, so that the function is preserved exactly, and no two channels get the same gradient. New residual
blocks begin as the identity. `python -m encoder.widening --data DATA --start FORMER.onnx` compares both networks on training faces.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from encoder import stored_faces, warm_start
from encoder.network import FORMER, Encoder, Residual

NOISE = 0.5  # of a new channel's weights, relative to the RMS of those it copies


def grown(layer, former, source):
    """Fills a convolution or linear layer. `source`: the former channel that each new output copies."""
    outputs, inputs = former.weight.shape[:2]
    rms = former.weight.square().mean().sqrt()
    if layer.weight.shape[1] > 1:
        layer.weight.copy_(torch.randn_like(layer.weight) * rms * NOISE)
        layer.weight[:outputs] = 0
        layer.weight[:, :inputs] += torch.cat([former.weight, former.weight[source]])
    else:  # depthwise: an output reads its own channel only
        new = former.weight[source]
        layer.weight.copy_(torch.cat([former.weight, new + torch.randn_like(new) * rms * NOISE]))


def grown_norm(norm, former, source):
    for name, values in norm.state_dict().items():
        if values.ndim:
            values.copy_(torch.cat([former.state_dict()[name], former.state_dict()[name][source]]))


def layers(network):
    """The stages' layers: [stem, blocks...], [reduction, blocks...], ... and the head."""
    stages = [[]]
    for layer in network.body:
        if stages[-1] and not isinstance(layer, Residual):
            stages.append([])
        stages[-1].append(layer)
    return stages, network.head


@torch.no_grad()
def widen(network, former, images):
    """Gives `network` the function of `former`; the statistics of new channels are measured on `images`."""
    torch.manual_seed(0)
    stages, head = layers(network)
    former_stages, former_head = layers(former)
    for stage, former_stage in zip(stages, former_stages):
        stream = chosen(stage[0][0], former_stage[0][0])
        unit(stage[0], former_stage[0], stream)
        same = {}  # new blocks follow those that the former network has of the same kind
        for block in stage[1:]:
            kind = len(block.body)
            candidates = [b for b in former_stage[1:] if len(b.body) == kind]
            at = same.get(kind, 0)
            same[kind] = at + 1
            if at == len(candidates):
                identity(block)
                continue
            for part, former_part in zip(block.body, candidates[at].body):
                last = part is block.body[-1]
                unit(part, former_part, stream if last else chosen(part[0], former_part[0]))
    grown(head.sums[0], former_head.sums[0], stream)
    grown_norm(head.sums[1], former_head.sums[1], stream)
    none = torch.empty(0, dtype=torch.long)
    grown(head.sums[3], former_head.sums[3], none)
    grown_norm(head.sums[4], former_head.sums[4], none)
    unit(head.places[0], former_head.places[0], none)
    head.places[2].weight.copy_(former_head.places[2].weight)
    measured(network, images)


def chosen(layer, former):
    return torch.randint(len(former.weight), (len(layer.weight) - len(former.weight),))


def unit(part, former, source):
    grown(part[0], former[0], source)
    grown_norm(part[1], former[1], source)


def identity(block):
    """Random weights of the size that the optimizer holds them at; the last norm's weight is zero as made."""
    for part in block.body:
        part[0].weight.mul_(warm_start.RMS / part[0].weight.square().mean().sqrt())


def measured(network, images):
    """Measures running statistics; on the images that the former network was measured on, its own don't change."""

    def measure(norm, inputs):
        axes = [axis for axis in range(inputs[0].ndim) if axis != 1]
        variance, mean = torch.var_mean(inputs[0], axes, correction=0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    norms = [layer for layer in network.modules() if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d))]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    network.eval()(images)
    for hook in hooks:
        hook.remove()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--start", required=True, type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    faces, _, _ = stored_faces.load(options.data, options.work)
    former, network = Encoder(**FORMER), Encoder()
    warm_start.take_over(former, options.start, faces)
    widen(network, former, warm_start.sample(faces))
    pixels = warm_start.pixels(faces, np.arange(1, len(faces), 50))
    with torch.no_grad():
        cosine = functional.cosine_similarity(former.eval()(pixels), network.eval()(pixels))
    print(f"{len(cosine)} faces: cosine of the widened network to the former, lowest {cosine.min():.6f}, mean {cosine.mean():.6f}")


if __name__ == "__main__":
    main()
