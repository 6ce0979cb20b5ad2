"""Folds batch norms into the layers before them, and stores weights in 16 bits."""

import copy

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def folded(network):
    """A copy of the network without batch norms, ready to be asked."""
    return fold(copy.deepcopy(network).eval())


def fold(module):
    """Makes each batch norm part of the layer before it."""
    children = list(module.named_children())
    for (name, child), (after_name, after) in zip(children, children[1:] + [("", None)]):
        if isinstance(child, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, after))
            setattr(module, after_name, nn.Identity())
        elif isinstance(child, nn.Linear) and isinstance(after, nn.BatchNorm1d):
            setattr(module, name, fuse_linear_bn_eval(child, after))
            setattr(module, after_name, nn.Identity())
        else:
            fold(child)
    return module


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
        if values.dtype == np.float32 and values.size > max(values.shape, default=1):  # slopes of PReLU are C x 1 x 1: one number a channel, as biases are
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_16"))
            casts.append(helper.make_node("Cast", [name + "_16"], [name], to=TensorProto.FLOAT))
    nodes = casts + list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)
