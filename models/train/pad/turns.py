"""Measures presentation sessions on generated people; all frames are simulated.

    python -m pad.turns --binary ../../target/debug/likeness [--cfp CFP] [--photos ../../tests/data/turns]

The heads are those of tests/data/people, turned within their photos by the depth model of common/yaw.py. Prints are the same photos,
turned in perspective, flat or bent around a cylinder. The first table has what the landmarks of single frames state, which the service
gives (`/compare` with a straight frame); the second the service's decisions on whole sessions. With --cfp, a third table compares the
landmarks of real people's frontal photos, which differ in yaw a little, with the straightest photo of the same person. With --photos, writes the frames of
tests/api/presentation_sessions.rs instead. models/measured/turns.md has the tables.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from common.alignment import similarity
from common.yaw import depth

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "e2e"))
from service import KIND, Service, form, started  # noqa: E402

SIZE = (320, 400)
# As in src/quality.rs and src/presentation/pose.rs.
NOSE_DEPTH = 0.45
# The extent of the depth model, and where the photo around it stays as it is, in pixels of the template.
REACH, STILL = 62, 112
AXIS = {"yaw": 30.0, "pitch": 45.0}
HEADS = {
    "left": [("yaw", angle) for angle in (10, 15, 20, 25, 30, 35, 40)],
    "right": [("yaw", -angle) for angle in (10, 15, 20, 25, 30, 35, 40)],
    "up": [("pitch", angle) for angle in (10, 15, 20, 25, 30)],
}
PRINTS = {
    "flat, to a side": [("yaw", angle, None) for angle in (-60, -45, -30, -15, 15, 30, 45, 60)],
    "flat, back": [("pitch", angle, None) for angle in (15, 30, 45)],
    "bent, radius 2.5": [("yaw", angle, 2.5) for angle in (-45, -30, 30, 45)],
    "bent, radius 1.5": [("yaw", angle, 1.5) for angle in (-45, -30, 30, 45)],
    "bent, radius 1": [("yaw", angle, 1.0) for angle in (-45, -30, 30, 45)],
}


def raised(x, y):
    """The depth model for pitch: with the wings of the nose, which move up with its tip; those of `depth` stay where they are."""
    radius = 50 * np.sqrt(np.clip(1 - ((y - 6) / 80) ** 2, 0.2, 1))
    head = 0.95 * radius * np.sqrt(np.clip(1 - (x / radius) ** 2, 0, 1))
    return head + 14 * np.clip((y + 8) / 24, 0, 1) * np.exp(-((x / 13) ** 4) / 2 - (np.clip(y - 19, 0, None) / 5) ** 2 / 2)


def inverse(forward):
    """For each line of positions that a turn moves to `forward`: which position is seen where; hidden ones are left out."""
    at = np.arange(forward.shape[1]) - forward.shape[1] // 2
    seen = np.maximum.accumulate(forward, 1) + 1e-4 * np.arange(forward.shape[1])
    return np.stack([np.interp(at, line, at) for line in seen])


def turned(photo, landmarks, axis, degrees):
    """The photo with its head turned by the depth model: yaw to the person's left, pitch upwards."""
    to_template = similarity(landmarks)
    angle, side = np.radians(degrees), 160
    across = np.arange(-side, side + 1.0)
    lines = across[:, None]
    if axis == "yaw":
        moved = across * np.cos(angle) + (depth(across, lines) - AXIS["yaw"]) * np.sin(angle)
    else:
        # One line is a column of the photo.
        moved = across * np.cos(angle) - (raised(lines, across) - AXIS["pitch"]) * np.sin(angle)
    if axis == "yaw" and degrees < 0 or axis == "pitch" and degrees > 0:
        come = -inverse(-moved[:, ::-1])[:, ::-1]
    else:
        come = inverse(moved)
    shift = (come - across).astype(np.float32)
    shift = shift if axis == "yaw" else shift.T
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    places = np.stack([x, y], -1) @ to_template[:, :2].T.astype(np.float32) + np.float32(to_template[:, 2] - 56)
    here = cv2.remap(shift, np.float32(places[..., 0] + side), np.float32(places[..., 1] + side), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    away = np.hypot(places[..., 0], places[..., 1] / 1.15)
    here *= np.clip((STILL - away) / (STILL - REACH), 0, 1)
    back = np.linalg.inv(to_template[:, :2])[:, 0 if axis == "yaw" else 1]
    return cv2.remap(photo, x + np.float32(here * back[0]), y + np.float32(here * back[1]), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def print_turned(photo, landmarks, axis, degrees, radius, distance=8.0):
    """A print of the photo, turned before a camera at this distance; lengths in inter-eye distances."""
    eyes = np.hypot(*(landmarks[1] - landmarks[0]))
    middle, angle = landmarks.mean(0), np.radians(degrees)
    # The turn moves points of one line across the print alike, so the print is solved line by line.
    line = np.linspace(-5, 5, 4001)
    bend = line / radius if radius else None
    along, out = (radius * np.sin(bend), radius * (np.cos(bend) - 1)) if radius else (line, np.zeros_like(line))
    sign = 1 if axis == "yaw" else -1
    moved, nearer = along * np.cos(angle) + sign * out * np.sin(angle), out * np.cos(angle) - sign * along * np.sin(angle)
    scale = distance / (distance - nearer)
    facing = np.abs(bend + sign * angle) < 1.45 if radius else np.full(line.shape, True)
    y, x = (np.mgrid[: photo.shape[0], : photo.shape[1]] - middle[::-1, None, None]) / eyes
    seen, across = (x, y) if axis == "yaw" else (y, x)
    at = np.interp(seen, (moved * scale)[facing], line[facing], left=99, right=99)
    beside = across / np.interp(at, line, scale)
    source = (at, beside) if axis == "yaw" else (beside, at)
    map_x, map_y = (np.float32(place * eyes + origin) for place, origin in zip(source, middle))
    return cv2.remap(photo, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=(120, 120, 120))


def held(photo, rng):
    """The photo as the next frame shows it: moved a little, with noise of the sensor."""
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal() * 1.5, 1 + rng.normal() * 0.01)
    matrix[:, 2] += rng.normal(size=2) * width * 0.008
    moved = cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.clip(moved + rng.normal(size=photo.shape) * 2, 0, 255).astype(np.uint8)


def jpeg(photo, quality=85):
    return cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def angles(points):
    """Yaw to the person's left, and how far the nose is from the mouth towards the eyes (src/presentation/pose.rs)."""
    eyes = points[1] - points[0]
    length = eyes @ eyes
    along = points @ eyes
    yaw = np.degrees(np.arctan2(along[2] - along[[0, 1, 3, 4]].mean(), NOSE_DEPTH * length))
    below = points @ np.array([-eyes[1], eyes[0]])
    eye, mouth = below[:2].mean(), below[3:].mean()
    return yaw, (mouth - below[2]) / (mouth - eye)


def residual(frame, straight):
    """Mean distance of the landmarks after the best affine map onto the straight ones, in their inter-eye distances."""
    design = np.c_[frame, np.ones(5)]
    fit, *_ = np.linalg.lstsq(design, straight, rcond=None)
    return np.hypot(*(design @ fit - straight).T).mean() / np.hypot(*(straight[1] - straight[0]))


def narrowing(frame, straight):
    """How much narrower the eyes are, compared with their distance to the mouth."""
    breadth = [np.hypot(*(points[1] - points[0])) / np.hypot(*(points[3:].mean(0) - points[:2].mean(0))) for points in (frame, straight)]
    return 1 - breadth[0] / breadth[1]


def compare(service, a, b):
    """Score, threshold and the landmarks of both photos; None where one shows no single face."""
    status, answer = service.call("POST", "/compare", form({"photo_a": a, "photo_b": b}), {"Content-Type": KIND})
    if status != 200:
        return None
    points = [np.array(answer[face]["landmarks"]) for face in ("face_a", "face_b")]
    return answer["score"], answer["threshold"]["score"], *points


def people():
    listed = json.loads((ROOT / "tests/data/people.json").read_text())
    for number in range(1, 21):
        name = f"people/p{number:02}-b.jpg"
        photo = cv2.imread(str(ROOT / "tests/data" / name))
        scale = SIZE[0] / photo.shape[1]
        photo = cv2.resize(photo, SIZE, interpolation=cv2.INTER_AREA)
        yield f"p{number:02}", photo, np.array(listed[name]["faces"][0]["landmarks"]) * scale


def measure(service, rng):
    """Rows of (kind, axis, angle, changes of yaw and lift, residual, narrowing, score over its threshold); None for a frame without a face."""
    rows = []
    for name, photo, landmarks in people():
        print(f"\r{name}", end="", file=sys.stderr, flush=True)
        straight = jpeg(photo)
        frames = [("straight", "none", 0, held(photo, rng)) for _ in range(6)]
        for kind, turns in HEADS.items():
            frames += [(f"head, {kind}", axis, angle, held(turned(photo, landmarks, axis, angle), rng)) for axis, angle in turns]
        for kind, turns in PRINTS.items():
            frames += [(kind, axis, angle, held(print_turned(photo, landmarks, axis, angle, radius), rng)) for axis, angle, radius in turns]
        for kind, axis, angle, frame in frames:
            found = compare(service, straight, jpeg(frame))
            if found is None:
                rows.append((kind, axis, angle, None))
                continue
            score, threshold, before, after = found
            (yaw0, lift0), (yaw, lift) = angles(before), angles(after)
            rows.append((kind, axis, angle, (yaw - yaw0, lift - lift0, residual(after, before), narrowing(after, before), score - threshold)))
    print(file=sys.stderr)
    return rows


def table(rows):
    print("| frames | angle | faces | yaw | lift | residual | narrowing | same person |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind, angle in dict.fromkeys((row[0], abs(row[2])) for row in rows):
        of = [row for row in rows if row[0] == kind and abs(row[2]) == angle]
        found = np.array([row[3] for row in of if row[3] is not None])
        if len(found) == 0:
            print(f"| {kind} | {angle} | 0 of {len(of)} | | | | | |")
            continue
        sign = np.array([-1 if row[2] < 0 and row[1] == "yaw" else 1 for row in of if row[3] is not None])
        def spread(values, digits):
            low, middle, high = np.percentile(values, [5, 50, 95])
            return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
        print(f"| {kind} | {angle} | {len(found)} of {len(of)} | {spread(sign * found[:, 0], 0)} | {spread(found[:, 1], 3)} "
              f"| {spread(found[:, 2], 3)} | {spread(found[:, 3], 2)} | {(found[:, 4] >= 0).mean():.0%} |")


def photographs(service, root):
    """What the landmarks of real photos state, compared with the straightest photo of the same person."""
    changes = []
    for person in sorted({path.parent for path in root.rglob("frontal/*.jpg")}):
        points = []
        for path in sorted(person.glob("*.jpg")):
            status, answer = service.call("POST", "/check", form({"photo": path.read_bytes()}), {"Content-Type": KIND})
            if status == 200:
                points.append(np.array(answer["face"]["landmarks"]))
        if len(points) < 2:
            continue
        yaws = [angles(each)[0] for each in points]
        straight = int(np.argmin(np.abs(yaws)))
        changes += [(abs(yaw - yaws[straight]), residual(each, points[straight]), narrowing(each, points[straight]))
                    for k, (each, yaw) in enumerate(zip(points, yaws)) if k != straight]
    yaw, left, narrow = np.array(changes).T
    print("| yaw | photos | residual | narrower by 0.1 | by 0.2 | residual / narrowing where 0.05 or more |")
    print("| --- | --- | --- | --- | --- | --- |")
    def spread(values, digits):
        if len(values) == 0:
            return ""
        low, middle, high = np.percentile(values, [1, 50, 99])
        return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
    for low, high in ((0, 3), (3, 6), (6, 9), (9, 12), (12, 16), (16, 40)):
        of = (yaw >= low) & (yaw < high)
        told = of & (narrow >= 0.05)
        shares = " | ".join(f"{(narrow[of] >= least).mean():.1%}" for least in (0.1, 0.2))
        print(f"| {low} to {high} | {of.sum()} | {spread(left[of], 3)} | {shares} | {spread(left[told] / narrow[told], 2)} |")


SCENES = {
    "heads, 20° to a side, 20° up": ("head", 20, 20, None),
    "heads, 25° to a side, 25° up": ("head", 25, 25, None),
    "heads, 30° to a side, 30° up": ("head", 30, 30, None),
    "heads, 40° to a side, 30° up": ("head", 40, 30, None),
    "flat prints, still": ("print", 0, 0, None),
    "flat prints, 30°": ("print", 30, 30, None),
    "flat prints, 45°": ("print", 45, 45, None),
    "flat prints, 60° to a side, 45° back": ("print", 60, 45, None),
    "bent prints, radius 2.5, 45°": ("print", 45, 45, 2.5),
    "bent prints, radius 1.5, 45°": ("print", 45, 45, 1.5),
    "bent prints, radius 1, 30°": ("print", 30, 30, 1.0),
}


def film(photo, landmarks, scene, session, rng):
    """The frames of a session with their times: each turn begins 400 ms after its step and takes 400 ms; 2 frames a second."""
    kind, side, up, radius = scene
    first, second = session["steps"]
    for at in range(0, session["until_ms"], 500):
        begun = [np.clip((at - step["at_ms"] - 400) / 400, 0, 1) for step in (first, second)]
        shares = {first["turn"]: begun[0] - begun[1], second["turn"]: begun[1]}
        frame = photo
        for turn, share in shares.items():
            axis, angle = ("pitch", up) if turn == "up" else ("yaw", side if turn == "left" else -side)
            if share * angle == 0:
                continue
            if kind == "head":
                frame = turned(frame, landmarks, axis, share * angle)
            else:
                frame = print_turned(frame, landmarks, axis, share * angle, radius if axis == "yaw" else None)
        yield at, jpeg(held(frame, rng))


def body(frames):
    """A form with repeated fields."""
    return b"".join(form({"frame": frame, "at_ms": at}).removesuffix(f"--{KIND.split('=')[1]}--\r\n".encode()) for at, frame in frames) + form({})


def sessions(service, rng):
    """The decisions of the service on sessions, two with each person."""
    print("| sessions | live | attack | uncertain | reasons |")
    print("| --- | --- | --- | --- | --- |")
    for name, scene in SCENES.items():
        decisions, reasons = Counter(), Counter()
        for _ in range(2):
            opened = []
            for _, photo, landmarks in people():
                _, session = service.call("POST", "/presentation/sessions", b"{}", {"Content-Type": "application/json"})
                opened.append((session, body(film(photo, landmarks, scene, session, rng))))
            time.sleep(8)
            for session, frames in opened:
                status, answer = service.call("POST", f"/presentation/sessions/{session['session']}/frames", frames, {"Content-Type": KIND})
                assert status == 200, answer
                decisions[answer["decision"]] += 1
                reasons.update(answer["reasons"])
        told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        print(f"| {name} | {decisions['live']} | {decisions['attack']} | {decisions['uncertain']} | {told} |", flush=True)


def write_photos(folder):
    """The frames of tests/api/presentation_sessions.rs: heads and a flat print of the first people."""
    folder.mkdir(parents=True, exist_ok=True)
    everybody = list(people())
    rng = np.random.default_rng(26)
    poses = {"straight": None, "left": ("yaw", 30), "right": ("yaw", -30), "up": ("pitch", 25)}
    for name, photo, landmarks in everybody[:2]:
        for pose, turn in poses.items():
            frame = held(turned(photo, landmarks, *turn) if turn else photo, rng)
            (folder / f"{name}-{pose}.jpg").write_bytes(jpeg(frame))
    name, photo, landmarks = everybody[0]
    prints = {"left": ("yaw", 60), "right": ("yaw", -60), "up": ("pitch", 40)}
    for pose, turn in prints.items():
        (folder / f"{name}-print-{pose}.jpg").write_bytes(jpeg(held(print_turned(photo, landmarks, *turn, None), rng)))


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--binary", type=Path, required=True)
    ask.add_argument("--cfp", type=Path)
    ask.add_argument("--photos", type=Path)
    args = ask.parse_args()
    if args.photos:
        write_photos(args.photos)
        return
    with tempfile.TemporaryDirectory() as folder:
        with started([args.binary, "--listen", "127.0.0.1:0", "--data-dir", folder, "--log", "warn", "--rate-limit", "1000", "--pad-mode", "off", "--presentation-sessions"]) as (url, _):
            table(measure(Service(url), np.random.default_rng(5)))
            print()
            sessions(Service(url), np.random.default_rng(6))
            if args.cfp:
                print()
                photographs(Service(url), args.cfp)


if __name__ == "__main__":
    main()
