"""Aligns and embeds the faces of further public repositories, in the form of the data folder's faces.

    python -m encoder.more_faces --data DATA --more MORE --cfp CFP --detector YUNET.onnx --teacher SFACE.onnx

MORE holds the repositories' git directories, named `owner+name/repo` or `owner+name`; no work tree is needed. Each source is
written once, under --work/encoder/more: `NAME.faces` (uint8, N x 120 x 120 x 3), `NAME.sface.npy` (the teacher's embeddings of the
central 112 x 112 pixels) and `NAME.csv` (file, face height in pixels, detector score, largest cosine to a person of CFP and to a
picture of another set). A face is left out if the teacher finds it like a person of CFP (cosine of 0.5 or more), or if the picture
is in use already (0.9 or more). Pictures that the data folder's README excludes are never decoded.
"""

import argparse
import csv
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common import alignment, cfp_photos
from encoder import stored_faces
from encoder.teacher import Teacher

LIKE_CFP, IN_USE = 0.5, 0.9  # cosines of the teacher from which on a face is left out
YOUNGEST = 22.0  # mean perceived age of a generated face, on OMI's scale of 0 to 100


def git(repository, *command):
    return subprocess.run(["git", "-C", str(repository), *command], check=True, capture_output=True).stdout


def blobs(repository, names):
    """Each file of the newest commit, in turn."""
    reader = subprocess.Popen(["git", "-C", str(repository), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for name in names:
        reader.stdin.write(f"HEAD:{name}\n".encode())
        reader.stdin.flush()
        size = int(reader.stdout.readline().split()[2])
        yield name, reader.stdout.read(size + 1)[:-1]
    reader.stdin.close()
    reader.wait()


@dataclass
class Source:
    repository: str
    pattern: str  # of the file names that are taken
    least: int = 60  # pixels of face height

    def usable(self, name, folder):
        return True

    def decode(self, data):
        """The BGR photo, or None if the picture is excluded."""
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


class AllAgeFaces(Source):
    def usable(self, name, folder):
        """Aged 17 or more; numbers divisible by 5 are kept for measurements."""
        number, age = re.search(r"(\d{5})A(\d+)\.jpg$", name).groups()
        return int(age) >= 17 and int(number) % 5 != 0


class Dsca(Source):
    def decode(self, data):
        """Pictures of 250 x 250 are those of LFW, which this project doesn't use."""
        photo = super().decode(data)
        return None if photo is None or photo.shape[:2] == (250, 250) else photo


class Cutouts(Source):
    def decode(self, data):
        """Composes a cut-out on one color."""
        photo = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if photo.ndim < 3 or photo.shape[2] < 4:
            return super().decode(data)
        color = np.random.default_rng(len(data)).integers(0, 256, 3)
        opaque = photo[:, :, 3:] / 255
        return np.ascontiguousarray((photo[:, :, :3] * opaque + color * (1 - opaque)).astype(np.uint8))


class Generated(Source):
    def usable(self, name, folder):
        """Without the children, by the age that people perceived."""
        if not hasattr(self, "ages"):
            rows = csv.DictReader(git(folder, "show", "HEAD:attribute_means.csv").decode().splitlines())
            self.ages = {row["stimulus"]: float(row["age"]) for row in rows}
        return self.ages.get(Path(name).stem, 0.0) >= YOUNGEST


SOURCES = {
    "aaf": AllAgeFaces("middleyuan+All-Age-Faces-Dataset", r"All-Age-Faces Dataset/original images/\d{5}A\d+\.jpg"),
    "dsca": Dsca("zukost+DSCA", r"faces/(man|woman)/[^/]+\.jpg", 40),
    "pretrain": Source("1148030615+pretrain_CelebA", r"[^/]+\.jpg"),
    "cutouts": Cutouts("ajc29+images", r"\d+\.png"),
    "council": Source("amauribatisteli+fotos-vereadores-2024", r"[^/]+\.jpg"),
    "omi": Generated("jcpeterson+omi", r"images/\d+\.jpg"),
}


def faces(source, more, detector):
    """File name, aligned face, face height in pixels and detector score of every usable picture."""
    folder = more / source.repository / "repo"
    folder = folder if folder.exists() else folder.parent
    names = git(folder, "ls-tree", "-r", "-z", "--name-only", "HEAD").decode().split("\0")
    names = [name for name in names if re.fullmatch(source.pattern, name) and source.usable(name, folder)]
    for name, data in blobs(folder, names):
        photo = source.decode(data)
        row = None if photo is None else alignment.detect(photo, detector)
        if row is not None and row[3] >= source.least:
            yield name, alignment.align(photo, row, 4), row[3], row[14]


def batches(items, size):
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def nearest(embeddings, others):
    return (embeddings @ others.T).max(1) if len(others) else np.full(len(embeddings), -1.0)


def of_cfp(chosen, teacher):
    """The teacher's embeddings of every photo of CFP."""
    cache = chosen.work / "encoder" / "cfp-all.sface.npy"
    _, aligned, found = cfp_photos.aligned(chosen.cfp, chosen.detector, chosen.work)
    if not cache.exists():
        np.save(cache, teacher(aligned[found]))
    return np.load(cache)


def write(name, chosen, detector, teacher, cfp, used):
    """Writes one source; `used`: the teacher's embeddings of the other sets."""
    folder, rows, kept, seen = chosen.work / "encoder" / "more", [], [], 0
    pixels = folder / f"{name}.partial"
    with open(pixels, "wb") as out:
        for batch in batches(faces(SOURCES[name], chosen.more, detector), Teacher.BATCH * 8):
            images = np.stack([face for _, face, _, _ in batch])
            embeddings = teacher(images[:, 4:-4, 4:-4])
            cfp_like, used_like = nearest(embeddings, cfp), nearest(embeddings, used)
            keep = (cfp_like < LIKE_CFP) & (used_like < IN_USE)
            images[keep].tofile(out)
            kept.append(embeddings[keep])
            rows += [(batch[i][0], f"{batch[i][2]:.0f}", f"{batch[i][3]:.3f}", f"{cfp_like[i]:.3f}", f"{used_like[i]:.3f}") for i in np.flatnonzero(keep)]
            seen += len(batch)
            print(f"\r{name}: {len(rows)} of {seen} faces", end="", flush=True)
    print()
    with open(folder / f"{name}.csv", "w", newline="") as out:
        csv.writer(out).writerows([("file", "face_height_px", "detector_score", "cosine_cfp", "cosine_used"), *rows])
    pixels.rename(folder / f"{name}.faces")
    np.save(folder / f"{name}.sface.partial.npy", np.concatenate(kept))
    (folder / f"{name}.sface.partial.npy").rename(folder / f"{name}.sface.npy")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--more", required=True, type=Path)
    arguments.add_argument("--cfp", required=True, type=Path)
    arguments.add_argument("--detector", required=True, type=Path, help="YuNet")
    arguments.add_argument("--teacher", required=True, type=Path, help="SFace")
    arguments.add_argument("--work", default=Path("work"), type=Path)
    arguments.add_argument("--only", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    chosen = arguments.parse_args()
    cv2.setNumThreads(1)
    (chosen.work / "encoder" / "more").mkdir(parents=True, exist_ok=True)
    detector, teacher = cv2.FaceDetectorYN.create(str(chosen.detector), "", (320, 320), 0.6, 0.3), Teacher(chosen.teacher)
    cfp = of_cfp(chosen, teacher)
    for name in chosen.only:
        if not (chosen.work / "encoder" / "more" / f"{name}.sface.npy").exists():
            write(name, chosen, detector, teacher, cfp, stored_faces.embeddings(chosen.data, chosen.work))


if __name__ == "__main__":
    main()
