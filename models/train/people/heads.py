"""A small generative model of heads: shape and appearance, each a Gaussian in a PCA.

Photos are aligned by their five landmarks on a canvas that holds the head, hair and shoulders. Optical
flow to the mean face gives the shape, and the photo warped back by it the appearance. Averages of many
people stay sharp, which they don't with a plain PCA.
"""
import cv2
import numpy as np

# The alignment target of the encoders, enlarged, in the middle of a canvas.
SCALE, WIDTH, HEIGHT = 1.5, 240, 288
TARGET = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)], np.float64)
PLACED = (TARGET - (56, 72)) * SCALE + (WIDTH / 2, HEIGHT / 2 + 4)


def similarity(source, target):
    """The least-squares similarity (rotation, one scale, shift) from source points to target points, 2 x 3."""
    ms, mt = source.mean(0), target.mean(0)
    a, b = source - ms, target - mt
    c = (a * b).sum() / (a * a).sum()
    s = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / (a * a).sum()
    m = np.array([[c, -s], [s, c]])
    return np.c_[m, mt - m @ ms]


def ovals():
    """Weights on the canvas: how much a pixel counts as face, as head with hair and shoulders, and how much of it a photo shows."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    cx, cy = PLACED[:, 0].mean(), PLACED[:, 1].mean()
    face = np.hypot((x - cx) / 68, (y - cy) / 84)
    head = np.minimum(np.hypot((x - cx) / 98, (y - cy + 14) / 118), np.hypot((x - cx) / 112, (y - HEIGHT) / 74))
    edge = np.minimum(np.hypot((x - cx) / 90, (y - cy + 14) / 110), np.hypot((x - cx) / 106, (y - HEIGHT) / 70))
    def soft(d, width):
        return np.clip((1 - d) / width + 0.5, 0, 1) ** 1.5
    return soft(face, 0.35).astype(np.float32), soft(head, 0.30).astype(np.float32), soft(edge, 0.45).astype(np.float32)


FACE, HEAD, EDGE = ovals()


def place(photo, landmarks):
    """The photo aligned on the canvas; beyond its edges it is continued by its mirror image."""
    m = similarity(np.asarray(landmarks, np.float64), PLACED)
    return cv2.warpAffine(photo, m, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def pull(image, flow):
    """image(x + flow(x))."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    return cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def even(image):
    """Grey with the light evened out, so that flow follows features and not shadows."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    grey -= cv2.GaussianBlur(grey, (0, 0), 18)
    deviation = np.sqrt(cv2.GaussianBlur(grey * grey, (0, 0), 24)) + 8
    return np.clip(128 + 45 * grey / deviation, 0, 255).astype(np.uint8)


def flow_from(mean, image, dis):
    flow = dis.calc(even(mean), even(image), None)
    flow = cv2.GaussianBlur(flow, (0, 0), 5) * cv2.GaussianBlur(FACE, (0, 0), 8)[..., None]
    return np.clip(flow, -14, 14)


def principal(rows, count):
    """Mean, the first `count` principal directions and their standard deviations, by the small Gram matrix."""
    mean = rows.mean(0)
    rows = rows - mean
    values, vectors = np.linalg.eigh(rows @ rows.T / (len(rows) - 1))
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    directions = (rows.T @ vectors) / np.sqrt(np.maximum(values, 1e-6) * (len(rows) - 1))
    return mean, directions.T.astype(np.float32), np.sqrt(np.maximum(values, 0)).astype(np.float32)


class Heads:
    """The fitted model. `draw` makes a picture of shape and appearance coefficients, in standard deviations."""

    SHAPES, LOOKS = 40, 220
    points = PLACED       # where the mean face has its landmarks; people/generate.py asks the teacher

    def __init__(self, heads):
        """heads: n x HEIGHT x WIDTH x 3, BGR, aligned."""
        dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        mean = heads.mean(0).astype(np.uint8)
        for _ in range(3):
            sample = heads[:: max(1, len(heads) // 500)]
            mean = np.mean([pull(h, flow_from(mean, h, dis)) for h in sample], 0).astype(np.uint8)
        self.mean_face = mean
        flows = np.empty((len(heads), HEIGHT // 2, WIDTH // 2, 2), np.float32)
        looks = np.empty((len(heads), HEIGHT * WIDTH * 3), np.float32)
        # Outside of the head almost nothing counts, or backgrounds would be the first components.
        self.weight = (0.10 + 0.45 * HEAD + 0.45 * FACE)[..., None]
        for i, head in enumerate(heads):
            flow = flow_from(mean, head, dis)
            flows[i] = flow[::2, ::2]
            looks[i] = (pull(head, flow).astype(np.float32) * self.weight).reshape(-1)
        self.shape = principal(flows.reshape(len(heads), -1), self.SHAPES)
        self.look = principal(looks, self.LOOKS)

    def appearance(self, looks):
        """Many at once: the components are large, and reading them is what takes the time."""
        return self.look[0] + np.float32(looks * self.look[2]) @ self.look[1]

    def draw(self, shape, look, appearance=None):
        flow = self.shape[0] + np.float32(shape * self.shape[2]) @ self.shape[1]
        flow = cv2.resize(flow.reshape(HEIGHT // 2, WIDTH // 2, 2), (WIDTH, HEIGHT))
        picture = self.appearance(look) if appearance is None else appearance
        picture = picture.reshape(HEIGHT, WIDTH, 3) / self.weight
        # Coefficients drawn apart make the halves of a face differ more than they do in people.
        picture += 0.7 * FACE[..., None] * ((picture + picture[:, ::-1]) / 2 - picture)
        inverse = -flow
        for _ in range(4):
            inverse = -pull(flow, inverse)
        return pull(picture, inverse)

    def person(self, rng):
        """The coefficients of somebody who doesn't exist."""
        shape = rng.normal(size=self.SHAPES) * 0.9
        look = rng.normal(size=self.LOOKS) * 1.1
        look[60:] *= 0.9
        return shape, look

    def landmarks(self, shape):
        """Where the five points lie in what `draw` makes of a shape."""
        flow = (self.shape[0] + np.float32(shape * self.shape[2]) @ self.shape[1]).reshape(HEIGHT // 2, WIDTH // 2, 2)
        return np.array([p + flow[int(p[1] / 2), int(p[0] / 2)] for p in self.points])

    def save(self, path):
        np.savez(path, mean_face=self.mean_face, weight=self.weight, **{f"shape{i}": a for i, a in enumerate(self.shape)}, **{f"look{i}": a for i, a in enumerate(self.look)})

    @classmethod
    def load(cls, path):
        heads, kept = cls.__new__(cls), np.load(path)
        heads.mean_face, heads.weight = kept["mean_face"], kept["weight"]
        heads.shape, heads.look = (tuple(kept[f"{name}{i}"] for i in range(3)) for name in ("shape", "look"))
        return heads
