"""Subtracts the mean embedding, so that the origin of an exported encoder's embeddings is the mean face.

    python -m encoder.center --data DATA --name likeness-encoder-4

The component that all faces share distinguishes nobody, but is part of every cosine. So the output is
normalized to unit length, and the mean of the training faces' unit embeddings is subtracted. Three
operators that do this are added to the ONNX file; digest, name and golden output of the manifest are
updated; calibration and error rates stay until `evaluation/cfp.py --fit`.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from common import manifests
from encoder import inference, stored_faces

EVERY = 3  # so many training faces stand for all


def mean_embedding(encoder, manifest, data, work):
    faces, _, _ = stored_faces.load(data, work)
    return inference.probes(encoder, manifest, faces[::EVERY, 4:-4, 4:-4]).mean(0, dtype=np.float64).astype(np.float32)


def centre(path, mean):
    """Adds x / |x| - mean behind the network's last layer."""
    model = onnx.load(path)
    graph, output = model.graph, model.graph.output[0].name
    if graph.node[-1].op_type == "Sub":
        raise SystemExit(f"{path} is centred already")
    next(node for node in graph.node if output in node.output).output[:] = ["raw"]
    graph.initializer.append(numpy_helper.from_array(mean[None], "mean"))
    graph.node.extend([
        helper.make_node("ReduceL2", ["raw"], ["length"], axes=[1], keepdims=1),
        helper.make_node("Div", ["raw", "length"], ["unit"]),
        helper.make_node("Sub", ["unit", "mean"], [output]),
    ])
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--encoder", default=Path("../encoder.onnx"), type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    arguments.add_argument("--name", required=True)
    chosen = arguments.parse_args()
    path = chosen.encoder.with_suffix(".toml")
    manifest = manifests.read(path)
    mean = mean_embedding(chosen.encoder, manifest, chosen.data, chosen.work)
    centre(chosen.encoder, mean)
    manifest["model"] |= {"name": chosen.name, "sha256": manifests.digest(chosen.encoder)}
    manifest["golden"] = {"output": manifests.golden_encoder(chosen.encoder, manifest)}
    manifests.write(path, manifest)
    print(f"{chosen.encoder}: the mean face's embedding, {np.linalg.norm(mean):.3f} long, is taken off")


if __name__ == "__main__":
    main()
