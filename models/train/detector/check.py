"""Measures a detector at each score: on CFP, on pets, and against the teacher.

    python -m detector.check MODEL.onnx --cfp DIR [--work DIR]

The people of CFP's folds 1-5 choose the score, those of folds 6-10 report. A photo is correct if
exactly one face is found. As in the service, a photo with no face or only small faces is searched in
the next larger copy, a second face counts if its prominence is at least 0.6 of the first's, and the
landmark network may reject faces. The found faces are compared with the teacher's.
"""
import argparse
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from common.manifests import read
from detector.data import Teacher
from detector.network import decode, fitted
from detector.scenes import Photos, Scenes
from landmarks import network

# As in src/engine/detector.rs: a face so many pixels high in the copy ends the looking.
LARGE_ENOUGH = 32


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


class Network:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options)
        self.input = self.session.get_inputs()[0].name
        self.manifest = read(path.with_suffix(".toml"))

    def __call__(self, image):
        """What it answers to an RGB image, height x width x 3."""
        given = self.manifest["input"]
        image = (image.astype(np.float32) - np.array(given["mean"], np.float32)) * np.float32(given["scale"])
        return self.session.run(None, {self.input: np.ascontiguousarray(image.transpose(2, 0, 1)[None])})


class Runner:
    """The detector, and the landmark network where there is one."""

    def __init__(self, path, closer=None):
        self.network, self.closer = Network(path), closer and Network(closer)
        self.sizes = self.network.manifest["input"]["sizes"]
        self.sure = self.closer.manifest["output"]["score"] if closer else 0

    def looks(self, rgb, least):
        """What each copy shows, as faces in pixels of the photo and the copy's scale; no more copies than any score above `least` may ask for."""
        looks = []
        for size in self.sizes:
            square, scale = fitted(rgb, size)
            faces = decode(self.network(square), size, least)
            faces[:, :14] /= scale
            faces = self.closely(rgb, faces)
            looks.append((faces, scale))
            if scale == 1 or large(faces[faces[:, 14] >= 0.8], scale):
                break
        return looks

    def closely(self, rgb, faces):
        """The faces that the landmark network does not doubt, with its landmarks."""
        if not self.closer:
            return faces
        kept = []
        for face in faces:
            sure, marks = network.look(self.closer, rgb, face[4:14].reshape(5, 2))
            if sure >= self.sure:
                kept.append(np.r_[face[:4], marks.reshape(-1), face[14]])
        return np.array(kept).reshape(-1, 15)


def large(faces, scale):
    return (faces[:, 3] * scale >= LARGE_ENOUGH).any()


def believed(looks, score):
    """The faces of the look that is believed at this score."""
    for faces, scale in looks:
        faces = faces[faces[:, 14] >= score]
        if large(faces, scale):
            break
    return faces


def prominence(faces, width, height):
    centre = faces[:, :2] + faces[:, 2:4] / 2
    far = np.hypot(centre[:, 0] - width / 2, centre[:, 1] - height / 2) / (np.hypot(width, height) / 2)
    return faces[:, 2] * faces[:, 3] * (1 - 0.75 * np.clip(far, 0, 1))


def verdict(looks, shape, score):
    """'one', 'none' or 'several', and the face."""
    faces = believed(looks, score)
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


def steadied_faces(teacher, files, taught, cache):
    """The mean of the teacher's looks at those faces: one look differs from another."""
    if cache.exists():
        return np.load(cache)
    teacher, rng = Teacher(teacher), np.random.default_rng(2)
    rows = taught.copy()
    for i, path in enumerate(files):
        print(f"\rteacher's looks {i + 1}/{len(files)}", end="")
        if taught[i, 14] > 0:
            rows[i] = teacher.steadied(cv2.imread(str(path)), taught[i: i + 1], rng)[0]
    np.save(cache, rows)
    return rows


def landmarks_off(face, taught):
    """Mean distance of the landmarks, in eye distances of `taught`; in profile, where the eyes lie on top of each other, the height from eyes to mouth stands for them."""
    apart = np.hypot(*(face[4:14] - taught[4:14]).reshape(5, 2).T)
    return apart.mean() / max(np.hypot(*(taught[4:6] - taught[6:8])), np.hypot(*(taught[4:6] - taught[10:12])) * 0.95)


def hard(name, photo, face, room, rng):
    """A photo made harder, and where the middle of its face is then."""
    middle = face[:2] + face[2:4] / 2
    h, w = photo.shape[:2]
    if name == "grey":
        return np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, 2), middle
    if name == "dark, noisy":
        return np.clip(photo * 0.25 + rng.normal(0, 6, photo.shape), 0, 255).astype(np.uint8), middle
    if name == "turned 30":
        m = cv2.getRotationMatrix2D((w / 2, h / 2), rng.choice([-30, 30]), 1.0)
        side = int(np.hypot(w, h))
        m[:, 2] += (side - w) / 2, (side - h) / 2
        return cv2.warpAffine(photo, m, (side, side), borderMode=cv2.BORDER_REPLICATE), m[:, :2] @ middle + m[:, 2]
    if name == "masked":
        photo = np.ascontiguousarray(photo)
        Scenes(None, 0, int(rng.integers(1 << 30))).mask(photo, face)
        return photo, middle
    # A face of so many pixels in a photo of a room, a garden, a sofa with a cat.
    scale = int(name.split()[1]) / np.sqrt(face[2] * face[3])
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    room = cv2.resize(room, (320, 320), interpolation=cv2.INTER_AREA)
    x, y = (int(rng.integers(0, 320 - small.shape[k])) for k in (1, 0))
    room[y: y + small.shape[0], x: x + small.shape[1]] = small
    return room, middle * scale + (x, y)


