"""Makes presentation attacks of photos: a screen or a print, photographed again; and what any camera does to any scene.

`screen` and `printed` take an RGB photo (bytes) and the box of its face, and return the same for the attack. Each draws its strength
at random, from plain to barely visible. `captured` is applied to live scenes and to attacks alike, so that noise, blur, JPEG, darkness and
over-exposure tell nothing about the class.
"""

import cv2
import numpy as np

GAMMA = 2.2


def linear(photo):
    return np.power(photo.astype(np.float32) / 255, GAMMA)


def encoded(light):
    return (np.power(np.clip(light, 0, 1), 1 / GAMMA) * 255 + 0.5).astype(np.uint8)


def grid(shape, rng, bend=0.0):
    """Coordinates of each pixel on a plane that is turned, tilted and bent a little before the camera: u, v in pixels."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x - width / 2, y - height / 2
    turn = np.float32(rng.normal(0, 0.05))
    u, v = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    tilt = rng.normal(0, 0.25, 2).astype(np.float32) / max(height, width)
    depth = 1 + tilt[0] * u + tilt[1] * v + np.float32(bend) * (u / width) ** 2
    return u / depth, v / depth


def smooth(shape, rng, cells):
    """A field between -1 and 1 that varies slowly."""
    field = rng.normal(0, 0.6, (cells, cells)).astype(np.float32)
    return np.clip(cv2.resize(field, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), -1, 1)


def glare(light, rng, most):
    """Adds the reflection of a lamp or window, or a veil over everything."""
    height, width = light.shape[:2]
    kind = rng.integers(3)
    if kind == 0:
        veil = 0.5 + 0.5 * smooth(light.shape, rng, rng.integers(2, 5))
    else:
        veil = np.zeros((height, width), np.float32)
        center, size = (rng.uniform(0, 1, 2) * [width, height]).astype(int), (rng.uniform(0.05, 0.3, 2) * width).astype(int) + 2
        if kind == 1:
            cv2.ellipse(veil, tuple(map(int, center)), tuple(map(int, size)), float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
        else:
            corners = cv2.boxPoints((tuple(map(float, center)), tuple(map(float, size * 2)), float(rng.uniform(0, 90))))
            cv2.fillPoly(veil, [corners.astype(np.int32)], 1.0)
        soft = float(rng.uniform(0.005, 0.12) * width)
        veil = cv2.GaussianBlur(veil, (0, 0), soft)
    tint = rng.uniform(0.75, 1.0, 3).astype(np.float32)
    return light + veil[:, :, None] * tint * np.float32(rng.uniform(0.02, most))


def subpixels(light, rng):
    """Multiplies by a display's subpixel grid, sampled at the camera's pixels: where the two nearly agree, moire appears."""
    u, v = grid(light.shape, rng, rng.normal(0, 0.05))
    pitch = np.exp(rng.uniform(np.log(0.45), np.log(3.5)))  # camera pixels for each display pixel
    depth = np.float32(rng.uniform(0.02, 0.35) * min(1.0, 0.5 + pitch / 4))
    rows = np.cos(2 * np.pi * v / pitch) if rng.random() < 0.7 else np.float32(0)
    out = np.empty_like(light)
    for channel in range(3):
        columns = np.cos(2 * np.pi * (u / pitch + channel / 3 * rng.choice([0.0, 1.0, 1.0])))
        out[:, :, channel] = light[:, :, channel] * (1 + depth * (columns + 0.5 * rows) / 1.5)
    return out


def bands(light, rng):
    """Multiplies by bands of brightness: the refresh of a display, or a lamp's flicker under a rolling shutter."""
    height = light.shape[0]
    at = np.arange(height, dtype=np.float32) / height * rng.uniform(0.7, 7) + rng.random()
    wave = np.sin(2 * np.pi * at)
    if rng.random() < 0.3:
        wave = np.tanh(3 * wave)
    return light * (1 + np.float32(rng.uniform(0.02, 0.2)) * wave)[:, None, None].astype(np.float32)


def colours(light, rng, shift):
    """Balances channels as another medium does; `shift` is the mean factor of R, G, B."""
    factors = np.exp(np.log(shift) + rng.normal(0, 0.08, 3)).astype(np.float32)
    mixed = light * factors
    gray, saturation = mixed.mean(2, keepdims=True), np.float32(rng.uniform(0.6, 1.25))
    return np.clip(gray + (mixed - gray) * saturation, 0, None)


def backdrop(shape, rng, other):
    """What is seen around the medium: another scene out of focus, or a plain wall."""
    height, width = shape[:2]
    if other is not None and rng.random() < 0.6:
        return cv2.GaussianBlur(cv2.resize(other, (width, height)), (0, 0), float(rng.uniform(0.5, 6)))
    wall = rng.uniform(10, 230) + rng.normal(0, 15, 3)
    return np.clip(wall + 25 * smooth(shape, rng, 4)[:, :, None], 0, 255).astype(np.uint8)


