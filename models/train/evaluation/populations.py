"""Error rates of strangers in several populations, through the shipped binary: by the model's table, and by thresholds fitted to the gallery.

    python -m evaluation.populations --binary ../../target/release/likeness --teacher ../sface.onnx --cfp CFP --utk UTK --aaf AAF --vote VOTE [--encoder ../sface.onnx]

Of each population galleries of 100 and 200 people are drawn and imported into a service of their own; its thresholds are read from
its answers. Everybody else of the population is a stranger: each is compared with the gallery by `likeness score`. Pairs that the
teacher takes for one person (cosine of 0.5 or more) are left out. Shown are the median and the range over the draws of FMR / 1e-4
and FPIR / 1e-2. Prints Markdown.
"""

import argparse
import csv
import json
import random
import re
import subprocess
import tempfile
import time
import tomllib
import urllib.request
from pathlib import Path

import numpy as np

from common.cfp_photos import REPORTING, protocol

FMR, FPIR, SAME, ADULT, DRAWS, MOST = 1e-4, 1e-2, 0.5, 18, 3, 500
SIZES = (100, 200)
ORIGINS = ("white", "black", "Asian", "Indian", "other")


def congress(args):
    named = {}
    for row in csv.DictReader((args.vote / "members.csv").open()):
        if int(row["congress"]) >= 85 and row["image"] and (args.vote / row["image"]).exists():
            named[row["name"]] = args.vote / row["image"]
    return list(named.values())


def all_age_faces(args, kept_back):
    """Adults; the numbers divisible by 5 are kept back from training and fitting."""
    age = {path: re.match(r"(\d+)A(\d+)", path.name) for path in sorted(args.aaf.rglob("*.jpg"))}
    return [path for path, name in age.items() if name and (int(name[1]) % 5 == 0) == kept_back and int(name[2]) >= ADULT]


def utk(args):
    """Adults by origin."""
    adults = [(path, re.match(r"(\d+)_[01]_([0-4])_", path.name)) for path in sorted(args.utk.rglob("*.jpg"))]
    for number, origin in enumerate(ORIGINS):
        yield f"UTKFace adults, {origin}", [path for path, name in adults if name and int(name[1]) >= ADULT and int(name[2]) == number]


def populations(args):
    """Name and photos, of each person a reference and a probe (the same photo where there is only one)."""
    listed, frontal = protocol(args.cfp), {}
    for photo, person, is_frontal in zip(listed.photos, listed.person, listed.frontal):
        if is_frontal:
            frontal.setdefault(int(person), []).append(photo)
    yield "CFP, folds 6-10", [tuple(sorted(frontal[person])[:2]) for person in listed.people("FF", REPORTING).tolist()]
    for name, photos in (("Congress portraits", congress(args)), ("All-Age-Faces, numbers divisible by 5", all_age_faces(args, True)), *utk(args)):
        yield name, [(photo, photo) for photo in photos]


def fitting(args):
    """Name and photos of the populations beside CFP that tables of error rates are fitted to, and each photo's group within them."""
    yield "Congress portraits", {"": congress(args)}
    yield "All-Age-Faces, numbers not divisible by 5", {"": all_age_faces(args, False)}
    yield "UTKFace adults", dict(utk(args))


