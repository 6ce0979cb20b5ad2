"""Writes the network of the API tests: a face is live if it is redder than blue.

It measures nothing about presentation attacks; tests use it because they can make photos of either kind.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parents[3] / "tests" / "data" / "pad"
SIDE = 32

#: Log-odds of a live face for a red that exceeds the blue by the whole range.
STEEPNESS = 40.0

MANIFEST = """\
[model]
name = "warmth"
sha256 = "{digest}"
licence = "MIT OR Apache-2.0"
provenance = "Written by models/train/pad/warmth.py for tests: the log-odds are 40 times the mean of red minus blue."

[input]
side = {side}
channels = 3
layout = "nchw"
colour = "rgb"
mean = [0.0, 0.0, 0.0]
scale = 0.00392156862745098

[crop]
sizes = [1.0, 1.5]
shape = "square"
border = "mirror"

[output]
form = "logits"
live = 1

[[threshold]]
bpcer = 0.01
score = -1.0

[[threshold]]
bpcer = 0.05
score = 0.0

[golden]
output = {golden}
"""


def pattern(side):
    """Returns the service's test pattern, 3 x side x side, 0 to 255."""
    y, x = np.mgrid[:side, :side]
    waves = [(5, 2, 0), (3, 7, 80), (1, 5, 200)]
    return np.stack([np.abs((kx * x + ky * y + o) % 510 - 255) for kx, ky, o in waves])


def main():
    weights = np.zeros((6, 2), np.float32)
    weights[[0, 3], 1] = STEEPNESS / 2
    weights[[2, 5], 1] = -STEEPNESS / 2
    # Changes nothing; it gives the network a map that can run in 8 bits.
    identity = np.eye(6, dtype=np.float32).reshape(6, 6, 1, 1)
    nodes = [
        helper.make_node("Conv", ["photo", "identity"], ["pixels"]),
        helper.make_node("GlobalAveragePool", ["pixels"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "warmth",
        [helper.make_tensor_value_info("photo", TensorProto.FLOAT, [1, 6, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(identity, "identity"), numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    bytes_ = model.SerializeToString()
    red, _, blue = pattern(SIDE).mean((1, 2)) / 255
    golden = [0.0, round(float(STEEPNESS * (red - blue)), 5)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "warmth.onnx").write_bytes(bytes_)
    digest = hashlib.sha256(bytes_).hexdigest()
    (FOLDER / "warmth.toml").write_text(MANIFEST.format(digest=digest, side=SIDE, golden=golden))


if __name__ == "__main__":
    main()
