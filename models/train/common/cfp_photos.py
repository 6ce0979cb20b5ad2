"""CFP's photos, protocol, and faces aligned by OpenCV for validation during training.

`protocol(cfp)` reads the photo lists and the 2 x 10 folds of pairs; `aligned(...)` finds the prominent
face of each photo with YuNet, aligns it to 112 x 112 and caches all faces under --work. The figures of
the model card come from `evaluation/cfp.py` and the shipped binary instead.
`python -m common.cfp_photos --cfp CFP --detector YUNET.onnx` fills the cache and prints how people are
distributed over the folds.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common.alignment import align, detect

FOLDS = 10
CHOOSING, REPORTING = range(1, 6), range(6, 11)


@dataclass
class Protocol:
    photos: list[Path]  # frontal ones first
    person: np.ndarray  # of each photo, 1..500
    frontal: np.ndarray  # bool
    pairs: dict  # (kind "FF" or "FP", fold 1..10) -> (first, second, same), indices of photos

    def people(self, kind, folds):
        """The people who appear in any pair of these folds."""
        indices = np.concatenate([np.concatenate(self.pairs[kind, fold][:2]) for fold in folds])
        return np.unique(self.person[indices])


def protocol(cfp):
    """Reads CFP's lists. They say ../Data/Images/NNN, the photos lie in Images/train/NNN or Images/test/NNN."""
    root = Path(cfp) / "cfp-dataset" if (Path(cfp) / "cfp-dataset").exists() else Path(cfp)
    folder = {path.name: path for split in ("train", "test") for path in (root / "Data" / "Images" / split).iterdir()}
    photos, number = [], {}
    for kind in "FP":
        for line in (root / "Protocol" / f"Pair_list_{kind}.txt").read_text().split("\n"):
            if line.strip():
                index, path = line.split()
                person, view, name = path.split("/")[-3:]
                number[kind, int(index)] = len(photos)
                photos.append(folder[person] / view / name)
    pairs = {}
    for kind in ("FF", "FP"):
        for fold in range(1, FOLDS + 1):
            first, second, same = [], [], []
            for name, truth in (("same", True), ("diff", False)):
                for line in (root / "Protocol" / "Split" / kind / f"{fold:02}" / f"{name}.txt").read_text().split():
                    a, b = line.split(",")
                    first.append(number[kind[0], int(a)])
                    second.append(number[kind[1], int(b)])
                    same.append(truth)
            pairs[kind, fold] = np.array(first), np.array(second), np.array(same)
    person = np.array([int(photo.parent.parent.name) for photo in photos])
    return Protocol(photos, person, np.array([photo.parent.name == "frontal" for photo in photos]), pairs)


def aligned(cfp, detector, work):
    """The protocol, every photo's face (N x 112 x 112 x 3, zeros where none was found) and which were found."""
    cache, listed = Path(work) / "encoder" / "cfp.npz", protocol(cfp)
    if not cache.exists():
        yunet = cv2.FaceDetectorYN.create(str(detector), "", (320, 320), 0.6, 0.3)
        photos = [cv2.imread(str(photo)) for photo in listed.photos]
        rows = [detect(photo, yunet) for photo in photos]
        faces = [row if row is None else align(photo, row) for photo, row in zip(photos, rows)]
        blank = np.zeros((112, 112, 3), np.uint8)
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, faces=np.stack([blank if face is None else face for face in faces]),
                 found=np.array([face is not None for face in faces]))
    kept = np.load(cache)
    return listed, kept["faces"], kept["found"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cfp", required=True, type=Path)
    arguments.add_argument("--detector", required=True, type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    chosen = arguments.parse_args()
    listed, faces, found = aligned(chosen.cfp, chosen.detector, chosen.work)
    print(f"{len(faces)} photos, no face in {np.sum(~found & listed.frontal)} frontal, {np.sum(~found & ~listed.frontal)} profile")
    for kind in ("FF", "FP"):
        people = [set(listed.people(kind, [fold])) for fold in range(1, FOLDS + 1)]
        shared = sum(len(a & b) for i, a in enumerate(people) for b in people[:i])
        print(f"{kind}: people a fold {[len(p) for p in people]}, shared between two folds: {shared}")
    choosing, reporting = (set(listed.people("FF", f)) | set(listed.people("FP", f)) for f in (CHOOSING, REPORTING))
    print(f"folds 1-5: {len(choosing)} people, folds 6-10: {len(reporting)}, in both: {len(choosing & reporting)}")


if __name__ == "__main__":
    main()
