"""The aligned training faces and the views made of them.

`load(data, work)` decodes the five tars once into one uint8 array (kept under --work as `faces.npy`) and returns it with the
teacher's embeddings. Run alone (`python encoder_faces.py --data DATA`) it only decodes and prints what is there.
"""

import argparse
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SETS = ("utk", "celeb", "vote", "mask", "mask2")
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


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--work", default=Path("../train"), type=Path)
    chosen = arguments.parse_args()
    faces, teacher, source = load(chosen.data, chosen.work)
    print(faces.shape, teacher.shape, dict(zip(SETS, np.bincount(source).tolist())))
