"""Exports a network to ONNX with 16-bit weights, and compares onnxruntime with PyTorch."""

import numpy as np
import onnxruntime
import torch

from common.weights import halve


def exported(net, out, sizes, image, outputs, dynamic_axes=None, channels=3):
    """Writes the network, whose input `image` is N x channels x height x width, traced at the first size; returns a session of it.

    Fails where the two differ by 1e-4 or more on noise of any of the sizes (height, width).
    """
    torch.onnx.export(net, torch.zeros(1, channels, *sizes[0]), str(out), opset_version=17, dynamo=False, input_names=[image], output_names=outputs, dynamic_axes=dynamic_axes)
    halve(out)
    session = onnxruntime.InferenceSession(str(out))
    for size in sizes:
        noise = np.random.default_rng(0).normal(0, 1, (1, channels, *size)).astype(np.float32)
        with torch.no_grad():
            found = net(torch.from_numpy(noise))
        ours = [found] if isinstance(found, torch.Tensor) else found
        worst = max(np.abs(a.numpy() - b).max() for a, b in zip(ours, session.run(None, {image: noise})))
        print(f"{size[1]} x {size[0]}: onnxruntime and PyTorch differ by at most {worst:.1e}")
        assert worst < 1e-4
    return session
