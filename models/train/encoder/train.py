"""Trains the encoder to reproduce the embeddings of the teacher, SFace.

    python -m encoder.train --data DATA --cfp CFP --detector YUNET.onnx --teacher SFACE.onnx --minutes 90

Batches are drawn from the views that `encoder/views.py` makes at the same time. Stored under
--work/encoder/NAME: a checkpoint every three minutes, from which the same command resumes, `log.csv`
and its plot `curve.png`. With larger --minutes a finished run continues: the rate rises to that of the
longer schedule and falls again. The averaged weights are evaluated on CFP's folds 1-5 every 12
minutes; nothing is trained on CFP.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from common import cfp_photos
from common.muon import Muon
from encoder import heldout, stored_faces, warm_start, widening
from encoder.network import FORMER, Encoder
from encoder.teacher import Teacher
from encoder.views import Pool

CHECKPOINT_SECONDS, JUDGE_SECONDS = 180, 720
RISE = 300  # steps in which the rate reaches its peak, at the start and when a schedule is lengthened


def losses(embedding, target, bank, rivals, temperature, margin):
    """Cosine to the teacher; and telling the face's own teacher embedding from those of many other faces.

    Rivals that the teacher itself finds like the face (the same person, mostly) are no rivals."""
    cosine = (embedding * target).sum(1)
    others = embedding @ bank[rivals].T
    alike = target @ bank[rivals].T > 0.4
    logits = torch.cat([(cosine - margin)[:, None], others.masked_fill(alike, -1)], 1) / temperature
    own = functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
    return cosine.mean(), own


class Run:
    """Network, averaged network, optimizers and progress: all that a checkpoint holds."""

    def __init__(self, chosen):
        torch.manual_seed(0)
        self.device = torch.device(chosen.device)
        self.network = Encoder().to(self.device, memory_format=torch.channels_last)
        self.average = Encoder().to(self.device).requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        self.compiled = torch.compile(self.network) if chosen.compile else self.network
        matrices = [p for p in self.network.parameters() if p.ndim >= 2 and p[0].numel() > 49]
        rest = [p for p in self.network.parameters() if not (p.ndim >= 2 and p[0].numel() > 49)]
        self.optimizers = [Muon(matrices, chosen.rate, weight_decay=chosen.decay),
                           torch.optim.AdamW(rest, chosen.rate, weight_decay=0.0, fused=True)]
        self.seen, self.steps, self.spent, self.rate, self.rows = 0, 0, 0.0, 0.0, []

    def save(self, path):
        partial = path.with_suffix(".partial")
        torch.save({"network": self.network.state_dict(), "average": self.average.state_dict(),
                    "optimizers": [o.state_dict() for o in self.optimizers],
                    "seen": self.seen, "steps": self.steps, "spent": self.spent, "rate": self.rate, "rows": self.rows}, partial)
        partial.rename(path)

    def restore(self, path):
        kept = torch.load(path, map_location=self.device)
        self.network.load_state_dict(kept["network"])
        self.average.load_state_dict(kept["average"])
        for optimizer, state in zip(self.optimizers, kept["optimizers"]):
            optimizer.load_state_dict(state)
        self.seen, self.steps, self.spent, self.rate, self.rows = (kept[name] for name in ("seen", "steps", "spent", "rate", "rows"))

    def begin_with(self, path, faces):
        """The weights of an exported encoder, widened if it is one of the former width."""
        if warm_start.width(path) == FORMER["widths"][-1]:
            former = Encoder(**FORMER)
            warm_start.take_over(former, path, faces)
            widening.widen(self.network.cpu(), former, warm_start.sample(faces))
        else:
            warm_start.take_over(self.network.cpu(), path, faces)
        self.network.to(self.device)
        self.average.load_state_dict(self.network.state_dict())

    def step(self, batch, bank, chosen, rate, rng):
        """One step; the rate rises no faster than to its peak in RISE steps."""
        faces, target = (part.to(self.device, non_blocking=True) for part in batch)
        self.rate = rate = min(rate, self.rate + chosen.rate / RISE)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            raw = self.compiled(faces)
        embedding = functional.normalize(raw.float(), dim=1)
        rivals = torch.from_numpy(rng.integers(0, len(bank), chosen.rivals)).to(self.device)
        cosine, own = losses(embedding, target, bank, rivals, chosen.temperature, chosen.margin)
        loss = 1 - cosine + chosen.own * own
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        self.seen, self.steps = self.seen + len(faces), self.steps + 1
        keep = min(0.998, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for old, new in zip(self.average.state_dict().values(), self.network.state_dict().values()):
                old.lerp_(new, 1 - keep) if old.dtype.is_floating_point else old.copy_(new)
        return np.array([cosine.item(), own.item()])


@torch.no_grad()
def embed(network, faces):
    """Unit embeddings of uint8 faces, N x 112 x 112 x 3."""
    network = network.eval().to(memory_format=torch.channels_last)
    device = next(network.parameters()).device
    parts = []
    for start in range(0, len(faces), 256):
        batch = torch.from_numpy(np.ascontiguousarray(faces[start:start + 256])).to(device).permute(0, 3, 1, 2)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            parts.append(functional.normalize(network((batch.float() - 127.5) / 128).float(), dim=1).cpu())
    return torch.cat(parts).numpy()


def accuracy(embeddings, listed, kind, folds):
    """Accuracy over the folds' pairs at the threshold that suits these very pairs best: for choosing only."""
    first, second, same = (np.concatenate(part) for part in zip(*(listed.pairs[kind, fold] for fold in folds)))
    scores = (embeddings[first] * embeddings[second]).sum(1)
    order = np.argsort(-scores)
    truth = same[order]
    return float(((np.cumsum(truth) + (~truth).sum() - np.cumsum(~truth)) / len(truth)).max())


