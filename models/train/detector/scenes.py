"""Composes the detector's training scenes: rotated, scaled, recolored, masked, in crowds.

A scene is a square picture (RGB, uint8) and its faces, n x 15: box, five landmarks, confidence (below
SURE, a face is neither required nor penalized).
"""
import cv2
import numpy as np

from detector.data import KINDS, MIRRORED, SURE, rarity, turned

SMALLEST = 14         # faces smaller than this, in pixels of the scene, are neither asked for nor forbidden

# Of the pet photos of the scenes, in their order, those that show a person after all.
SHOW_PEOPLE = [17, 22, 98, 218, 340, 397, 401, 468, 478, 488, 495, 520, 552]


class Photos:
    """The photos of detector/data.py, mapped into memory; every tenth of the labelled scenes is kept back for validation."""

    def __init__(self, folder):
        kept = np.load(folder / "photos.npz")
        self.shape, self.start, self.kind, self.added, faces = (kept[k] for k in ("shape", "start", "kind", "added", "faces"))
        self.pixels = np.memmap(folder / "photos.u8", np.uint8, "r")
        self.faces = np.split(faces[:, 1:], np.searchsorted(faces[:, 0], np.arange(1, len(self.start))))
        scene = self.added == 0
        pet = self.kind == KINDS.index("pet")
        held = scene & (np.arange(len(self.start)) % 10 == 0)
        self.held_faces = np.flatnonzero(held & ~pet)
        self.held_pets = np.delete(np.flatnonzero(scene & pet), SHOW_PEOPLE)   # all pets of the scenes: the others are enough to learn from
        self.pets = np.flatnonzero(~scene & pet)
        sure = np.array([(f[:, 14] >= SURE).any() for f in self.faces])
        self.portraits = np.flatnonzero(~held & ~pet & sure)
        # Rare photos (profiles, crowds, masks) come as often as the many plain ones.
        weight = np.array([self.rarity(i) for i in self.portraits])
        self.chance = weight / weight.sum()

    def rarity(self, i):
        sure = self.faces[i][self.faces[i][:, 14] >= SURE]
        turn = turned(sure[sure[:, 14].argmax()])
        return rarity(turn) + 3 * (sure[:, 14].max() < 0.75) + 1.5 * (len(sure) > 2) + (self.kind[i] == KINDS.index("mask"))

    def photo(self, i):
        h, w = self.shape[i]
        return self.pixels[self.start[i]: self.start[i] + h * w * 3].reshape(h, w, 3)


def moved(faces, m):
    """Faces under a similarity or nearly one: landmarks move along, a box stays upright around the turned oval."""
    if len(faces) == 0:
        return faces
    faces = faces.copy()
    centre = (faces[:, :2] + faces[:, 2:4] / 2) @ m[:, :2].T + m[:, 2]
    faces[:, 2:4] = np.hypot(faces[:, 2:3] * m[:, 0], faces[:, 3:4] * m[:, 1])
    faces[:, :2] = centre - faces[:, 2:4] / 2
    faces[:, 4:14] = (faces[:, 4:14].reshape(-1, 5, 2) @ m[:, :2].T + m[:, 2]).reshape(-1, 10)
    return faces


