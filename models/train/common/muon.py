"""The optimizer Muon: momentum, orthogonalized by Newton-Schulz iterations, for convolution weights.

After Keller Jordan's description. PyTorch's own implementation accepts only two-dimensional weights.
"""

import torch


def orthogonal(matrix, steps=5):
    """The nearest matrix with all singular values near 1; bf16, for only the direction matters."""
    x = matrix.to(torch.bfloat16)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """For convolutions (outputs x inputs x k x k) and matrices. Steps have an RMS of 0.2 x rate, as AdamW's have."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.05):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                moment = self.state[weight].setdefault("moment", torch.zeros_like(weight))
                moment.lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(moment, group["momentum"])
                flat = ahead.reshape(len(ahead), -1)
                step = orthogonal(flat) * 0.2 * max(flat.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(step.reshape(weight.shape), alpha=group["lr"])
