"""Puts generated heads into generated surroundings: backgrounds, light, crop, compression. Used by people/generate.py."""
import io

import cv2
import numpy as np
from PIL import Image

from people.heads import EDGE, HEIGHT, PLACED, WIDTH


def background(rng, width, height):
    """A wall, a window or nothing in particular: a gradient, clouds of noise, some blurred rectangles."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    side = max(width, height)
    ends = rng.uniform(30, 225, (2, 1)) + rng.uniform(-25, 25, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    t = np.clip((x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle) + 0.5, 0, 1)[..., None]
    picture = (ends[0] * (1 - t) + ends[1] * t).astype(np.float32)
    for cells in (3, 7, 19):
        clouds = rng.normal(0, 1, (cells, cells, 3)) * 0.4 + rng.normal(0, 1, (cells, cells, 1))
        picture += cv2.resize(clouds.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC) * (18 / cells**0.7)
    for _ in range(rng.integers(0, 6)):
        x0, y0 = rng.integers(-width // 4, width), rng.integers(-height // 4, height)
        x1, y1 = x0 + rng.integers(width // 12, width // 2), y0 + rng.integers(height // 12, height)
        layer = np.zeros((height, width), np.float32)
        cv2.rectangle(layer, (int(x0), int(y0)), (int(x1), int(y1)), 1, -1)
        layer = cv2.GaussianBlur(layer, (0, 0), side / rng.uniform(60, 200))[..., None] * rng.uniform(0.3, 0.8)
        picture = picture * (1 - layer) + layer * (rng.uniform(20, 230) + rng.uniform(-20, 20, 3))
    return picture


def lit(head, rng, strength):
    """Another light: level, contrast, a side that is brighter, a warmer or colder lamp."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = ((x - WIDTH / 2) * np.cos(angle) + (y - HEIGHT / 2) * np.sin(angle)) / WIDTH
    gain = 1 + strength * (rng.uniform(-0.22, 0.15) + rng.uniform(0, 0.35) * slope)
    warmth = 1 + strength * rng.uniform(-0.07, 0.07) * np.array([-1, 0, 1])
    head = np.clip(head / 255, 0, 1) ** (1 + strength * rng.uniform(-0.18, 0.18))
    return 255 * head * gain[..., None] * warmth


def clothed(head):
    """The head with its shoulders continued below the canvas: the lowest rows to and fro, softer and softer."""
    back_and_forth = np.abs((np.arange(400) + 26) % 52 - 26)
    head = head[:-8]          # the lowest rows are spoilt by the fit
    below = head[len(head) - 1 - back_and_forth]
    for width, first in ((2.5, 12), (5, 50), (9, 120)):
        soft = np.clip((np.arange(400) - first) / 40, 0, 1)[:, None, None].astype(np.float32)
        below = below * (1 - soft) + cv2.GaussianBlur(below, (0, 0), width) * soft
    return np.concatenate([head, below])


def paste(picture, head, matrix, body=400):
    """Lays a head on the picture with a soft edge; its shoulders go on downwards where the canvas ends, for `body` rows."""
    size = (picture.shape[1], picture.shape[0])
    small = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if small < 0.7:
        head = cv2.GaussianBlur(head, (0, 0), 0.45 / small)
    laid = cv2.warpAffine(clothed(np.float32(head)), matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if small > 0.9:
        laid += 0.7 * (laid - cv2.GaussianBlur(laid, (0, 0), 1.3 * small))
    edge = EDGE.copy()
    edge[:, :3] = edge[:, -3:] = 0
    edge = np.concatenate([edge, edge[-1:] * np.clip((body - np.arange(400)) / 60, 0, 1)[:, None].astype(np.float32)])
    edge[-1] *= body >= 400
    alpha = cv2.warpAffine(edge, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[..., None]
    picture[:] = picture * (1 - alpha) + np.clip(laid, 0, 255) * alpha


def pose(rng, centre, face_height, turn):
    """Canvas to photo: the middle of the face to `centre`, so many pixels from chin to brow, turned by degrees, slightly squeezed."""
    scale = face_height / 150
    a = np.deg2rad(turn)
    m = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag([rng.uniform(0.96, 1.04), 1])
    return np.c_[m, np.asarray(centre) - m @ PLACED.mean(0)]


def moved(points, matrix):
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


def finish(picture, rng, grain):
    """Grain as a sensor has it, then 8 bits, RGB."""
    noise = cv2.GaussianBlur(rng.normal(0, 1, picture.shape).astype(np.float32), (0, 0), 0.6)
    return np.clip(picture + grain * noise, 0, 255).astype(np.uint8)[:, :, ::-1]


def jpeg(rgb, quality, **options):
    """The bytes of a JPEG and the pixels that a reader of it will see."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(out, "JPEG", quality=quality, **options)
    return out.getvalue(), np.array(Image.open(io.BytesIO(out.getvalue())).convert("RGB"))


