"""Makes views: augmented faces with the teacher's embeddings, while the training runs.

    python -m encoder.views --data DATA --teacher SFACE.onnx      (until stopped, or --shards N)

A shard is made when the training has used each earlier view --reuse times on average, a few shards
ahead. Each shard under --work/encoder/views holds 1,024 views, with its number as the seed; only the
newest are kept. One view in five is a stored face unchanged. Most others show people who don't exist:
faces between two people or beyond one of them, mixed faces, and changed proportions; then rotated,
turned in yaw, blurred, dark, gray, noisy, compressed, occluded, masked. `Pool` gives them to the
training in batches.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from common.yaw import turn
from encoder import heldout, stored_faces
from encoder.teacher import Teacher

SIDE, SHARD = 112, 1024
PLAIN, TURNED = 0.2, 0.36  # shares of faces as they are, and of turned heads
KEPT = 96  # shards
NEWEST, FEWEST = 64, 8  # shards that the training takes views from, and that it waits for
AHEAD = 24  # shards that are made before the training needs them
FLOW = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)


def warp(rng):
    """A small turn, shift and scale; at times the squeeze and slant of a head turned away. Centre of the face is the origin."""
    angle, scale = rng.normal(0, 5) * np.pi / 180, np.exp(rng.normal(0, 0.05))
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, -s, rng.normal(0, 1.5)], [s, c, rng.normal(0, 1.5)], [0, 0, 1]])
    if rng.random() < 0.45:
        matrix = matrix @ np.array([[rng.uniform(0.6, 1), 0, 0], [0, 1, 0], [rng.uniform(-1, 1) * 0.35 / 56, 0, 1]])
    return matrix


def place(face, matrix, border):
    into = np.array([[1, 0, SIDE / 2], [0, 1, SIDE / 2], [0, 0, 1.0]])
    out_of = np.array([[1, 0, -face.shape[1] / 2], [0, 1, -face.shape[0] / 2], [0, 0, 1.0]])
    return cv2.warpPerspective(face, into @ matrix @ out_of, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=border)


def recolour(face, like):
    """The face in the colours of another."""
    ours, theirs = (image.reshape(-1, 3).astype(np.float32) for image in (like, face))
    return np.clip((face - theirs.mean(0)) * (ours.std(0) / (theirs.std(0) + 1)) + ours.mean(0), 0, 255).astype(np.uint8)


def between(a, b, rng):
    """Somebody between two people, or beyond the first of them: proportions and looks are interpolated apart, by optical flow."""
    flow = FLOW.calc(*(cv2.GaussianBlur(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (0, 0), 1) for face in (a, b)), None)
    flow = np.clip(cv2.GaussianBlur(flow, (0, 0), 4), -10, 10)
    rows, columns = np.mgrid[:len(a), :len(a)].astype(np.float32)
    shape, looks = rng.uniform(-0.4, 1), rng.uniform(-0.35, 0.65)

    def pull(face, far):
        return cv2.remap(face, columns + far * flow[..., 0], rows + far * flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    return cv2.addWeighted(pull(a, -shape), 1 - looks, pull(b, 1 - shape), looks, 0)


def mix(a, b, rng):
    """One face of two: between them, halves with a soft seam, or soft patches of both."""
    side, kind = len(a), rng.integers(6)
    if rng.random() < 0.6:
        b = recolour(b, a)
    if kind < 3:
        return between(a, b, rng)
    if kind < 5:
        at = rng.uniform(0.4, 0.6) * side if kind == 3 else rng.uniform(0.45, 0.72) * side
        ramp = 1 / (1 + np.exp(-(np.arange(side) - at) / rng.uniform(1, 5)))
        part = ramp[None, :, None] if kind == 3 else ramp[:, None, None]
    else:
        patches = cv2.resize(rng.normal(0, 1, (5, 5)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
        part = 1 / (1 + np.exp(-rng.uniform(2, 8) * patches))[:, :, None]
    return (a * (1 - part) + b * part).astype(np.uint8)


def reshape(face, rng):
    """Other proportions: every part of the face is moved a little, and its neighbours with it."""
    side = len(face)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    far = rng.uniform(0.5, 2.2)
    moved = [cv2.resize(rng.normal(0, far, (6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC) for _ in range(2)]
    return cv2.remap(face, columns + moved[0], rows + moved[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def cover(face, rng):
    """A rectangle of one colour, of noise, or a mask over mouth and chin."""
    colour = rng.integers(0, 256, 3)
    if rng.random() < 0.35:
        top, wide = rng.uniform(62, 76), rng.uniform(30, 46)
        corners = [(56 - wide, top), (56, top - rng.uniform(0, 10)), (56 + wide, top), (56 + wide * 0.7, 108), (56, 114), (56 - wide * 0.7, 108)]
        cv2.fillPoly(face, [np.array(corners, np.int32)], colour.tolist())
        return face
    high, wide = rng.integers(12, 60, 2)
    y, x = rng.integers(-6, SIDE - high + 6), rng.integers(-6, SIDE - wide + 6)
    patch = face[max(0, y):y + high, max(0, x):x + wide]
    patch[:] = colour if rng.random() < 0.6 else rng.integers(0, 256, patch.shape)
    return face


def cut(face, rng):
    """The photo ends within the aligned square, as it does where the head fills the photo: black beyond a slanting edge or several."""
    angle = rng.normal(0, 12) * np.pi / 180
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    across, down = columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)
    for place, nearest in ((across, 12), (-across, 12), (down, 35), (-down, 20)):
        if rng.random() < 0.5:
            face[place > rng.uniform(nearest, 56)] = 0
    return face


def shade(face, rng):
    """Brightness, contrast and gamma by a table; at times a tint or grey."""
    levels = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.35))
    levels = (levels - 0.5) * rng.uniform(0.5, 1.3) + 0.5 + rng.normal(0, 0.1)
    if rng.random() < 0.15:
        face = np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[:, :, None], 3, 2)
    tint = rng.uniform(0.8, 1.15, 3) if rng.random() < 0.2 else np.ones(3)
    table = np.clip(255 * levels[:, None] * tint, 0, 255).astype(np.uint8)
    return cv2.LUT(np.ascontiguousarray(face), np.ascontiguousarray(table[None]))


def spoil(face, rng):
    """Few pixels, blur, noise, compression: what cheap cameras and messengers do."""
    if rng.random() < 0.25:
        small = cv2.resize(face, None, fx=(f := rng.uniform(0.2, 0.7)), fy=f, interpolation=cv2.INTER_AREA)
        face = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.1:
        face = cv2.GaussianBlur(face, (0, 0), rng.uniform(0.6, 2.2))
    if rng.random() < 0.12:
        face = np.clip(face + rng.normal(0, rng.uniform(3, 18), face.shape), 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        face = cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 60))])[1], 1)
    return face


def stored(faces, rng):
    """A stored face or its mirror image."""
    face = faces[rng.integers(len(faces))]
    return np.ascontiguousarray(face[:, ::-1] if rng.random() < 0.5 else face)


def person(faces, rng):
    """A stored face, or one that nobody has."""
    face = mix(stored(faces, rng), stored(faces, rng), rng) if rng.random() < 0.6 else stored(faces, rng)
    return reshape(face, rng) if rng.random() < 0.35 else face


def view(faces, rng):
    """One view of one face."""
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    kind = rng.random()
    if kind < PLAIN:
        top, left = np.clip(np.round(rng.normal(4, 1.3, 2)), 0, 8).astype(int)
        return stored(faces, rng)[top:top + SIDE, left:left + SIDE]
    face = person(faces, rng)
    if kind < PLAIN + TURNED:
        face, matrix = turn(face, rng.uniform(15, 75) * np.pi / 180, rng.normal(0, 8) * np.pi / 180)
        small = np.exp(rng.normal(0, 0.05))
        matrix = np.hstack([matrix[:, :2] * small, (matrix[:, 2:] - 56) * small + 56 + rng.normal(0, 2, (2, 1))])
        face = cv2.warpAffine(face, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=border)
        face = np.ascontiguousarray(face[:, ::-1]) if rng.random() < 0.5 else face
    else:
        face = place(face, warp(rng), border)
    if rng.random() < 0.6:
        face = shade(face, rng)
    if rng.random() < 0.15:
        face = cover(face, rng)
    if rng.random() < 0.3:
        face = cut(face, rng)
    return spoil(face, rng)


def numbers(folder):
    """Of the shards that are there, rising."""
    return sorted(int(path.name[:5]) for path in folder.glob("*.sface.npy"))


def make(faces, teacher, folder, number):
    """One shard. The pixels first: who sees the embeddings may count on both."""
    rng = np.random.default_rng(number)
    views = np.stack([view(faces, rng) for _ in range(SHARD)])
    for name, part in (("faces", views), ("sface", teacher(views).astype(np.float16))):
        partial = folder / f"{number:05}.partial-{name}.npy"
        np.save(partial, part)
        partial.rename(folder / f"{number:05}.{name}.npy")


class Training:
    """The faces that are not held out."""

    def __init__(self, faces, chosen):
        self.faces, self.chosen = faces, np.flatnonzero(chosen)

    def __len__(self):
        return len(self.chosen)

    def __getitem__(self, at):
        return self.faces[self.chosen[at]]


class Pool:
    """Batches for the training, of the newest views. `taken`: faces that batches have held so far."""

    def __init__(self, work, seed, taken=0):
        self.folder, self.rng = Path(work) / "encoder" / "views", np.random.default_rng(seed)
        self.shards, self.looked, self.taken = {}, 0.0, taken

    def look(self):
        """Takes in what has been made since; waits for the first."""
        if time.time() - self.looked < 10:
            return
        while len(newest := numbers(self.folder)[-NEWEST:]) < FEWEST:
            print("\rwaiting for the views of encoder/views.py ", end="", flush=True)
            time.sleep(5)
        self.looked = time.time()
        (self.folder / "taken").write_text(str(self.taken))
        self.shards = {number: self.shards.get(number) or self.load(number) for number in newest}

    def load(self, number):
        said, pixels = (self.folder / f"{number:05}.{name}.npy" for name in ("sface", "faces"))
        return np.load(said).astype(np.float32), np.load(pixels, mmap_mode="r")

    def batch(self, size):
        """Faces as the network takes them, and the teacher's embeddings."""
        self.look()
        self.taken += size
        shards = list(self.shards.values())
        pixels, targets = np.empty((size, SIDE, SIDE, 3), np.uint8), np.empty((size, 128), np.float32)
        for row, (shard, at) in enumerate(zip(self.rng.integers(len(shards), size=size), self.rng.integers(SHARD, size=size))):
            said, seen = shards[shard]
            pixels[row], targets[row] = seen[at], said[at]
        return self.ready(pixels), torch.from_numpy(targets)

    def ready(self, pixels):
        """To floats, each face a little brighter or darker."""
        size = len(pixels)
        gain = torch.from_numpy(self.rng.uniform(0.85, 1.15, (size, 1, 1, 1)).astype(np.float32)) / 128
        shift = torch.from_numpy(self.rng.uniform(-0.1, 0.1, (size, 1, 1, 1)).astype(np.float32))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().sub_(127.5).mul_(gain).add_(shift)


def needed(folder, number, reuse):
    """Whether the training is due a shard of this number."""
    taken = folder / "taken"
    return (number - AHEAD) * SHARD * reuse < (int(taken.read_text() or 0) if taken.exists() else 0)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--teacher", required=True, type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    arguments.add_argument("--shards", default=100_000, type=int)
    arguments.add_argument("--reuse", default=3.0, type=float, help="how often the training takes a view, on average")
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    faces = Training(stored_faces.every(chosen.data, chosen.work)[0], heldout.split(chosen.data, chosen.work)[0])
    print(f"{len(faces):,} faces", flush=True)
    teacher, folder = Teacher(chosen.teacher), chosen.work / "encoder" / "views"
    folder.mkdir(parents=True, exist_ok=True)
    first = max(numbers(folder), default=-1) + 1
    for number in range(first, first + chosen.shards):
        while not needed(folder, number, chosen.reuse):
            time.sleep(2)
        make(faces, teacher, folder, number)
        for old in numbers(folder)[:-KEPT]:
            for name in ("sface", "faces"):
                (folder / f"{old:05}.{name}.npy").unlink()
        print(f"\rshard {number} made", end="", flush=True)


if __name__ == "__main__":
    main()
