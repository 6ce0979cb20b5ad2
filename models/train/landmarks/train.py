"""Trains the landmark network.

    python -m landmarks.train [--work DIR] [--minutes 30]

Needs the file of landmarks/data.py. The same command resumes the newest checkpoint,
WORK/landmarks/NAME.pt; the curve is WORK/landmarks/NAME.png. Every twentieth face and non-face is held
out for validation.
"""
import argparse
import copy
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from common.alignment import TEMPLATE
from common.muon import Muon
from detector.data import MIRRORED, rarity, turned
from detector.train import follow
from encoder import views
from encoder.warm_start import normalised, stored
from landmarks.data import MARGIN
from landmarks.network import SIDE, TEMPLATE_SIDE, Landmarks, network_input

BATCH, OTHERS = 256, 0.3  # share of what is no face
HELD = 20
# Below this distance, in sides of the square, landmarks are as good as the teacher's own looks are one with each other.
NEAR = 0.01


def rough(rng):
    """A similarity as wrong as a detector's landmarks are: turned, scaled and moved, about the middle of the square."""
    far = 2.2 if rng.random() < 0.25 else 1.0
    angle, scale = rng.normal(0, 5 * far) * np.pi / 180, np.exp(rng.normal(0, 0.06 * far))
    c, s, half = scale * np.cos(angle), scale * np.sin(angle), TEMPLATE_SIDE / 2
    turn = np.array([[c, -s], [s, c]])
    return np.c_[turn, half + rng.normal(0, 2.5 * far, 2) - turn @ (half, half)]


def sample(face, marks, rng):
    """What the network sees of a stored face (120 x 120), placed roughly and spoilt, and where its landmarks are then, in sides."""
    if rng.random() < 0.5:
        face, marks = face[:, ::-1], (np.array([TEMPLATE_SIDE - 1, 0]) + marks * [-1, 1]).reshape(-1)[MIRRORED].reshape(5, 2)
    m = rough(rng)
    marks = marks @ m[:, :2].T + m[:, 2]
    # INTER_AREA takes the middle of the first pixels for its first pixel; the network's square has the template's own origin.
    m = np.c_[m[:, :2], m[:, 2] - m[:, :2] @ (MARGIN, MARGIN) + (TEMPLATE_SIDE / SIDE - 1) / 2]
    border = cv2.BORDER_REPLICATE if rng.random() < 0.6 else cv2.BORDER_CONSTANT
    face = cv2.warpAffine(np.ascontiguousarray(face), m, (TEMPLATE_SIDE, TEMPLATE_SIDE), flags=cv2.INTER_LINEAR, borderMode=border)
    if rng.random() < 0.6:
        face = views.shade(face, rng)
    if rng.random() < 0.12:
        face = views.cover(face, rng)
    if rng.random() < 0.25:
        face = views.cut(face, rng)
    if rng.random() < 0.1:
        face = np.clip(face * rng.uniform(0.12, 0.5) + rng.normal(0, rng.uniform(0, 8), face.shape), 0, 255).astype(np.uint8)
    face = views.spoil(face, rng)
    return cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA), marks / TEMPLATE_SIDE


