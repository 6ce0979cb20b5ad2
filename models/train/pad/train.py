"""Trains the presentation-attack network on the views of `pad/views.py`.

    python -m pad.train [--minutes 40] [--name pad] [--start NAME] [--without replay|casia|tutorial] [--work DIR]

Minutes are of processor time. The same command resumes from the last checkpoint; more minutes continue a finished training. --without leaves a set out and judges on
it. Kept: --work/pad/NAME/checkpoint.pt and network.pt, the averaged weights of the best judgment: the lowest mean
APCER of Replay-Attack devel and CASIA-FASD test at one threshold, below which 5 % of the live photos lie, each set weighing the same. A set that is left out
doesn't choose. --start NAME begins with the weights of another training. Views that appear while it trains are used from then on.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pad import data
from pad.crops import network_input
from pad.measures import apcer, auc, common_threshold, threshold
from pad.network import GIVEN, PadNetwork, spectra
from pad.views import family

BATCH, RATE, DECAY, JUDGE_SECONDS, SPECTRUM_WEIGHT = 64, 2.5e-3, 0.05, 50, 0.3
OPINION_WEIGHT, OPINION_LIMIT, OPINION_SCALE = 0.4, 6.0, 3.0
# Labels of the tutorial copies are in part wrong.
SMOOTHING = {"tutorial": 0.1}
SMOOTHING_ELSEWHERE = 0.02
CHOOSING = (("replay", "devel"), ("casia", "test"), ("tutorial", "devel"))


class Views:
    """The rounds of views that the teachers have scored, with a soft target for each."""

    def __init__(self, work, photos, without):
        self.folder, self.rounds, self.without = work / "pad" / "views", {}, without
        self.family = np.array([family(photo) for photo in photos])
        self.smoothing = np.array([SMOOTHING.get(name, SMOOTHING_ELSEWHERE) for name in self.family])

    def refresh(self):
        """Takes up rounds that have appeared."""
        for path in sorted(self.folder.glob("[0-9][0-9][0-9].npy")):
            scored = path.with_suffix(".opinion.npy")
            if path.name not in self.rounds and scored.exists():
                told = np.load(path.with_suffix(".npz"))
                target = np.abs(~told["attack"] - self.smoothing[told["row"]]).astype(np.float32)
                opinion = np.clip(np.load(scored), -OPINION_LIMIT, OPINION_LIMIT) / OPINION_SCALE
                usable = np.flatnonzero(self.family[told["row"]] != self.without)
                self.rounds[path.name] = np.load(path, mmap_mode="r"), target, opinion.astype(np.float32), usable
        return len(self.rounds)

    def batch(self, rng):
        cut, target, opinion, usable = list(self.rounds.values())[rng.integers(len(self.rounds))]
        chosen = np.sort(rng.choice(usable, BATCH, replace=False))
        return cut[chosen], torch.from_numpy(target[chosen]), torch.from_numpy(opinion[chosen])


def augmented(cut, rng):
    """The network's input of views, changed in ways that cost little: mirroring, light, tint, and now and then no surroundings or a gray patch."""
    faces, count = torch.from_numpy(cut), len(cut)

    def drawn(values):
        return torch.from_numpy(np.asarray(values, np.float32))

    contrast, light, tint = (np.exp(rng.normal(0, spread, (count, width))) for spread, width in ((0.08, 1), (0.1, 1), (0.03, 3)))
    gain = drawn(np.tile(light * tint, 2))[:, None, None]
    out = (faces.float() - 128) * (drawn(contrast)[:, None, None] * gain) + 128 * gain
    for face, mirrored, bare, patched in zip(out, rng.random(count) < 0.5, rng.random(count) < 0.1, rng.random(count) < 0.2):
        if mirrored:
            face[:] = face.flip(1)
        if bare:
            face[:, :, 3:] = face[:, :, :3]
        if patched:
            (y, x), size, first = rng.integers(0, GIVEN.side - 10, 2), rng.integers(10, 36), 3 * rng.integers(2)
            face[y : y + size, x : x + size, first : first + 3] = rng.uniform(0, 255)
    return ((out.clamp_(0, 255) - GIVEN.mean) * GIVEN.scale).permute(0, 3, 1, 2)


def mixed(x, target, opinion, rng):
    """Half of the views blended with another one, and their targets likewise."""
    share = torch.from_numpy(np.where(rng.random(len(x)) < 0.5, rng.beta(0.4, 0.4, len(x)), 1).astype(np.float32))
    other = torch.from_numpy(rng.permutation(len(x)))

    def blended(values):
        part = share.view(-1, *[1] * (values.ndim - 1))
        return values * part + values[other] * (1 - part)

    return blended(x), blended(target), blended(opinion)


