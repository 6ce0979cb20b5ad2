"""Manifests: the TOML file beside each ONNX file, with the network's input, output and calibration.

    python -m common.manifests sface SFACE.onnx ../sface.toml
    python -m common.manifests yunet YUNET.onnx ../yunet.toml

writes the manifests of OpenCV Zoo's networks. `encoder/export.py` writes that of the default encoder,
and `evaluation/cfp.py --fit` adds the calibration.
"""

import hashlib
import re
import sys
import tomllib
from pathlib import Path

import numpy as np

UNFITTED = {"comparison": {"kind": "cosine", "scale": 1.0, "offset": 0.0}}  # without error rates it does not serve
VIEWS = {"mirrored_probes": True, "turned_references": 0.15}  # of our encoder; of 0, 0.1, 0.15 and 0.25 chosen on CFP's folds 1-5
FITTED = ("comparison", "error_rate", "profile_error_rate")  # what `evaluation/cfp.py --fit` replaces

TOLD = (1e-2, 1e-3, 1e-4)  # the rows that the card's tables have columns for


def told_rows(manifest):
    """The manifest's error rates that are told of."""
    return [row for row in manifest["error_rate"] if any(abs(row["fmr"] - fmr) < fmr / 100 for fmr in TOLD)]


def pattern(width, height):
    """The test pattern, height x width x 3, RGB."""
    y, x = np.mgrid[:height, :width]
    channels = ((5, 2, 0), (3, 7, 80), (1, 5, 200))
    return np.stack([np.abs((kx * x + ky * y + o) % 510 - 255) for kx, ky, o in channels], 2).astype(np.uint8)


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def session(path):
    import onnx
    import onnxruntime

    model = onnx.load(path)
    inputs = [i for i in model.graph.input if i.name not in {w.name for w in model.graph.initializer}]
    for axis in (2, 3):  # YuNet's says 640 x 640, though it takes any multiple of 32
        inputs[0].type.tensor_type.shape.dim[axis].dim_param = f"side_{axis}"
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options), inputs[0].name


def _value(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return repr(value)


def _key(key):
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def write(path, manifest):
    """Tables in the order given; `[[error_rate]]` rows and long lists as people like to read them."""
    lines = []
    for name, table in manifest.items():
        for one in table if isinstance(table, list) else [table]:
            lines.append(f"[[{name}]]" if isinstance(table, list) else f"[{name}]")
            for key, value in one.items():
                if isinstance(value, list) and len(value) > 8:
                    rows = [", ".join(_value(v) for v in value[i:i + 8]) for i in range(0, len(value), 8)]
                    lines.append(f"{_key(key)} = [\n  " + ",\n  ".join(rows) + ",\n]")
                else:
                    lines.append(f"{_key(key)} = {_value(value)}")
            lines.append("")
    text = "\n".join(lines)
    assert tomllib.loads(text) == manifest
    Path(path).write_text(text)


def read(path):
    return tomllib.loads(Path(path).read_text())


def rounded(values, digits=6):
    return [float(f"{v:.{digits}g}") for v in np.asarray(values, np.float64).ravel()]


def golden_encoder(path, manifest):
    """The raw output for the test pattern, by onnxruntime."""
    given = manifest["input"]
    picture = pattern(given["width"], given["height"]).astype(np.float32)
    picture = (picture - np.array(given["mean"], np.float32)) * np.float32(given["scale"])
    run, name = session(path)
    return rounded(run.run(None, {name: picture.transpose(2, 0, 1)[None].astype(np.float32)})[0])


def sface(path):
    manifest = {
        "model": {"name": "sface-2021dec", "sha256": digest(path), "licence": "Apache-2.0",
                  "provenance": "SFace (Zhong et al. 2021) from OpenCV Zoo, face_recognition_sface_2021dec.onnx, unchanged. Not made by this project."},
        "input": {"width": 112, "height": 112, "channels": 3, "layout": "nchw", "colour": "rgb", "mean": [0.0, 0.0, 0.0], "scale": 1.0},
        "output": {"length": 128},
        **UNFITTED,
    }
    return manifest | {"golden": {"output": golden_encoder(path, manifest)}}


def yunet(path):
    sizes = [320, 640]
    manifest = {
        "model": {"name": "yunet-2023mar", "sha256": digest(path), "licence": "MIT",
                  "provenance": "YuNet (Wu, Peng, Yu 2023) from OpenCV Zoo, face_detection_yunet_2023mar.onnx, unchanged. Not made by this project."},
        "input": {"sizes": sizes, "channels": 3, "layout": "nchw", "colour": "bgr", "mean": [0.0, 0.0, 0.0], "scale": 1.0},
        "output": {"family": "yunet", "score": 0.6, "nms_iou": 0.3},
    }
    run, name = session(path)
    outputs = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
    picture = pattern(sizes[0], sizes[0])[:, :, ::-1].astype(np.float32).transpose(2, 0, 1)[None]
    means = [answer.mean(dtype=np.float64) for answer in run.run(outputs, {name: np.ascontiguousarray(picture)})]
    return manifest | {"golden": {"output": rounded(means)}}


if __name__ == "__main__":
    kind, network, target = sys.argv[1:]
    manifest = {"sface": sface, "yunet": yunet}[kind](network)
    if Path(target).exists():  # a calibration that was fitted stays
        manifest |= {k: v for k, v in read(target).items() if k in (*FITTED, "quantization")}
    write(target, manifest)
