"""Views: faces changed so much that the teacher has to look again, and what it says of them.

    python encoder_views.py --data DATA --teacher SFACE.onnx --mirror     (once: the embeddings of all mirror images)
    python encoder_views.py --data DATA --teacher SFACE.onnx              (endless, beside the training; --shards N to stop)

Each shard under --work/encoder/views holds 1,024 views with the teacher's embeddings and comes from its number as the seed: turned,
squeezed as when the head turns, blurred, dark, grey, noisy, compressed, occluded, masked faces, and faces mixed of two, which are people whom
nobody photographed. `Pool` gives the training its batches of stored faces and views.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import cfp_faces
import encoder_faces
import encoder_teacher

SHARD = 1024
SIDE = 112
FIRST_TURNED, TURNING = 1000, 0.75  # shards from this number on hold mostly turned heads


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


def depth(x, y):
    """How far the face stands out at a place relative to its middle, in pixels: a rounded head with a nose."""
    radius = 50 * np.sqrt(np.clip(1 - ((y - 6) / 80) ** 2, 0.2, 1))
    head = 0.95 * radius * np.sqrt(np.clip(1 - (x / radius) ** 2, 0, 1))
    return head + 13 * np.clip((y + 8) / 24, 0, 1) * np.exp(-(x / 6.5) ** 2 / 2 - (np.clip(y - 15, 0, None) / 4) ** 2 / 2)


def turn(face, yaw, pitch):
    """The face as seen when the head is turned to the right by `yaw` (0 to 75 degrees) and up or down, aligned anew as a detector's landmarks would align it.

    No photograph of a profile comes out, but the far half goes out of sight, the nose stands out, and the near half grows."""
    centre, half = face.shape[1] / 2, 66
    x = np.arange(-half, half + 1.0)
    source = np.empty((2 * half + 1, 2 * half + 1), np.float32)
    rows = np.arange(-half, half + 1.0)
    for at, y in enumerate(rows):
        seen = np.maximum.accumulate(x * np.cos(yaw) + depth(x, y) * np.sin(yaw)) + 1e-4 * np.arange(len(x))
        source[at] = np.interp(x + 30 * np.sin(yaw), seen, x)
    lifted = rows[:, None] * np.cos(pitch) + (depth(source, rows[:, None]) - 45) * np.sin(pitch)
    turned = cv2.remap(face, source + np.float32(centre), (rows[:, None] * 2 - lifted + centre).astype(np.float32),
                       cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    points = cfp_faces.TEMPLATE - 56
    out = depth(points[:, 0], points[:, 1])
    moved = np.stack([points[:, 0] * np.cos(yaw) + (out - 30) * np.sin(yaw),
                      points[:, 1] * np.cos(pitch) + (out - 45) * np.sin(pitch)], 1)
    return turned, cfp_faces.similarity(moved + half)


def mix(a, b, rng):
    """One face of two: blended, or halves with a soft seam."""
    kind = rng.integers(4)
    if kind < 2:
        part = rng.uniform(0.3, 0.7)
    else:
        at = rng.uniform(0.4, 0.6) * SIDE if kind == 2 else rng.uniform(0.45, 0.72) * SIDE
        ramp = 1 / (1 + np.exp(-(np.arange(SIDE) - at) / rng.uniform(1, 5)))
        part = ramp[None, :, None] if kind == 2 else ramp[:, None, None]
    return (a * (1 - part) + b * part).astype(np.uint8)


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


def view(faces, rng, turning):
    """One view of one face, or of two mixed; `turning` is the share of turned heads."""
    def one():
        face = faces[rng.integers(len(faces))]
        return face[:, ::-1] if rng.random() < 0.5 else face

    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    if rng.random() < turning:
        face, matrix = turn(np.ascontiguousarray(one()), rng.uniform(15, 75) * np.pi / 180, rng.normal(0, 8) * np.pi / 180)
        small = np.exp(rng.normal(0, 0.05))
        matrix = np.hstack([matrix[:, :2] * small, (matrix[:, 2:] - 56) * small + 56 + rng.normal(0, 2, (2, 1))])
        face = cv2.warpAffine(face, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=border)
        face = np.ascontiguousarray(face[:, ::-1]) if rng.random() < 0.5 else face
    elif rng.random() < 0.35:
        face = place(mix(one()[4:-4, 4:-4], one()[4:-4, 4:-4], rng), warp(rng), cv2.BORDER_REPLICATE)
    else:
        face = place(np.ascontiguousarray(one()), warp(rng), border)
    if rng.random() < 0.7:
        face = shade(face, rng)
    if rng.random() < 0.2:
        face = cover(face, rng)
    return spoil(face, rng)


class Teacher:
    """SFace compiled by PyTorch in bf16: 109 faces a second on one core, where OpenCV has 67 and onnxruntime 51."""

    BATCH = 128  # compiled for this many

    def __init__(self, path):
        network = encoder_teacher.in_bf16(encoder_teacher.read(str(path)))
        self.scaling = network[0]
        self.rest = torch.compile(network[1:], options={"freezing": True})

    @torch.no_grad()
    def __call__(self, faces):
        """Unit embeddings of uint8 faces, N x 112 x 112 x 3."""
        parts = []
        for start in range(0, len(faces), self.BATCH):
            part = torch.from_numpy(np.ascontiguousarray(faces[start:start + self.BATCH])).permute(0, 3, 1, 2)
            full = torch.zeros((self.BATCH, 3, SIDE, SIDE), dtype=torch.bfloat16).to(memory_format=torch.channels_last)
            full[:len(part)] = self.scaling(part.float())
            parts.append(torch.nn.functional.normalize(self.rest(full).float(), dim=1)[:len(part)])
        return torch.cat(parts).numpy().astype(np.float16)


def mirror(faces, teacher, work):
    """The embeddings of all mirror images, kept every 2,048 faces so that the command can be given again."""
    path = Path(work) / "encoder" / "mirror.npy"
    done = np.load(path) if path.exists() else np.zeros((0, 128), np.float16)
    while len(done) < len(faces):
        done = np.concatenate([done, teacher(faces[len(done):len(done) + 2048, 4:-4, 4:-4][:, :, ::-1])])
        np.save(path.with_suffix(".partial.npy"), done)
        path.with_suffix(".partial.npy").rename(path)
        print(f"\r{len(done):,} of {len(faces):,} mirror images", end="", flush=True)


def make(faces, teacher, folder, number):
    """One shard."""
    rng = np.random.default_rng(number)
    views = np.stack([view(faces, rng, TURNING if number >= FIRST_TURNED else 0.0) for _ in range(SHARD)])
    np.save(folder / f"{number:05}.faces.npy", views)
    partial = folder / f"{number:05}.partial.npy"
    np.save(partial, teacher(views))
    partial.rename(folder / f"{number:05}.sface.npy")


class Pool:
    """Batches for the training, views at most `share` of each: as many as keep a view from being seen much oftener than a face."""

    def __init__(self, faces, teacher, work, share, seed):
        self.faces, self.teacher, self.share = faces, teacher, share
        self.folder, self.rng = Path(work) / "encoder", np.random.default_rng(seed)
        self.shards, self.order, self.views_seen = {}, np.zeros(0, int), 0
        self.mirrored, self.looked = np.zeros((0, 128), np.float32), 0.0

    def look(self):
        """Takes in what has been made since."""
        if time.time() - self.looked < 30:
            return
        self.looked = time.time()
        if len(self.mirrored) < len(self.faces) and (self.folder / "mirror.npy").exists():
            self.mirrored = np.load(self.folder / "mirror.npy").astype(np.float32)
        for path in sorted((self.folder / "views").glob("*.sface.npy")):
            if path not in self.shards:
                pixels = np.load(path.with_name(path.name.replace("sface", "faces")), mmap_mode="r")
                self.shards[path] = pixels, np.load(path).astype(np.float32)

    def batch(self, size):
        """Faces as the network takes them, and what the teacher says of them."""
        self.look()
        kept = SHARD * len(self.shards)
        many = int(size * self.share * min(1.0, kept / 40_000)) if self.share else 0
        self.views_seen += many
        pixels, targets = np.empty((size, SIDE, SIDE, 3), np.uint8), np.empty((size, 128), np.float32)
        turned = [shard for path, shard in self.shards.items() if int(path.name[:5]) >= FIRST_TURNED]
        shards = list(self.shards.values()) + turned  # turned heads twice as often
        for row in range(many):
            views, said = shards[self.rng.integers(len(shards))]
            at = self.rng.integers(SHARD)
            pixels[row], targets[row] = views[at], said[at]
        for row in range(many, size):
            pixels[row], targets[row] = self.stored()
        return self.ready(pixels), torch.from_numpy(targets)

    def stored(self):
        """A stored face, in an epoch's order, mirrored half of the time, moved a little."""
        if not len(self.order):
            self.order = self.rng.permutation(len(self.faces))
        at, self.order = self.order[-1], self.order[:-1]
        dx, dy = np.clip(np.round(self.rng.normal(4, 1.3, 2)), 0, 8).astype(int)
        face = self.faces[at, dy:dy + SIDE, dx:dx + SIDE]
        if self.rng.random() < 0.5:
            return face[:, ::-1], self.mirrored[at] if at < len(self.mirrored) else self.teacher[at]
        return face, self.teacher[at]

    def ready(self, pixels):
        """To floats, each face a little brighter or darker."""
        size = len(pixels)
        gain = torch.from_numpy(self.rng.uniform(0.85, 1.15, (size, 1, 1, 1)).astype(np.float32)) / 128
        shift = torch.from_numpy(self.rng.uniform(-0.1, 0.1, (size, 1, 1, 1)).astype(np.float32))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().sub_(127.5).mul_(gain).add_(shift)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--teacher", required=True, type=Path)
    arguments.add_argument("--work", default=Path("../train"), type=Path)
    arguments.add_argument("--mirror", action="store_true")
    arguments.add_argument("--first", default=0, type=int, help=f"number of the first shard; {FIRST_TURNED} and up for turned heads")
    arguments.add_argument("--shards", default=36, type=int)
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    faces, _, _ = encoder_faces.load(chosen.data, chosen.work)
    teacher, folder = Teacher(chosen.teacher), chosen.work / "encoder" / "views"
    folder.mkdir(parents=True, exist_ok=True)
    if chosen.mirror:
        mirror(faces, teacher, chosen.work)
        return
    for number in range(chosen.first, chosen.first + chosen.shards):
        if not (folder / f"{number:05}.sface.npy").exists():
            make(faces, teacher, folder, number)
            print(f"\rshard {number} made", end="", flush=True)


if __name__ == "__main__":
    main()
