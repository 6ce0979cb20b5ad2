"""Generates the test people: faces of nobody, in the photos that the tests use.

    python -m people.generate --data DIR --more DIR [--out ../../tests/data]

--more holds the photos that the data folder's README names (the folder `validation`); the model of
heads (people/heads.py) is fitted to some thousand of them and stored under WORK/people. Hundreds of
identities are drawn. Twenty are kept whose cosine by the teacher (SFace) is low to each other and to
every training face, so that nobody is depicted by chance. Writes three photos of each, and the photos
of special kinds. Prints the checks.
"""
import argparse
import io
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from detector.data import Teacher, turned
from people.heads import HEIGHT, PLACED, WIDTH, Heads, place, similarity
from people.photos import background, finish, jpeg, lit, moved, paste, pose

PEOPLE, DRAWN = 20, 2800
TO_EACH_OTHER, TO_TRAINING = 0.23, 0.397         # identities are chosen by these; 0.25 and 0.4 are promised
SAME, DIFFERENT = 0.70, 0.27                     # over the finished photos
SIZES = {"a": (250, 250), "b": (640, 800), "c": (480, 600)}
PHONE = {"p04", "p11", "p17"}                    # whose third photo is as large as a phone's, shrunk once


class Recognizer:
    """The teachers: where the one face of a photo is, and its embedding."""

    def __init__(self, models):
        self.finder = Teacher(models / "yunet.onnx")
        self.encoder = cv2.FaceRecognizerSF.create(str(models / "sface.onnx"), "")

    def find(self, bgr):
        scale = min(1, 640 / max(bgr.shape[:2]))
        small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else bgr
        faces = self.finder.label(small, 1)
        faces[:, :14] /= scale
        return faces[faces[:, 14] >= 0.6]

    def embed(self, bgr, face):
        vector = self.encoder.feature(self.encoder.alignCrop(bgr, face[None]))[0]
        return vector / np.linalg.norm(vector)


def aligned_heads(folder, teacher, count):
    """Clear photos of one person, from the front, upright and large enough, aligned on the canvas."""
    heads = []
    for path in sorted(folder.glob("*.jpg"))[::2]:
        photo = cv2.imread(str(path))
        faces = teacher.label(photo)
        if len(faces) != 1 or faces[0, 14] < 0.9 or turned(faces[0]) > 0.13:
            continue
        landmarks = faces[0, 4:14].reshape(5, 2).astype(np.float64)
        matrix = similarity(landmarks, PLACED)
        if np.hypot(*(landmarks[0] - landmarks[1])) < 42 or abs(np.arctan2(matrix[1, 0], matrix[0, 0])) > 0.25:
            continue
        heads.append(place(photo, landmarks))
        print(f"\rheads {len(heads)}/{count}", end="")
        if len(heads) == count:
            break
    print()
    return np.array(heads)


def neutral(heads, shape, look, appearance):
    """The head alone, upright, on grey: what an identity is judged by."""
    picture = np.full((320, 280, 3), 128, np.float32)
    paste(picture, heads.draw(shape, look, appearance), np.float64([[1, 0, (280 - WIDTH) / 2], [0, 1, (320 - HEIGHT) / 2]]))
    return np.clip(picture, 0, 255).astype(np.uint8)


def identities(heads, teachers, training, rng):
    """Draws people and keeps those who are like nobody. Returns their coefficients and prints both maxima."""
    drawn, vectors = [], []
    for i in range(DRAWN):
        print(f"\ridentities {i + 1}/{DRAWN}", end="")
        if i % 40 == 0:
            some = [heads.person(rng) for _ in range(40)]
            appearances = heads.appearance(np.array([look for _, look in some]))
        someone = some[i % 40]
        picture = neutral(heads, *someone, appearances[i % 40])
        faces = teachers.find(picture)
        if len(faces) != 1 or faces[0, 14] < 0.85:
            continue
        vector = teachers.embed(picture, faces[0])
        if (training @ vector).max() <= TO_TRAINING:
            drawn.append(someone)
            vectors.append(vector)
    vectors = np.array(vectors)
    alike = vectors @ vectors.T > TO_EACH_OTHER
    best = []
    for _ in range(400):  # greedy, from different starts: the largest set in which nobody is like another
        free, chosen = np.ones(len(vectors), bool), []
        while free.any():
            conflicts = np.where(free, alike[:, free].sum(1) + rng.uniform(0, 3, len(free)), np.inf)
            pick = int(conflicts.argmin())
            chosen.append(pick)
            free &= ~alike[pick]
        best = max(best, chosen, key=len)
    each_other = (vectors[best] @ vectors[best].T - 2 * np.eye(len(best))).max()
    print(f"\nlike nobody in training: {len(vectors)} of {DRAWN}; like nobody else as well: {len(best)}")
    print(f"largest cosine of these to each other {each_other:.3f}, to a training face {(training @ vectors[best].T).max():.3f}")
    return [drawn[i] for i in best]


