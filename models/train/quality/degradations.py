"""Degradations of face photos, each at three strengths, to train and to judge the quality network.

A degradation takes a photo (BGR, 8 bits), the five landmarks of its face in pixels (right eye, left eye, nose, right and left
mouth corner, as the person has them), a strength from 0 to 1 and a random generator. It returns the degraded photo.
`DEGRADATIONS` lists them by name; `spectacles` is apart, for people wear them and are not to be refused.
"""

import cv2
import numpy as np


def mix(low, high, strength):
    return low + (high - low) * strength


def eyes_apart(points):
    return float(np.hypot(*(points[1] - points[0])))


class Frame:
    """A face's own coordinates: the origin between the eyes, one unit the inter-eye distance, x along the eyes, y downward."""

    def __init__(self, points):
        self.origin = (points[0] + points[1]) / 2
        across = points[1] - points[0]
        down = (points[3] + points[4]) / 2 - self.origin
        self.mouth = max(0.6, float(np.hypot(*down) / max(1.0, np.hypot(*across))))
        self.matrix = np.stack([across, down / self.mouth], 1)
        self.unit = float(np.hypot(*across))

    def pixels(self, outline):
        return np.round(np.asarray(outline) @ self.matrix.T + self.origin).astype(np.int32)


def color(rng, dark=False):
    return tuple(int(v) for v in rng.integers(0, 70 if dark else 256, 3))


def smooth(outline, rng, jitter=0.04):
    """A closed curve through the points of an outline, slightly irregular."""
    outline = np.asarray(outline, float) + rng.normal(0, jitter, (len(outline), 2))
    again = np.vstack([outline[-1:], outline, outline[:2]])
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(again, again[1:], again[2:], again[3:]):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(pieces)


def painted(photo, frame, outlines, rng, paint=None, opacity=1.0):
    """Fills outlines in face coordinates with a color, a light gradient and some texture."""
    mask = np.zeros(photo.shape[:2], np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [frame.pixels(outline)], 255)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.4, 0.012 * frame.unit)).astype(np.float32)[..., None] / 255 * opacity
    height, width = photo.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.35) * ((x - frame.origin[0]) * np.cos(angle) + (y - frame.origin[1]) * np.sin(angle)) / (2 * frame.unit)
    cloth = light[..., None] * np.float32(color(rng) if paint is None else paint)
    if rng.random() < 0.5:
        period, way = rng.uniform(0.05, 0.3) * frame.unit, rng.uniform(0, np.pi)
        cloth = cloth * (1 + 0.25 * np.sign(np.sin((x * np.cos(way) + y * np.sin(way)) * 2 * np.pi / period)))[..., None]
    return np.clip(photo * (1 - mask) + np.clip(cloth, 0, 255) * mask, 0, 255).astype(np.uint8)


def ellipse(x, y, width, height, count=10):
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], 1)


def face_mask(frame, rng, top=0.45):
    m = frame.mouth
    return smooth([(-1.05, top * m + 0.1), (-0.5, top * m - 0.05), (0, top * m - 0.12), (0.5, top * m - 0.05), (1.05, top * m + 0.1),
                   (0.9, m + 0.35), (0.45, m + 0.75), (0, m + 0.85), (-0.45, m + 0.75), (-0.9, m + 0.35)], rng, 0.03)


def lenses(rng, size):
    return [smooth(ellipse(side * 0.5, 0.04, size * rng.uniform(0.9, 1.1), 0.75 * size * rng.uniform(0.85, 1.2)), rng, 0.015) for side in (-1, 1)]


def sunglasses(photo, points, strength, rng):
    frame, size = Frame(points), mix(0.3, 0.5, strength)
    bar = [np.array([(-1.1, -0.06), (1.1, -0.06), (1.1, 0.05), (-1.1, 0.05)])]
    dark = color(rng, dark=True)
    return painted(photo, frame, lenses(rng, size) + bar, rng, dark, rng.uniform(mix(0.75, 0.97, strength), 1))