def medium(box, shape, rng, near, far):
    """The four corners of the medium about the face, turned and tilted; `near` and `far` in sizes of the box. They may lie outside."""
    x, y, w, h = box
    left, right, top, bottom = (np.exp(rng.uniform(np.log(near), np.log(far))) for _ in range(4))
    middle, half = np.array([x + w / 2, y + h / 2]), np.array([w, h]) / 2
    corners = middle + half * np.array([[-left, -top], [right, -top], [right, bottom], [-left, bottom]])
    turn = rng.normal(0, 0.08)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = (corners - middle) @ spin.T + middle
    return (corners + rng.normal(0, 0.03, (4, 2)) * [w, h]).astype(np.float32)


def framed(photo, box, rng, other, near, far, edge):
    """The photo only inside the medium, a border of the color `edge` around it, and something else behind."""
    corners = medium(box, photo.shape, rng, near, far)
    outer = corners.mean(0) + (corners - corners.mean(0)) * (1 + rng.uniform(0.02, 0.25) if edge is not None else 1)
    out = backdrop(photo.shape, rng, other)
    if edge is not None:
        cv2.fillPoly(out, [(outer * 16).astype(np.int32)], tuple(map(float, edge)), cv2.LINE_AA, 4)
    inside = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(inside, [(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    mask = inside[:, :, None].astype(np.float32) / 255
    return (photo * mask + out * (1 - mask)).astype(np.uint8), mask


def screen(photo, box, rng, other=None):
    """The photo shown by a phone, tablet or monitor."""
    light = linear(photo)
    light = np.power(light, np.float32(rng.uniform(0.75, 1.5)))
    light = colours(light, rng, np.array([0.88, 1.0, 1.14]) if rng.random() < 0.7 else np.array([1.05, 1.0, 0.92]))
    light = light * np.float32(np.exp(rng.normal(0.05, 0.3))) + np.float32(rng.uniform(0, 0.05))
    if rng.random() < 0.75:
        light = subpixels(light, rng)
    if rng.random() < 0.4:
        light = bands(light, rng)
    if rng.random() < 0.3:  # brightness falls toward the sides when a display is seen at an angle
        light = light * (1 + np.float32(rng.uniform(0.05, 0.4)) * smooth(light.shape, rng, 2))[:, :, None]
    shown = encoded(light)
    if rng.random() < 0.55:
        edge = rng.uniform(0, 40) + rng.normal(0, 3, 3) if rng.random() < 0.8 else rng.uniform(170, 250) + rng.normal(0, 4, 3)
        shown, _ = framed(shown, box, rng, other, 1.05, 4.0, np.clip(edge, 0, 255) if rng.random() < 0.9 else None)
    if rng.random() < 0.5:
        shown = encoded(glare(linear(shown), rng, 0.4))
    return blurred(shown, rng, 0.8) if rng.random() < 0.6 else shown


def halftone(light, rng):
    """The dots of a printer, one turned grid for each ink."""
    out, depth = light.copy(), np.float32(rng.uniform(0.02, 0.3))
    pitch = rng.uniform(0.8, 4)
    for channel, angle in enumerate((0.26, 1.31, 0.0)):
        u, v = grid(light.shape, rng)
        a, b = u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)
        dots = (np.cos(2 * np.pi * a / pitch) + np.cos(2 * np.pi * b / pitch)) / 2
        out[:, :, channel] *= 1 + depth * dots.astype(np.float32)
    return out


def bent(photo, box, rng):
    """Bends the paper about a vertical or horizontal axis: columns or rows move, and the light changes with the slope."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    size, upright = box[2], rng.random() < 0.7
    along, across = (x, y) if upright else (y, x)
    phase, length = rng.uniform(0, 2 * np.pi), size * rng.uniform(1.2, 4)
    wave, slope = np.sin(2 * np.pi * along / length + phase), np.cos(2 * np.pi * along / length + phase)
    shift = np.float32(size * rng.uniform(0.0, 0.06))
    moved = across + shift * wave
    squeezed = along + np.float32(size * rng.uniform(0, 0.04)) * slope
    maps = (squeezed, moved) if upright else (moved, squeezed)
    out = cv2.remap(photo, maps[0].astype(np.float32), maps[1].astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return encoded(linear(out) * (1 + np.float32(rng.uniform(0, 0.35)) * slope)[:, :, None].astype(np.float32))


def cut_eyes(printed_photo, photo, box, rng):
    """Holes at the eyes, through which the eyes of the scene are seen, in their shadow."""
    x, y, w, h = box
    hole = np.zeros(photo.shape[:2], np.float32)
    for side in (0.32, 0.68):
        center = (int(x + w * (side + rng.normal(0, 0.02))), int(y + h * (0.40 + rng.normal(0, 0.02))))
        cv2.ellipse(hole, center, (max(2, int(w * rng.uniform(0.09, 0.15))), max(2, int(h * rng.uniform(0.035, 0.07)))), float(rng.normal(0, 6)), 0, 360, 1.0, -1)
    rim = cv2.GaussianBlur(hole, (0, 0), max(0.5, w * 0.008))
    edge = np.clip(cv2.dilate(hole, np.ones((3, 3))) - hole, 0, 1)[:, :, None]
    inside = np.clip(photo * rng.uniform(0.5, 1.0), 0, 255)
    out = printed_photo * (1 - rim[:, :, None]) + inside * rim[:, :, None]
    return np.clip(out + edge * rng.uniform(-60, 60), 0, 255).astype(np.uint8)


def printed(photo, box, rng, other=None):
    """The photo printed on paper."""
    light = linear(photo)
    light = colours(light, rng, np.array([1.0, 1.0, 1.0]) * np.exp(rng.normal(0, 0.06, 3)))
    gray = light.mean(2, keepdims=True)
    light = gray + (light - gray) * np.float32(rng.uniform(0.45, 0.95))
    black, white = rng.uniform(0.0, 0.06), rng.uniform(0.6, 0.98)
    light = (black + np.clip(light, 0, 1) * (white - black)).astype(np.float32)
    if rng.random() < 0.7:
        light = halftone(light, rng)
    if rng.random() < 0.25:
        light = bands(light, rng)
    if rng.random() < 0.5:
        light = light + np.float32(rng.uniform(0.005, 0.03)) * rng.standard_normal(light.shape[:2], np.float32)[:, :, None]
    shown = encoded(light)
    if rng.random() < 0.3:
        shown = cut_eyes(shown, photo, box, rng)
    if rng.random() < 0.5:
        paper = np.clip(rng.uniform(150, 255) + rng.normal(0, 4, 3), 0, 255)
        shown, _ = framed(shown, box, rng, other, 1.0, 3.0, paper if rng.random() < 0.7 else None)
    if rng.random() < 0.6:
        shown = bent(shown, box, rng)
    if rng.random() < 0.5:
        shown = encoded(glare(linear(shown), rng, 0.25))
    return blurred(shown, rng, 0.8) if rng.random() < 0.6 else shown


def blurred(photo, rng, most):
    return cv2.GaussianBlur(photo, (0, 0), float(rng.uniform(0.2, most)))


def noisy(photo, rng, most):
    """Shot and read noise, in part shared by neighbors as cameras' own denoising leaves it."""
    noise = rng.standard_normal(photo.shape, np.float32)
    if rng.random() < 0.5:
        noise = cv2.GaussianBlur(noise, (0, 0), 0.7) * 2
    level = np.float32(rng.uniform(0.5, most)) * (0.6 + photo.astype(np.float32) / 400)
    return np.clip(photo + noise * level, 0, 255).astype(np.uint8)


def compressed(photo, rng, least=35):
    quality = int(rng.integers(least, 98))
    _, coded = cv2.imencode(".jpg", photo[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[:, :, ::-1]


def captured(photo, rng):
    """Another camera: its exposure, white balance, blur, resolution, noise and compression."""
    draw = rng.random()
    if draw < 0.15:  # dark
        light = linear(photo) * np.float32(rng.uniform(0.12, 0.6))
        photo = noisy(encoded(light), rng, 14)
    elif draw < 0.27:  # over-exposed
        photo = encoded(linear(photo) * np.float32(rng.uniform(1.3, 2.6)))
    elif draw < 0.6:
        photo = encoded(linear(photo) * np.float32(np.exp(rng.normal(0, 0.2))))
    if rng.random() < 0.5:
        photo = np.clip(photo * (1 + rng.normal(0, 0.05, 3)), 0, 255).astype(np.uint8)
    if rng.random() < 0.05:
        photo = np.repeat(photo.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    if rng.random() < 0.3:
        photo = blurred(photo, rng, 1.6)
    if rng.random() < 0.08:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        spin = cv2.getRotationMatrix2D((length / 2 - 0.5,) * 2, float(rng.uniform(0, 180)), 1)
        kernel = cv2.warpAffine(kernel, spin, (length, length))
        photo = cv2.filter2D(photo, -1, kernel / max(kernel.sum(), 1e-6))
    if rng.random() < 0.25:
        height, width = photo.shape[:2]
        part = rng.uniform(0.4, 0.9)
        small = cv2.resize(photo, (max(8, int(width * part)), max(8, int(height * part))), interpolation=cv2.INTER_AREA)
        photo = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.1:  # sharpened
        soft = cv2.GaussianBlur(photo, (0, 0), 1.2)
        photo = cv2.addWeighted(photo, 1 + (more := rng.uniform(0.3, 1.2)), soft, -more, 0)
    if rng.random() < 0.35:
        photo = noisy(photo, rng, 7)
    return compressed(photo, rng) if rng.random() < 0.6 else photo
