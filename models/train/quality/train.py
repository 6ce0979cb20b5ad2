"""Trains the quality network on the samples of `quality/samples.py`.

    python -m quality.train [--minutes 40] [--work DIR]

One person in 20 is held out to judge. Kept: --work/quality/network.pt, the averaged weights.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from quality.network import TEACHERS, QualityNetwork, network_input

BATCH, RATE, HELD_OUT, JUDGE_SECONDS = 64, 3e-3, 20, 90


def augmented(faces, rng):
    """Changes that leave the identity as visible as it was: mirroring, gray, tints, contrast, light, small shifts."""
    out = faces.astype(np.float32)
    for face in out:
        if rng.random() < 0.5:
            face[:] = face[:, ::-1].copy()
        if rng.random() < 0.25:
            face[:] = face.mean(2, keepdims=True)
        elif rng.random() < 0.3:
            face *= rng.uniform(0.85, 1.15, 3)
        face[:] = (face - 128) * rng.uniform(0.85, 1.15) + 128 + rng.normal(0, 8)
        face[:] = np.roll(face, rng.integers(-2, 3, 2), (0, 1))
    return np.clip(out, 0, 255)


def tensor(faces):
    return torch.from_numpy(network_input(faces)).contiguous(memory_format=torch.channels_last)


def loss(said, target, covered, weight):
    agreement = nn.functional.smooth_l1_loss(said[:, :TEACHERS], target, reduction="none", beta=0.1)
    return (weight[:, None] * agreement).mean() + nn.functional.binary_cross_entropy_with_logits(said[:, TEACHERS], covered)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--minutes", type=float, default=40)
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng, kept = np.random.default_rng(0), np.load(args.work / "quality" / "samples.npz")
    face, target, covered, held = kept["face"], kept["target"], kept["covered"].astype(np.float32), kept["person"] % HELD_OUT == 0
    # An undegraded photo is not without defects of its own, so its target of 1 counts less.
    weight = np.where(kept["kind"] == "clean", 0.7, 1.0).astype(np.float32)
    network = QualityNetwork().to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.997), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.03)
    training, judged = np.flatnonzero(~held), np.flatnonzero(held)
    started, seen, next_judgment = time.time(), 0, JUDGE_SECONDS
    while (part := (time.time() - started) / 60 / args.minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (seen + BATCH) / 6400) * 0.5 * (1 + np.cos(np.pi * part)) + 1e-6
        chosen = rng.choice(training, BATCH, replace=False)
        said = network(tensor(augmented(face[chosen], rng)))
        step = loss(said, *(torch.from_numpy(each[chosen]) for each in (target, covered, weight)))
        optimizer.zero_grad()
        step.backward()
        optimizer.step()
        average.update_parameters(network)
        seen += BATCH
        if time.time() - started > next_judgment:
            next_judgment += JUDGE_SECONDS
            average.eval()
            with torch.no_grad():
                said = np.concatenate([average(tensor(face[rows])).numpy() for rows in np.array_split(judged, 1 + len(judged) // 256)])
            off = np.abs(said[:, :TEACHERS] - target[judged]).mean()
            right = ((said[:, TEACHERS] > 0) == (covered[judged] > 0.5)).mean()
            print(f"seen {seen:,}  off by {off:.4f}  correlation {np.corrcoef(said[:, 0], target[judged, 0])[0, 1]:.3f}  covers told {right:.3f}", flush=True)
            torch.save(average.module.state_dict(), args.work / "quality" / "network.pt")
    torch.save(average.module.state_dict(), args.work / "quality" / "network.pt")


if __name__ == "__main__":
    main()