def spectacles(photo, points, strength, rng):
    """Rims only, so that the eyes stay visible: people wear these, and they are judged as harmless."""
    frame, out, paint = Frame(points), photo.copy(), color(rng, dark=rng.random() < 0.7)
    thick = max(1, int(round(mix(0.025, 0.08, strength) * frame.unit)))
    for lens in lenses(rng, 0.36):
        cv2.polylines(out, [frame.pixels(lens)], True, paint, thick, cv2.LINE_AA)
    cv2.line(out, *(tuple(int(v) for v in p) for p in frame.pixels([(-0.14, 0.0), (0.14, 0.0)])), paint, thick, cv2.LINE_AA)
    for side in (-1, 1):
        cv2.line(out, *(tuple(int(v) for v in p) for p in frame.pixels([(side * 0.86, 0.0), (side * 1.2, 0.02)])), paint, thick, cv2.LINE_AA)
    return out


def surgical_mask(photo, points, strength, rng):
    frame = Frame(points)
    return painted(photo, frame, [face_mask(frame, rng, mix(0.75, 0.3, strength))], rng)


def mask_and_glasses(photo, points, strength, rng):
    return spectacles(surgical_mask(photo, points, strength, rng), points, strength, rng)


def mask_and_sunglasses(photo, points, strength, rng):
    return sunglasses(surgical_mask(photo, points, strength, rng), points, strength, rng)


def hat(photo, points, strength, rng):
    frame, low = Frame(points), mix(-0.5, -0.1, strength)
    return painted(photo, frame, [smooth([(-1.5, low), (-0.6, low + 0.05), (0, low + 0.08), (0.6, low + 0.05), (1.5, low), (1.4, -1.6), (0, -2.1), (-1.4, -1.6)], rng)], rng)


def scarf(photo, points, strength, rng):
    frame = Frame(points)
    top = mix(frame.mouth - 0.1, 0.4 * frame.mouth, strength)
    return painted(photo, frame, [smooth([(-1.6, top), (-0.6, top + 0.1), (0, top), (0.6, top + 0.1), (1.6, top), (1.5, 3), (0, 3.2), (-1.5, 3)], rng)], rng)


def hat_and_scarf(photo, points, strength, rng):
    return scarf(hat(photo, points, strength, rng), points, strength, rng)


def hat_scarf_and_glasses(photo, points, strength, rng):
    return (sunglasses if rng.random() < 0.5 else spectacles)(hat_and_scarf(photo, points, strength, rng), points, strength, rng)


def eye_bar(photo, points, strength, rng):
    frame, half = Frame(points), mix(0.15, 0.45, strength)
    return painted(photo, frame, [np.array([(-1.2, -half), (1.2, -half), (1.2, half), (-1.2, half)])], rng, (0, 0, 0) if rng.random() < 0.5 else None)


def hand(photo, points, strength, rng):
    """A skin-colored patch over part of the face, from a random side."""
    frame = Frame(points)
    skin = photo[tuple(np.clip(frame.pixels([(0, 0.55 * frame.mouth)])[0][::-1], 0, np.array(photo.shape[:2]) - 1))]
    angle, reach = rng.uniform(0, 2 * np.pi), mix(0.9, 0.2, strength)
    x, y = reach * np.cos(angle), 0.5 * frame.mouth + reach * np.sin(angle)
    fingers = [smooth(ellipse(x + np.cos(angle + a) * 0.5, y + np.sin(angle + a) * 0.5, 0.55, 0.45), rng) for a in (-1, -0.5, 0, 0.5, 1)]
    return painted(photo, frame, fingers, rng, [float(v) * rng.uniform(0.8, 1.1) for v in skin])


def blocks(photo, points, strength, rng):
    """Random rectangles over the face."""
    frame = Frame(points)
    outlines = []
    for _ in range(int(round(mix(2, 6, strength)))):
        x, y, w, h = rng.uniform(-0.9, 0.9), rng.uniform(-0.5, frame.mouth + 0.4), *rng.uniform(0.2, 0.5, 2)
        outlines.append(np.array([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)]))
    for outline in outlines:
        photo = painted(photo, frame, [outline], rng)
    return photo


def half_covered(photo, points, strength, rng):
    """One side of the face behind something."""
    frame, edge, side = Frame(points), mix(0.35, -0.15, strength), rng.choice([-1, 1])
    return painted(photo, frame, [np.array([(side * edge, -3), (side * 3, -3), (side * 3, 4), (side * edge, 4)])], rng)


