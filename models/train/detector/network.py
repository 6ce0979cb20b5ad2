"""The face detector's network, in shapes that tract runs fast, and the decoding of its outputs.

A stem of 4 x 4 tiles, residual blocks at strides 16 and 32, context added from the coarser map, and a
head for each. Nothing is computed at stride 8: each cell of stride 16 gives the outputs of four cells.
For each cell the head gives face (cls), fit of the box (obj), box and five landmarks, as the YuNet
family does. The landmark network refines the landmarks.
"""
import cv2
import numpy as np
import torch
from torch import nn

STRIDES = (8, 16, 32)
MEAN, SCALE = 127.5, 1 / 128.0


def conv(i, o, k=3, stride=1, act=True):
    """Convolution, normalisation and, mostly, ReLU; a kernel as wide as its stride needs no padding."""
    layers = [nn.Conv2d(i, o, k, stride, 0 if k == stride else k // 2, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if act else []))


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, width, hidden):
        super().__init__()
        self.first, self.second = conv(width, hidden), conv(hidden, width, act=False)

    def forward(self, x):
        return torch.relu(x + self.second(self.first(x)))


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.at8 = nn.Sequential(conv(3, 24, 4, 4), conv(24, 32, 2, 2))
        self.at16 = nn.Sequential(conv(32, 64, 2, 2), Block(64, 32))
        self.at32 = nn.Sequential(conv(64, 96, 2, 2), Block(96, 40), Block(96, 40))
        self.to16 = conv(96, 64, 1, act=False)
        self.heads = nn.ModuleList([conv(64, 48, 1), conv(64, 48, 1), conv(96, 64, 1)])
        self.says = nn.ModuleList([nn.Conv2d(48, 4 * 16, 1), nn.Conv2d(48, 16, 1), nn.Conv2d(64, 16, 1)])
        for out in self.says:
            nn.init.normal_(out.weight, std=0.01)
            start = torch.zeros(16)
            start[:2] = -4.0                                 # faces are rare
            start[4:6] = float(np.log(4.0))                  # and about four cells wide
            # A cell's four share each of the sixteen, as `pixel_shuffle` parts them.
            out.bias.data[:] = start.repeat_interleave(len(out.bias) // 16)

    def forward(self, x):
        """For each stride a map of 16: cls, obj (before the sigmoid), box 4, landmarks 10."""
        at16 = self.at16(self.at8(x))
        at32 = self.at32(at16)
        at16 = torch.relu(at16 + up(self.to16(at32)))
        at8, at16, at32 = (says(head(f)) for says, head, f in zip(self.says, self.heads, (at16, at16, at32)))
        return [nn.functional.pixel_shuffle(at8, 2), at16, at32]


def up(x):
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


class Exported(nn.Module):
    """The network with the twelve outputs of the YuNet family."""

    NAMES = [f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps") for stride in STRIDES]

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def forward(self, x):
        rows = [f.flatten(2).transpose(1, 2) for f in self.detector(x)]
        cls = [torch.sigmoid(r[..., 0:1]) for r in rows]
        obj = [torch.sigmoid(r[..., 1:2]) for r in rows]
        return (*cls, *obj, *(r[..., 2:6] for r in rows), *(r[..., 6:16] for r in rows))


def fitted(photo, size):
    """The photo (RGB) shrunk to fit a square, at its top left, black beyond; and the scale."""
    scale = min(1.0, size / max(photo.shape[:2]))
    if scale < 1:
        w, h = (max(1, round(s * scale)) for s in photo.shape[1::-1])
        photo = cv2.resize(photo, (w, h), interpolation=cv2.INTER_AREA)
    square = np.zeros((size, size, 3), np.uint8)
    square[: photo.shape[0], : photo.shape[1]] = photo
    return square, scale


def network_input(square):
    return ((square.astype(np.float32) - MEAN) * SCALE).transpose(2, 0, 1)[None]


def decode(outputs, width, threshold, nms=0.3):
    """Faces n x 15 (box, landmarks, score), best first, from the twelve outputs for an image of this width."""
    found = []
    for k, stride in enumerate(STRIDES):
        cls, obj, box, kps = (outputs[k + 3 * j][0] for j in range(4))
        score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        keep = np.flatnonzero(score >= threshold)
        cell = np.stack([keep % (width // stride), keep // (width // stride)], 1)
        size = np.exp(box[keep, 2:]) * stride
        centre = (cell + box[keep, :2]) * stride
        marks = (kps[keep].reshape(-1, 5, 2) + cell[:, None]) * stride
        found.append(np.c_[centre - size / 2, size, marks.reshape(-1, 10), score[keep]])
    found = np.concatenate(found)
    found = found[np.argsort(-found[:, 14], kind="stable")]
    kept = []
    for face in found:
        if all(overlap(face, other) <= nms for other in kept):
            kept.append(face)
    return np.array(kept).reshape(-1, 15)


def overlap(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inner = max(w, 0) * max(h, 0)
    return inner / (a[2] * a[3] + b[2] * b[3] - inner)
