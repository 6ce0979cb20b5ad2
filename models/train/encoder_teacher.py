"""The teacher: OpenCV Zoo's SFace (Apache-2.0), its ONNX read into a PyTorch module, so that it runs in bf16 on many faces at once.

SFace is a chain (convolution, batch norm, PReLU, ..., linear, batch norm), so reading it takes one pass over the nodes; batch
norms are folded into the convolutions. Its input is RGB 0..255 (mean and scale are in the graph).
`python encoder_teacher.py SFACE.onnx` compares it with onnxruntime and prints the speed.
"""

import sys
import time

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def _batch_norm(kind, weights, epsilon):
    gamma, beta, mean, variance = (torch.tensor(w) for w in weights)
    norm = kind(len(gamma), eps=epsilon).eval()
    norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var = gamma, beta, mean, variance
    return norm


class Slope(nn.Module):
    """PReLU as max(x, 0) + a min(x, 0): several times faster on a CPU in bf16 than PyTorch's own."""

    def __init__(self, slopes):
        super().__init__()
        self.register_buffer("slopes", slopes.view(1, -1, 1, 1))

    def forward(self, x):
        return torch.addcmul(x.clamp_min(0), self.slopes, x.clamp_max(0))


class Scale(nn.Module):
    """The teacher's own (x - mean) * scale."""

    def __init__(self, mean, scale):
        super().__init__()
        self.mean, self.scale = mean, scale

    def forward(self, x):
        return (x - self.mean) * self.scale


def read(path):
    """The teacher as an nn.Sequential of folded layers, in evaluation mode."""
    graph = onnx.load(path).graph
    weights = {w.name: numpy_helper.to_array(w).copy() for w in graph.initializer}
    layers, mean = [], 0.0
    for node in graph.node:
        given = [weights[name] for name in node.input[1:] if name in weights]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Sub":
            mean = given[0].item()
        elif node.op_type == "Mul":
            layers.append(Scale(mean, given[0].item()))
        elif node.op_type == "Conv":
            kernel = torch.tensor(given[0])
            groups = attributes["group"]
            conv = nn.Conv2d(kernel.shape[1] * groups, kernel.shape[0], kernel.shape[2], attributes["strides"][0],
                             attributes["pads"][0], groups=groups, bias=False)
            conv.weight.data = kernel
            layers.append(conv)
        elif node.op_type == "BatchNormalization":
            last = layers[-1]
            if isinstance(last, nn.Conv2d):
                layers[-1] = fuse_conv_bn_eval(last.eval(), _batch_norm(nn.BatchNorm2d, given, attributes["epsilon"]))
            elif isinstance(last, nn.Linear):
                layers[-1] = fuse_linear_bn_eval(last.eval(), _batch_norm(nn.BatchNorm1d, given, attributes["epsilon"]))
            else:
                layers.append(_batch_norm(nn.BatchNorm2d, given, attributes["epsilon"]))
        elif node.op_type == "PRelu":
            layers.append(Slope(torch.tensor(given[0]).flatten()))
        elif node.op_type == "Flatten":
            layers.append(nn.Flatten())
        elif node.op_type == "Gemm":
            layers.append(nn.Linear(given[0].shape[1], given[0].shape[0]))
            layers[-1].weight.data, layers[-1].bias.data = torch.tensor(given[0]), torch.tensor(given[1])
        elif node.op_type != "Dropout":
            raise ValueError(f"{path}: the operator {node.op_type} is new to this script")
    return nn.Sequential(*layers).eval().requires_grad_(False)


def in_bf16(teacher):
    """The same in bf16 and channels-last, but for the input's scaling, which stays exact."""
    return teacher.to(torch.bfloat16).to(memory_format=torch.channels_last)


@torch.no_grad()
def embed(teacher, faces):
    """Unit embeddings of a batch of faces, N x 3 x 112 x 112, RGB 0..255."""
    scaled = teacher[0](faces).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    raw = teacher[1:](scaled)
    return nn.functional.normalize(raw.float(), dim=1)


def main(path):
    import onnxruntime

    teacher = read(path)
    faces = np.random.default_rng(0).integers(0, 256, (128, 3, 14, 14)).repeat(8, 2).repeat(8, 3).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its initializers double as inputs: dozens of warnings
    session = onnxruntime.InferenceSession(path, options)
    exact = np.concatenate([session.run(None, {session.get_inputs()[0].name: face[None]})[0] for face in faces])
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    batch = torch.from_numpy(faces)
    with torch.no_grad():
        full = nn.functional.normalize(teacher(batch), dim=1).numpy()
    teacher = in_bf16(teacher)
    print(f"cosine to onnxruntime, lowest of 128: float32 {(full * exact).sum(1).min():.6f}, "
          f"bf16 {(embed(teacher, batch).numpy() * exact).sum(1).min():.6f}")
    start = time.time()
    for _ in range(8):
        embed(teacher, batch)
    print(f"{8 * 128 / (time.time() - start):.0f} faces a second in bf16, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main(sys.argv[1])
