"""Cuts the crops that a presentation-attack network reads, as the service does.

A crop is the detector's box times a factor about the box's center. `box = "square"` widens the box to its longer side first. With
`border = "inside"` the factor shrinks to min(crop, (W - 1) / w, (H - 1) / h), and the crop moves until it lies inside the photo, as
Silent-Face-Anti-Spoofing does; with "mirror" pixels beyond the edge are reflected about the outermost pixel (OpenCV's
BORDER_REFLECT_101). The left and top edges are rounded down to whole pixels, the right and bottom edges up, and the pixels from left
to right - 1 and from top to bottom - 1 are resized to a square by a triangle filter that grows with the reduction (Pillow's BILINEAR).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Input:
    """The part [input] of a manifest."""

    side: int
    crops: tuple
    box: str = "rectangle"
    border: str = "inside"
    colour: str = "rgb"
    mean: float = 0.0
    scale: float = 1.0


def corners(size, box, crop, given):
    """Left, top, right, bottom of a crop in whole pixels of a photo of this width and height; the last two are exclusive."""
    (width, height), (x, y, w, h) = size, box
    middle = np.array([x + w / 2, y + h / 2])
    if given.box == "square":
        w = h = max(w, h)
    if given.border == "mirror":
        half = np.array([w, h]) * crop / 2
        return *np.floor(middle - half).astype(int), *np.ceil(middle + half).astype(int)
    size, length = np.array(size), np.array([w, h]) * min(crop, (width - 1) / w, (height - 1) / h)
    start = np.clip(middle - length / 2, 0, np.maximum(size - length, 0))
    return *np.floor(start).astype(int), *np.minimum(np.ceil(start + length), size).astype(int)


def crop(photo, box, factor, given, resized=None):
    """One crop of an RGB photo: side x side x 3."""
    height, width = photo.shape[:2]
    left, top, right, bottom = corners((width, height), box, factor, given)
    beyond = max(0, -left, -top, right - width, bottom - height)
    if beyond:
        photo = cv2.copyMakeBorder(photo, beyond, beyond, beyond, beyond, cv2.BORDER_REFLECT_101)
        left, top, right, bottom = left + beyond, top + beyond, right + beyond, bottom + beyond
    part = photo[top:bottom, left:right]
    if resized:
        return resized(part, (given.side, given.side))
    return np.asarray(Image.fromarray(np.ascontiguousarray(part)).resize((given.side, given.side), Image.BILINEAR))


def crops(photo, box, given, resized=None):
    """All crops, along the channels: side x side x 3n, bytes."""
    cut = [crop(photo, box, factor, given, resized) for factor in given.crops]
    return np.concatenate(cut if given.colour == "rgb" else [each[:, :, ::-1] for each in cut], 2)


def network_input(cut, given):
    """N x 3n x side x side floats of N x side x side x 3n bytes."""
    return ((cut.astype(np.float32) - np.float32(given.mean)) * np.float32(given.scale)).transpose(0, 3, 1, 2)
