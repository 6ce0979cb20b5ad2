"""Quantizes an exported network: 8-bit weights and maps, 32-bit sums.

    python -m quantize encoder ENCODER.onnx --data DATA --out ../encoder.onnx --name likeness-encoder-5.1
    python -m quantize detector DETECTOR.onnx --data DATA --out ../detector.onnx --name likeness-detector-1.2
    python -m quantize landmarks LANDMARKS.onnx --data DATA --out ../landmarks.onnx --name likeness-landmarks-3.1
    python -m quantize quality QUALITY.onnx --data DATA --out ../quality.onnx --name likeness-quality-1

onnxruntime measures the range of each map on training faces and photos, and writes its operators
QLinearConv and QLinearAdd. Layers that read few values or must be exact stay float: those behind the
last map, and a detector's outputs of each cell. So does the resizing of maps, which is fast in tract
for floats only. A pixel minus 127.5 is not an integer, so 128 is subtracted instead, and the first
biases compensate. The manifest beside the network is the base of the new one; calibration and error
rates stay until `evaluation/cfp.py --fit`.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from common import manifests
from common.weights import halve
from detector.check import Network, Runner
from detector.data import scenes
from detector.network import fitted
from encoder import stored_faces
from landmarks.network import square

MEAN = 128.0
FACES, PHOTOS = 600, 300  # that stand for all
HALF_SURE = 0.08  # as sure as a detector must be of what the landmark network is shown


class Images(CalibrationDataReader):
    def __init__(self, name, images):
        self.each = ({name: ((image.astype(np.float32) - np.float32(MEAN)) / 128).transpose(2, 0, 1)[None]} for image in images)

    def get_next(self):
        return next(self.each, None)


def aligned_faces(data, work):
    """112 x 112, as the encoder sees them."""
    faces, _, _ = stored_faces.load(data, work)
    chosen = np.sort(np.random.default_rng(0).choice(len(faces), FACES, replace=False))
    return list(faces[chosen][:, 4:-4, 4:-4])


def degraded_faces(work):
    """112 x 112, as the quality network sees them."""
    faces = np.load(work / "quality" / "samples.npz")["face"]
    return list(faces[np.sort(np.random.default_rng(0).choice(len(faces), FACES, replace=False))])


def photos(data):
    """Of people and of pets, RGB."""
    every = [photo for photo, _, _ in scenes(data / "scenes")]
    return [cv2.cvtColor(photo, cv2.COLOR_BGR2RGB) for photo in every[:: len(every) // PHOTOS]]


def looks(data, sizes):
    """The copies that a detector looks at."""
    return [fitted(photo, size)[0] for photo in photos(data) for size in sizes]


def squares(data, found_by):
    """What the landmark network sees of whatever the detector takes for a face."""
    runner = Runner(found_by)
    return [square(photo, face[4:14].reshape(5, 2))[0]
            for photo in photos(data) for face in runner.looks(photo, HALF_SURE)[-1][0]]


def of_128(model, mean):
    """The network with weights of 32 bits that expects the pixel less 128 where it expected it less the mean."""
    graph = model.graph
    for cast in [node for node in graph.node if node.op_type == "Cast"]:
        graph.node.remove(cast)
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float16:
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weight.name.removesuffix("_16")))
    stored = {weight.name: weight for weight in graph.initializer}
    first = next(node for node in graph.node if graph.input[0].name in node.input)
    weight, bias = (numpy_helper.to_array(stored[name]) for name in first.input[1:])
    bias = bias + weight.sum((1, 2, 3)) * np.float32((MEAN - mean) / 128)
    stored[first.input[2]].CopyFrom(numpy_helper.from_array(bias.astype(np.float32), first.input[2]))
    return model


def bytewise(graph):
    """The names of the operators that become ones of bytes: dense convolutions but those that say the answer, and the sums and rectifiers between them."""
    reads = {name: node for node in graph.node for name in node.input}
    maps = {node.output[0] for node in graph.node if node.op_type in ("Conv", "Resize")}
    dense = {node.name for node in graph.node if node.op_type == "Conv" and not any(a.name == "group" and a.i > 1 for a in node.attribute)}
    last = {node.name for node in graph.node if node.op_type == "Conv" and reads[node.output[0]].op_type not in ("Relu", "Add", "Resize")}
    sums = {node.name for node in graph.node if node.op_type == "Add" and maps & set(node.input)}
    return sorted(dense - last | sums | {node.name for node in graph.node if node.op_type == "Relu"})


def quantise(source, target, mean, images):
    with tempfile.TemporaryDirectory() as folder:
        wide = Path(folder) / "wide.onnx"
        model = of_128(onnx.load(source), mean)
        onnx.save(model, wide)
        quantize_static(wide, target, Images(model.graph.input[0].name, images), quant_format=QuantFormat.QOperator, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv", "Add", "Relu"],
                        nodes_to_quantize=bytewise(model.graph))
    halve(target)


def alike(before, after, images):
    """How far the two networks' answers to some of the images are apart: the lowest cosine."""
    pairs = (pair for image in images[:: len(images) // 50] for pair in zip(before(image), after(image)))
    return min((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()) for a, b in pairs)


def golden(network):
    """The answer to the test pattern; of many outputs the mean of each."""
    given = network.manifest["input"]
    width, height = (given.get(side) or given.get("side") or given["sizes"][0] for side in ("width", "height"))
    answers = network(manifests.pattern(width, height))
    return manifests.rounded(answers[0] if len(answers) == 1 else [answer.mean(dtype=np.float64) for answer in answers])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("kind", choices=("encoder", "detector", "landmarks", "quality"))
    arguments.add_argument("network", type=Path)
    arguments.add_argument("--data", required=True, type=Path)
    arguments.add_argument("--work", default=Path("work"), type=Path)
    arguments.add_argument("--detector", default=Path("../detector.onnx"), type=Path, help="finds what the landmark network is shown")
    arguments.add_argument("--out", required=True, type=Path)
    arguments.add_argument("--name", required=True)
    arguments.add_argument("--score", type=float, help="of a detector or landmark network, in place of the source's: bytes move it a little")
    chosen = arguments.parse_args()
    manifest = manifests.read(chosen.network.with_suffix(".toml"))
    images = {
        "encoder": lambda: aligned_faces(chosen.data, chosen.work),
        "detector": lambda: looks(chosen.data, manifest["input"]["sizes"][:-1]),
        "landmarks": lambda: squares(chosen.data, chosen.detector),
        "quality": lambda: degraded_faces(chosen.work),
    }[chosen.kind]()
    quantise(chosen.network, chosen.out, manifest["input"]["mean"][0], images)
    manifest["model"] |= {"name": chosen.name, "sha256": manifests.digest(chosen.out)}
    manifest["input"]["mean"] = [MEAN] * 3
    if chosen.score is not None:
        manifest["output"]["score"] = chosen.score
    if chosen.kind == "encoder":
        manifest = {part: manifest[part] for part in ("model", "input", "output")} | {"views": manifests.VIEWS} | manifest
    target = chosen.out.with_suffix(".toml")
    manifests.write(target, manifest)
    network = Network(chosen.out)
    manifests.write(target, manifest | {"golden": {"output": golden(network)}})
    lowest = alike(Network(chosen.network), network, images)
    print(f"{chosen.out}: {chosen.out.stat().st_size:,} bytes, lowest cosine to the network of floats {lowest:.4f}")


if __name__ == "__main__":
    main()
