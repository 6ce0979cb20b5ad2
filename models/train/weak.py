"""Measures where an encoder is weak, at its shipped thresholds, through the shipped pipeline.

    python weak.py --cfp CFP --utk UTK --yunet ../yunet.onnx [--encoder ../encoder.onnx] [--detector ../detector.onnx]

Degraded photos: of the 250 people of CFP's folds 6-10, photo 01 is the reference and photos 02 to 05 are probes, changed one way at a
time; FNMR with a refused photo counted as a non-match. Groups: FMR between different photos of UTKFace (one photo a person, mostly) of one
age band, sex and origin, 120 photos a group. UTKFace was trained on, so its figures are friendly; children's FNMR cannot be measured,
since nobody's second photo is known. --yunet places the drawn masks.
"""

import argparse
import tempfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

import cfp
import cfp_faces
import encoder_manifest

PROBES = ("02", "03", "04", "05")
BANDS = ((0, 12), (13, 19), (20, 39), (40, 59), (60, 120))
ORIGINS = ("White", "Black", "Asian", "Indian", "Other")
PER_GROUP = 120


def low_light(photo, _face, rng):
    """A tenth of the light, and the sensor's noise."""
    dark = photo.astype(np.float32) * 0.1
    return np.clip(dark + rng.normal(0, 4, photo.shape), 0, 255).astype(np.uint8)


def blur(photo, face, _rng):
    """Out of focus: a Gaussian of 6 % of the face's width."""
    return cv2.GaussianBlur(photo, (0, 0), 0.06 * face[2])


def small(photo, face, _rng):
    """A face 40 pixels wide."""
    shrink = min(1.0, 40 / face[2])
    return cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)


def mask(photo, face, _rng):
    """A drawn surgical mask: from the middle of the nose to below the chin."""
    points = face[4:14].reshape(5, 2)
    eyes, nose, mouth = points[:2].mean(0), points[2], points[3:].mean(0)
    across, down = (points[1] - points[0]) * 0.95, mouth - eyes
    top = (eyes + nose) / 2 + 0.1 * down
    corners = [top - across, top + across, mouth + across * 0.8 + 0.2 * down, mouth + 0.75 * down, mouth - across * 0.8 + 0.2 * down]
    return cv2.fillPoly(photo.copy(), [np.array(corners, np.int32)], (225, 215, 190), cv2.LINE_AA)


DEGRADATIONS = {"as taken": lambda photo, _face, _rng: photo, "low light": low_light, "blur": blur, "small face": small, "drawn mask": mask}


def score(chosen, photos):
    return cfp.by_binary(chosen, SimpleNamespace(photos=photos))


def degrade(chosen, listed, folder, rng):
    """References, then for each degradation the changed probes; the photo's person beside each."""
    people = listed.people("FF", cfp_faces.REPORTING)
    of = {(listed.person[i], photo.stem): photo for i, photo in enumerate(listed.photos) if listed.frontal[i]}
    yunet = cv2.FaceDetectorYN.create(str(chosen.yunet), "", (320, 320), 0.5, 0.3)
    photos, owners, kinds = [of[p, "01"] for p in people], list(people), ["reference"] * len(people)
    for person in people:
        for stem in PROBES:
            photo = cv2.imread(str(of[person, stem]))
            yunet.setInputSize((photo.shape[1], photo.shape[0]))
            faces = yunet.detect(photo)[1]
            if faces is None:
                continue
            face = cfp_faces.prominent(faces, photo.shape[1], photo.shape[0])
            for kind, change in DEGRADATIONS.items():
                path = folder / f"{kind.replace(' ', '-')}-{person}-{stem}.jpg"
                cv2.imwrite(str(path), change(photo, face, rng), [cv2.IMWRITE_JPEG_QUALITY, 92])
                photos.append(path)
                owners.append(person)
                kinds.append(kind)
    return photos, np.array(owners), np.array(kinds)


def degraded(chosen, rows, rng):
    with tempfile.TemporaryDirectory() as folder:
        photos, owners, kinds = degrade(chosen, cfp_faces.protocol(chosen.cfp), Path(folder), rng)
        scores = score(chosen, photos)
    references = {owner: at for at, owner in enumerate(owners[kinds == "reference"])}
    print("\n| probe | refused | " + " | ".join(f"FNMR at FMR {row['fmr']:.0e}" for row in rows) + " |\n| --- |" + " --- |" * (1 + len(rows)))
    for kind in DEGRADATIONS:
        probes = np.flatnonzero(kinds == kind)
        own = np.array([scores[at, references[owners[at]]] for at in probes])
        refused = np.isnan(np.diag(scores)[probes])
        missed = [np.mean(~(own >= row["score"])) for row in rows]
        print(f"| {kind} | {refused.mean():.1%} | " + " | ".join(f"{m:.1%}" for m in missed) + " |")


def labels(photo):
    """Age, sex and origin as UTKFace's file names have them, or None."""
    parts = photo.name.split("_")
    if len(parts) < 4 or not all(part.isdigit() for part in parts[:3]):
        return None
    age, sex, origin = map(int, parts[:3])
    return (age, sex, origin) if sex < 2 and origin < 5 else None


def groups(chosen, rows, rng):
    found = {}
    for photo in sorted(chosen.utk.glob("*.jpg")):
        if (known := labels(photo)) is not None:
            age, sex, origin = known
            band = next(f"{low} to {high}" for low, high in BANDS if low <= age <= high)
            found.setdefault((band, ("male", "female")[sex], ORIGINS[origin]), []).append(photo)
    photos, group = [], []
    for name, members in found.items():
        for at in rng.permutation(len(members))[:PER_GROUP]:
            photos.append(members[at])
            group.append(name)
    scores, names = score(chosen, photos), list(found)
    number = np.array([names.index(name) for name in group])
    upper = np.triu(np.isfinite(scores), 1)

    def rates(within):
        pairs = scores[upper & within]
        return [np.mean(pairs >= row["score"]) for row in rows], len(pairs)

    whole, pairs = rates(np.ones_like(upper))
    each = [(rates(np.equal.outer(number == k, number == k) & (number == k)[:, None]), name) for k, name in enumerate(names)]
    each.sort(key=lambda item: -item[0][0][-2])
    print("\n| within | pairs | " + " | ".join(f"FMR at {row['fmr']:.0e}" for row in rows) + " |\n| --- |" + " --- |" * (1 + len(rows)))
    for (values, count), name in [((whole, pairs), ("everybody",))] + each:
        print(f"| {', '.join(name)} | {count:,} | " + " | ".join(f"{v:.1e}" for v in values) + " |")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cfp", type=Path)
    arguments.add_argument("--utk", type=Path)
    arguments.add_argument("--yunet", default=Path("../yunet.onnx"), type=Path)
    arguments.add_argument("--encoder", default=Path("../encoder.onnx"), type=Path)
    arguments.add_argument("--detector", default=Path("../detector.onnx"), type=Path)
    arguments.add_argument("--binary", default=Path("../../target/release/likeness"), type=Path)
    chosen = arguments.parse_args()
    rows, rng = encoder_manifest.read(chosen.encoder.with_suffix(".toml"))["error_rate"], np.random.default_rng(0)
    if chosen.cfp:
        degraded(chosen, rows, rng)
    if chosen.utk:
        groups(chosen, rows, rng)


if __name__ == "__main__":
    main()
