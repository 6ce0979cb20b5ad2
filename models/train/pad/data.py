"""Lists the photos of the presentation-attack sets, and finds their faces with the service's detector.

    likeness --data-dir DIR --rate-limit 100000 --address-rate-limit 100000 &
    python -m pad.data --sets SETS --utk UTK --aaf AAF --vote VOTE --cfp CFP --header DIR/local.header [--service URL]

SETS holds `replay/` (Replay-Attack's frames), `casia/` (CASIA-FASD's color crops) and `tutorial/<copy>/{real,fake}`. Each face goes
through POST /check, so that training and service see the same box. Kept: --work/pad/faces.csv, one row a photo; photos without
exactly one face have an empty box. Rerunning continues.
"""

import argparse
import csv
import http.client
import json
import random
import re
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

FIELDS = ("path", "set", "split", "group", "attack", "instrument", "x", "y", "width", "height")
# Frames of a video that stand for all of its 20: live videos are fewer, so each gives more.
LIVE_FRAMES, ATTACK_FRAMES = {"train": 20, "devel": 10, "test": 10}, {"train": 4, "devel": 4, "test": 5}
CASIA = {"1": "live", "2": "live", "HR_1": "live", "3": "warped photo", "4": "warped photo", "HR_2": "warped photo", "5": "cut photo",
         "6": "cut photo", "HR_3": "cut photo", "7": "video", "8": "video", "HR_4": "video"}
ORDINARY = {"utk": 7000, "aaf": 2500, "vote": 2500, "cfp": 2000}
ADULT = 18


@dataclass
class Photo:
    """A photo and what it shows: the live presentation of a person, or an attack by an instrument."""

    path: str
    set: str
    split: str  # train, devel or test
    group: str  # the video or person that intervals resample
    attack: bool
    instrument: str
    box: tuple | None = None  # x, y, width, height in pixels


def spread(items, count):
    """So many of the items, evenly spaced."""
    return [items[i * len(items) // count] for i in range(min(count, len(items)))] if len(items) > count else items


def replay(root):
    for split in ("train", "devel", "test"):
        for video in sorted((root / split).iterdir()):
            live = "__real__" in video.name
            hold, rest = video.name.split("__")[2:] if live else (video.name.split("__")[2], video.name.split("__")[3])
            medium = None if live else re.match(r"attack_(print|mobile|highdef)_.*_(photo|video)_", rest)
            instrument = "live" if live else "print" if medium[1] == "print" else f"{medium[1]} {medium[2]}"
            count = (LIVE_FRAMES if live else ATTACK_FRAMES)[split]
            for frame in spread(sorted(video.glob("*.jpg")), count):
                yield Photo(str(frame), "replay", split, video.name, not live, instrument if live else f"{instrument}, {hold}")


def casia(root):
    for split in ("train", "test"):
        for path in sorted((root / f"{split}_img").rglob("*.jpg")):
            person, clip = re.match(r"(\d+)_((?:HR_)?\d)\.avi", path.name).groups()
            instrument = CASIA[clip]
            # Four of the twenty people of the training part choose thresholds.
            devel = split == "train" and int(person) % 5 == 0
            yield Photo(str(path), "casia", "devel" if devel else split, f"casia {split} {person}", instrument != "live", instrument)


def tutorial(root):
    for copy in sorted(path for path in root.iterdir() if (path / "fake").exists()):
        for label in ("real", "fake"):
            paths = sorted((copy / label).glob("*.png"), key=lambda path: (len(path.stem), path.stem))
            for number, path in enumerate(paths):
                # Neighbors are frames of one video, so the last eighth chooses thresholds.
                devel = number >= len(paths) * 7 // 8
                yield Photo(str(path), f"tutorial {copy.name.split('+')[0]}", "devel" if devel else "train", str(path.parent), label == "fake", "live" if label == "real" else "unnamed")


def ordinary(name, paths, most):
    """So many photos of a set; half of UTKFace and all of CFP measure, an eighth of the other sets chooses thresholds, by checksum."""
    paths = sorted(paths)
    random.Random(1).shuffle(paths)
    for path in paths[:most]:
        number = zlib.crc32(path.name.encode())
        split = {"cfp": "test", "utk": "test" if number % 2 else "train"}.get(name, "devel" if number % 8 == 0 else "train")
        yield Photo(str(path), name, split, path.parent.parent.name if name == "cfp" else path.name, False, "live")


def listed(args):
    """All photos of the recipe."""
    yield from replay(args.sets / "replay")
    yield from casia(args.sets / "casia")
    yield from tutorial(args.sets / "tutorial")
    adults = [path for path in args.utk.rglob("*.chip.jpg") if (age := re.match(r"(\d+)_[01]_[0-4]_", path.name)) and int(age[1]) >= ADULT]
    # Older portraits of members of Congress are scans of prints.
    modern = [args.vote / row["image"] for row in csv.DictReader((args.vote / "members.csv").open()) if int(row["congress"]) >= 108]
    yield from ordinary("utk", adults, ORDINARY["utk"])
    yield from ordinary("aaf", args.aaf.rglob("*.jpg"), ORDINARY["aaf"])
    yield from ordinary("vote", [path for path in modern if path.exists()], ORDINARY["vote"])
    yield from ordinary("cfp", (path for path in args.cfp.rglob("*.jpg") if path.parent.name == "frontal"), ORDINARY["cfp"])


class Service:
    """POST /check of a running service."""

    def __init__(self, url, header):
        self.address, self.header = urlparse(url), dict([header.read_text().strip().split(": ", 1)])
        self.connection = http.client.HTTPConnection(self.address.hostname, self.address.port)

    def box(self, path):
        """The box of the only face in the photo, or None."""
        part = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p"\r\n\r\n' + Path(path).read_bytes() + b"\r\n--b--\r\n"
        self.connection.request("POST", "/check", part, {**self.header, "Content-Type": "multipart/form-data; boundary=b"})
        answer = self.connection.getresponse()
        said = json.loads(answer.read())
        if answer.status == 422:
            return None
        assert answer.status == 200, f"{path}: {answer.status} {said}"
        return tuple(said["face"]["box"][key] for key in ("x", "y", "width", "height"))


def read(work):
    """The photos with their boxes."""
    with (work / "pad" / "faces.csv").open() as table:
        rows = list(csv.DictReader(table))
    return [Photo(row["path"], row["set"], row["split"], row["group"], row["attack"] == "1", row["instrument"],
                  tuple(float(row[key]) for key in ("x", "y", "width", "height")) if row["x"] else None) for row in rows]


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sets", "utk", "aaf", "vote", "cfp", "header"):
        ask.add_argument(f"--{name}", required=True, type=Path)
    ask.add_argument("--service", default="http://127.0.0.1:8080")
    ask.add_argument("--work", type=Path, default=Path("work"))
    args = ask.parse_args()
    target = args.work / "pad" / "faces.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    done = {photo.path for photo in read(args.work)} if target.exists() else set()
    missing = [photo for photo in listed(args) if photo.path not in done]
    here = threading.local()

    def box(photo):
        here.service = getattr(here, "service", None) or Service(args.service, args.header)
        return here.service.box(photo.path)

    with target.open("a", newline="") as table, ThreadPoolExecutor(2) as pool:
        rows = csv.writer(table)
        if not done:
            rows.writerow(FIELDS)
        for p, found in zip(missing, pool.map(box, missing)):
            rows.writerow([p.path, p.set, p.split, p.group, int(p.attack), p.instrument, *(found or [""] * 4)])
    print(f"{len(done) + len(missing)} photos")


if __name__ == "__main__":
    main()