class Samples:
    def __init__(self, folder):
        kept = np.load(folder / "data.npz")
        self.faces, self.marks, self.others = kept["faces"], kept["marks"], kept["others"]
        turn = np.array([turned(marks) for marks in np.c_[np.zeros((len(self.marks), 4)), self.marks.reshape(-1, 10)]])
        often = np.where(kept["real"], rarity(turn), 1)
        self.learned, self.held = parted(len(self.faces))
        self.chance = often[self.learned] / often[self.learned].sum()
        # How sure the network is that each lookalike is a face.
        self.doubt = np.full(len(self.others), 0.3)
        self.learned_others, self.held_others = parted(len(self.others))

    def batch(self, size, rng, held=False):
        """Squares, landmarks in sides (none: zeros), whether each is a face, and which lookalikes those are that come first."""
        count = round(size * OTHERS)
        others = rng.choice(self.held_others, count) if held else self.lookalikes(count, rng)
        faces = rng.choice(self.held, size - count) if held else rng.choice(self.learned, size - count, p=self.chance)
        squares, marks = np.empty((size, SIDE, SIDE, 3), np.uint8), np.zeros((size, 5, 2), np.float32)
        for k, i in enumerate(others):
            squares[k], _ = sample(self.others[i], TEMPLATE, rng)
        for k, i in enumerate(faces, count):
            squares[k], marks[k] = sample(self.faces[i], self.marks[i], rng)
        return torch.from_numpy(network_input(squares)), torch.from_numpy(marks), torch.arange(size) >= count, others

    def lookalikes(self, count, rng):
        """Every other one is one that the network takes for a face."""
        chance = self.doubt[self.learned_others] ** 2 + 1e-4
        mistaken = rng.choice(self.learned_others, count // 2, p=chance / chance.sum())
        return np.r_[rng.choice(self.learned_others, count - count // 2), mistaken]

    def doubted(self, others, said):
        """Keeps what the network says of lookalikes."""
        self.doubt[others] += 0.5 * (torch.sigmoid(said[: len(others), 0].detach()).numpy() - self.doubt[others])


def parted(count):
    """The numbers to learn from and those to judge by."""
    numbers = np.arange(count)
    return numbers[numbers % HELD > 0], numbers[numbers % HELD == 0]


def places(said):
    """The landmarks, in sides of the square."""
    return said[:, 1:].view(-1, 5, 2) + torch.from_numpy(TEMPLATE / TEMPLATE_SIDE).float()


def with_landmarks(marks, is_face):
    """Which squares show a face whose landmarks are known."""
    return is_face & marks.isfinite().all((1, 2))


def losses(said, marks, is_face):
    """Of the doubt, and of the landmarks of what is a face and has some, in hundredths of the side."""
    doubt = functional.binary_cross_entropy_with_logits(said[:, 0], is_face.float())
    told = with_landmarks(marks, is_face)
    off = functional.smooth_l1_loss(places(said[told]), marks[told], beta=NEAR, reduction="none").mean() * 100
    return doubt, off


@torch.no_grad()
def take_over(net, path, squares):
    """Begins with an exported network; its batch norms, which were folded away, are measured anew on squares."""
    kept = {name.removeprefix("network."): weight for name, weight in stored(path).items()}
    for name, layer in net.says.named_children():
        if isinstance(layer, nn.Linear):
            layer.weight.copy_(kept[f"says.{name}.weight"])
            layer.bias.copy_(kept[f"says.{name}.bias"])
    normalised(net, kept, squares)


@torch.no_grad()
def judge(net, held):
    """Landmarks off in eye distances (median), and the shares of faces and lookalikes that are taken for faces at 0.5."""
    net.eval()
    squares, marks, is_face, _ = held
    said = net(squares)
    told = with_landmarks(marks, is_face)
    eyes = float(np.hypot(*(TEMPLATE[0] - TEMPLATE[1]))) / TEMPLATE_SIDE
    off = (places(said[told]) - marks[told]).norm(dim=2).mean(1) / eyes
    sure = said[:, 0] > 0
    return float(off.median()), float(sure[is_face].float().mean()), float(sure[~is_face].float().mean())


def draw(history, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = np.array(history)
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4))
    axes[0].plot(rows[:, 0] / 1e3, 100 * rows[:, 3])
    axes[0].set(title="landmarks off, % of the eye distance (median)", xlabel="thousand squares", ylim=(0, 12))
    axes[1].plot(rows[:, 0] / 1e3, 100 * (1 - rows[:, 4]), label="faces refused")
    axes[1].plot(rows[:, 0] / 1e3, 100 * rows[:, 5], label="lookalikes taken for faces")
    axes[1].set(title="kept back, spoilt as in training, at 0.5, %", xlabel="thousand squares", ylim=(0, 15))
    axes[1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--minutes", type=float, default=30)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--name", default="landmarks-3")
    ask.add_argument("--start", type=Path, help="an exported landmark network to begin with, where there is no checkpoint yet")
    ask.add_argument("--rate", type=float, default=4e-3)
    args = ask.parse_args()
    torch.manual_seed(3)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    folder = args.work / "landmarks"
    checkpoint = folder / f"{args.name}.pt"
    net = Landmarks().to(memory_format=torch.channels_last)
    matrices = [p for name, p in net.named_parameters() if p.ndim > 1 and name != "says.3.weight"]
    rest = [p for name, p in net.named_parameters() if p.ndim == 1 or name == "says.3.weight"]
    optimizers = [Muon(matrices, 2e-3, weight_decay=0.03), torch.optim.AdamW(rest, 2e-3, weight_decay=0.0)]
    samples = Samples(folder)
    if args.start and not checkpoint.exists():
        take_over(net, args.start, samples.batch(2048, np.random.default_rng(8))[0])
    average, history, seen, spent = copy.deepcopy(net), [], 0, 0.0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=False)
        net.load_state_dict(kept["net"])
        average.load_state_dict(kept["average"])
        for optimizer, state in zip(optimizers, kept["optimizers"]):
            optimizer.load_state_dict(state)
        history, seen, spent = kept["history"], kept["seen"], kept["spent"]
    held = samples.batch(3000, np.random.default_rng(9), held=True)
    rng = np.random.default_rng(5 + seen)
    mean, last, tick = None, time.time(), time.time()
    while spent < 60 * args.minutes:
        spent, tick = spent + min(time.time() - tick, 60), time.time()
        done = min(1.0, spent / (60 * args.minutes))
        rate = args.rate * min(1, (seen / BATCH + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = rate
        squares, marks, is_face, others = samples.batch(BATCH, rng)
        net.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said = net(squares.contiguous(memory_format=torch.channels_last))
        said = said.float()
        samples.doubted(others, said)
        doubt, off = losses(said, marks, is_face)
        net.zero_grad()
        (1.5 * doubt + off).backward()
        for optimizer in optimizers:
            optimizer.step()
        seen += BATCH
        follow(average, net, min(0.998, (1 + seen / BATCH) / (20 + seen / BATCH)))
        now = np.array([doubt.item(), off.item()])
        mean = now if mean is None else 0.99 * mean + 0.01 * now
        if seen // BATCH % 20 == 0:
            print(f"\r{spent / 60:5.1f} of {args.minutes:g} min  {seen} squares  doubt {mean[0]:.4f}  landmarks {mean[1]:.4f}", end="", flush=True)
        if time.time() - last > 120 or done >= 1:
            last = time.time()
            history.append([seen, *mean, *judge(copy.deepcopy(average), held)])
            torch.save({"net": net.state_dict(), "average": average.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "history": history,
                        "seen": seen, "spent": spent}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            draw(history, folder / f"{args.name}.png")
            print("\n  landmarks off {:.2%}, faces taken {:.2%}, lookalikes taken {:.2%}".format(*history[-1][3:]), flush=True)


if __name__ == "__main__":
    main()
