"""Degrades photos, aligns their faces as the service does, and computes what the quality network is to predict.

    cargo build --release --example align          in the repository's root, once
    python -m quality.samples --photos PHOTOS [PHOTOS ...] --teacher ../sface.onnx --former FORMER.onnx [--work DIR]

Each photo gives itself and five degradations of it, drawn at random with random strengths, one in seven of them followed by a second.
The target is the cosine between the embeddings of the degraded and of the original photo, by the teacher SFace and by the default
encoder in floats; the embeddings are kept too, for `quality/stored_references.py`. Kept: --work/quality/samples.npz. 10,000 photos take about 40 minutes of one core.
"""

import argparse
import random
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from quality.degradations import DEGRADATIONS, spectacles
from quality.network import SIDE

COPIES, FOLLOWED, LARGEST_EYES = 5, 0.15, 60.0
COVERS = {"sunglasses", "surgical mask", "mask and glasses", "mask and sunglasses", "hat", "scarf", "hat and scarf",
          "hat scarf and glasses", "eye bar", "hand", "blocks", "half covered", "net"}
# Below this strength a cover hides next to nothing.
COVERING = 0.15


def aligned(paths, align):
    """For each photo its aligned face (112 x 112 x 3, RGB) and landmarks (5 x 2, pixels), or None where no face is alone."""
    said = subprocess.run([align], input="\n".join(map(str, paths)).encode(), stdout=subprocess.PIPE, check=True).stdout
    faces, at, size = [], 0, SIDE * SIDE * 3
    for _ in paths:
        found, at = said[at], at + 1
        if not found:
            faces.append(None)
            continue
        landmarks = np.frombuffer(said, "<f4", 10, at).reshape(5, 2)
        face = np.frombuffer(said, np.uint8, size, at + 40).reshape(SIDE, SIDE, 3)
        faces.append((face, landmarks.astype(float)))
        at += 40 + size
    return faces


def portrait(path, landmarks):
    """The photo about the face, no larger than its detail needs, and the landmarks in it."""
    photo, apart = cv2.imread(str(path)), np.hypot(*(landmarks[1] - landmarks[0]))
    middle = landmarks.mean(0)
    left, top = np.maximum(0, middle - 4 * apart).astype(int)
    right, bottom = np.minimum(photo.shape[1::-1], middle + 4 * apart).astype(int)
    scale = min(1.0, LARGEST_EYES / apart)
    photo = cv2.resize(photo[top:bottom, left:right], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return photo, (landmarks - [left, top]) * scale


def degraded(photo, landmarks, rng):
    """A random degradation: its names, whether it covers the face, and the photo."""
    # Spectacles are harmless; they are shown so that the network learns that.
    known = [*DEGRADATIONS.items(), *[("spectacles", spectacles)] * 3]
    name, change = known[rng.integers(len(known))]
    strength = float(rng.uniform(0 if name == "overexposed" else -0.2, 1))
    out, names = change(photo.copy(), landmarks.copy(), strength, rng), [name]
    if rng.random() < FOLLOWED and out.shape == photo.shape:
        name, change = known[rng.integers(len(known))]
        out, names = change(out, landmarks.copy(), float(rng.uniform(0, 0.6)), rng), [*names, name]
    return "+".join(names), strength > COVERING and any(name in COVERS for name in names), out


class Teacher:
    """An encoder that takes 112 x 112 RGB faces and gives unit vectors."""

    def __init__(self, path, mean, scale):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        self.session, self.mean, self.scale = onnxruntime.InferenceSession(str(path), options), mean, scale

    def embed(self, face):
        pixels = ((face.astype(np.float32) - self.mean) * self.scale).transpose(2, 0, 1)[None]
        vector = self.session.run(None, {self.session.get_inputs()[0].name: pixels})[0][0]
        return vector / np.linalg.norm(vector)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--photos", required=True, nargs="+", type=Path, help="folders of photos, one person in each photo")
    ask.add_argument("--most", type=int, default=10000)
    ask.add_argument("--teacher", required=True, type=Path)
    ask.add_argument("--former", required=True, type=Path, help="the default encoder in floats (models/encoder.onnx of a6e99cf)")
    ask.add_argument("--align", type=Path, default=Path(__file__).parents[3] / "target/release/examples/align")
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    cv2.setNumThreads(1)
    paths = sorted(path for folder in args.photos for path in folder.rglob("*.jpg"))
    random.Random(1).shuffle(paths)
    paths, rng = paths[:args.most], np.random.default_rng(7)
    teachers = [Teacher(args.teacher, 0.0, 1.0), Teacher(args.former, 128.0, 1 / 128)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        made, listed = [], []
        for person, found in enumerate(aligned(paths, args.align)):
            if found is None:
                continue
            photo, landmarks = portrait(paths[person], found[1])
            for kind, covered, out in [("clean", False, photo), *(degraded(photo, landmarks, rng) for _ in range(COPIES))]:
                made.append(Path(folder) / f"{len(made):06}.jpg")
                cv2.imwrite(str(made[-1]), out, [cv2.IMWRITE_JPEG_QUALITY, 95])
                listed.append((person, kind, covered))
        original = {}
        for (person, kind, covered), found in zip(listed, aligned(made, args.align)):
            if found is None:
                continue
            embeddings = [teacher.embed(found[0]) for teacher in teachers]
            if kind == "clean":
                original[person] = embeddings
            if person in original:
                rows.append((found[0], [float(a @ b) for a, b in zip(embeddings, original[person])], np.float16(embeddings), covered, person, kind))
    face, target, embedding, covered, person, kind = zip(*rows)
    (args.work / "quality").mkdir(parents=True, exist_ok=True)
    np.savez(args.work / "quality" / "samples.npz", face=np.stack(face), target=np.float32(target), embedding=np.stack(embedding), covered=np.array(covered),
             person=np.array(person), kind=np.array(kind))
    print(f"{len(rows):,} faces of {len(original):,} people")


if __name__ == "__main__":
    main()
