"""Trains the face detector.

    python -m detector.train [--work DIR] [--minutes 50] [--threads 1]

Needs the files of detector/data.py. A second process adds scenes to a pool, from which batches are
drawn (mirrored at random). The same command resumes the newest checkpoint, WORK/detector/NAME.pt; the
curve is WORK/detector/NAME.png.
"""
import argparse
import copy
import math
import multiprocessing as mp
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from common.muon import Muon
from detector.data import MIRRORED
from detector.network import STRIDES, Detector, Exported, decode, fitted, network_input, overlap
from detector.scenes import SMALLEST, SURE, Photos, Scenes

BATCH, POOL, FACES = 32, 1536, 24
# Batches that are shown at half the size: photos are looked at in small copies first.
SMALL = 0.4
# A scene serves about so often before another takes its place.
SERVES = 3
# Which face sides (square root of the box's area, in pixels) a stride answers for; neighbours share a part.
RANGES = ((0, 46), (32, 112), (84, 1e9))


def make_scenes(folder, size, pixels, faces, source, doubt, made, used, seed):
    """The second process: fills the pool from the start, then over and over."""
    cv2.setNumThreads(1)
    scenes = Scenes(Photos(folder), size, seed, np.frombuffer(doubt, np.float32))
    source = np.frombuffer(source, np.int32)
    pixels = np.frombuffer(pixels, np.uint8).reshape(POOL, size, size, 3)
    faces = np.frombuffer(faces, np.float32).reshape(POOL, FACES, 15)
    while True:
        while made.value > POOL + used.value / SERVES:
            time.sleep(0.05)
        picture, found, empty = scenes.next()
        slot = made.value % POOL
        pixels[slot] = picture
        source[slot] = empty
        faces[slot] = 0
        faces[slot, : len(found)] = found[:FACES]
        made.value += 1


class Pool:
    def __init__(self, folder, photos, size, seed):
        self.size = size
        self.pixels, self.faces = mp.RawArray("B", POOL * size * size * 3), mp.RawArray("f", POOL * FACES * 15)
        # Which photo without faces a scene is of (-1: it has faces), and how sure the network was of a face there.
        self.source, self.doubt = mp.RawArray("i", POOL), mp.RawArray("f", np.full(photos, 0.3, np.float32))
        self.made, self.used = mp.Value("q", 0), mp.Value("q", 0)
        self.process = mp.Process(target=make_scenes, args=(folder, size, self.pixels, self.faces, self.source, self.doubt, self.made, self.used, seed), daemon=True)
        self.process.start()
        self.source, self.doubt = np.frombuffer(self.source, np.int32), np.frombuffer(self.doubt, np.float32)
        self.pixels = np.frombuffer(self.pixels, np.uint8).reshape(POOL, size, size, 3)
        self.faces = np.frombuffer(self.faces, np.float32).reshape(POOL, FACES, 15)

    def batch(self, rng):
        while self.made.value < 8 * BATCH:
            time.sleep(0.1)
        slots = rng.integers(0, min(self.made.value, POOL), BATCH)
        self.used.value += BATCH
        pictures, faces = self.pixels[slots], []
        for k, slot in enumerate(slots):
            found = self.faces[slot]
            found = found[found[:, 2] > 0].copy()
            if rng.random() < 0.5:
                pictures[k] = pictures[k, :, ::-1]
                found[:, 0] = self.size - 1 - found[:, 0] - found[:, 2]
                found[:, 4:14:2] = self.size - 1 - found[:, 4:14:2]
                found[:, 4:14] = found[:, 4:14][:, MIRRORED]
            faces.append(found)
        return pictures, faces, self.source[slots]

    def doubted(self, source, maps):
        """Keeps what the network says of photos without faces: those that it takes for faces are shown more often."""
        with torch.no_grad():
            said = torch.stack([torch.sqrt(m[:, :2].float().sigmoid().prod(1)).amax((1, 2)) for m in maps]).amax(0).numpy()
        empty = source >= 0
        self.doubt[source[empty]] += 0.5 * (said[empty] - self.doubt[source[empty]])


def halved(pictures, faces):
    """The scenes at half the size; faces that become too small are neither asked for nor forbidden."""
    small = []
    for found in faces:
        found = found * ([0.5] * 14 + [1])
        found[np.sqrt(found[:, 2] * found[:, 3]) < SMALLEST, 14] = 0
        small.append(found.astype(np.float32))
    side = pictures.shape[1] // 2
    return np.stack([cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA) for p in pictures]), small


