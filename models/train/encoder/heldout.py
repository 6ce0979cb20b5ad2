"""Selects a tenth of the people of each set to hold out of training, for measuring false matches.

    python -m encoder.heldout --data DATA      prints how many faces and people of each set are held out

No names are known, so a person is a cluster by the teacher: a face belongs to the first earlier cluster
whose first face it resembles (cosine of at least 0.5), or begins one. A cluster is held out if the
checksum of its first face's set and file name is divisible by 10. Faces of other clusters that
resemble a held-out face (within UTKFace at least 0.6, because the teacher confuses small children) are
used for neither, so no held-out person takes part in training. The list depends on the stored
embeddings only; a set that is added later changes no earlier cluster.
"""

import argparse
import csv
import zlib
from pathlib import Path

import numpy as np

from encoder import stored_faces

SAME_PERSON, SAME_IN_UTK, EVERY = 0.5, 0.6, 10
BLOCK = 1024


def names(data, work):
    """The set and file name of each face, in the order of `stored_faces.every`."""
    for name in stored_faces.SETS:
        for row in csv.DictReader((Path(data) / "faces" / f"{name}.csv").open()):
            yield f"{name}/{int(row['index']):06}.webp"
    added, folder = stored_faces.added(work)
    for name in added:
        for row in csv.DictReader((folder / f"{name}.csv").open()):
            yield f"{name}/{row['file']}"


def clusters(embeddings):
    """The index of the first face of each face's cluster."""
    first, leaders, count = np.empty(len(embeddings), int), np.empty_like(embeddings), 0
    index = np.empty(len(embeddings), int)
    for start in range(0, len(embeddings), BLOCK):
        block = embeddings[start:start + BLOCK]
        alike = block @ leaders[:count].T >= SAME_PERSON
        earlier = np.where(alike.any(1), alike.argmax(1), -1) if count else np.full(len(block), -1)
        within = block @ block.T >= SAME_PERSON
        fresh = []  # rows of this block that began a cluster
        for row in range(len(block)):
            if earlier[row] >= 0:
                first[start + row] = index[earlier[row]]
                continue
            hit = next((other for other in fresh if within[row, other]), None)
            if hit is None:
                fresh.append(row)
                leaders[count], index[count] = block[row], start + row
                count += 1
            first[start + row] = start + (row if hit is None else hit)
    return first


def split(data, work):
    """Which faces of `stored_faces.every` are for training, which are held out, and the cluster of each."""
    embeddings = stored_faces.embeddings(data, work)
    cache = Path(work) / "encoder" / "heldout.npz"
    if cache.exists() and len((kept := np.load(cache))["held"]) == len(embeddings):
        return kept["training"], kept["held"], kept["cluster"]
    cluster = clusters(embeddings)
    listed = list(names(data, work))
    chosen = np.array([zlib.crc32(name.encode()) % EVERY == 0 for name in listed])
    utk = np.array([name.startswith("utk/") for name in listed])
    assert len(chosen) == len(cluster)
    held = chosen[cluster]
    training = ~held
    for start in range(0, len(embeddings), BLOCK):
        rows = slice(start, start + BLOCK)
        limit = np.where(utk[rows, None] & utk[held], SAME_IN_UTK, SAME_PERSON)
        training[rows] &= (embeddings[rows] @ embeddings[held].T < limit).all(1)
    np.savez(cache.with_suffix(".partial.npz"), training=training, held=held, cluster=cluster)
    cache.with_suffix(".partial.npz").rename(cache)
    return training, held, cluster


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    chosen = arguments.parse_args()
    training, held, cluster = split(chosen.data, chosen.work)
    sets = np.array([name.split("/")[0] for name in names(chosen.data, chosen.work)])
    print("| set | faces | people | held out: faces | people | used for neither |\n| --- | --- | --- | --- | --- | --- |")
    for name in [*dict.fromkeys(sets), "all"]:
        of = (sets == name) | (name == "all")
        print(f"| {name} | {of.sum():,} | {len(np.unique(cluster[of])):,} | {(of & held).sum():,} | {len(np.unique(cluster[of & held])):,} "
              f"| {(of & ~held & ~training).sum():,} |")
    print(f"checksum of the list: {zlib.crc32(np.packbits(held).tobytes()):08x}")


if __name__ == "__main__":
    main()