def portrait(heads, someone, rng, size, strength):
    """A photo of one person. Returns the picture (BGR, float) and what is known about the face."""
    shape, look = someone[0].copy(), someone[1].copy()
    shape[:2] += rng.normal(size=2) * 0.7 * strength
    look[:6] += rng.normal(size=6) * 0.35 * strength
    width, height = size
    picture = background(rng, width, height)
    face_height = rng.uniform(0.42, 0.62) * min(width, height * 0.9)
    centre = (width * rng.uniform(0.44, 0.56), height * rng.uniform(0.44, 0.52))
    matrix = pose(rng, centre, face_height, rng.uniform(-11, 11) * strength)
    paste(picture, lit(heads.draw(shape, look), rng, strength), matrix)
    return picture, known(heads, shape, matrix)


def known(heads, shape, matrix):
    """Where the face was laid: its landmarks, roughly, for the model of heads knows them only roughly."""
    return moved(heads.landmarks(shape), matrix)


def seen(teachers, bgr, laid):
    """Box and landmarks of the face that was laid here, as the teacher sees them in the finished photo."""
    faces = teachers.find(bgr)
    face = faces[np.hypot(*(faces[:, 8:10] - laid[2]).T).argmin()]
    assert np.hypot(*(face[8:10] - laid[2])) < 0.25 * face[3]
    return {"box": np.round(face[:4].astype(float), 1).tolist(), "landmarks": np.round(face[4:14].astype(float).reshape(5, 2), 1).tolist()}


def photos_of(heads, someone, teachers, training, others, rng, name):
    """Three photos in which the teacher knows the person, and takes them for nobody before; None where chance doesn't give them."""
    made, vectors = {}, []
    for letter, size in SIZES.items():
        if letter == "c" and name in PHONE:
            size = (1008, 1344)
        for attempt in range(25):
            picture, face = portrait(heads, someone, rng, size, max(0.4, 1 - 0.03 * attempt))
            data, rgb = jpeg(finish(picture, rng, rng.uniform(1, 2.5)), int(rng.integers(62, 90)))
            bgr = np.ascontiguousarray(rgb[:, :, ::-1])
            faces = teachers.find(bgr)
            if len(faces) != 1 or faces[0, 14] < 0.85:
                continue
            v = teachers.embed(bgr, faces[0])
            if all(v @ w >= SAME for w in vectors) and all(v @ w <= DIFFERENT for w in others) and (training @ v).max() <= 0.4:
                made[letter] = (data, seen(teachers, bgr, face), rgb.shape[1::-1])
                vectors.append(v)
                break
        else:
            return None
    return made, vectors


