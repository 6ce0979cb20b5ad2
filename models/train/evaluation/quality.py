"""Chooses and judges the limits of `src/quality.rs` on CFP's photos, degraded, through the shipped pipeline.

    python -m evaluation.quality --cfp CFP --yunet ../yunet.onnx --encoder ../encoder.onnx ../sface.onnx

Each person's first frontal photo is degraded in several ways and degrees; these, all frontal photos as they are and the profile
photos are taken for references, and compared with the person's other frontal photos. A reference's FNMR is the share of those that it
misses at the encoder's thresholds; a photo without a face is refused anyway and stands apart. Folds 1-5 show where the limits should
lie: as loose as undegraded photos and predictive refusals allow (`advise`). Folds 6-10 show what the limits of the binary do (`report`),
with 95 % intervals by resampling the people. Faces are told from YuNet's landmarks, to know how much to degrade.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common import alignment, cfp_photos, manifests

RESAMPLES = 1000
FIVE_TIMES = 5.0
# One per cent of the undegraded frontal photos, shared by the six reasons.
MOST_REFUSED = 0.01 / 6
# References on the refused side of a limit that must be predictive by themselves.
NEXT_TO_LIMIT = 30
# People whose photos one run of the binary compares.
TOGETHER = 10


def linear(photo):
    return (photo / 255.0) ** 2.2


def encoded(light):
    return np.clip(255 * np.clip(light, 0, 1) ** (1 / 2.2) + 0.5, 0, 255).astype(np.uint8)


def blurred(photo, face, sigma, rng):
    return cv2.GaussianBlur(photo, (0, 0), sigma * face.eyes)


def moved(photo, face, way, rng):
    """Averages the photo along a straight way in a random direction."""
    angle, steps = rng.uniform(0, np.pi), 2 * int(np.ceil(way * face.eyes)) + 1
    total = np.zeros(photo.shape)
    for at in np.linspace(-0.5, 0.5, steps) * way * face.eyes:
        shift = np.float64([[1, 0, at * np.cos(angle)], [0, 1, at * np.sin(angle)]])
        total += cv2.warpAffine(photo, shift, photo.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.uint8(total / steps + 0.5)


def enlarged(photo, face, eyes, rng):
    little = cv2.resize(photo, None, fx=eyes / face.eyes, fy=eyes / face.eyes, interpolation=cv2.INTER_AREA)
    return cv2.resize(little, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def dark(photo, face, light, rng):
    """Less light on a sensor with shot and read noise."""
    seen = linear(photo) * light
    return encoded(seen + rng.normal(0, 1, seen.shape) * np.sqrt(3e-4 * seen + 5e-7))


def bright(photo, face, light, rng):
    return encoded(linear(photo) * light)


def small(photo, face, eyes, rng):
    little = cv2.resize(photo, None, fx=eyes / face.eyes, fy=eyes / face.eyes, interpolation=cv2.INTER_AREA)
    high, wide = (max(0, 112 - side) for side in little.shape[:2])
    return cv2.copyMakeBorder(little, high // 2, high - high // 2, wide // 2, wide - wide // 2, cv2.BORDER_CONSTANT, value=(127,) * 3)


def cut(photo, face, share, rng):
    """Crops the photo so that a share of the face's box is lost at a random side."""
    x, y, width, height = face.box
    left, top, right, bottom = rng.permutation(np.eye(4))[0] * share
    cropped = photo[max(0, int(y + top * height)) if top else 0:int(y + (1 - bottom) * height) if bottom else None,
                    max(0, int(x + left * width)) if left else 0:int(x + (1 - right) * width) if right else None]
    return cropped if min(cropped.shape[:2]) >= 32 else None


# What is meant by a level: blur's sigma and motion's way in inter-eye distances; the inter-eye distance in pixels; the factor of
# the light; the share of the box.
DEGRADED = {"blurred": (blurred, (0.04, 0.07, 0.1, 0.14)), "moved": (moved, (0.2, 0.4)), "enlarged from": (enlarged, (9, 7, 5)),
            "small": (small, (20, 14, 10, 8, 6)), "dark": (dark, (0.1, 0.03, 0.015, 0.008)), "bright": (bright, (2, 6, 12, 24)),
            "cut": (cut, (0.1, 0.2, 0.3, 0.4, 0.5))}
# Reason, its measure, which side of the limit is refused, and the kinds of photos that show where it should lie.
REASONS = {"too_small": ("inter_eye_distance", -1, ("small",)), "too_blurred": ("sharpness", -1, ("blurred", "moved", "enlarged from")),
           "too_dark": ("highlights", -1, ("dark",)), "too_bright": ("overexposure", 1, ("bright",)), "turned_away": ("yaw", 1, ("profile",)),
           "cut_off": ("cropping", 1, ("cut",))}


@dataclass
class Face:
    box: np.ndarray
    eyes: float  # inter-eye distance, pixels


