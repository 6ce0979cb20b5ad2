"""Synthetic yaw views: a face as it looks when the head is turned, by a rounded model of a head."""

import cv2
import numpy as np

from common.alignment import TEMPLATE, similarity


def depth(x, y):
    """How far the face stands out at a place relative to its middle, in pixels: a rounded head with a nose."""
    radius = 50 * np.sqrt(np.clip(1 - ((y - 6) / 80) ** 2, 0.2, 1))
    head = 0.95 * radius * np.sqrt(np.clip(1 - (x / radius) ** 2, 0, 1))
    return head + 13 * np.clip((y + 8) / 24, 0, 1) * np.exp(-(x / 6.5) ** 2 / 2 - (np.clip(y - 15, 0, None) / 4) ** 2 / 2)


def turn(face, yaw, pitch):
    """The face as seen when the head is turned to the right by `yaw` (0 to 75 degrees) and up or down, aligned anew as a detector's landmarks would align it.

    No photograph of a profile comes out, but the far half goes out of sight, the nose stands out, and the near half grows."""
    centre, half = face.shape[1] / 2, 66
    x = np.arange(-half, half + 1.0)
    rows = x[:, None]
    seen = np.maximum.accumulate(x * np.cos(yaw) + depth(x, rows) * np.sin(yaw), axis=1) + 1e-4 * np.arange(len(x))
    source = np.stack([np.interp(x + 30 * np.sin(yaw), row, x) for row in seen]).astype(np.float32)
    lifted = rows * np.cos(pitch) + (depth(source, rows) - 45) * np.sin(pitch)
    turned = cv2.remap(face, source + np.float32(centre), (rows * 2 - lifted + centre).astype(np.float32),
                       cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    points = TEMPLATE - 56
    out = depth(points[:, 0], points[:, 1])
    moved = np.stack([points[:, 0] * np.cos(yaw) + (out - 30) * np.sin(yaw),
                      points[:, 1] * np.cos(pitch) + (out - 45) * np.sin(pitch)], 1)
    return turned, similarity(moved + half)
