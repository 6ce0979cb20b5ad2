"""What a detector finds: on CFP, on pets, against the teacher, at which score.

    python detector_check.py MODEL.onnx --cfp DIR [--work DIR]

The people of CFP's folds 1-5 choose the score, those of folds 6-10 report. A photo counts as right where exactly one face is there: nothing found at 320 pixels is looked at
again at 640, and a second face counts where its prominence is at least 0.6 of the first's, as the service does. Faces found are compared with the teacher's.
"""
import argparse
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from detector import decode, fitted, network_input
from detector_data import Teacher
from detector_scenes import Photos


def fold_people(cfp):
    """CFP's 500 people in the folds' order: fifty a fold, by the pairs lists."""
    people = []
    for fold in range(1, 11):
        numbers = set()
        for kind in ("same", "diff"):
            for line in (cfp / f"Protocol/Split/FF/{fold:02}/{kind}.txt").read_text().split():
                numbers |= {int(n) for n in line.split(",")}
        people.append(numbers)
    names = [line.split()[1] for line in (cfp / "Protocol/Pair_list_F.txt").read_text().splitlines()]
    return [{Path(names[n - 1]).parts[-3] for n in numbers} for numbers in people]


class Runner:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options)

    def find(self, rgb, size, least):
        square, scale = fitted(rgb, size)
        faces = decode(self.session.run(None, {self.session.get_inputs()[0].name: network_input(square)}), size, least)
        faces[:, :14] /= scale
        return faces


def prominence(faces, width, height):
    centre = faces[:, :2] + faces[:, 2:4] / 2
    far = np.hypot(centre[:, 0] - width / 2, centre[:, 1] - height / 2) / (np.hypot(width, height) / 2)
    return faces[:, 2] * faces[:, 3] * (1 - 0.75 * np.clip(far, 0, 1))


def verdict(first, second, score, shape):
    """'one', 'none' or 'several', and the face, for what was found at 320 and at 640."""
    faces = first[first[:, 14] >= score]
    if len(faces) == 0:
        faces = second[second[:, 14] >= score]
    if len(faces) == 0:
        return "none", None
    weight = np.sort(prominence(faces, shape[1], shape[0]))
    best = faces[prominence(faces, shape[1], shape[0]).argmax()]
    return ("several" if len(weight) > 1 and weight[-2] >= 0.6 * weight[-1] else "one"), best


def teacher_faces(teacher, files, cache):
    """The teacher's most prominent face of each photo, kept from one check to the next."""
    if cache.exists():
        return np.load(cache)
    teacher = Teacher(teacher)
    rows = np.zeros((len(files), 15), np.float32)
    for i, path in enumerate(files):
        print(f"\rteacher {i + 1}/{len(files)}", end="")
        photo = cv2.imread(str(path))
        faces = teacher.label(photo, min(1, 640 / max(photo.shape[:2])))
        faces = faces[faces[:, 14] >= 0.6]
        if len(faces):
            rows[i] = faces[prominence(faces, photo.shape[1], photo.shape[0]).argmax()]
    np.save(cache, rows)
    return rows


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("model", type=Path)
    ask.add_argument("--cfp", type=Path, required=True)
    ask.add_argument("--work", type=Path, default=Path("../train"))
    ask.add_argument("--teacher", type=Path, default=Path(__file__).parent / "../yunet.onnx")
    ask.add_argument("--every", type=int, default=1, help="only every n-th photo")
    args = ask.parse_args()
    cv2.setNumThreads(1)
    if (args.cfp / "cfp-dataset").is_dir():
        args.cfp = args.cfp / "cfp-dataset"
    runner = Runner(args.model)
    files = sorted((args.cfp / "Data/Images").rglob("*.jpg"))
    taught = teacher_faces(args.teacher, files, args.work / "detector/cfp_teacher.npy")
    files, taught = files[:: args.every], taught[:: args.every]
    folds = fold_people(args.cfp)
    choosing = set().union(*folds[:5])
    chooses = np.array([f.parts[-3] in choosing for f in files])
    profile = np.array([f.parts[-2] == "profile" for f in files])

    seen = []
    for i, path in enumerate(files):
        print(f"\rCFP {i + 1}/{len(files)}", end="")
        rgb = cv2.imread(str(path))[:, :, ::-1]
        first = runner.find(rgb, 320, 0.3)
        seen.append((first, runner.find(rgb, 640, 0.3) if first[:, 14].max(initial=0) < 0.9 else first, rgb.shape))
    photos = Photos(args.work / "detector")
    pets = []
    for i in photos.held_pets:
        first = runner.find(photos.photo(i), 320, 0.3)
        second = runner.find(photos.photo(i), 640, 0.3) if first[:, 14].max(initial=0) < 0.9 else first
        pets.append((first[:, 14].max(initial=0), second[:, 14].max(initial=0)))
    pets = np.array(pets)
    print("\rscore  pets@320 pets@640 | folds 1-5: frontal one/none/several  profile | folds 6-10: frontal                 profile")
    for score in (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8):
        verdicts = np.array([verdict(a, b, score, shape)[0] for a, b, shape in seen])
        cells = [" ".join(f"{(verdicts[part] == v).mean():8.2%}" for v in ("one", "none", "several"))
                 for part in (chooses & ~profile, chooses & profile, ~chooses & ~profile, ~chooses & profile)]
        print(f"{score:.2f}  {(pets[:, 0] >= score).mean():7.2%} {(pets.max(1) >= score).mean():7.2%} | " + " | ".join(cells))
    for name, part in (("frontal", ~profile & ~chooses), ("profile", profile & ~chooses)):
        off = []
        for i in np.flatnonzero(part & (taught[:, 14] > 0)):
            _, face = verdict(*seen[i][:2], 0.5, seen[i][2])
            if face is not None:
                apart = np.hypot(*(face[4:14] - taught[i, 4:14]).reshape(5, 2).T)
                # In profile the eyes lie on top of each other: there the height from eyes to mouth stands for their distance.
                unit = max(np.hypot(*(taught[i, 4:6] - taught[i, 6:8])), np.hypot(*(taught[i, 4:6] - taught[i, 10:12])) * 0.95)
                off.append(apart.mean() / unit)
        print(f"{name}: landmarks off the teacher's by {np.median(off):.2%} of the eye distance (median), 90 % below {np.quantile(off, 0.9):.2%}")


if __name__ == "__main__":
    main()