@dataclass
class References:
    """All photos of some people, and what the pipeline says of them."""

    person: np.ndarray
    kind: np.ndarray  # "frontal", "profile" or one of DEGRADED
    level: np.ndarray
    code: np.ndarray  # "" where a face was found
    reasons: list  # sets of codes
    measures: dict
    missed: np.ndarray  # photos x thresholds: the FNMR of each

    def refused_for(self, reason):
        return np.array([reason in reasons for reasons in self.reasons])


def spoil(listed, people, yunet, folder):
    """Writes the degraded photos; returns (person, kind, level, path) of every photo."""
    detector, rng, made = cv2.FaceDetectorYN.create(str(yunet), "", (320, 320), 0.6, 0.3), np.random.default_rng(0), []
    for path in listed.photos:
        person, view = int(path.parent.parent.name), path.parent.name
        if person not in people:
            continue
        made.append((person, view, int(path.stem), path.resolve()))
        if view == "profile" or path.stem != "01":
            continue
        photo = cv2.imread(str(path))
        detector.setInputSize(photo.shape[1::-1])
        found = detector.detect(photo)[1]
        if found is None:
            continue
        row = alignment.prominent(found, photo.shape[1], photo.shape[0])
        face = Face(row[:4], float(np.hypot(*(row[4:6] - row[6:8]))))
        for kind, (change, levels) in DEGRADED.items():
            for level in levels:
                changed = change(photo, face, level, rng)
                if changed is not None:
                    out = folder / f"{person:03}-{kind.split()[0]}-{level}.jpg"
                    cv2.imwrite(str(out), changed, [cv2.IMWRITE_JPEG_QUALITY, 90])
                    made.append((person, kind, level, out))
        print(f"\rperson {person} degraded", end="", file=sys.stderr)
    print(file=sys.stderr)
    return made