def assign(faces, size):
    """For each stride: the state of every cell (1 a face's centre, 0 no face, -1 not judged), and for the centres (picture, row, column) and face."""
    levels = []
    for stride, (low, high) in zip(STRIDES, RANGES):
        n = size // stride
        state = np.zeros((len(faces), n, n), np.int8)
        owner = np.zeros((len(faces), n, n), np.int32)
        table, at = [], 0
        for b, found in enumerate(faces):
            side = np.sqrt(found[:, 2] * found[:, 3])
            for k in np.argsort(-side):          # small ones last: they win the cells that are shared
                x, y, w, h = found[k, :4] / stride
                cx, cy = x + w / 2, y + h / 2
                if found[k, 14] < SURE:
                    box = state[b, max(0, math.ceil(y)): math.floor(y + h) + 1, max(0, math.ceil(x)): math.floor(x + w) + 1]
                    box[box == 0] = -1
                    continue
                mine = low <= side[k] <= high
                if mine or low / 1.5 < side[k] < high * 1.5:
                    ring = around(state[b], cx, cy, 1.5 if mine else max(1.0, 0.3 * side[k] / stride))
                    ring[ring == 0] = -1
                if mine:
                    around(state[b], cx, cy, 1.0)[:] = 1
                    around(owner[b], cx, cy, 1.0)[:] = at + k
            table.append(found)
            at += len(found)
        table = np.concatenate(table)
        place = np.nonzero(state == 1)
        levels.append((torch.from_numpy(state), tuple(torch.from_numpy(p) for p in place), torch.from_numpy(table[owner[place]])))
    return levels


def around(grid, cx, cy, radius):
    """The cells within `radius` of a point, as a view."""
    return grid[max(0, math.ceil(cy - radius)): max(0, math.floor(cy + radius) + 1), max(0, math.ceil(cx - radius)): max(0, math.floor(cx + radius) + 1)]


def focal(logit, target):
    """Cross entropy, weighted by how far off the answer is."""
    off = (target - torch.sigmoid(logit)).abs().detach()
    return off**2 * F.binary_cross_entropy_with_logits(logit, target, reduction="none")


def losses(maps, levels):
    """cls, obj, box and landmark losses, each for a centre cell."""
    cls = obj = box = marks = 0.0
    count = sum(len(face) for _, _, face in levels)
    for said, (state, (b, r, c), face), stride in zip(maps, levels, STRIDES):
        said = said.float()
        judged = state >= 0
        want = (state == 1).float()
        cls = cls + focal(said[:, 0], want)[judged].sum()
        fits = want.clone()
        if len(face):
            at = said[b, :, r, c]
            cell = torch.stack([c, r], 1).float()
            centre = (at[:, 2:4] + cell) * stride
            size = torch.exp(at[:, 4:6].clamp(-3, 4)) * stride
            iou, distance = against(centre, size, face)
            fits[b, r, c] = iou.detach().clamp(0, 1)
            box = box + (1 - iou + distance).sum()
            side = torch.sqrt(face[:, 2] * face[:, 3])[:, None]
            points = ((at[:, 6:16].view(-1, 5, 2) + cell[:, None]) * stride).flatten(1)
            marks = marks + F.smooth_l1_loss(points / side, face[:, 4:14] / side, beta=0.015, reduction="none").mean(1).sum()
        obj = obj + focal(said[:, 1], fits)[judged].sum()
    return [part / max(count, 1) for part in (cls, obj, box, marks)]


def against(centre, size, face):
    """Overlap of boxes with the true ones, and the squared distance of the centres in diagonals of the box around both."""
    low, high = centre - size / 2, centre + size / 2
    tlow, thigh = face[:, :2], face[:, :2] + face[:, 2:4]
    inner = (torch.minimum(high, thigh) - torch.maximum(low, tlow)).clamp(min=0).prod(1)
    iou = inner / (size.prod(1) + face[:, 2:4].prod(1) - inner + 1e-6)
    outer = torch.maximum(high, thigh) - torch.minimum(low, tlow)
    return iou, ((centre - (tlow + thigh) / 2) ** 2).sum(1) / (outer**2).sum(1).clamp(min=1)


@torch.no_grad()
def validate(net, photos):
    """On the photos kept back: faces found, landmarks off in eye distances, pets taken for people, each at score 0.6, and the score at which 2 % of pets are."""
    net = Exported(net.eval())
    found = total = 0
    off, pets = [], []
    for i in photos.held_faces:
        square, scale = fitted(photos.photo(i), 320)
        said = decode([o.numpy() for o in net(torch.from_numpy(network_input(square)))], 320, 0.5)
        for face in photos.faces[i]:
            face = np.append(face[:14] * scale, face[14])
            if face[14] < 0.8 or np.sqrt(face[2] * face[3]) < 16:
                continue
            total += 1
            match = max(said[said[:, 14] >= 0.6], key=lambda s: overlap(s, face), default=None)
            if match is not None and overlap(match, face) > 0.4:
                found += 1
                off.append(np.hypot(*(match[4:14] - face[4:14]).reshape(5, 2).T).mean() / max(np.hypot(*(face[4:6] - face[6:8])), 1))
    for i in photos.held_pets:
        said = decode([o.numpy() for o in net(torch.from_numpy(network_input(fitted(photos.photo(i), 320)[0])))], 320, 0.3)
        pets.append(said[0, 14] if len(said) else 0)
    pets = np.array(pets)
    return found / total, float(np.median(off)), float((pets >= 0.6).mean()), float(np.quantile(pets, 0.98))


