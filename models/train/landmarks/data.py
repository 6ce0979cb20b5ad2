"""Stores the training data of the landmark network: roughly aligned faces, landmarks, and non-faces.

    python -m landmarks.data --data DIR --pets DIR [DIR ...] [--teacher YUNET.onnx] [--detector DETECTOR.onnx]

The faces are the encoder's training faces and synthetic yaw views of them (`common/yaw.py`). The
teacher, YuNet, runs four times on each: scaled differently, mirrored, shifted. The mean of its passes
is the label, because two passes differ by 5.8 % of the eye distance. Faces that are turned so far that
YuNet hardly finds them have no landmarks. Non-faces are places where the detector's score is low but
not zero in photos of cats and dogs (--pets names the folder of the public repository that the data
folder's README names, and of others that hold none of its photos; see README.md), and beside the faces
in the labeled scenes. Written to WORK/landmarks/data.npz.
"""
import argparse
from pathlib import Path

import cv2
import numpy as np

from common.alignment import similarity
from common.yaw import turn
from detector.check import Runner
from detector.data import MIRRORED, Teacher, fingerprint, pets, scenes
from detector.network import overlap
from encoder import stored_faces

SIDE, MARGIN = stored_faces.SIDE, 4
TURNED, TURNED_AWAY = 14_000, 8_000
ENLARGED = (1.6, 2.2)
# As sure as the detector must be of a face that is none for it to be learned from.
HALF_SURE = 0.2


def steadied(teacher, face, rng):
    """Five landmarks of an aligned face (120 x 120, BGR), the mean of the teacher's looks; nothing where it sees a face in fewer than three of four."""
    looks = [look(teacher, face, scale, mirrored, rng) for scale in ENLARGED for mirrored in (False, True)]
    looks = np.array([marks for marks in looks if marks is not None])
    if len(looks) < 3 or looks.std(0).max() > 5:
        return None
    return looks.mean(0)


def look(teacher, face, scale, mirrored, rng):
    """The landmarks as one look sees them, in pixels of the face."""
    shift = rng.uniform(0, 32, 2)
    side = int(SIDE * scale) + 32
    m = np.float32([[scale, 0, shift[0]], [0, scale, shift[1]]])
    if mirrored:
        m[0] = -m[0] + (0, 0, side - 1)
    seen = teacher.label(cv2.warpAffine(face, m, (side, side), flags=cv2.INTER_LINEAR), 1.0)
    if len(seen) == 0 or seen[:, 14].max() < 0.5:
        return None
    marks = seen[seen[:, 14].argmax(), 4:14]
    if mirrored:
        marks[::2] = side - 1 - marks[::2]
        marks = marks[MIRRORED]
    return (marks.reshape(5, 2) - shift) / scale


def turned(face, rng, least=15, most=80):
    """The face with its head turned aside by so many degrees, aligned as a detector would."""
    seen, m = turn(face, rng.uniform(least, most) * np.pi / 180, rng.normal(0, 8) * np.pi / 180)
    m[:, 2] += MARGIN
    seen = cv2.warpAffine(seen, m, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(seen[:, ::-1] if rng.random() < 0.5 else seen)


def labelled(faces, teacher, rng):
    """Yields faces (RGB), their landmarks, in pixels of the inner 112 x 112 (not numbers where nobody says), and whether they are as they were photographed."""
    for k, i in enumerate(np.concatenate([rng.permutation(len(faces)), rng.permutation(len(faces))[:TURNED]])):
        print(f"\rfaces {k + 1}/{len(faces) + TURNED}", end="", flush=True)
        face = faces[i] if k < len(faces) else turned(faces[i], rng)
        marks = steadied(teacher, np.ascontiguousarray(face[:, :, ::-1]), rng)
        if marks is not None:
            yield np.array(face), (marks - MARGIN).astype(np.float32), k < len(faces)
    print()
    for i in rng.permutation(len(faces))[:TURNED_AWAY]:
        yield turned(faces[i], rng, 50, 90), np.full((5, 2), np.nan, np.float32), False


def lookalikes(photo, faces, detector):
    """What the detector half takes for a face in a photo (BGR) beside its true faces, aligned as faces are, RGB."""
    rgb = np.ascontiguousarray(photo[:, :, ::-1])
    found = np.concatenate([seen for seen, _ in detector.looks(rgb, HALF_SURE)])
    kept = []
    for seen in found[np.argsort(-found[:, 14])]:
        if np.sqrt(seen[2] * seen[3]) >= 16 and all(overlap(seen, face) < 0.1 for face in faces) and all(overlap(seen, other) < 0.5 for other in kept):
            kept.append(seen)
    for seen in kept[:4]:
        m = similarity(seen[4:14].reshape(5, 2).astype(np.float64))
        if not np.isfinite(m).all() or np.linalg.det(m[:, :2]) <= 0:
            continue
        m[:, 2] += MARGIN
        yield cv2.warpAffine(rgb, m, (SIDE, SIDE), flags=cv2.INTER_LINEAR)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--pets", type=Path, nargs="+", required=True)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--teacher", type=Path, default=Path(__file__).parent / "../../yunet.onnx")
    ask.add_argument("--detector", type=Path, default=Path(__file__).parent / "../../detector.onnx")
    args = ask.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    out = args.work / "landmarks"
    out.mkdir(parents=True, exist_ok=True)
    detector = Runner(args.detector)
    others, known = [], []
    for photo, kind, faces in scenes(args.data / "scenes"):
        if kind == "pet":
            known.append(fingerprint(photo))  # these judge the network, so they are not learned from
        else:
            others.extend(lookalikes(photo, faces, detector))
    print(len(others), "lookalikes beside faces")
    for folder in args.pets:
        for photo, _, _ in pets(folder, np.array(known)):
            others.extend(lookalikes(photo, [], detector))
    print(len(others), "lookalikes in all")
    faces, marks, real = zip(*labelled(stored_faces.load(args.data, args.work)[0], Teacher(args.teacher), rng))
    np.savez(out / "data.part.npz", faces=np.stack(faces), marks=np.stack(marks), real=np.array(real), others=np.stack(others))
    (out / "data.part.npz").replace(out / "data.npz")
    print(f"{len(faces)} faces")


if __name__ == "__main__":
    main()
