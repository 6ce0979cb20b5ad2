"""Pairs of faces for other_encoders/koch.py: 56 x 56 gray, as the service crops them for such a network.

Identities are not labeled: photos of CelebA's test part whose teacher embeddings have a cosine of at
least 0.5 count as one person, and so does everything that such pairs connect. Every fifth person is
held out. The other collections give impostors; a face shifted, mirrored or relit stays genuine.
`python -m other_encoders.koch_pairs --data DATA` prints the counts.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np

from common import alignment
from encoder import stored_faces

SIDE = 56  # half of 112, so that a stored face shrinks by 2 x 2 means
SAME, STRANGERS = 0.5, 0.35  # cosines by the teacher; who lies between is left out of a batch's strangers
CHAINED = 250  # so many photos of one person there are not: a chain of look-alikes, for training only


def grey(rgb):
    """The service's whole-number luma, uint8."""
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)


def halved(faces):
    """2 x 2 means of N x 2h x 2w pixels."""
    count, height, width = faces.shape
    return (faces.reshape(count, height // 2, 2, width // 2, 2).mean((2, 4)) + 0.5).astype(np.uint8)


def people(teacher):
    """For each face the number of its person: everything that cosines of SAME or more link."""
    person = np.arange(len(teacher))
    near = [np.flatnonzero(teacher @ face >= SAME) for face in teacher]
    for start in range(len(teacher)):
        if person[start] == start:
            waiting = [start]
            while waiting:
                for at in near[waiting.pop()]:
                    if person[at] == at != start:
                        person[at] = start
                        waiting.append(at)
    return person, near


class Faces:
    """All faces (N x 60 x 60, two pixels of margin a side), and who of CelebA's is trained on and who kept back."""

    def __init__(self, data, work):
        faces, self.teacher, source = stored_faces.load(data, work)
        cache = Path(work) / "koch" / "faces.npy"
        if not cache.exists():
            cache.parent.mkdir(parents=True, exist_ok=True)
            np.save(cache, np.concatenate([halved(grey(faces[at:at + 1000])) for at in range(0, len(faces), 1000)]))
        self.pixels = np.load(cache)
        self.celeb = np.flatnonzero(source == stored_faces.SETS.index("celeb"))
        self.others = np.flatnonzero(source != stored_faces.SETS.index("celeb"))
        self.person, near = people(self.teacher[self.celeb])
        self.near = dict(zip(self.celeb, (self.celeb[n] for n in near)))
        found, sizes = np.unique(self.person, return_counts=True)
        kept = np.random.default_rng(0).permutation(found[(sizes > 1) & (sizes < CHAINED)])
        self.kept_back = np.isin(self.person, kept[::5])
        self.trained = self.celeb[~self.kept_back & ~np.isin(self.person, found[sizes == 1])]


class Batches(keras.utils.PyDataset):
    """Batches of pairs of one person each; crossed, they give a batch's strangers. The number of a batch is its seed."""

    def __init__(self, faces, steps, celeb=48, others=16):
        super().__init__()
        self.faces, self.steps, self.celeb, self.others, self.epoch = faces, steps, celeb, others, 0

    def __len__(self):
        return self.steps

    def on_epoch_begin(self):
        self.epoch += 1

    def view(self, at, rng):
        """A face moved a little, mirrored half of the time, brighter or darker."""
        dx, dy = np.clip(np.round(rng.normal(2, 0.8, 2)), 0, 4).astype(int)
        face = self.faces.pixels[at, dy:dy + SIDE, dx:dx + SIDE]
        face = face[:, ::-1] if rng.random() < 0.5 else face
        return np.clip((face - face.mean()) * rng.uniform(0.8, 1.2) + face.mean() + rng.normal(0, 12), 0, 255)

    def __getitem__(self, number):
        rng, faces = np.random.default_rng([self.epoch, number]), self.faces
        first = rng.choice(faces.trained, self.celeb)
        second = np.array([rng.choice(faces.near[at]) for at in first])
        alone = rng.choice(faces.others, self.others)
        first, second = np.concatenate([first, alone]), np.concatenate([second, alone])
        same = np.eye(len(first))
        different = (faces.teacher[first] @ faces.teacher[second].T < STRANGERS) * (1 - same)
        weight = same / same.mean() / 2 + different / different.mean() / 2  # even odds
        a, b = (np.stack([self.view(at, rng) for at in side])[..., None] for side in (first, second))
        return tuple(network_input(side) for side in (a, b)), same[..., None], weight


def network_input(pixels):
    """What the manifest says: mean 127.5, scale 1 / 64."""
    return (pixels.astype(np.float32) - 127.5) / 64


def generated(folder, names):
    """Grey faces of the generated people's photos, aligned by the landmarks that `people.json` gives."""
    import cv2

    listed = json.loads((Path(folder) / "people.json").read_text())
    faces = []
    for name in names:
        photo = cv2.imread(str(Path(folder) / name))[:, :, ::-1]
        matrix = alignment.similarity(np.array(listed[name]["faces"][0]["landmarks"]))
        while np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < 0.5:  # as in alignment.align
            photo, matrix = cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), matrix * [2, 2, 1]
        faces.append(grey(cv2.warpAffine(photo, matrix, (2 * SIDE, 2 * SIDE), flags=cv2.INTER_LINEAR)))
    return halved(np.stack(faces))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    chosen = arguments.parse_args()
    faces = Faces(chosen.data, chosen.work)
    kept = faces.person[faces.kept_back]
    print(f"{len(faces.trained)} faces of {len(np.unique(faces.person[np.isin(faces.celeb, faces.trained)]))} people to train on with "
          f"{sum(len(faces.near[at]) - 1 for at in faces.trained) // 2} pairs; {len(kept)} faces of {len(np.unique(kept))} people kept back; "
          f"{len(faces.others)} other faces")