def conditions(runner, photos, cases, score):
    """The share of faces found, under each condition."""
    rng = np.random.default_rng(8)
    for name in ("as it is", "grey", "dark, noisy", "turned 30", "masked", "face 40", "face 30", "face 20"):
        found = 0
        for k, (photo, face) in enumerate(cases):
            room = photos.photo(photos.held_pets[k % len(photos.held_pets)])
            harder, middle = (photo, face[:2] + face[2:4] / 2) if name == "as it is" else hard(name, photo, face, room, rng)
            said = believed(runner.looks(harder, score), score)
            centre = said[:, :2] + said[:, 2:4] / 2
            found += (np.hypot(*(centre - middle).T) < 0.3 * np.sqrt(said[:, 2] * said[:, 3])).any()
        print(f"{name:12} {found / len(cases):7.2%}")


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("model", type=Path)
    ask.add_argument("--landmarks", type=Path, help="the landmark network; without it the detector is believed")
    ask.add_argument("--cfp", type=Path, required=True)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--teacher", type=Path, default=Path(__file__).parent / "../../yunet.onnx")
    ask.add_argument("--score", type=float, default=0.5, help="for the hard conditions and the landmarks")
    ask.add_argument("--every", type=int, default=1, help="only every n-th photo")
    args = ask.parse_args()
    cv2.setNumThreads(1)
    if (args.cfp / "cfp-dataset").is_dir():
        args.cfp = args.cfp / "cfp-dataset"
    runner = Runner(args.model, args.landmarks)
    files = sorted((args.cfp / "Data/Images").rglob("*.jpg"))
    taught = teacher_faces(args.teacher, files, args.work / "detector/cfp_teacher.npy")
    folds = fold_people(args.cfp)
    choosing = set().union(*folds[:5])
    chooses = np.array([f.parts[-3] in choosing for f in files])
    steady = steadied_faces(args.teacher, files, np.where(chooses[:, None], 0, taught), args.work / "detector/cfp_steadied.npy")
    files, taught, steady, chooses = (all_of_them[:: args.every] for all_of_them in (files, taught, steady, chooses))
    profile = np.array([f.parts[-2] == "profile" for f in files])

    seen = []
    for i, path in enumerate(files):
        print(f"\rCFP {i + 1}/{len(files)}", end="")
        rgb = cv2.imread(str(path))[:, :, ::-1]
        seen.append((runner.looks(rgb, 0.3), rgb.shape))
    photos = Photos(args.work / "detector")
    pets = [runner.looks(photos.photo(i), 0.3) for i in photos.held_pets]
    print("\rscore  pets@first   pets | folds 1-5: frontal one/none/several  profile | folds 6-10: frontal                 profile")
    for score in (0.35, 0.4, 0.425, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8):
        verdicts = np.array([verdict(*photo, score)[0] for photo in seen])
        cells = [" ".join(f"{(verdicts[part] == v).mean():8.2%}" for v in ("one", "none", "several"))
                 for part in (chooses & ~profile, chooses & profile, ~chooses & ~profile, ~chooses & profile)]
        first, last = (np.mean([len(believed(looks, score)) > 0 for looks in of]) for of in ([looks[:1] for looks in pets], pets))
        print(f"{score:5.3f}  {first:8.2%} {last:7.2%} | " + " | ".join(cells))
    for name, part in (("frontal", ~profile & ~chooses), ("profile", profile & ~chooses)):
        rows = [(i, verdict(*seen[i], args.score)[1]) for i in np.flatnonzero(part & (taught[:, 14] > 0))]
        rows = [(face, taught[i], steady[i]) for i, face in rows if face is not None]
        for what, off in (
            ("ours, off one look of the teacher's", [landmarks_off(face, look) for face, look, _ in rows]),
            ("ours, off the mean of its looks", [landmarks_off(face, mean) for face, _, mean in rows]),
            ("one look of the teacher's, off that mean", [landmarks_off(look, mean) for _, look, mean in rows]),
        ):
            print(f"{name}: landmarks of {what}: {np.median(off):.2%} of the eye distance (median), 90 % below {np.quantile(off, 0.9):.2%}")
    few = np.flatnonzero(~profile & ~chooses & (taught[:, 14] > 0))
    few = few[:: max(1, len(few) // 500)]
    print(f"faces found at {args.score} under conditions, {len(few)} frontal photos of folds 6-10:")
    conditions(runner, photos, [(cv2.imread(str(files[i]))[:, :, ::-1], taught[i]) for i in few], args.score)


if __name__ == "__main__":
    main()