def odd_photos(heads, people, teachers, rng, folder):
    """Two people, a bystander, nobody, orientations, formats. Returns who is where."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = {}

    def head(picture, who, centre, face_height, turn, body=400):
        shape, look = people[who]
        matrix = pose(rng, centre, face_height, turn)
        paste(picture, lit(heads.draw(shape, look), rng, 0.5), matrix, body)
        return f"p{who + 1:02}", known(heads, shape, matrix)

    def write(name, data, upright, faces):
        (folder / name).write_bytes(data)
        bgr = np.ascontiguousarray(np.array(upright)[:, :, ::-1])
        listed[f"odd/{name}"] = {"size": [bgr.shape[1], bgr.shape[0]], "faces": [{"person": who, **seen(teachers, bgr, laid)} for who, laid in faces]}

    picture = background(rng, 640, 480)
    faces = [head(picture, 0, (190, 235), 165, -4), head(picture, 1, (452, 240), 165, 5)]
    write("two-faces.jpg", *jpeg(finish(picture, rng, 1.5), 85), faces)
    picture = background(rng, 640, 800)
    faces = [head(picture, 3, (585, 300), 52, 2, 230), head(picture, 2, (300, 380), 270, 3)]
    write("bystander.jpg", *jpeg(finish(picture, rng, 1.5), 80), faces[::-1])
    write("no-face.jpg", *jpeg(finish(background(rng, 640, 480), rng, 1.5), 80), [])

    picture = background(rng, 450, 600)
    faces = [head(picture, 4, (222, 285), 220, -7)]
    upright = Image.fromarray(np.ascontiguousarray(finish(picture, rng, 1.0)))
    stored = {1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
              5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}
    for tag, turn in stored.items():
        exif = Image.Exif()
        exif[0x0112] = tag
        data, _ = jpeg(np.array(upright.transpose(turn) if turn is not None else upright), 80, exif=exif)
        write(f"orientation-{tag}.jpg", data, upright, faces)

    picture = background(rng, 200, 240)
    faces = [head(picture, 5, (100, 112), 100, 5)]
    sixteen = np.clip(picture * 257, 0, 65535).astype(np.uint16)
    rgb = Image.fromarray(np.ascontiguousarray(finish(picture, rng, 0.6)))
    for name, image, options in formats(rgb):
        out = io.BytesIO()
        image.save(out, **options)
        write(name, out.getvalue(), rgb, faces)
    write("png16.png", cv2.imencode(".png", sixteen, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes(), rgb, faces)
    return listed


def formats(rgb):
    brighter = [Image.fromarray(np.clip(np.array(rgb) * f, 0, 255).astype(np.uint8)) for f in (0.9, 0.8)]
    return [
        ("grey.jpg", rgb.convert("L"), {"format": "JPEG", "quality": 85}),
        ("cmyk.jpg", rgb.convert("CMYK"), {"format": "JPEG", "quality": 85}),
        ("progressive.jpg", rgb, {"format": "JPEG", "quality": 85, "progressive": True}),
        ("baseline.jpg", rgb, {"format": "JPEG", "quality": 85}),
        ("png8.png", rgb, {"format": "PNG", "optimize": True}),
        ("lossy.webp", rgb, {"format": "WEBP", "quality": 80}),
        ("lossless.webp", rgb, {"format": "WEBP", "lossless": True}),
        ("animated.webp", rgb, {"format": "WEBP", "quality": 70, "save_all": True, "append_images": brighter, "duration": 200}),
    ]


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--more", type=Path, required=True)
    ask.add_argument("--work", type=Path, default=Path("work"))
    ask.add_argument("--teachers", type=Path, default=Path(__file__).parent / "../..", help="folder of yunet.onnx and sface.onnx")
    ask.add_argument("--out", type=Path, default=Path(__file__).parent / "../../../tests/data")
    args = ask.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(2026)
    teachers = Recognizer(args.teachers)
    kept = args.work / "people" / "heads.npz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        Heads(aligned_heads(args.more / "validation", teachers.finder, 2600)).save(kept)
    heads = Heads.load(kept)
    heads.points = teachers.find(heads.mean_face)[0, 4:14].reshape(5, 2)
    training = np.concatenate([np.load(p) for p in sorted((args.data / "faces").glob("*.sface.npy"))]).astype(np.float32)

    candidates = args.work / "people" / "identities.npz"
    if not candidates.exists():
        shapes, looks = zip(*identities(heads, teachers, training, rng))
        np.savez(candidates, shapes=shapes, looks=looks)
    candidates = np.load(candidates)
    people, listed, all_vectors = [], {}, []
    (args.out / "people").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(77)
    for someone in zip(candidates["shapes"], candidates["looks"]):
        if len(people) == PEOPLE:
            break
        name = f"p{len(people) + 1:02}"
        got = photos_of(heads, someone, teachers, training, all_vectors, rng, name)
        print(f"\rphotos of {name}", end="", flush=True)
        if got is None:
            continue
        people.append(someone)
        made, vectors = got
        all_vectors += vectors
        for letter, (data, face, size) in made.items():
            (args.out / "people" / f"{name}-{letter}.jpg").write_bytes(data)
            listed[f"people/{name}-{letter}.jpg"] = {"size": list(size), "faces": [{"person": name, **face}]}
    print()
    assert len(people) == PEOPLE
    listed.update(odd_photos(heads, people, teachers, rng, args.out / "odd"))
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in listed.items())
    (args.out / "people.json").write_text("{\n" + lines + "\n}\n")
    report(args.out, listed, teachers, training)


def report(out, listed, teachers, training):
    """What the teachers say of the files as they lie there."""
    who, vectors = [], []
    for name, entry in listed.items():
        if not name.startswith("people/"):
            continue
        bgr = cv2.imread(str(out / name))
        faces = teachers.find(bgr)
        assert len(faces) == 1, name
        who.append(entry["faces"][0]["person"])
        vectors.append(teachers.embed(bgr, faces[0]))
    v, who = np.array(vectors), np.array(who)
    cosine, same = v @ v.T, who[:, None] == who
    apart = ~np.eye(len(v), dtype=bool)
    print(f"photos {len(v)}: same person at least {cosine[same & apart].min():.3f}, others at most {cosine[~same].max():.3f}, "
          f"a training face at most {(training @ v.T).max():.3f}")
    print(f"bytes in all {sum(p.stat().st_size for p in out.rglob('*') if p.is_file())}")


if __name__ == "__main__":
    main()
