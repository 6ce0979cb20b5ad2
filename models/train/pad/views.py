"""Makes what the network trains on: crops of live photos, of attacks, and of simulated attacks, each as another camera sees it.

    python -m pad.views [--rounds 12] [--size 10000] [--work DIR]

Each view is drawn by kind (KINDS), then set, then group, so that neither large sets nor long videos dominate, and each set's live photos
give simulated attacks as well. Kept: --work/pad/views/NNN.npy and NNN.npz, a round each, and evaluation.npy, the unchanged crops of the
photos that choose and measure. Rounds that exist are kept; a training reads those that are there. A view takes about 10 ms.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from pad import data
from pad.crops import crops
from pad.network import GIVEN
from pad.recapture import captured, printed, screen
from pad.teachers import read

ORDINARY, REAL = ("utk", "aaf", "vote"), ("replay", "casia", "tutorial")
# (sets, class of the source, simulated attack): share of views
KINDS = {
    (("replay",), "live", False): 0.13, (("replay",), "attack", False): 0.14, (("casia",), "live", False): 0.13, (("casia",), "attack", False): 0.13,
    (("tutorial",), "live", False): 0.06, (("tutorial",), "attack", False): 0.06, (ORDINARY, "live", False): 0.14, (ORDINARY, "live", True): 0.13,
    (REAL, "live", True): 0.08,
}
CHANGED = 0.6  # share of views that `captured` changes
LARGEST_BOX, REACH = (95, 240), 3.4


def family(photo):
    return photo.set.split()[0]


def scene(photo, rng):
    """The surroundings of the face in RGB, no larger than the network can use, and the box in it."""
    pixels, (x, y, w, h) = read(photo.path), photo.box
    height, width = pixels.shape[:2]
    left, top = max(0, int(x + w / 2 - REACH * w / 2)), max(0, int(y + h / 2 - REACH * h / 2))
    right, bottom = min(width, int(x + w / 2 + REACH * w / 2)), min(height, int(y + h / 2 + REACH * h / 2))
    pixels, x, y = pixels[top:bottom, left:right], x - left, y - top
    scale = np.exp(rng.uniform(*np.log(LARGEST_BOX))) / max(w, h)
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x, y, w, h = (value * scale for value in (x, y, w, h))
    return np.ascontiguousarray(pixels), (x, y, w, h)


def jittered(box, rng):
    """The box as another detector might place it."""
    x, y, w, h = box
    scale = np.exp(rng.normal(0, 0.05, 2)) * [w, h]
    middle = np.array([x + w / 2, y + h / 2]) + rng.normal(0, 0.03, 2) * [w, h]
    return (*(middle - scale / 2), *scale)


class Pool:
    """Draws photos by kind, set and group."""

    def __init__(self, photos):
        tree = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for row, photo in enumerate(photos):
            if photo.split == "train" and photo.box is not None:
                group = photo.instrument if photo.attack else photo.group
                tree[family(photo), photo.attack][photo.set][group].append(row)
        self.tree = {kind: [list(groups.values()) for groups in sets.values()] for kind, sets in tree.items()}

    def draw(self, families, attack, rng):
        sets = self.tree[families[rng.integers(len(families))], attack]
        groups = sets[rng.integers(len(sets))]
        group = groups[rng.integers(len(groups))]
        return group[rng.integers(len(group))]


def view(photos, pool, rng):
    """One view: the crops, the row of its photo, whether it is an attack, and whether that is simulated."""
    families, source, simulated = list(KINDS)[rng.choice(len(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values()))]
    row = pool.draw(families, source == "attack", rng)
    pixels, box = scene(photos[row], rng)
    if simulated:
        other, _ = scene(photos[pool.draw(ORDINARY, False, rng)], rng)
        pixels = (screen if rng.random() < 0.55 else printed)(pixels, box, rng, other)
    if rng.random() < CHANGED:
        pixels = captured(pixels, rng)
    if rng.random() < 0.5:
        pixels, box = pixels[:, ::-1], (pixels.shape[1] - box[0] - box[2], *box[1:])
    return crops(np.ascontiguousarray(pixels), jittered(box, rng), GIVEN), row, simulated or source == "attack", simulated


def judged(photo):
    """Whether the unchanged photo chooses or measures."""
    return photo.split != "train" and photo.box is not None


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rounds", type=int, default=12)
    ask.add_argument("--size", type=int, default=10000)
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    cv2.setNumThreads(1)
    folder = args.work / "pad" / "views"
    folder.mkdir(parents=True, exist_ok=True)
    photos = data.read(args.work)
    pool = Pool(photos)
    for number in range(args.rounds):
        target = folder / f"{number:03}.npy"
        if not target.exists():
            rng = np.random.default_rng(number)
            cut, *told = zip(*(view(photos, pool, rng) for _ in range(args.size)))
            np.savez(target.with_suffix(".npz"), **dict(zip(("row", "attack", "simulated"), map(np.array, told))))
            np.save(target.with_suffix(".partial.npy"), np.stack(cut))
            target.with_suffix(".partial.npy").rename(target)
            print(target, flush=True)
        if number == 0 and not (folder / "evaluation.npy").exists():
            rows = [row for row, photo in enumerate(photos) if judged(photo)]
            np.savez(folder / "evaluation.npz", row=rows)
            np.save(folder / "evaluation.npy", np.stack([crops(read(photos[row].path), photos[row].box, GIVEN) for row in rows]))


if __name__ == "__main__":
    main()
