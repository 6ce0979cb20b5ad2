"""The landmark network: a roughly aligned face to exact landmarks and a face score."""
import cv2
import numpy as np
from torch import nn

from common.alignment import similarity
from detector.data import MIRRORED
from detector.network import MEAN, SCALE, Block, conv

SIDE = 64          # pixels of what it sees
TEMPLATE_SIDE = 112  # the square that the template of cfp_faces is given for


class Landmarks(nn.Module):
    """N x 3 x 64 x 64 to N x 11: whether it is a face (a logit), and the landmarks, less their places in the template, in sides of the square."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(conv(3, 32, 4, 4), Block(32, 24), conv(32, 64, 2, 2), Block(64, 32), conv(64, 96, 2, 2), Block(96, 48), conv(96, 48, 1))
        self.says = nn.Sequential(nn.Flatten(), nn.Linear(48 * 16, 64), nn.ReLU(inplace=True), nn.Linear(64, 11))
        nn.init.normal_(self.says[-1].weight, std=0.01)
        nn.init.zeros_(self.says[-1].bias)

    def forward(self, x):
        return self.says(self.maps(x))


def network_input(squares):
    """Squares as the network takes them: N x 3 x 64 x 64 of N x 64 x 64 x 3, RGB."""
    return ((squares.astype(np.float32) - MEAN) * SCALE).transpose(0, 3, 1, 2)


def square(photo, marks):
    """What the network sees of a face: the photo aligned by rough landmarks (5 x 2, pixels), each pixel the mean of what it covers; and the way back, 2 x 3."""
    m = similarity(marks.astype(np.float64)) * (SIDE / TEMPLATE_SIDE)
    back = cv2.invertAffineTransform(m)
    fine = m * 2 + [[0, 0, 0.5], [0, 0, 0.5]]
    while np.sqrt(abs(np.linalg.det(fine[:, :2]))) < 0.6:
        photo = cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        fine = np.c_[fine[:, :2] * 2, fine[:, 2] + fine[:, :2].sum(1) * 0.5]
    seen = cv2.warpAffine(photo, fine, (2 * SIDE, 2 * SIDE), flags=cv2.INTER_LINEAR)
    return cv2.resize(seen, (SIDE, SIDE), interpolation=cv2.INTER_AREA), back


def look(network, photo, marks):
    """How sure an exported network is of a face, 0 to 1, and its landmarks (5 x 2) in the photo; of the face and its mirror image, as in src/engine/landmarks.rs."""
    seen, back = square(photo, marks)
    (sure, *places), (other, *mirrored) = (network(np.ascontiguousarray(image))[0][0].astype(np.float64) for image in (seen, seen[:, ::-1]))
    mirrored = (np.array([(SIDE - 1) / SIDE, 0]) + np.reshape(mirrored, (5, 2)) * [-1, 1]).reshape(-1)[MIRRORED]
    odds = np.sqrt(sure / (1 - sure) * other / (1 - other))
    return odds / (1 + odds), np.reshape((places + mirrored) / 2, (5, 2)) * SIDE @ back[:, :2].T + back[:, 2]