def draw(history, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    rows = np.array(history)
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 3.6))
    for k, name in enumerate(("cls", "obj", "box", "landmarks x 10")):
        axes[0].plot(rows[:, 0] / 1e3, rows[:, 1 + k], label=name)
    axes[0].set(title="losses", xlabel="thousand scenes", yscale="log")
    axes[0].legend()
    axes[1].plot(rows[:, 0] / 1e3, 100 * (1 - rows[:, 5]), label="faces missed, %")
    axes[1].plot(rows[:, 0] / 1e3, 100 * rows[:, 7], label="pets taken for faces, %")
    axes[1].set(title="validation at score 0.6", xlabel="thousand scenes", ylim=(0, 20))
    axes[1].legend()
    axes[2].plot(rows[:, 0] / 1e3, 100 * rows[:, 6])
    axes[2].set(title="landmarks off, % of the eye distance (median)", xlabel="thousand scenes", ylim=(0, 15))
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--minutes", type=float, default=50)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--size", type=int, default=320, help="side of the scenes; a multiple of 32. Begin small, end at 320")
    ask.add_argument("--name", default="detector")
    ask.add_argument("--start", type=Path, help="weights to start from, where there is no checkpoint yet")
    args = ask.parse_args()
    torch.manual_seed(3)
    torch.set_num_threads(args.threads)
    folder = args.work / "detector"
    checkpoint = folder / f"{args.name}.pt"

    net = Detector().to(memory_format=torch.channels_last)
    inner = [p for name, p in net.named_parameters() if p.ndim > 1 and not name.startswith("says")]
    outer = [p for name, p in net.named_parameters() if p.ndim == 1 or name.startswith("says")]
    optimizers = [Muon(inner, 2e-3, weight_decay=0.03), torch.optim.AdamW(outer, 2e-3, weight_decay=0.0)]
    average, history, seen, spent = None, [], 0, 0.0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=False)
        net.load_state_dict(kept["net"])
        for optimizer, state in zip(optimizers, kept["optimizers"]):
            optimizer.load_state_dict(state)
        average, history, seen, spent = copy.deepcopy(net), kept["history"], kept["seen"], kept["spent"]
        average.load_state_dict(kept["average"])
        print(f"resumed at {seen} scenes, {spent / 60:.1f} minutes")
    elif args.start:
        net.load_state_dict(torch.load(args.start, weights_only=False)["average"])
    average = average or copy.deepcopy(net)
    photos = Photos(folder)
    pool = Pool(folder, len(photos.kind), args.size, 11 + seen)
    rng = np.random.default_rng(5 + seen)
    mean, last, tick = None, time.time(), time.time()
    while spent < 60 * args.minutes:
        # Where the process was halted meanwhile, that time is not its own.
        spent, tick = spent + min(time.time() - tick, 60), time.time()
        done = min(1.0, spent / (60 * args.minutes))
        rate = 2.5e-3 * min(1, (seen / BATCH + 1) / 300) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = rate
        pictures, faces, source = pool.batch(rng)
        if rng.random() < SMALL:
            pictures, faces = halved(pictures, faces)
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        x = ((x.float() - 127.5) / 128).contiguous(memory_format=torch.channels_last)
        net.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps = net(x)
        pool.doubted(source, maps)
        parts = losses(maps, assign(faces, pictures.shape[1]))
        loss = 2 * parts[0] + 2 * parts[1] + 2 * parts[2] + 15 * parts[3]
        net.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        for optimizer in optimizers:
            optimizer.step()
        seen += BATCH
        follow(average, net, min(0.999, (1 + seen / BATCH) / (20 + seen / BATCH)))
        now = np.array([float(p.detach()) for p in parts]) * (1, 1, 1, 10)
        mean = now if mean is None else 0.99 * mean + 0.01 * now
        if seen // BATCH % 25 == 0:
            print(f"\r{spent / 60:5.1f} of {args.minutes:g} min  {seen} scenes ({pool.made.value} made)  cls {mean[0]:.3f} obj {mean[1]:.3f} box {mean[2]:.3f} "
                  f"landmarks {mean[3]:.3f}", end="", flush=True)
        if time.time() - last > 180 or done >= 1:
            last = time.time()
            result = validate(copy.deepcopy(average), photos)
            history.append([seen, *mean, *result])
            torch.save({"net": net.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "average": average.state_dict(), "history": history, "seen": seen,
                        "spent": spent}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            draw(history, folder / f"{args.name}.png")
            print(f"\n  found {result[0]:.2%}, landmarks off {result[1]:.2%}, pets {result[2]:.2%} at 0.6, 2 % at {result[3]:.3f}", flush=True)
    pool.process.terminate()


@torch.no_grad()
def follow(average, net, keep):
    for a, b in zip(average.state_dict().values(), net.state_dict().values()):
        if a.dtype.is_floating_point:
            a.lerp_(b, 1 - keep)
        else:
            a.copy_(b)


if __name__ == "__main__":
    main()
