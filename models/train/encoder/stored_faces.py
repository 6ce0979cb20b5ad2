"""The aligned training faces: those of the data folder, and those that `encoder/more_faces.py` adds.

`load(data, work)` decodes the five tars once into one uint8 array (stored under --work as `faces.npy`)
and returns it with the teacher's embeddings; `every(data, work)` returns all sets, added ones last.
`python -m encoder.stored_faces --data DATA` only decodes, and prints the sets.
"""

import argparse
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SETS = ("utk", "celeb", "vote", "mask", "mask2")
ADDED = ("aaf", "dsca", "pretrain", "cutouts", "council", "omi")
SIDE = 120  # as stored: 112 and a margin of 4 on each side


def decode(tar_path):
    """Every face of one tar in the order of its file names, N x 120 x 120 x 3, RGB."""
    with tarfile.open(tar_path) as tar:
        members = sorted((m for m in tar.getmembers() if m.name.endswith(".webp")), key=lambda m: m.name)
        return np.stack([np.asarray(Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB")) for m in members])


def load(data, work):
    """Faces (a memory map), the teacher's embeddings of their centres (unit length), and the index of each face's set."""
    data, cache = Path(data) / "faces", Path(work) / "encoder" / "faces.npy"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        faces = np.concatenate([decode(data / f"{name}.tar") for name in SETS])
        partial = cache.with_suffix(".partial.npy")
        np.save(partial, faces)
        partial.rename(cache)
    teacher = [np.load(data / f"{name}.sface.npy").astype(np.float32) for name in SETS]
    source = np.repeat(np.arange(len(SETS)), [len(t) for t in teacher])
    faces = np.load(cache, mmap_mode="r")
    assert faces.shape == (len(source), SIDE, SIDE, 3), f"{cache} is stale: delete it"
    return faces, np.concatenate(teacher), source


def added(work):
    """Names of the added sets that are complete, and their folder."""
    folder = Path(work) / "encoder" / "more"
    return [name for name in ADDED if (folder / f"{name}.sface.npy").exists()], folder


def embeddings(data, work):
    """The teacher's embeddings of every set that is complete."""
    names, folder = added(work)
    paths = [Path(data) / "faces" / f"{name}.sface.npy" for name in SETS] + [folder / f"{name}.sface.npy" for name in names]
    return np.concatenate([np.load(path).astype(np.float32) for path in paths])


class Every:
    """Faces of several arrays, indexed as one."""

    def __init__(self, parts):
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])

    def __len__(self):
        return int(self.ends[-1])

    def __getitem__(self, at):
        part = int(np.searchsorted(self.ends, at, "right"))
        return self.parts[part][at - self.ends[part] + len(self.parts[part])]


def every(data, work):
    """As `load`, for all sets; the third value holds each face's set by name."""
    faces, teacher, source = load(data, work)
    names, folder = added(work)
    parts = [faces] + [np.memmap(folder / f"{name}.faces", np.uint8, "r").reshape(-1, SIDE, SIDE, 3) for name in names]
    teacher = [teacher] + [np.load(folder / f"{name}.sface.npy") for name in names]
    assert all(len(a) == len(b) for a, b in zip(parts, teacher))
    sets = np.concatenate([np.array(SETS)[source]] + [np.full(len(t), name) for name, t in zip(names, teacher[1:])])
    return Every(parts), np.concatenate(teacher), sets


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    chosen = arguments.parse_args()
    faces, teacher, sets = every(chosen.data, chosen.work)
    print(len(faces), teacher.shape, dict(zip(*(part.tolist() for part in np.unique(sets, return_counts=True)))))