def tensor(cut):
    return torch.from_numpy(np.ascontiguousarray(network_input(cut, GIVEN))).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def scores(network, cut):
    """Live scores of N x side x side x 6 bytes."""
    network.eval()
    return np.concatenate([network(tensor(cut[start : start + 256]))[:, 0].numpy() for start in range(0, len(cut), 256)])


def judge(network, work, photos):
    """For each choosing set AUC, APCER at the own-camera threshold, and APCER at the common threshold of all of them and of ordinary photos."""
    kept = np.load(work / "pad" / "views" / "evaluation.npz")["row"]
    cut = np.load(work / "pad" / "views" / "evaluation.npy", mmap_mode="r")
    live, attacks = {}, {}
    for name, split in (*CHOOSING, ("aaf", "devel")):
        rows = [i for i, row in enumerate(kept) if family(photos[row]) == name and photos[row].split == split]
        said, attack = scores(network, cut[rows]), np.array([photos[kept[i]].attack for i in rows])
        live[name], attacks[name] = said[~attack], said[attack]
    at = common_threshold(list(live.values()), 0.05)
    return {name: (auc(live[name], attacks[name]), apcer(attacks[name], threshold(live[name], 0.05)), apcer(attacks[name], at)) for name, _ in CHOOSING}


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--minutes", type=float, default=40)
    ask.add_argument("--name", default="pad")
    ask.add_argument("--start")
    ask.add_argument("--without", choices=("replay", "casia", "tutorial"))
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = args.work / "pad" / args.name
    folder.mkdir(parents=True, exist_ok=True)
    photos = data.read(args.work)
    views, rng = Views(args.work, photos, args.without), np.random.default_rng()
    network = PadNetwork().to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    seen, spent, best = 0, 0.0, 1.0
    if args.start:
        network.load_state_dict(torch.load(args.work / "pad" / args.start / "network.pt", weights_only=True), strict=False)
        average.module.load_state_dict(network.state_dict())
    if (folder / "checkpoint.pt").exists():
        kept = torch.load(folder / "checkpoint.pt", weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimizer.load_state_dict(kept["optimizer"])
        seen, spent, best = kept["seen"], kept["spent"], kept["best"]

    def keep(best):
        """Stores a checkpoint, and the averaged weights if they let fewer attacks pass than `best`; returns the lower of the two."""
        torch.save({"network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(), "seen": seen, "spent": spent, "best": best}, folder / "partial.pt")
        (folder / "partial.pt").rename(folder / "checkpoint.pt")
        found = judge(average.module, args.work, photos)
        passed = float(np.mean([found[name][2] for name, _ in CHOOSING[:2] if name != args.without]))
        if passed <= best:
            torch.save(average.module.state_dict(), folder / "network.pt")
        told = "  ".join(f"{name}: AUC {area:.4f} APCER {own:.3f}, common {common:.3f}" for name, (area, own, common) in found.items())
        print(f"{spent / 60:.1f} min  seen {seen:,}  rounds {views.refresh()}  loss {loss:.3f}  {told}", flush=True)
        return min(best, passed)

    views.refresh()
    last, next_judgment, loss = time.process_time(), spent + JUDGE_SECONDS, 0.7
    while spent < args.minutes * 60:
        for group in optimizer.param_groups:
            group["lr"] = float(RATE * min(1, (seen + BATCH) / 12800) * 0.5 * (1 + np.cos(np.pi * spent / 60 / args.minutes)) + 1e-6)
        cut, target, opinion = views.batch(rng)
        x, target, opinion = mixed(augmented(cut, rng), target, opinion, rng)
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            said, taught, spectrum = (each.float() for each in network.everything(x))
        step = nn.functional.binary_cross_entropy_with_logits(said[:, 0], target)
        loss += 0.01 * (step.item() - loss)
        step = step + OPINION_WEIGHT * nn.functional.smooth_l1_loss(taught, opinion)
        step = step + SPECTRUM_WEIGHT * nn.functional.mse_loss(spectrum, spectra(x))
        optimizer.zero_grad()
        step.backward()
        optimizer.step()
        average.update_parameters(network)
        seen += BATCH
        spent, last = spent + time.process_time() - last, time.process_time()
        if spent > next_judgment:
            best = keep(best)
            next_judgment, last = spent + JUDGE_SECONDS, time.process_time()
    keep(best)


if __name__ == "__main__":
    main()
