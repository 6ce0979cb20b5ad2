"""The teacher: OpenCV Zoo's SFace (Apache-2.0), run by OpenVINO in bf16.

`python -m encoder.teacher SFACE.onnx` compares it with onnxruntime in 32 bits and prints its speed.
"""

import sys
import time
from pathlib import Path

import numpy as np
import openvino

from common import manifests
from encoder import inference


class Teacher:
    """Unit embeddings by SFace on one core: 310 faces a second with AMX (OpenCV 67, PyTorch compiled in bf16 109)."""

    BATCH = 32  # compiled for this many

    def __init__(self, path):
        network = openvino.convert_model(str(path))
        network.reshape({network.input(0): [self.BATCH, 3, 112, 112]})
        how = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
        self.request = openvino.Core().compile_model(network, "CPU", how).create_infer_request()

    def __call__(self, faces):
        """Unit embeddings, N x 128 of 32 bits, of uint8 faces, N x 112 x 112 x 3, RGB."""
        answers = []
        for start in range(0, len(faces), self.BATCH):
            part = faces[start:start + self.BATCH]
            full = np.zeros((self.BATCH, 3, 112, 112), np.float32)
            full[:len(part)] = part.transpose(0, 3, 1, 2)  # mean and scale are in the graph
            answers.append(next(iter(self.request.infer({0: full}).values()))[:len(part)].copy())
        raw = np.concatenate(answers)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def main(path):
    teacher = Teacher(path)
    faces = np.random.default_rng(0).integers(0, 256, (256, 14, 14, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    start = time.time()
    answer = teacher(faces)
    print(f"{len(faces) / (time.time() - start):.0f} faces a second")
    exact = inference.probes(path, manifests.read(path.with_suffix(".toml")), faces)
    print(f"cosine to onnxruntime: lowest {(answer * exact).sum(1).min():.5f}, mean {(answer * exact).sum(1).mean():.5f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
