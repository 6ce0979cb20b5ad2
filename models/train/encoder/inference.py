"""Embeds aligned faces with an exported encoder, by onnxruntime and without the service."""

import cv2
import numpy as np

from common import manifests
from common.yaw import turn


TURNS = (20, 40, 60)  # degrees, as in src/engine/encoder.rs


def both_sides(encoder, manifest, faces):
    """Unit embeddings of aligned RGB faces as references and as probes, from as many views as the manifest's [views] say."""
    views = manifest.get("views", {"mirrored_probes": False, "turned_references": 0})
    mirror_images = faces[:, :, ::-1]
    seen, mirrored = probes(encoder, manifest, faces), probes(encoder, manifest, mirror_images)
    references, weight = seen + mirrored, views["turned_references"]
    for degrees in TURNS if weight else ():
        for side in (faces, mirror_images):
            references += weight * probes(encoder, manifest, (turned(face, degrees) for face in side), len(side))
    return unit(references), unit(seen + mirrored) if views["mirrored_probes"] else seen


def turned(face, degrees):
    """The face as the service turns it (`src/face/yaw.rs`), but for sampling twice."""
    wide = cv2.copyMakeBorder(np.ascontiguousarray(face), 10, 10, 10, 10, cv2.BORDER_REPLICATE)
    seen, matrix = turn(wide, np.radians(degrees), 0)
    return cv2.warpAffine(seen, matrix, face.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def probes(encoder, manifest, faces, count=None):
    """The unit embedding of each face, by onnxruntime."""
    run, name = manifests.session(encoder)
    given = manifest["input"]
    raw = np.zeros((count or len(faces), manifest["output"]["length"]), np.float32)
    for at, face in enumerate(faces):
        face = (face if given["colour"] == "rgb" else face[:, :, ::-1]).astype(np.float32)
        face = (face - np.array(given["mean"], np.float32)) * np.float32(given["scale"])
        raw[at] = run.run(None, {name: np.ascontiguousarray(face.transpose(2, 0, 1)[None])})[0]
    return unit(raw)


def unit(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)