def net(photo, points, strength, rng):
    """A mesh before the face."""
    frame, out, paint = Frame(points), photo.copy(), color(rng, dark=rng.random() < 0.6)
    step, thick = mix(0.35, 0.18, strength), max(1, int(round(mix(0.03, 0.07, strength) * frame.unit)))
    for at in np.arange(-3, 4, step):
        for line in ([(at - 2, -3), (at + 2, 4)], [(at + 2, -3), (at - 2, 4)]):
            cv2.line(out, *(tuple(int(v) for v in p) for p in frame.pixels(line)), paint, thick, cv2.LINE_AA)
    return out


def turned(photo, degrees):
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def upside_down(photo, points, strength, rng):
    return turned(photo, 180 + rng.choice([-1, 1]) * mix(40, 0, strength) * rng.uniform(0.8, 1))


def mirrored_top_to_bottom(photo, points, strength, rng):
    return turned(photo[::-1], rng.uniform(-1, 1) * mix(40, 0, strength))


def on_its_side(photo, points, strength, rng):
    return turned(photo, rng.choice([-1, 1]) * mix(60, 110, strength))


def linear(photo):
    return (photo.astype(np.float32) / 255) ** 2.2


def encoded(light):
    return (255 * np.clip(light, 0, 1) ** (1 / 2.2) + 0.5).astype(np.uint8)


def noise(photo, points, strength, rng):
    sigma = mix(30, 110, strength)
    gray = rng.normal(0, sigma, photo.shape[:2] + (1 if rng.random() < 0.3 else 3,))
    return np.clip(photo + gray, 0, 255).astype(np.uint8)


def low_light(photo, points, strength, rng):
    """Few photons, then amplified, as a camera does in the dark."""
    light = linear(photo) * mix(0.02, 0.002, strength)
    seen = light + rng.normal(0, 1, light.shape) * np.sqrt(3e-4 * light + 2e-6)
    return encoded(np.clip(seen, 0, 1) / max(1e-6, float(np.quantile(seen, 0.98))) * rng.uniform(0.4, 0.9))


def salt_and_pepper(photo, points, strength, rng):
    share = mix(0.08, 0.45, strength)
    drawn = rng.random(photo.shape[:2])
    out = photo.copy()
    out[drawn < share / 2], out[drawn > 1 - share / 2] = 0, 255
    return out


def blurred(photo, points, strength, rng):
    return cv2.GaussianBlur(photo, (0, 0), mix(0.08, 0.25, strength) * eyes_apart(points))