def measured(chosen, encoder, made, folder):
    """Runs the binary over the photos, some people at a time: only pairs of one person's photos are looked at."""
    person = np.array([person for person, *_ in made])
    everybody = np.unique(person)
    parts = [np.flatnonzero(np.isin(person, everybody[start:start + TOGETHER])) for start in range(0, len(everybody), TOGETHER)]
    rows, missed = [], []
    levels = [row["score"] for row in manifests.told_rows(manifests.read(encoder.with_suffix(".toml")))]
    kind, level = np.array([kind for _, kind, *_ in made]), np.array([float(level) for _, _, level, _ in made])
    for part in parts:
        listing, scores, quality = folder / "photos.txt", folder / "scores.f32", folder / "quality.csv"
        listing.write_text("".join(f"{made[at][3]}\n" for at in part))
        subprocess.run([chosen.binary, "score", "--encoder", encoder, "--detector", chosen.detector, "--photos", listing, "--out", scores,
                        "--quality", quality], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        own = list(csv.DictReader(quality.open()))
        code = np.array([row["code"] for row in own])
        missed.append(fnmr(np.fromfile(scores, "<f4").reshape(len(part), -1), person[part], kind[part], level[part], code, levels))
        rows += own
        print(f"\r{len(rows)} of {len(made)} photos measured", end="", file=sys.stderr)
    print(file=sys.stderr)
    measures = {name: np.abs([float(row[name] or "nan") for row in rows]) for name, *_ in REASONS.values()}
    code, reasons = np.array([row["code"] for row in rows]), [set(row["reasons"].split()) for row in rows]
    at = np.concatenate(parts)
    return References(person[at], kind[at], level[at], code, reasons, measures, np.concatenate(missed))


def fnmr(scores, person, kind, level, code, levels):
    """The share of its person's other frontal photos that each photo misses; NaN where no face was found."""
    missed = np.full((len(person), len(levels)), np.nan)
    for who in np.unique(person):
        own = np.flatnonzero((person == who) & (code == ""))
        # The first photo is what the degraded ones were made of.
        probes = own[(kind[own] == "frontal") & (level[own] != 1)]
        for at in own:
            others = scores[at, probes[probes != at]]
            missed[at] = [np.mean(others < level) for level in levels]
    return missed


def advise(references, rate):
    """For each reason the limits that undegraded photos allow, and that a five times higher FNMR next to them asks for."""
    undegraded, accepted = references.kind == "frontal", np.array([not reasons for reasons in references.reasons]) & (references.code == "")
    wanted = FIVE_TIMES * np.mean(references.missed[accepted, rate])
    print(f"FNMR of the accepted at the 1e-03 row: {wanted / FIVE_TIMES:.1%}; next to a limit it should be {wanted:.1%}\n")
    print("| reason | measure | limit that undegraded photos allow | limit of five times the FNMR |\n| --- | --- | --- | --- |")
    for reason, (name, side, kinds) in REASONS.items():
        value = side * references.measures[name]
        allowed = np.nanquantile(value[undegraded], 1 - MOST_REFUSED)
        worst_first = np.flatnonzero(np.isin(references.kind, kinds) & (references.code == ""))
        worst_first = worst_first[np.argsort(-value[worst_first])]
        next_to = np.convolve(references.missed[worst_first, rate], np.full(NEXT_TO_LIMIT, 1 / NEXT_TO_LIMIT), "valid")
        enough = np.flatnonzero(next_to >= wanted)
        predictive = side * value[worst_first[enough[-1] + NEXT_TO_LIMIT - 1]] if len(enough) else np.nan
        print(f"| {reason} | {name} | {side * allowed:.3f} | {predictive:.3f} |")


def by_person(references, chosen, rate):
    """Sum and count of the chosen references' FNMR, person by person."""
    _, who = np.unique(references.person, return_inverse=True)
    missed = np.where(chosen, np.nan_to_num(references.missed[:, rate]), 0)
    return np.bincount(who, missed), np.bincount(who, chosen)


def interval(values):
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return low, high


def report(references, rates):
    """What the binary's limits do: refusals of undegraded photos, and the FNMR of the refused and the accepted."""
    found, accepted = references.code == "", np.array([not reasons for reasons in references.reasons])
    people = len(np.unique(references.person))
    draws = np.random.default_rng(0).multinomial(people, np.full(people, 1 / people), RESAMPLES)
    frontal = (references.kind == "frontal") & found
    _, who = np.unique(references.person, return_inverse=True)
    refused, shown = np.bincount(who, frontal & ~accepted), np.bincount(who, frontal)
    low, high = interval(draws @ refused / (draws @ shown))
    print(f"{people} people; undegraded frontal photos with a face: {shown.sum():.0f}, refused {refused.sum() / shown.sum():.2%} ({low:.2%} to {high:.2%}); "
          f"without a face: {np.sum((references.kind == 'frontal') & ~found)}\n")
    print("| references | photos | " + " | ".join(f"FNMR at the {rate:.0e} row | times" for rate in rates) + " |")
    print("| --- | --- |" + " --- | --- |" * len(rates))
    groups = {"accepted": accepted} | {reason: references.refused_for(reason) for reason in REASONS} | {"refused, altogether": ~accepted}
    for name, members in groups.items():
        cells = []
        for rate in range(len(rates)):
            own, base = by_person(references, members & found, rate), by_person(references, accepted & found, rate)
            share, drawn = own[0].sum() / own[1].sum(), (draws @ own[0]) / (draws @ own[1])
            times = drawn / ((draws @ base[0]) / (draws @ base[1]))
            cells.append("{:.1%} ({:.1%} to {:.1%})".format(share, *interval(drawn)))
            cells.append("" if name == "accepted" else "{:.1f} ({:.1f} to {:.1f})".format(share * base[1].sum() / base[0].sum(), *interval(times)))
        print(f"| {name} | {np.sum(members & found)} | " + " | ".join(cells) + " |")


def degrees(references, rates):
    """What becomes of each degree of each degradation."""
    accepted = np.array([not reasons for reasons in references.reasons])
    print("\n| photos | | no face | refused | most common reason | " + " | ".join(f"FNMR at the {rate:.0e} row" for rate in rates) + " |")
    print("| --- | --- | --- | --- | --- |" + " --- |" * len(rates))
    for kind in ("frontal", *DEGRADED, "profile"):
        for level in DEGRADED[kind][1] if kind in DEGRADED else (None,):
            of = (references.kind == kind) & ((references.level == level) | (level is None))
            found = of & (references.code == "")
            counts = {reason: np.sum(references.refused_for(reason) & found) for reason in REASONS}
            most = max(counts, key=counts.get) if max(counts.values()) else ""
            missed = " | ".join(f"{value:.1%}" for value in references.missed[found].mean(0)) if found.any() else " | ".join("" for _ in rates)
            print(f"| {kind} {'' if level is None else level} | {np.sum(of)} | {np.sum(of & ~found)} | {np.sum(found & ~accepted)} | {most} | {missed} |")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cfp", required=True, type=Path)
    arguments.add_argument("--yunet", required=True, type=Path)
    arguments.add_argument("--encoder", default=[Path("../encoder.onnx")], type=Path, nargs="+")
    arguments.add_argument("--detector", default=Path("../detector.onnx"), type=Path)
    arguments.add_argument("--binary", default=Path("../../target/release/likeness"), type=Path)
    arguments.add_argument("--people", default=250, type=int, help="of each half, at most")
    chosen = arguments.parse_args()
    listed = cfp_photos.protocol(chosen.cfp)
    for title, folds in (("Folds 1-5 advise", cfp_photos.CHOOSING), ("Folds 6-10 report", cfp_photos.REPORTING)):
        with tempfile.TemporaryDirectory() as name:
            made = spoil(listed, set(listed.people("FF", folds)[:chosen.people].tolist()), chosen.yunet, Path(name))
            for encoder in chosen.encoder:
                references = measured(chosen, encoder, made, Path(name))
                rates = [row["fmr"] for row in manifests.told_rows(manifests.read(encoder.with_suffix(".toml")))]
                print(f"\n{title}, {encoder.stem}\n")
                if folds == cfp_photos.CHOOSING:
                    advise(references, rates.index(1e-3))
                else:
                    report(references, rates)
                    degrees(references, rates)


if __name__ == "__main__":
    main()
