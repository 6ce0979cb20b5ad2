"""Stores the detector's training photos and labels in two files that the training maps into memory.

    python -m detector.data --data DIR [--more DIR] [--teacher YUNET.onnx]

DIR/scenes has photos with the teacher's boxes and landmarks. --more is a folder with further photos
(the public repositories that the data folder's README names, each unpacked under the last part of its
name), which the teacher labels here. Written to WORK/detector: photos.u8 (all pixels, RGB, one photo
after the other) and photos.npz.
"""
import argparse
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np

from detector.network import overlap

# A face that the teacher is unsure of is neither asked for nor forbidden.
SURE, UNSURE = 0.7, 0.3
# The landmarks of a mirrored face, in the order of an unmirrored one's.
MIRRORED = [2, 3, 0, 1, 4, 5, 8, 9, 6, 7]
KINDS = ["portrait", "loose", "tight", "mask", "pet"]


class Teacher:
    """YuNet at 1.6 times the photo's size, as the labels of the scenes were made."""

    def __init__(self, path):
        self.net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), UNSURE, 0.3)

    def label(self, photo, enlarge=1.6):
        big = cv2.resize(photo, None, fx=enlarge, fy=enlarge) if enlarge != 1 else photo
        self.net.setInputSize((big.shape[1], big.shape[0]))
        found = self.net.detect(big)[1]
        if found is None:
            return np.zeros((0, 15), np.float32)
        found[:, :14] /= [big.shape[1] / photo.shape[1], big.shape[0] / photo.shape[0]] * 7
        return found.astype(np.float32)

    def steadied(self, photo, faces, rng):
        """The same faces, box and landmarks the mean of six looks at each: moved by a few pixels, one look's landmarks differ by 5.7 % of the eye distance from another's."""
        faces = faces.copy()
        for face in faces:
            side = np.sqrt(face[2] * face[3])
            if face[14] < SURE or side < 12:
                continue
            looks = [self.look(photo, face, 200 * size / side, mirrored, rng) for size in (0.8, 1.0, 1.25) for mirrored in (False, True)]
            looks = [look for look in looks if look is not None]
            if len(looks) >= 3:
                face[:14] = np.mean(looks, 0)
        return faces

    def look(self, photo, face, scale, mirrored, rng):
        """The face as it is seen in a window around it, enlarged by `scale`; nothing where another face or none is seen."""
        reach = 1.2 * np.sqrt(face[2] * face[3])
        corner = face[:2] + face[2:4] / 2 - reach - rng.uniform(0, 24, 2) / scale
        m = np.float32([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
        side = int(2 * reach * scale + 24)
        if mirrored:
            m[0] = -m[0] + (0, 0, side - 1)
        window = cv2.warpAffine(photo, m, (side, side), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        seen = self.label(window, 1.0)
        if len(seen) == 0:
            return None
        best = seen[seen[:, 14].argmax()]
        low, high = best[:2], best[:2] + best[2:4]
        if mirrored:
            low[0], high[0] = side - 1 - high[0], side - 1 - low[0]
            best[4:14:2] = side - 1 - best[4:14:2]
            best[4:14] = best[4:14][MIRRORED]
        box = np.r_[low / scale + corner, (high - low) / scale]
        return np.r_[box, best[4:14] / scale + np.tile(corner, 5)] if overlap(box, face) > 0.5 else None


def fit(photo, side):
    """The photo, shrunk so that its longer side is at most `side`."""
    scale = side / max(photo.shape[:2])
    if scale >= 1:
        return photo
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def scenes(folder):
    """Yields (photo BGR, kind, faces n x 15) of the labelled scenes."""
    labels = {}
    for line in (folder / "labels.jsonl").open():
        label = json.loads(line)
        labels[label["file"]] = label
    with tarfile.open(folder / "photos.tar") as tar:
        for member in tar:
            label = labels.get(member.name.split("/")[-1])
            if label is None:
                continue
            photo = cv2.imdecode(np.frombuffer(tar.extractfile(member).read(), np.uint8), cv2.IMREAD_COLOR)
            faces = [f["box"] + sum(f["landmarks"], []) + [f["score"]] for f in label["faces"]]
            yield photo, label["kind"], np.array(faces, np.float32).reshape(-1, 15)


def turned(face):
    """How far the nose lies from the middle of the eyes, in eye distances: 0 from the front, 0.5 and more in profile."""
    right, left, nose = face[4:6], face[6:8], face[8:10]
    along = (left - right) / max(np.hypot(*(left - right)), 1e-3) ** 2
    return abs((nose - (left + right) / 2) @ along)


def rarity(turn):
    """How much more often heads turned so far should come: photographs of them are scarce. Of one or of many."""
    return 1 + 2 * (turn > 0.25) + 4 * (turn > 0.35) + 8 * (turn > 0.5)


def loose(folder, teacher, rng):
    """Loose photos with mostly one face: all in profile or with more people, and as many others."""
    kept, others = [], []
    files = sorted(folder.rglob("*.jpg"))
    for i, path in enumerate(files):
        print(f"\r{folder.name} {i + 1}/{len(files)}", end="")
        photo = cv2.imread(str(path))
        if photo is None or max(photo.shape[:2]) < 100:
            continue
        photo = fit(photo, 352)
        faces = teacher.label(photo)
        if len(faces) == 0 or faces[:, 14].max() < SURE:
            continue
        rare = turned(faces[faces[:, 14].argmax()]) > 0.35 or (faces[:, 14] > SURE).sum() > 2
        (kept if rare else others).append((photo, "loose", faces))
    print()
    for i in rng.permutation(len(others))[: max(2500, len(kept))]:
        kept.append(others[i])
    yield from kept


def masks(folder, teacher):
    """Half bodies and crowds, many with masks; photos too small to tell anything are left out."""
    for path in sorted(folder.rglob("*.jpg")):
        photo = cv2.imread(str(path))
        if photo is None or max(photo.shape[:2]) < 300:
            continue
        photo = fit(photo, 640)
        faces = teacher.label(photo, 1.0 if max(photo.shape[:2]) > 500 else 1.6)
        scale = min(1, 480 / max(photo.shape[:2]))
        faces[:, :14] *= scale
        if len(faces):
            yield fit(photo, 480), "mask", faces


def pets(folder, known):
    """Photos without a person. Those where a detector was sure of a face were looked at one by one; what shows a person stands in a list and is left out."""
    people = set((Path(__file__).parent / "pets_with_people.txt").read_text().split("\n"))
    files = sorted(folder.rglob("*.jpg"))
    for i, path in enumerate(files):
        print(f"\rpets {i + 1}/{len(files)}", end="")
        photo = cv2.imread(str(path))
        if str(path.relative_to(folder)) in people or photo is None or max(photo.shape[:2]) < 150:
            continue
        # The scenes hold some of these photos, and those are for validation; some come twice.
        if (np.abs(known - fingerprint(photo)).mean(1) < 6).any():
            continue
        known = np.r_[known, fingerprint(photo)[None]]
        yield fit(photo, 360), "pet", np.zeros((0, 15), np.float32)
    print()


def fingerprint(photo):
    return cv2.resize(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), (12, 12), interpolation=cv2.INTER_AREA).reshape(-1).astype(np.float32)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--more", type=Path)
    ask.add_argument("--teacher", type=Path, default=Path(__file__).parent / "../../yunet.onnx")
    args = ask.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    out = args.work / "detector"
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(args.teacher)

    shapes, kinds, starts, origin, faces, known = [], [], [], [], [], []
    end = 0
    with (out / "photos.part").open("wb") as pixels:
        def keep(photo, kind, found, source):
            nonlocal end
            shapes.append(photo.shape[:2]); kinds.append(KINDS.index(kind)); origin.append(source); starts.append(end)
            faces.append(np.c_[np.full(len(found), len(starts) - 1), found])
            pixels.write(np.ascontiguousarray(photo[:, :, ::-1]).tobytes())
            end += photo.size

        for photo, kind, found in scenes(args.data / "scenes"):
            keep(photo, kind, found, 0)
            if kind == "pet":
                known.append(fingerprint(photo))
        if args.more:
            for name in ("validation", "AgeProgression"):
                if (args.more / name).is_dir():
                    for photo, kind, found in loose(args.more / name, teacher, rng):
                        keep(photo, kind, found, 1)
            if (args.more / "Face-Mask-Detection").is_dir():
                for photo, kind, found in masks(args.more / "Face-Mask-Detection", teacher):
                    keep(photo, kind, found, 1)
            if (args.more / "Image-classification-using-CNN").is_dir():
                for photo, kind, found in pets(args.more / "Image-classification-using-CNN", np.array(known)):
                    keep(photo, kind, found, 1)
    (out / "photos.part").replace(out / "photos.u8")
    np.savez(out / "photos.npz", shape=np.array(shapes), start=np.array(starts), kind=np.array(kinds), added=np.array(origin),
             faces=np.concatenate(faces).astype(np.float32))
    print("photos", len(shapes), {k: kinds.count(i) for i, k in enumerate(KINDS)}, "faces", sum(map(len, faces)), f"{end / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
