"""Converts the MiniFASNets of Silent-Face-Anti-Spoofing from PyTorch files to ONNX. Needs numpy and onnx.

    python3 models/minifas.py 2.7_80x80_MiniFASNetV2.pth models/minifas-2.7.onnx
    python3 models/minifas.py 4_0_0_80x80_MiniFASNetV1SE.pth models/minifas-4.0.onnx

`models/get-minifas.sh` calls it. The same input gives the same bytes. The pickles in a PyTorch file may name any function to call;
this reader knows the four names that weights need and refuses all others. Architecture: src/model_lib/MiniFASNet.py of
minivision-ai/Silent-Face-Anti-Spoofing (Apache-2.0), read off the shapes of the weights.
"""

import collections
import pickle
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SIDE, CLASSES, EPSILON = 80, 3, 1e-5
STRIDES = {"conv1": 2, "conv_23": 2, "conv_34": 2, "conv_45": 2}
BLOCKS = ("conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5")


class Weights(pickle.Unpickler):
    """Reads a dictionary of tensors; each tensor becomes (storage, offset, shape, strides)."""

    KNOWN = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides),
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def find_class(self, module, name):
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"weights have no use for {module}.{name}")
        return self.KNOWN[module, name]

    def persistent_load(self, saved):
        _, dtype, key, _, _, _ = saved
        return dtype, key


def load(path):
    """The tensors of a file of torch.save before PyTorch 1.6, by name."""
    with open(path, "rb") as file:
        if Weights(file).load() != MAGIC or Weights(file).load() != PROTOCOL:
            raise ValueError(f"{path}: no PyTorch file of the form before 1.6")
        Weights(file).load()  # byte order and sizes of integers on the machine that saved it
        tensors, keys = Weights(file).load(), Weights(file).load()
        dtypes = {storage[1]: storage[0] for storage, *_ in tensors.values()}
        storages = {}
        for key in keys:
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            dtype = np.dtype(dtypes[key])
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    arrays = {}
    for name, ((_, key), offset, shape, strides) in tensors.items():
        base = storages[key][offset:]
        arrays[name.removeprefix("module.")] = np.lib.stride_tricks.as_strided(base, shape, [s * base.itemsize for s in strides]).copy()
    return arrays


class Graph:
    """Nodes and weights of an ONNX graph that is a chain, but for its shortcuts."""

    def __init__(self, weights):
        self.weights, self.nodes, self.stored = weights, [], []

    def store(self, name, values):
        self.stored.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def node(self, kind, *inputs, **attributes):
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def normalization(self, name):
        """Factor and summand of a batch norm for each channel."""
        scale, shift, mean, variance = (self.weights[f"{name}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var"))
        factor = scale / np.sqrt(variance + EPSILON)
        return factor, shift - mean * factor

    def convolution(self, x, conv, norm, stride=1, pad=None):
        """A convolution with the batch norm behind it; one weight plane for each channel means a depthwise one."""
        kernel = self.weights[f"{conv}.weight"].astype(np.float64)
        factor, summand = self.normalization(norm)
        side = kernel.shape[2]
        pad = side // 2 if pad is None else pad
        groups = kernel.shape[0] if kernel.shape[1] == 1 else 1
        weight, bias = self.store(f"{conv}.weight", kernel * factor[:, None, None, None]), self.store(f"{conv}.bias", summand)
        return self.node("Conv", x, weight, bias, kernel_shape=[side, side], strides=[stride] * 2, pads=[pad] * 4, group=groups)

    def activated(self, x, name, stride=1):
        """Conv_block: convolution, batch norm, PReLU."""
        y = self.convolution(x, f"{name}.conv", f"{name}.bn", stride)
        return self.node("PRelu", y, self.store(f"{name}.prelu", self.weights[f"{name}.prelu.weight"][:, None, None]))

    def attention(self, x, name):
        """SEModule: each channel times a factor of all channels' means."""
        y = self.node("GlobalAveragePool", x)
        y = self.node("Relu", self.convolution(y, f"{name}.fc1", f"{name}.bn1"))
        y = self.node("Sigmoid", self.convolution(y, f"{name}.fc2", f"{name}.bn2"))
        return self.node("Mul", x, y)

    def bottleneck(self, x, name, stride=1, shortcut=True):
        """Depth_Wise: wider by 1 x 1, depthwise 3 x 3, narrower by 1 x 1."""
        y = self.activated(self.activated(x, f"{name}.conv"), f"{name}.conv_dw", stride)
        y = self.convolution(y, f"{name}.project.conv", f"{name}.project.bn")
        if f"{name}.se_module.fc1.weight" in self.weights:
            y = self.attention(y, f"{name}.se_module")
        return self.node("Add", x, y) if shortcut else y

    def block(self, x, name):
        """A bottleneck that halves the map, or a row of them that keep it."""
        if name in STRIDES:
            return self.bottleneck(x, name, STRIDES[name], shortcut=False)
        number = 0
        while f"{name}.model.{number}.conv.conv.weight" in self.weights:
            x = self.bottleneck(x, f"{name}.model.{number}")
            number += 1
        return x

    def head(self, x):
        """512 x 5 x 5 to the logits of three classes."""
        x = self.activated(x, "conv_6_sep")
        x = self.node("Flatten", self.convolution(x, "conv_6_dw.conv", "conv_6_dw.bn", pad=0))
        factor, summand = self.normalization("bn")
        prob = self.weights["prob.weight"].astype(np.float64)
        linear = prob @ (self.weights["linear.weight"].astype(np.float64) * factor[:, None])
        return self.node("Gemm", x, self.store("linear.weight", linear), self.store("linear.bias", prob @ summand), transB=1)


def model(weights):
    """The whole network: N x 3 x 80 x 80, BGR from 0 to 255, to three logits; class 1 is live."""
    graph = Graph(weights)
    x = graph.activated("image", "conv1", STRIDES["conv1"])
    x = graph.activated(x, "conv2_dw")
    for name in BLOCKS:
        x = graph.block(x, name)
    graph.nodes.append(helper.make_node("Identity", [graph.head(x)], ["logits"], name="logits"))
    image, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("image", [1, 3, SIDE, SIDE]), ("logits", [1, CLASSES])))
    made = helper.make_model(helper.make_graph(graph.nodes, "minifas", [image], [logits], graph.stored), opset_imports=[helper.make_opsetid("", 17)], producer_name="likeness")
    made.ir_version = 8
    onnx.checker.check_model(made, full_check=True)
    return made


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: minifas.py WEIGHTS.pth NETWORK.onnx")
    with open(sys.argv[2], "wb") as target:
        target.write(model(load(sys.argv[1])).SerializeToString(deterministic=True))
