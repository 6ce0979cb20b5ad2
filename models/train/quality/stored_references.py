"""Fits the check of stored references: how far an embedding agrees with that of an undegraded photo, from the embedding alone.

    python -m quality.stored_references --encoder sface|own [--work DIR]

A reference from before the quality network has no photo any more. A perceptron with 16 hidden units is fitted to the embeddings and
targets of `quality/samples.py`; printed is the section [reference_check] of the encoder's manifest. `least` is the output that 0.5 % of the
undegraded photos stay below.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

ENCODERS, UNITS, STEPS, BATCH, RATE, REFUSED = ("sface", "own"), 16, 15000, 256, 3e-3, 0.005


def fit(embeddings, targets):
    torch.manual_seed(0)
    rng, length = np.random.default_rng(0), embeddings.shape[1]
    # Unit vectors have small values; scaled, they suit the usual initialization.
    scale = length**0.5
    network = nn.Sequential(nn.Linear(length, UNITS), nn.ReLU(), nn.Linear(UNITS, 1))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    x, y = torch.from_numpy(embeddings * np.float32(scale)), torch.from_numpy(targets)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        chosen = torch.from_numpy(rng.choice(len(x), BATCH))
        loss = nn.functional.smooth_l1_loss(network(x[chosen])[:, 0], y[chosen], beta=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        network[0].weight *= scale
    return network


def numbers(values):
    return ", ".join(np.format_float_positional(value, precision=4, fractional=False, trim="-") for value in np.ravel(values))


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--encoder", required=True, choices=ENCODERS)
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    kept, which = np.load(args.work / "quality" / "samples.npz"), ENCODERS.index(args.encoder)
    embeddings = kept["embedding"][:, which].astype(np.float32)
    network = fit(embeddings, kept["target"][:, which])
    with torch.no_grad():
        least = np.quantile(network(torch.from_numpy(embeddings[kept["kind"] == "clean"]))[:, 0].numpy(), REFUSED)
    weights, bias, output, output_bias = (parameter.detach().numpy() for parameter in network.parameters())
    print(f"[reference_check]\n# Written by models/train/quality/stored_references.py.\nleast = {numbers(least)}\nhidden = [")
    print("".join(f"  [{numbers(unit)}],\n" for unit in weights) + "]")
    print(f"hidden_bias = [{numbers(bias)}]\noutput = [{numbers(output)}]\noutput_bias = {numbers(output_bias)}")


if __name__ == "__main__":
    main()
