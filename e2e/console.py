#!/usr/bin/env python3
"""Tests the console in a headless Chromium: the page of the real binary, with generated people on its webcam.

    e2e/console.py [--binary FILE] [--screenshots DIR]
    e2e/console.py [--binary FILE] --pictures docs      draws the three screenshots of the guide; no test

Fails if the page doesn't show the expected text, on each accessibility fault that accessible.py
detects, on console errors, and on violations of the page's Content-Security-Policy. Needs Chromium,
curl and Python's standard library.
"""

import argparse
import base64
import json
import os
import sys
import tempfile
from pathlib import Path

from browser import enrolling, everywhere, listing, recognizing
from browser.chromium import Browser, Failed, executable
from browser.page import Console, enroll, service
from browser.walk import Walk
from service import DATA, PEOPLE, ROOT

# A photo in a picture of the webcam's size, or of another size; `light` 1 is as it is, `part` how much of the height it fills,
# `hue` the turn of its colors in degrees.
PICTURE = """(async (photo, width, height, light, part, hue) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    context.filter = `brightness(${light}) hue-rotate(${hue}deg)`;
    context.fillStyle = "#8a8a86";
    context.fillRect(0, 0, width, height);
    if (photo) {
        const image = Object.assign(new Image(), { src: `data:image/jpeg;base64,${photo}` });
        await image.decode();
        const scale = (height * part) / image.height;
        const [w, h] = [image.width * scale, height * part];
        context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
    }
    return canvas.toDataURL("image/jpeg", 0.95).split(",")[1];
})"""


def films(folder):
    """What the webcam sees: a picture for two seconds, then the next. And photos that are hard to come by."""
    with Browser(folder / "films") as browser:

        def picture(photo, width=640, height=480, light=1, part=1.75, hue=0):
            photo = base64.b64encode((PEOPLE / photo).read_bytes()).decode() if photo else ""
            call = ", ".join(json.dumps(argument) for argument in (photo, width, height, light, part, hue))
            return base64.b64decode(browser.value(f"{PICTURE}({call})"))

        dark, far, near = (picture("p02-c.jpg", **way) for way in [{"light": 0.16, "part": 1}, {"part": 0.3}, {}])
        known, stranger, nobody = (picture(photo) for photo in ["p01-c.jpg", "p09-b.jpg", None])
        for name, scenes in [("guided", [nobody, dark, far, near, near]), ("door", [known, stranger, nobody]), ("near", [near]), ("known", [known])]:
            # Thirty pictures a second.
            (folder / f"{name}.mjpeg").write_bytes(b"".join(scene * 60 for scene in scenes))
        (folder / "large.jpg").write_bytes(picture("p01-b.jpg", 4000, 3000, part=1))
        (folder / "dark.jpg").write_bytes(picture("p02-c.jpg", light=0.1, part=1))
        (folder / "cold.jpg").write_bytes(picture("p01-b.jpg", part=1, hue=180))


def walk_all(walk):
    data, keyed = walk.folder / "data", walk.folder / "keyed"
    with service(walk.binary, data) as url:
        with walk.console("files", url) as console:
            enrolling.from_files(walk, console)
            enrolling.upright_and_shrunk(walk, console)
            enrolling.nothing_is_lost(walk, console)
            enrolling.questions(walk, console)
            enrolling.without_a_webcam(walk, console)
            recognizing.verify(walk, console)
        with walk.console("guided", url, "guided") as console:
            enrolling.guided(walk, console)
        with walk.console("door", url, "door") as console:
            recognizing.identify(walk, console)
            listing.employees(walk, console)
            listing.held_up(walk, console, data / "likeness.db")
            everywhere.phone_and_dark(walk, console)
            everywhere.the_focus(console)
            everywhere.faults_are_seen(walk, console)
        with walk.console("keyboard", url, "guided") as console:
            everywhere.by_keyboard(walk, console)
    with service(walk.binary, walk.folder / "many") as url, walk.console("pages", url) as console:
        listing.paging(walk, console)
    with service(walk.binary, keyed) as url, walk.console("keys", url) as console:
        everywhere.keys(walk, console, keyed)
    judging = ["--pad", DATA / "pad/warmth.onnx", "--pad-mode", "require"]
    with service(walk.binary, walk.folder / "judging", *judging) as url:
        with walk.console("judged", url, "near") as console:
            enroll(url, "e-17", "p01-a.jpg")
            recognizing.attacks(walk, console)
            recognizing.calibration(walk, console)
    with service(walk.binary, walk.folder / "turning", "--presentation-sessions") as url, walk.console("turned", url) as console:
        enroll(url, "e-17", "p01-a.jpg")
        recognizing.turning(walk, console)


def draw(binary, folder, pictures):
    """The console as the README and the guide show it; nobody in it exists."""
    films(folder)
    with service(binary, folder / "data") as url:
        for number, ends in [(1, ""), (3, ""), (4, "2030-06-30"), (5, ""), (6, "2027-12-31"), (9, "")]:
            fields = {"expires_at": f"{ends}T22:00:00Z"} if ends else {}
            enroll(url, f"e-{number + 16}", f"p{number:02}-a.jpg", **fields)
        for section, webcam in [("enroll", "near"), ("identify", "known"), ("employees", None)]:
            with Console(folder / section, url, webcam and folder / f"{webcam}.mjpeg") as console:
                console.shape(1100, 680)
                console.open(section)
                if webcam:
                    console.push("Start camera")
                if section == "enroll":
                    console.fill("#enroll-id", "e-18")
                    console.shows(".guidance", "Good. Take the photo.")
                elif section == "identify":
                    console.shows(".verdict", "Above the threshold")
                else:
                    console.erase("e-20")
                    console.shows(".found", "5 employees.")
                    console.says("#about", "5 enrolled")
                console.screenshot(pictures / f"console-{section}.png", scale=0.66)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.add_argument("--binary", type=Path, default=target / "debug/likeness")
    options.add_argument("--screenshots", type=Path, help="a folder for a picture of each step")
    options.add_argument("--pictures", type=Path, help="draws those of the README and the guide into this folder, and walks nowhere")
    options = options.parse_args()
    if not executable():
        sys.exit("no Chromium here: apt-get install chromium")
    for folder in filter(None, [options.screenshots, options.pictures]):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.pictures:
            return draw(options.binary.resolve(), folder, options.pictures)
        films(folder)
        walk = Walk(options.binary.resolve(), folder, options.screenshots)
        try:
            walk_all(walk)
        except Failed as failure:
            sys.exit(f"console: {failure}")
    print(f"console: {walk.steps} steps as they should be")


if __name__ == "__main__":
    main()