def warp(photo, m, size, border=cv2.BORDER_CONSTANT, value=(0, 0, 0)):
    """warpAffine that doesn't alias: halved first as often as the scale asks."""
    m = m.copy()
    while np.sqrt(abs(np.linalg.det(m[:, :2]))) < 0.6 and min(photo.shape[:2]) > 16:
        photo = cv2.resize(photo, (photo.shape[1] // 2, photo.shape[0] // 2), interpolation=cv2.INTER_AREA)
        m[:, :2] *= 2
    return cv2.warpAffine(photo, m, (size, size), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=value)


def depth(x, y, nose):
    """How far a head comes forward, in box widths: an egg with a nose; x and y from the middle of the box, in box widths and heights."""
    egg = 0.62 * np.sqrt(np.clip(1 - (x / 0.78) ** 2 - (y / 0.95) ** 2, 0, 1))
    return egg + 0.15 * np.clip((y - nose[1] + 0.28) / 0.28, 0, 1) * np.exp(-((x - nose[0]) / 0.09) ** 2 / 2 - (np.clip(y - nose[1] - 0.03, 0, None) / 0.05) ** 2 / 2)


def turn(photo, face, yaw):
    """Photo and face as if the head were turned by `yaw` (radians, to the right of the picture where positive). True profiles are scarce."""
    width, height = face[2:4]
    middle = face[:2] + face[2:4] / 2
    nose = (face[8:10] - middle) / (width, height)

    def seen(x, y):
        stays = np.clip((1.5 - np.abs(x)) / 0.6, 0, 1) * np.clip((1.3 - np.abs(y)) / 0.4, 0, 1)
        return x + stays * (x * (np.cos(yaw) - 1) + (depth(x, y, nose) - 0.25) * np.sin(yaw))

    x, rows = np.linspace(-1.6, 1.6, 129), np.linspace(-1.4, 1.4, 57)
    source = np.empty((len(rows), len(x)), np.float32)
    for k, y in enumerate(rows):
        # What lies behind is hidden: from the side that comes forward, the furthest point so far is what is seen.
        if yaw > 0:
            to = np.maximum.accumulate(seen(x, y)) + 1e-5 * np.arange(len(x))
        else:
            to = np.minimum.accumulate(seen(x, y)[::-1])[::-1] + 1e-5 * np.arange(len(x))
        source[k] = np.interp(x, to, x)
    left, top = np.int32(np.floor(middle - (1.6 * width, 1.4 * height)))
    w, h = int(3.2 * width), int(2.8 * height)
    map_x = cv2.resize(source, (w, h)) * np.float32(width) + np.float32(middle[0])
    map_y = np.repeat(np.arange(h, dtype=np.float32)[:, None] + np.float32(top), w, 1)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + w, photo.shape[1]), min(top + h, photo.shape[0])
    part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    out = photo.copy()
    out[y0:y1, x0:x1] = cv2.remap(photo, np.ascontiguousarray(map_x[part]), np.ascontiguousarray(map_y[part]), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    face = face.copy()
    marks = (face[4:14].reshape(5, 2) - middle) / (width, height)
    inside = np.linspace(-0.5, 0.5, 41)
    for mark in marks:
        row = seen(inside, mark[1])
        mark[0] = np.clip(seen(mark[0], mark[1]), row.min(), row.max())
    edges = [seen(inside, y) for y in (-0.2, 0.0, nose[1], 0.3)]
    low, high = min(e.min() for e in edges), max(e.max() for e in edges)
    face[4:14] = (marks * (width, height) + middle).reshape(-1)
    # The teacher's boxes reach back to the ear: in profile they are 0.71 as wide as high.
    broad = max((high - low) * width, 0.71 * height)
    face[0], face[2] = middle[0] + high * width - broad if yaw > 0 else middle[0] + low * width, broad
    return out, face


class Scenes:
    def __init__(self, photos, size, seed, doubt=None):
        """`doubt`: for each photo how sure the network was of a face in it, where there is none; another process keeps it up to date."""
        self.photos, self.size, self.rng, self.doubt = photos, size, np.random.default_rng(seed), doubt

    def similarity(self, middle, to, scale, degrees, flip):
        a = np.deg2rad(degrees)
        m = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag([-1.0 if flip else 1.0, 1])
        return np.c_[m, np.asarray(to) - m @ np.asarray(middle)]

    def squeezed(self, m, to):
        """The same, narrower or wider by up to a quarter: profiles are scarce, and cameras differ."""
        if self.rng.random() > 0.3:
            return m
        x = self.rng.uniform(0.75, 1.25)
        m = m.copy()
        m[0] = m[0] * x + (0, 0, to[0] * (1 - x))
        return m

    def angle(self):
        return float(np.clip(self.rng.normal(0, 8) if self.rng.random() < 0.6 else self.rng.uniform(-35, 35), -38, 38))

    def single(self, backdrop=None):
        """One photo, so that a face of it gets a random size and lies anywhere."""
        rng, size = self.rng, self.size
        i = rng.choice(self.photos.portraits, p=self.photos.chance)
        photo, faces = self.photos.photo(i), self.photos.faces[i]
        sure = np.flatnonzero(faces[:, 14] >= SURE)
        face = faces[rng.choice(sure)]
        if len(faces) == 1 and rng.random() < 0.45 and 60 < face[3] < 300:
            yaw = rng.uniform(0.35, 1.2)
            off = face[8] - (face[4] + face[6]) / 2
            photo, face = turn(photo, face, yaw if off + rng.normal(0, 0.03) * face[2] > 0 else -yaw)
            faces = face[None]
        if len(faces) == 1 and rng.random() < 0.35:
            # Cut close around the head, as many photos are.
            low = np.int32(np.maximum(face[:2] - rng.uniform(-0.03, 0.5, 2) * face[2:4], 0))
            high = np.int32(np.ceil(face[:2] + face[2:4] * (1 + rng.uniform(-0.03, 0.5, 2))))
            photo, face = photo[low[1]: high[1], low[0]: high[0]], face.copy()
            face[:14] -= np.tile(low, 7) * np.array([1, 1, 0, 0] + [1] * 10)
            faces = face[None]
        side = np.sqrt(face[2] * face[3])
        # Most photos of use show one large face; the rest of the range must not be forgotten.
        target = np.exp(rng.uniform(np.log(18), np.log(0.95 * size))) if rng.random() < 0.55 else size * rng.uniform(0.25, 0.85)
        scale = min(target / side, 3.0)
        room = max(0.0, size - 1.1 * scale * side)
        to = (size - room) / 2 + rng.random(2) * room
        flip = rng.random() < 0.5
        m = self.squeezed(self.similarity(face[:2] + face[2:4] / 2, to, scale, self.angle(), flip), to)
        picture = warp(photo, m, size)
        if backdrop is not None:
            cover = cv2.warpAffine(np.full(photo.shape[:2], 255, np.uint8), m, (size, size))
            picture = cv2.copyTo(picture, cover, backdrop)
        faces = moved(faces, m)
        if flip:
            faces[:, 4:14] = faces[:, 4:14][:, MIRRORED]
        return np.ascontiguousarray(picture), faces

    def pet(self):
        """A photo without a person; every other time one that the network takes for one."""
        pets = self.photos.pets
        if self.doubt is None or self.rng.random() < 0.5:
            return self.rng.choice(pets)
        chance = self.doubt[pets].astype(np.float64) ** 2 + 1e-6
        return self.rng.choice(pets, p=chance / chance.sum())

    def empty(self, pet=None):
        """A photo without faces."""
        rng, size = self.rng, self.size
        photo = self.photos.photo(self.pet() if pet is None else pet)
        scale = size / min(photo.shape[:2]) * np.exp(rng.uniform(np.log(0.6), np.log(1.8)))
        h, w = photo.shape[:2]
        m = self.similarity((w * rng.uniform(0.3, 0.7), h * rng.uniform(0.3, 0.7)), (size / 2, size / 2), scale, rng.uniform(-20, 20), rng.random() < 0.5)
        return warp(photo, m, size, cv2.BORDER_REFLECT_101 if rng.random() < 0.7 else cv2.BORDER_CONSTANT), np.zeros((0, 15), np.float32)

    def crowd(self):
        """Heads cut from photos, laid on a photo without faces, from the smallest to the largest, the seams blurred."""
        rng, size = self.rng, self.size
        picture, _ = self.empty()
        count = int(rng.integers(1, 4)) if rng.random() < 0.4 else int(rng.integers(3, 14))
        largest = size * (0.8 if count < 3 else 0.35)
        sides = np.sort(np.exp(rng.uniform(np.log(13), np.log(largest), count)))
        laid = np.zeros((0, 15), np.float32)
        for side in sides:
            i = rng.choice(self.photos.portraits, p=self.photos.chance)
            faces = self.photos.faces[i]
            if len(faces) != 1:
                continue
            own = np.sqrt(faces[0, 2] * faces[0, 3])
            if own < 0.6 * side or own < 30:
                continue
            to = rng.uniform(0.02, 0.98, 2) * size
            flip = rng.random() < 0.5
            m = self.similarity(faces[0, :2] + faces[0, 2:4] / 2, to, side / own, self.angle(), flip)
            face = moved(faces, m)
            if flip:
                face[:, 4:14] = face[:, 4:14][:, MIRRORED]
            # Nobody is covered by more than a corner.
            if len(laid) and max(covered(other, face[0]) for other in laid) > 0.15:
                continue
            self.lay(picture, self.photos.photo(i), faces[0], m)
            laid = np.concatenate([laid, face])
        return picture, laid

    def lay(self, picture, photo, face, m):
        h, w = photo.shape[:2]
        grow = self.rng.uniform(1.0, 1.5)
        shape = np.zeros((h, w), np.uint8)
        centre = face[:2] + face[2:4] / 2 - (0, 0.08 * face[3])
        cv2.ellipse(shape, (int(centre[0]), int(centre[1])), (int(face[2] * 0.56 * grow), int(face[3] * 0.6 * grow)), 0, 0, 360, 255, -1)
        if self.rng.random() < 0.7:       # shoulders, as far as the photo has them
            top = int(centre[1] + 0.45 * face[3])
            cv2.rectangle(shape, (int(centre[0] - face[2] * grow), top), (int(centre[0] + face[2] * grow), h), 255, -1)
        shape[:2] = shape[-2:] = 0
        shape[:, :2] = shape[:, -2:] = 0
        side = np.sqrt(face[2] * face[3] * abs(np.linalg.det(m[:, :2])))
        # Only the part of the picture around the head is worked on.
        reach = int(min(2.6 * side * grow, self.size)) + 4
        x, y = np.int32(np.clip(centre @ m[:, :2].T + m[:, 2] - reach / 2, 0, self.size - reach)) if reach < self.size else (0, 0)
        m = np.c_[m[:, :2], m[:, 2] - (x, y)]
        head, alpha = warp(photo, m, reach), warp(shape, m, reach)
        alpha[:2] = alpha[-2:] = 0
        alpha[:, :2] = alpha[:, -2:] = 0
        alpha = cv2.GaussianBlur(alpha, (0, 0), 0.6 + self.rng.uniform(0.01, 0.05) * side).astype(np.float32)[..., None] / 255
        part = picture[y: y + reach, x: x + reach]
        alpha = alpha[: part.shape[0], : part.shape[1]]
        part[:] = part * (1 - alpha) + head[: part.shape[0], : part.shape[1]] * alpha

    def mask(self, picture, face):
        """A drawn mask over nose and mouth."""
        rng = self.rng
        marks = face[4:14].reshape(5, 2)
        side = np.sqrt(face[2] * face[3])
        down = (marks[3:].mean(0) - marks[:2].mean(0))
        down = down / max(np.hypot(*down), 1e-3)
        across = np.array([down[1], -down[0]])
        middle = marks[2:].mean(0) + down * 0.06 * side
        half, top, bottom = rng.uniform(0.36, 0.46) * side, rng.uniform(0.12, 0.24) * side, rng.uniform(0.26, 0.4) * side
        corners = [middle + across * x * half + down * y for x, y in ((-1, -top * 0.8), (0, -top), (1, -top * 0.8), (0.8, bottom * 0.7), (0.3, bottom), (-0.3, bottom), (-0.8, bottom * 0.7))]
        colour = rng.integers(0, 256, 3) if rng.random() < 0.4 else np.clip(rng.choice([235, 200, 30]) + rng.integers(-20, 20, 3), 0, 255)
        cv2.fillPoly(picture, [np.int32(np.round(corners))], tuple(int(c) for c in colour), lineType=cv2.LINE_AA)

    def disturb(self, picture):
        """Light, colour, blur, noise, compression."""
        rng = self.rng
        if rng.random() < 0.2:
            picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        if rng.random() < 0.8:
            table = np.arange(256, dtype=np.float32) / 255
            gains = np.exp(rng.normal(0, 0.06, 3)) * np.exp(rng.normal(0, 0.22))
            if rng.random() < 0.15:
                gains *= rng.uniform(0.15, 0.7)  # a dark corner
            gamma = np.exp(rng.normal(0, 0.22))
            lift = rng.normal(0, 0.05)
            tables = np.clip(255 * (table[:, None] ** gamma * gains + lift), 0, 255).astype(np.uint8)
            picture = cv2.LUT(picture, np.ascontiguousarray(tables)[None])
        if rng.random() < 0.18:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 2.0))
        if rng.random() < 0.2:
            noise = rng.standard_normal((self.size, self.size, rng.choice([1, 3])), np.float32) * np.float32(rng.uniform(3, 16))
            picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
        if rng.random() < 0.15:
            picture = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])[1], cv2.IMREAD_COLOR)
        return picture

    def next(self):
        """A scene, its faces, and the photo without faces that is all of it (or -1)."""
        rng, pet = self.rng, -1
        draw = rng.random()
        if draw < 0.42:
            picture, faces = self.single()
        elif draw < 0.62:
            picture, faces = self.single(self.empty()[0])
        elif draw < 0.79:
            picture, faces = self.crowd()
        else:
            pet = self.pet()
            picture, faces = self.empty(pet)
        faces = self.seen(np.float32(faces))
        for face in faces:
            if rng.random() < 0.08 and face[14] >= SURE:
                self.mask(picture, face)
        return self.disturb(picture), faces, pet

    def seen(self, faces):
        """Faces that the edge cuts or that are too small are not asked for; those outside are dropped."""
        if len(faces) == 0:
            return faces
        inner = np.minimum(faces[:, :2] + faces[:, 2:4], self.size) - np.maximum(faces[:, :2], 0)
        share = np.prod(np.clip(inner, 0, None), 1) / np.prod(faces[:, 2:4], 1)
        centre = faces[:, :2] + faces[:, 2:4] / 2
        cut = (share < 0.65) | (centre < 0).any(1) | (centre >= self.size).any(1) | (np.sqrt(faces[:, 2] * faces[:, 3]) < SMALLEST)
        faces[cut, 14] = np.minimum(faces[cut, 14], SURE - 0.1)
        return faces[share > 0.05]


def covered(under, over):
    w = min(under[0] + under[2], over[0] + over[2] * 1.2) - max(under[0], over[0] - over[2] * 0.2)
    h = min(under[1] + under[3], over[1] + over[3] * 1.3) - max(under[1], over[1] - over[3] * 0.3)
    return max(w, 0) * max(h, 0) / (under[2] * under[3])