def match_rates(embeddings, person, rates=(1e-3, 1e-4)):
    """TAR at each FMR, of all genuine and impostor pairs of these faces."""
    first, second = np.triu_indices(len(embeddings), 1)
    scores, same = (embeddings @ embeddings.T)[first, second], person[first] == person[second]
    thresholds = np.quantile(scores[~same], 1 - np.array(rates))
    return [float((scores[same] > threshold).mean()) for threshold in thresholds]


class Judge:
    """CFP's folds 1-5: accuracies, TAR of frontal photos, and the cosine to the teacher's embeddings, which are kept under --work."""

    def __init__(self, chosen):
        self.listed, faces, self.found = cfp_photos.aligned(chosen.cfp, chosen.detector, chosen.work)
        people = np.isin(self.listed.person, self.listed.people("FF", cfp_photos.CHOOSING))
        self.where = np.flatnonzero(people & self.found)
        self.faces = faces[self.where]
        cache = chosen.work / "encoder" / "cfp.sface.npy"
        if not cache.exists():
            np.save(cache, Teacher(chosen.teacher)(self.faces))
        self.said = np.load(cache)

    def __call__(self, network):
        embeddings = np.zeros((len(self.found), 128), np.float32)
        embeddings[self.where] = answer = embed(network, self.faces)
        ff, fp = (accuracy(embeddings, self.listed, kind, cfp_photos.CHOOSING) for kind in ("FF", "FP"))
        frontal = self.where[self.listed.frontal[self.where]]
        tar3, tar4 = match_rates(embeddings[frontal], self.listed.person[frontal])
        return {"ff": ff, "fp": fp, "tar3": tar3, "tar4": tar4, "strangers": float((answer * self.said).sum(1).mean())}


