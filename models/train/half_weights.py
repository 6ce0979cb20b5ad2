"""Weights in 16 bits: half the bytes of a model's file, the same arithmetic."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper


@torch.no_grad()
def rounded(network):
    """The network with its weights as 16 bits hold them."""
    for weight in network.parameters():
        if weight.ndim > 1:
            weight.copy_(weight.half().float())
    return network


def halve(path):
    """Keeps the weights of an ONNX file in 16 bits; a Cast makes 32 of each, which tract and onnxruntime do once, when they load the file."""
    model = onnx.load(path)
    casts = []
    for weight in model.graph.initializer:
        values, name = numpy_helper.to_array(weight), weight.name
        if values.ndim > 1:
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_16"))
            casts.append(helper.make_node("Cast", [name + "_16"], [name], to=TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)
