"""What an encoder makes of CFP's photos: the cosine of every photo as a reference (rows) with every photo as a probe (columns).

By the shipped binary (`likeness score`: its own decoding, detection, alignment and network), or by OpenCV and onnxruntime, without it.
The binary's answer is kept under --work and read again as long as the binary and both models stay the same.
"""

import hashlib
import json
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from common import cfp_photos, manifests
from encoder import inference


def by_binary(chosen, listed):
    """Cosines, N x N, NaN in the rows and columns of refused photos. What was refused, and why, is printed."""
    kept = chosen.work / "cfp-scores" / f"{fingerprint(chosen)}.npy"
    reasons = kept.with_suffix(".json")
    if not reasons.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        matrix, refused = score(chosen, listed)
        np.save(kept, matrix)
        reasons.write_text(json.dumps(refused))
    print("Refused:", ", ".join(f"{count} {reason}" for reason, count in json.loads(reasons.read_text()).items()) or "none")
    return np.load(kept)


def precision(chosen):
    """The precision that was asked for; not every program that calls asks."""
    return getattr(chosen, "precision", None)


def fingerprint(chosen):
    """Names what the cosines depend on; the calibration is no part of that."""
    parts = [manifests.digest(path) for path in (chosen.binary, chosen.encoder, chosen.detector, chosen.detector.with_suffix(".toml"))]
    manifest = manifests.read(chosen.encoder.with_suffix(".toml"))
    fixed = {name: table for name, table in manifest.items() if name not in manifests.FITTED}
    if precision(chosen):
        parts.append(precision(chosen))
    return hashlib.sha256(json.dumps([*parts, fixed]).encode()).hexdigest()[:16]


def score(chosen, listed):
    with tempfile.TemporaryDirectory() as folder:
        photos, out = Path(folder) / "photos.txt", Path(folder) / "scores.f32"
        photos.write_text("".join(f"{photo.resolve()}\n" for photo in listed.photos))
        command = [chosen.binary, "score", "--encoder", chosen.encoder, "--detector", chosen.detector, "--photos", photos, "--out", out]
        if precision(chosen):
            command += ["--precision", precision(chosen)]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        scores = np.fromfile(out, "<f4").reshape(len(listed.photos), -1)
    comparison = manifests.read(chosen.encoder.with_suffix(".toml"))["comparison"]
    if comparison["kind"] != "cosine":
        raise SystemExit("only scores that are cosines can be calibrated here")
    view = {str(photo.resolve()): photo.parent.name for photo in listed.photos}
    lines = [line.split("\t") for line in said.splitlines() if "\t" in line]
    refused = Counter(f"{view[path]} ({reason})" for path, reason in lines)
    return (scores + np.float32(comparison["offset"])) / np.float32(comparison["scale"]), refused


def by_opencv(chosen, listed):
    """The same by YuNet, OpenCV's warp and onnxruntime."""
    _, faces, found = cfp_photos.aligned(chosen.cfp, chosen.detector, chosen.work)
    manifest = manifests.read(chosen.encoder.with_suffix(".toml"))
    references, seen = inference.both_sides(chosen.encoder, manifest, faces)
    cosines = references @ seen.T
    cosines[~found], cosines[:, ~found] = np.nan, np.nan
    print(f"Refused: {np.sum(~found & listed.frontal)} frontal, {np.sum(~found & ~listed.frontal)} profile")
    return cosines