def draw(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    seen = [row["seen"] / 1e3 for row in rows]
    figure, left = pyplot.subplots(figsize=(8, 4.5))
    left.plot(seen, [row["cosine"] for row in rows], color="tab:grey", label="cosine to the teacher, training batches")
    left.plot(seen, [row["strangers"] for row in rows], color="black", label="cosine to the teacher, CFP's folds 1-5")
    left.set(xlabel="thousand faces seen", ylabel="cosine")
    right = left.twinx()
    for name, colour in (("ff", "tab:blue"), ("fp", "tab:orange")):
        right.plot(seen, [100 * row[name] for row in rows], color=colour, label=f"CFP-{name.upper()} accuracy, folds 1-5")
    right.set(ylabel="per cent")
    figure.legend(loc="lower center", bbox_to_anchor=(0.55, 0.12))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def record(run, folder, judge, row):
    network = run.average
    row |= judge(network)
    run.rows.append(row)
    run.save(folder / "checkpoint.pt")
    names = list(row)
    (folder / "log.csv").write_text("\n".join([",".join(names)] + [",".join(f"{r[n]:.5g}" for n in names) for r in run.rows]) + "\n")
    draw(run.rows, folder / "curve.png")
    print("\r" + "  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)


def schedule(part):
    """Level, then down in a line to nothing over the last three quarters."""
    return min(1.0, (1 - part) / 0.75) if part < 1 else 0.0


def train(run, folder, bank, chosen):
    """`bank`: the teacher's embeddings of the stored faces, the rivals of each face in a batch."""
    judge, pool = Judge(chosen), Pool(chosen.work, seed=run.steps, taken=run.seen)
    rng = np.random.default_rng(run.steps)
    start, before = time.time(), run.spent
    saved = judged = start
    told = None
    if not run.rows:
        record(run, folder, judge, {"seen": 0, "minutes": 0.0, "cosine": np.nan, "own": np.nan, "rate": 0.0})
    while True:
        run.spent = before + time.time() - start
        part = run.seen / chosen.passes if chosen.passes else run.spent / (chosen.minutes * 60)
        rate = chosen.rate * schedule(part) + 1e-6
        now = run.step(pool.batch(chosen.batch), bank, chosen, rate, rng)
        run.network.train()
        told = now if told is None else 0.98 * told + 0.02 * now
        cosine, own = told.tolist()
        if run.steps % 20 == 0:
            print(f"\r{part:6.1%}  {run.seen:,} faces  cosine {cosine:.3f}  own {own:.2f} ", end="", flush=True)
        if part >= 1 or time.time() - judged > JUDGE_SECONDS:
            record(run, folder, judge, {"seen": run.seen, "minutes": run.spent / 60, "cosine": cosine, "own": own, "rate": run.rate})
            saved = judged = time.time()
        elif time.time() - saved > CHECKPOINT_SECONDS:
            run.save(folder / "checkpoint.pt")
            saved = time.time()
        if part >= 1:
            return


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--cfp", required=True, type=Path)
    arguments.add_argument("--detector", required=True, type=Path, help="YuNet, to align CFP")
    arguments.add_argument("--teacher", required=True, type=Path, help="SFace, to compare with on CFP")
    arguments.add_argument("--work", default=Path("work"), type=Path)
    arguments.add_argument("--name", default="encoder-1")
    arguments.add_argument("--minutes", default=90.0, type=float, help="length of the whole schedule")
    arguments.add_argument("--passes", default=0, type=int, help="length of the schedule in faces instead, for trials")
    arguments.add_argument("--start", type=Path, help="an exported encoder whose weights to begin with")
    arguments.add_argument("--rate", default=4e-3, type=float)
    arguments.add_argument("--decay", default=0.05, type=float)
    arguments.add_argument("--batch", default=128, type=int)
    arguments.add_argument("--own", default=0.1, type=float, help="weight of telling the face from others")
    arguments.add_argument("--temperature", default=0.07, type=float)
    arguments.add_argument("--margin", default=0.1, type=float)
    arguments.add_argument("--rivals", default=8192, type=int)
    arguments.add_argument("--threads", default=1, type=int)
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments.add_argument("--compile", action="store_true")
    return arguments.parse_args()


def main():
    chosen = options()
    torch.set_num_threads(chosen.threads)
    torch.set_flush_denormal(True)
    folder = chosen.work / "encoder" / chosen.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(vars(chosen), default=str, indent=1))
    faces, _, _ = stored_faces.load(chosen.data, chosen.work)
    bank = stored_faces.embeddings(chosen.data, chosen.work)[heldout.split(chosen.data, chosen.work)[0]]
    run = Run(chosen)
    if (folder / "checkpoint.pt").exists():
        run.restore(folder / "checkpoint.pt")
    elif chosen.start:
        run.begin_with(chosen.start, faces)
    train(run, folder, torch.from_numpy(bank).to(run.device), chosen)


if __name__ == "__main__":
    main()
