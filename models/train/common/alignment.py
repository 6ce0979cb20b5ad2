"""Aligns a face to 112 x 112 pixels by its five landmarks, which YuNet finds."""

import cv2
import numpy as np

TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


def similarity(points):
    """The least-squares similarity (Umeyama) that takes five points to the template, 2 x 3."""
    source, target = points - points.mean(0), TEMPLATE - TEMPLATE.mean(0)
    u, singular, vt = np.linalg.svd(target.T @ source)
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ np.diag(sign) @ vt
    linear = turn * (singular * sign).sum() / (source**2).sum()
    return np.hstack([linear, (TEMPLATE.mean(0) - linear @ points.mean(0))[:, None]])


def prominent(faces, width, height):
    """The row of YuNet's answer with the largest area x nearness to the centre."""
    centre = faces[:, :2] + faces[:, 2:4] / 2
    away = np.hypot(*(centre - [width / 2, height / 2]).T) / np.hypot(width / 2, height / 2)
    return faces[np.argmax(faces[:, 2] * faces[:, 3] * (1 - 0.75 * np.clip(away, 0, 1)))]


def detect(photo, detector):
    """YuNet's row for the prominent face of a BGR photo, in the photo's pixels but for the score, or None."""
    shrink = min(1.0, 640 / max(photo.shape[:2]))
    small = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else photo
    detector.setInputSize((small.shape[1], small.shape[0]))
    faces = detector.detect(small)[1]
    if faces is None:
        return None
    face = prominent(faces, small.shape[1], small.shape[0])
    return np.append(face[:14].astype(np.float64) / shrink, face[14])


def align(photo, row, margin=0):
    """The face of YuNet's row at 112 x 112 and a margin on each side, RGB."""
    matrix = similarity(row[4:14].reshape(5, 2))
    while np.sqrt(abs(np.linalg.det(matrix[:, :2]))) < 0.5:  # bilinear sampling of a much larger face would alias
        photo, matrix = cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), matrix * [2, 2, 1]
    side = 112 + 2 * margin
    return cv2.warpAffine(photo, matrix + [0, 0, margin], (side, side), flags=cv2.INTER_LINEAR)[:, :, ::-1]