def scores(binary, options, photos, folder):
    """References by probes, and which photos have no quality defect."""
    listed, matrix, table = (folder / name for name in ("list.txt", "scores.f32", "quality.csv"))
    listed.write_text("\n".join(map(str, photos)))
    subprocess.run([binary, "score", "--photos", listed, "--out", matrix, "--quality", table, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    good = np.array([not row["code"] and not row["reasons"] for row in csv.DictReader(table.open())])
    return np.fromfile(matrix, "<f4").reshape(len(photos), -1), good


def compared(args, photos):
    """References by probes, which of these pairs are one person by the teacher, and which photos have no quality defect."""
    options, teacher = ["--encoder", args.teacher], tomllib.loads(args.teacher.with_suffix(".toml").read_text())["comparison"]
    with tempfile.TemporaryDirectory() as folder:
        alike, good = scores(args.binary, options, photos, Path(folder))
        matrix = alike
        if args.encoder != args.teacher:
            matrix, good = scores(args.binary, ["--encoder", args.encoder] if args.encoder else [], photos, Path(folder))
    return matrix, (alike + teacher["offset"]) / teacher["scale"] >= SAME, good


def thresholds(binary, options, photos, folder):
    """Imports a gallery and asks a service for its thresholds: those for verification and identification, and their basis."""
    people, data = folder / "people", folder / "data"
    people.mkdir()
    for number, photo in enumerate(photos):
        (people / f"p{number:04}{photo.suffix}").symlink_to(Path(photo).resolve())
    subprocess.run([binary, "import", people, "--data-dir", data, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    service = subprocess.Popen([binary, "--data-dir", data, "--listen", "127.0.0.1:0", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        url = next(found[0] for line in service.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        header = (data / "local.header").read_text().strip().split(": ", 1)

        def get(path, body=None, kind=None):
            request = urllib.request.Request(url + path, body, {header[0]: header[1], **({"Content-Type": kind} if kind else {})})
            return json.load(urllib.request.urlopen(request))

        for _ in range(100):
            try:
                ready = get("/readyz")
                break
            except urllib.error.HTTPError:
                time.sleep(0.1)
        enrolled = get("/employees?limit=1")["employees"][0]["employee_id"]
        boundary = b"--x\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
        body = boundary % (b"employee_id", enrolled.encode()) + boundary % (b"photo", Path(photos[int(enrolled[1:])]).read_bytes()) + b"--x--\r\n"
        verified = get("/verify", body, "multipart/form-data; boundary=x")
        return verified["threshold"]["score"], ready["identification"]["score"], verified["threshold"]["basis"]
    finally:
        service.terminate()
        service.communicate()


def ratios(matrix, same, rows, columns, verification, identification):
    """FMR and FPIR of strangers against a gallery, over their targets."""
    part = np.where(same[np.ix_(rows, columns)], np.nan, matrix[np.ix_(rows, columns)])
    fmr = (part >= verification).sum() / np.isfinite(part).sum()
    return fmr / FMR, (np.nanmax(part, 0) >= identification).mean() / FPIR


def spread(values):
    return f"{np.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def measure(args, name, pairs, options, table):
    """A row for each size of gallery."""
    pairs = random.Random(1).sample(pairs, min(MOST, len(pairs)))
    photos = [photo for pair in pairs for photo in pair] if pairs[0][0] != pairs[0][1] else [pair[0] for pair in pairs]
    step = len(photos) // len(pairs)
    matrix, same, good = compared(args, photos)
    first = np.arange(len(pairs)) * step
    last = first + step - 1
    kept = np.flatnonzero(good[first] & good[last])
    pairs_of = np.ix_(first[kept], last[kept])
    matrix, same = matrix[pairs_of], same[pairs_of] | np.eye(len(kept), dtype=bool)
    by_table = ratios(matrix, same, *[np.arange(len(kept))] * 2, table, np.inf)[0]
    for size in SIZES:
        if size > 0.7 * len(kept):
            continue
        found, bases = [], set()
        for draw in range(DRAWS):
            drawn = np.random.default_rng(draw).permutation(len(kept))
            rows, columns = drawn[:size], drawn[size:]
            with tempfile.TemporaryDirectory() as folder:
                *both, basis = thresholds(args.binary, options, [photos[first[kept[row]]] for row in rows], Path(folder))
            bases.add(basis)
            found.append(ratios(matrix, same, rows, columns, *both))
        fmr, fpir = zip(*found)
        print(f"| {name} | {len(kept)} | {by_table:.1f} | {size} | {'/'.join(sorted(bases))} | {spread(fmr)} | {spread(fpir)} |", flush=True)


def arguments(description):
    ask = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("binary", "teacher", "cfp", "utk", "aaf", "vote"):
        ask.add_argument(f"--{name}", required=True, type=Path)
    ask.add_argument("--encoder", type=Path)
    return ask


def main():
    args = arguments(__doc__).parse_args()
    manifest = tomllib.loads((args.encoder or Path(__file__).parents[2] / "encoder.onnx").with_suffix(".toml").read_text())
    table = next(row["score"] for row in manifest["error_rate"] if row["fmr"] == FMR)
    options = ["--encoder", args.encoder] if args.encoder else []
    print("| population | people | FMR / 1e-4 by the table | gallery | basis | FMR / 1e-4 | FPIR / 1e-2 |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, pairs in populations(args):
        measure(args, name, pairs, options, table)


if __name__ == "__main__":
    main()