def motion(photo, points, strength, rng):
    length = max(3, int(mix(0.3, 1.0, strength) * eyes_apart(points)))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle, way = (length - 1) / 2, np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
    cv2.line(kernel, tuple(np.round(middle - way).astype(int).tolist()), tuple(np.round(middle + way).astype(int).tolist()), 1.0)
    return cv2.filter2D(photo, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def enlarged(photo, points, strength, rng):
    factor = mix(9, 4, strength) / eyes_apart(points)
    little = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(little, photo.shape[1::-1], interpolation=rng.choice([cv2.INTER_CUBIC, cv2.INTER_LINEAR]))


def pixelated(photo, points, strength, rng):
    factor = mix(8, 4, strength) / eyes_apart(points)
    little = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(little, photo.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def compressed(photo, points, strength, rng):
    size = mix(1.0, 0.6, strength) * 50 / eyes_apart(points)
    little = cv2.resize(photo, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", little, [cv2.IMWRITE_JPEG_QUALITY, int(mix(8, 1, strength))])[1]
    return cv2.resize(cv2.imdecode(data, 1), photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def gray3(gray):
    return np.repeat(gray[..., None], 3, 2)


def binarized(photo, points, strength, rng):
    gray = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    gray = cv2.GaussianBlur(gray, (0, 0), max(0.5, mix(0.01, 0.05, strength) * eyes_apart(points)))
    if rng.random() < 0.4:
        side = int(mix(0.6, 1.5, rng.random()) * eyes_apart(points)) // 2 * 2 + 3
        return gray3(cv2.adaptiveThreshold(gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, side, 4))
    return gray3(np.where(gray > np.quantile(gray, rng.uniform(0.35, 0.6)), 255, 0).astype(np.uint8))


def halftone(photo, points, strength, rng):
    """A coarse printing screen: dots whose size follows the tone."""
    gray = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY).astype(np.float32) / 255
    period = mix(0.08, 0.22, strength) * eyes_apart(points)
    y, x = np.mgrid[0:gray.shape[0], 0:gray.shape[1]].astype(np.float32)
    a = rng.uniform(0, np.pi / 2)
    u, v = (x * np.cos(a) + y * np.sin(a)) * 2 * np.pi / period, (y * np.cos(a) - x * np.sin(a)) * 2 * np.pi / period
    return gray3(np.where(gray > 0.5 + 0.25 * (np.cos(u) + np.cos(v)), 255, 0).astype(np.uint8))


def dithered(photo, points, strength, rng):
    """Black and white by error diffusion's cheap relative: a random threshold at each pixel of a small copy."""
    factor = mix(24, 12, strength) / eyes_apart(points)
    little = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    little = np.where(little > rng.uniform(40, 215, little.shape), 255, 0).astype(np.uint8)
    return gray3(cv2.resize(little, photo.shape[1::-1], interpolation=cv2.INTER_NEAREST))


def negative(photo, points, strength, rng):
    share = mix(0.75, 1, strength)
    source = gray3(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)) if rng.random() < 0.4 else photo
    return np.clip(255 * share - source * (2 * share - 1) if share < 1 else 255 - source, 0, 255).astype(np.uint8)


def posterized(photo, points, strength, rng):
    levels = int(round(mix(4, 2, strength)))
    source = gray3(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)) if rng.random() < 0.5 else photo
    return (np.floor(source / 256 * levels) * (255 / max(1, levels - 1))).astype(np.uint8)


def wide(photo, points, strength, rng):
    return cv2.resize(photo, None, fx=mix(1.5, 2.6, strength), fy=1)


def tall(photo, points, strength, rng):
    return cv2.resize(photo, None, fx=1, fy=mix(1.5, 2.6, strength))


def sheared(photo, points, strength, rng):
    slope, (height, width) = rng.choice([-1, 1]) * mix(0.4, 1.0, strength), photo.shape[:2]
    matrix = np.float64([[1, slope, -slope * points[2][1]], [0, 1, 0]])
    return cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def warped(photo, points, strength, rng):
    """A swirl about the nose."""
    (height, width), radius = photo.shape[:2], 1.8 * eyes_apart(points)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    dx, dy = x - points[2][0], y - points[2][1]
    near = np.clip(1 - np.hypot(dx, dy) / radius, 0, 1)
    angle = near * rng.choice([-1, 1]) * mix(0.8, 2.2, strength)
    sx, sy = points[2][0] + dx * np.cos(angle) - dy * np.sin(angle), points[2][1] + dx * np.sin(angle) + dy * np.cos(angle)
    return cv2.remap(photo, sx.astype(np.float32), sy.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def bulged(photo, points, strength, rng):
    """A lens that swells or shrinks the middle of the face."""
    (height, width), radius = photo.shape[:2], 2.0 * eyes_apart(points)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    dx, dy = (x - points[2][0]) / radius, (y - points[2][1]) / radius
    r = np.clip(np.hypot(dx, dy), 1e-6, None)
    power = rng.choice([1 + mix(0.6, 1.6, strength), 1 / (1 + mix(0.6, 1.6, strength))])
    scale = np.where(r < 1, r ** (power - 1), 1)
    return cv2.remap(photo, (points[2][0] + dx * scale * radius).astype(np.float32), (points[2][1] + dy * scale * radius).astype(np.float32),
                     cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def sketch(photo, points, strength, rng):
    """A pencil drawing: the photo divided by its own blur."""
    gray = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY).astype(np.float32)
    soft = cv2.GaussianBlur(gray, (0, 0), mix(0.12, 0.04, strength) * eyes_apart(points) + 0.5)
    lines = np.clip(gray / np.maximum(soft, 1), 0, 1) ** mix(2, 6, strength)
    return gray3((255 * lines).astype(np.uint8))


def outlined(photo, points, strength, rng):
    """Edges only, black on white or white on black."""
    gray = cv2.GaussianBlur(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), (0, 0), mix(0.01, 0.04, strength) * eyes_apart(points) + 0.5)
    edges = cv2.Canny(gray, 30, mix(60, 110, rng.random()))
    edges = cv2.dilate(edges, np.ones((2, 2), np.uint8), iterations=max(1, int(eyes_apart(points) / 40)))
    return gray3(255 - edges if rng.random() < 0.7 else edges)


def painting(photo, points, strength, rng):
    """Flat patches, as of an oil painting or a cartoon."""
    small = cv2.resize(photo, None, fx=50 / eyes_apart(points), fy=50 / eyes_apart(points), interpolation=cv2.INTER_AREA)
    for _ in range(int(mix(2, 6, strength))):
        small = cv2.bilateralFilter(small, 7, 60, 7)
    levels = int(mix(8, 4, strength))
    small = (np.floor(cv2.medianBlur(small, 2 * int(mix(2, 4, strength)) + 1) / 256 * levels) * (255 / (levels - 1))).astype(np.uint8)
    return cv2.resize(small, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def overexposed(photo, points, strength, rng):
    return encoded(linear(photo) * mix(5, 30, strength))


def harsh_shadow(photo, points, strength, rng):
    """One side in black, the other burnt out."""
    frame = Frame(points)
    y, x = np.mgrid[0:photo.shape[0], 0:photo.shape[1]].astype(np.float32)
    angle = rng.uniform(-0.5, 0.5) + rng.choice([0, np.pi])
    side = ((x - frame.origin[0]) * np.cos(angle) + (y - frame.origin[1]) * np.sin(angle)) / frame.unit
    light = 1 / (1 + np.exp(-side * mix(3, 8, strength) - rng.uniform(-0.7, 0.7)))
    return encoded(linear(photo) * (mix(0.03, 0.001, strength) + mix(2, 6, strength) * light[..., None]))


def false_color(photo, points, strength, rng):
    """As a thermal camera or a heat map shows it."""
    gray = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    gray = cv2.GaussianBlur(gray, (0, 0), max(0.5, mix(0.02, 0.1, strength) * eyes_apart(points)))
    mapped = cv2.applyColorMap(gray, int(rng.choice([cv2.COLORMAP_JET, cv2.COLORMAP_HSV, cv2.COLORMAP_INFERNO, cv2.COLORMAP_RAINBOW, cv2.COLORMAP_TURBO])))
    return cv2.addWeighted(photo, mix(0.3, 0, strength), mapped, mix(0.7, 1, strength), 0)


def fog(photo, points, strength, rng):
    veil = np.float32(color(rng)) * 0.3 + 150
    contrast = mix(0.2, 0.04, strength)
    return np.clip(photo * contrast + veil * (1 - contrast) + rng.normal(0, 2, photo.shape), 0, 255).astype(np.uint8)


def solarized(photo, points, strength, rng):
    edge = int(mix(170, 90, strength))
    return np.where(photo > edge, 255 - photo, photo).astype(np.uint8)


def embossed(photo, points, strength, rng):
    small = cv2.resize(photo, None, fx=50 / eyes_apart(points), fy=50 / eyes_apart(points), interpolation=cv2.INTER_AREA)
    kernel = np.float32([[-2, -1, 0], [-1, 0, 1], [0, 1, 2]]) * mix(0.7, 1.6, strength)
    out = cv2.filter2D(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32), -1, kernel) + 128
    return cv2.resize(gray3(np.clip(out, 0, 255).astype(np.uint8)), photo.shape[1::-1])


def torn_rows(photo, points, strength, rng):
    """Bands of rows shifted, as after a lost sync or a rolling shutter."""
    out, at = photo.copy(), 0
    while at < len(photo):
        high = max(1, int(rng.uniform(0.05, 0.3) * eyes_apart(points)))
        out[at:at + high] = np.roll(out[at:at + high], int(rng.normal(0, mix(0.12, 0.5, strength)) * eyes_apart(points)), 1)
        at += high
    return out


def rain(photo, points, strength, rng):
    """Drops on the lens: patches that show what is beside them."""
    out = photo.copy()
    unit = eyes_apart(points)
    for _ in range(int(mix(25, 90, strength))):
        center = points.mean(0) + rng.normal(0, 1.0, 2) * unit
        radius = rng.uniform(0.1, 0.3) * unit
        x0, y0, x1, y1 = (int(v) for v in (center[0] - radius, center[1] - radius, center[0] + radius, center[1] + radius))
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(photo.shape[1], x1), min(photo.shape[0], y1)
        if x1 - x0 < 3 or y1 - y0 < 3:
            continue
        patch = cv2.GaussianBlur(out[y0:y1, x0:x1][::-1, ::-1], (0, 0), max(0.5, radius / 6))
        disk = np.zeros(patch.shape[:2], np.uint8)
        cv2.ellipse(disk, (disk.shape[1] // 2, disk.shape[0] // 2), (disk.shape[1] // 2, disk.shape[0] // 2), 0, 0, 360, 255, -1)
        out[y0:y1, x0:x1] = np.where(disk[..., None] > 0, patch, out[y0:y1, x0:x1])
    return out


def scribbled(photo, points, strength, rng):
    """Pen strokes or a stamp across the face."""
    frame, out, paint = Frame(points), photo.copy(), color(rng)
    for _ in range(int(mix(6, 30, strength))):
        line = np.cumsum(rng.normal(0, 0.5, (5, 2)), 0) + rng.normal(0, 0.6, 2) + [0, 0.4]
        cv2.polylines(out, [frame.pixels(line)], False, paint, max(1, int(0.05 * frame.unit)), cv2.LINE_AA)
    return out


def moire(photo, points, strength, rng):
    """A screen filmed by a camera: interference bands over the colors."""
    y, x = np.mgrid[0:photo.shape[0], 0:photo.shape[1]].astype(np.float32)
    period, angle = rng.uniform(0.08, 0.25) * eyes_apart(points), rng.uniform(0, np.pi)
    waves = [np.sin((x * np.cos(angle + a) + y * np.sin(angle + a)) * 2 * np.pi / (period * s)) for a, s in ((0, 1), (0.15, 1.07), (1.6, 1.2))]
    depth = mix(0.35, 0.95, strength)
    return np.clip(photo * (1 + depth * np.stack(waves, 2)), 0, 255).astype(np.uint8)


def shuffled(photo, points, strength, rng):
    """Tiles of the face in another order."""
    unit, out = eyes_apart(points), photo.copy()
    side = max(4, int(mix(0.35, 0.6, strength) * unit))
    x0, y0 = (int(v) for v in points.mean(0) - 1.5 * side)
    tiles = [(x0 + i * side, y0 + j * side) for i in range(3) for j in range(3)]
    tiles = [(x, y) for x, y in tiles if x >= 0 and y >= 0 and x + side <= photo.shape[1] and y + side <= photo.shape[0]]
    picked = rng.permutation(len(tiles))[:int(mix(3, 9, strength))]
    for a, b in zip(picked, np.roll(picked, 1)):
        (xa, ya), (xb, yb) = tiles[a], tiles[b]
        out[ya:ya + side, xa:xa + side] = photo[yb:yb + side, xb:xb + side]
    return out


DEGRADATIONS = {f.__name__.replace("_", " "): f for f in (
    upside_down, mirrored_top_to_bottom, on_its_side, sunglasses, surgical_mask, mask_and_glasses, mask_and_sunglasses, hat, scarf,
    hat_and_scarf, hat_scarf_and_glasses, eye_bar, hand, blocks, half_covered, net, noise, low_light, salt_and_pepper, blurred, motion,
    enlarged, pixelated, compressed, binarized, halftone, dithered, negative, posterized, wide, tall, sheared, warped, bulged, sketch,
    outlined, painting, overexposed, harsh_shadow, false_color, fog, solarized, embossed, torn_rows, rain, scribbled, moire, shuffled)}

STRENGTHS = (0.0, 0.5, 1.0)
