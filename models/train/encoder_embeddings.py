"""What an exported encoder makes of aligned faces, by onnxruntime, without the service."""

import numpy as np

import encoder_manifest


def both_sides(encoder, manifest, faces):
    """Unit embeddings of aligned RGB faces as references, each the mean of the face and its mirror image, and as probes."""
    seen = probes(encoder, manifest, faces)
    return unit(seen + probes(encoder, manifest, faces[:, :, ::-1])), seen


def probes(encoder, manifest, faces):
    """The unit embedding of each face, by onnxruntime."""
    run, name = encoder_manifest.session(encoder)
    given = manifest["input"]
    raw = np.zeros((len(faces), manifest["output"]["length"]), np.float32)
    for at, face in enumerate(faces):
        face = (face if given["colour"] == "rgb" else face[:, :, ::-1]).astype(np.float32)
        face = (face - np.array(given["mean"], np.float32)) * np.float32(given["scale"])
        raw[at] = run.run(None, {name: np.ascontiguousarray(face.transpose(2, 0, 1)[None])})[0]
    return unit(raw)


def unit(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)
