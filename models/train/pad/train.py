"""Trains the presentation-attack network on the views of `pad/views.py`.

    python -m pad.train [--minutes 40] [--name pad] [--start NAME] [--without replay|casia|tutorial] [--work DIR]

Minutes are of processor time. The same command resumes from the last checkpoint; more minutes continue a finished training. --without leaves a set out and judges on
it. Kept: --work/pad/NAME/checkpoint.pt and network.pt, the averaged weights. --start NAME
begins with the weights of another training. Views that appear while it trains are used from then on.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pad import data
from pad.crops import network_input
from pad.measures import apcer, auc, threshold
from pad.network import GIVEN, PadNetwork, spectra
from pad.views import family

BATCH, RATE, DECAY, JUDGE_SECONDS, SPECTRUM_WEIGHT = 64, 2.5e-3, 0.05, 100, 0.3
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
    """Changes that cost little: mirroring, light, tint, and now and then no surroundings or a gray patch."""
    out = cut.astype(np.float32)
    for face in out:
        if rng.random() < 0.5:
            face[:] = face[:, ::-1].copy()
        face[:] = ((face - 128) * np.exp(rng.normal(0, 0.08)) + 128) * np.exp(rng.normal(0, 0.1)) * np.tile(np.exp(rng.normal(0, 0.03, 3)), 2)
        if rng.random() < 0.1:
            face[:, :, 3:] = face[:, :, :3]
        if rng.random() < 0.2:
            (y, x), size = rng.integers(0, GIVEN.side - 10, 2), rng.integers(10, 36)
            first = 3 * rng.integers(2)
            face[y : y + size, x : x + size, first : first + 3] = rng.uniform(0, 255)
    return np.clip(out, 0, 255)


def tensor(cut):
    return torch.from_numpy(np.ascontiguousarray(network_input(cut, GIVEN))).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def scores(network, cut):
    """Live scores of N x side x side x 6 bytes."""
    network.eval()
    return np.concatenate([network(tensor(cut[start : start + 256]))[:, 0].numpy() for start in range(0, len(cut), 256)])


def judge(network, work, photos):
    """For each choosing set AUC and APCER at BPCER 5 %, and the BPCER of ordinary photos at the threshold of Replay-Attack devel and CASIA."""
    kept = np.load(work / "pad" / "views" / "evaluation.npz")["row"]
    cut = np.load(work / "pad" / "views" / "evaluation.npy", mmap_mode="r")
    found, at = {}, []
    for name, split in CHOOSING:
        at_rows = [i for i, row in enumerate(kept) if family(photos[row]) == name and photos[row].split == split]
        said, attack = scores(network, cut[at_rows]), np.array([photos[kept[i]].attack for i in at_rows])
        live, attacks = said[~attack], said[attack]
        at.append(threshold(live, 0.05))
        found[f"{name} {split}"] = auc(live, attacks), apcer(attacks, at[-1])
    at_rows = [i for i, row in enumerate(kept) if family(photos[row]) in ("aaf", "vote")]
    said = scores(network, cut[at_rows])
    return found, [float((said < each).mean()) for each in at], np.array(at)


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
    seen, spent = 0, 0.0
    if args.start:
        network.load_state_dict(torch.load(args.work / "pad" / args.start / "network.pt", weights_only=True), strict=False)
        average.module.load_state_dict(network.state_dict())
    if (folder / "checkpoint.pt").exists():
        kept = torch.load(folder / "checkpoint.pt", weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimizer.load_state_dict(kept["optimizer"])
        seen, spent = kept["seen"], kept["spent"]

    def keep():
        torch.save({"network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(), "seen": seen, "spent": spent}, folder / "partial.pt")
        (folder / "partial.pt").rename(folder / "checkpoint.pt")
        torch.save(average.module.state_dict(), folder / "network.pt")
        found, ordinary, at = judge(average.module, args.work, photos)
        told = "  ".join(f"{name}: AUC {area:.4f} APCER {passed:.3f}" for name, (area, passed) in found.items())
        print(f"{spent / 60:.1f} min  seen {seen:,}  rounds {views.refresh()}  loss {loss:.3f}  {told}  ordinary {' '.join(f'{each:.3f}' for each in ordinary)}  at {at.round(2)}", flush=True)

    views.refresh()
    last, next_judgment, loss = time.process_time(), spent + JUDGE_SECONDS, 0.7
    while spent < args.minutes * 60:
        for group in optimizer.param_groups:
            group["lr"] = float(RATE * min(1, (seen + BATCH) / 12800) * 0.5 * (1 + np.cos(np.pi * spent / 60 / args.minutes)) + 1e-6)
        cut, target, opinion = views.batch(rng)
        x = tensor(augmented(cut, rng))
        network.train()
        said, taught, spectrum = network.everything(x)
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
            keep()
            next_judgment, last = spent + JUDGE_SECONDS, time.process_time()
    keep()


if __name__ == "__main__":
    main()
