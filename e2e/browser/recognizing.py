"""Verification and identification."""

import base64
import json
import time
import tomllib

from service import DATA, PEOPLE

from .chromium import wait
from .page import ODD, require


def verify(walk, console):
    console.open("verify")
    for name, photo, verdict, claim in [
        ("above the line", "p01-a.jpg", "Above the threshold", "The photo matches e-17."),
        ("below the line", "p09-b.jpg", "Below the threshold", "The photo does not match e-17."),
    ]:
        console.photo(PEOPLE / photo)
        console.fill("#verify-id", "e-17")
        console.push("Verify")
        console.shows(".gauge", verdict, claim, "1 in 10,000")
        mark, line = (console.value(f"parseFloat(document.querySelector('{console.here} .{part}').style.left)") for part in ["mark", "line"])
        require((mark >= line) == ("above" in name), f"{name}: drawn at {mark} and {line}")
        require(console.marked()["landmarks"] == 5, "the face that was used is not drawn")
        walk.step(console, name)
    console.fill("#verify-id", "nobody")
    console.push("Verify")
    console.shows(".outcome", "No employee is enrolled with this ID.")
    console.value("instead['/verify'] = { after: 300 }")
    console.fill("#verify-id", "e-17")
    console.press("Enter")
    console.shows(".outcome", "Comparing")
    console.type("0")
    console.until(f"!document.querySelector('{console.here} [aria-disabled]')")
    require(console.without(".outcome"), "an answer about another employee is shown")


def identify(walk, console):
    console.open("identify")

    def nobody_is_shown(because):
        """At once, for the film goes on."""
        told, shown = (f"document.querySelector('{console.here} {part}').innerText" for part in [".guidance", ".outcome"])
        console.until(f"{told}.includes({because!r}) && !{shown}")

    console.push("Start camera")
    console.shows(".outcome", "No match", "Below the threshold")
    nobody_is_shown("No face found.")
    console.shows(".outcome", "e-1", "Above the threshold")
    walk.step(console, "identified before the webcam")
    require(console.value("most") == 1, "more than one call was under way")

    console.value("instead['/identify'] = { after: 500 }")
    console.shows(".who", "e-1")
    console.push("Stop camera")
    console.value("new Promise((done) => setTimeout(done, 1500))")
    require(console.without(".outcome"), "somebody is shown after the webcam was stopped")
    console.value("instead = {}")
    console.push("Start camera")
    console.shows(".who", "e-1")
    console.value("instead['/identify'] = { status: 503, body: '{\"code\": \"busy\"}' }")
    nobody_is_shown("The service is busy.")
    console.value("instead = {}")
    console.shows(".who", "e-1")
    console.value(f"document.querySelector('{console.here} video').srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    nobody_is_shown("The webcam was disconnected.")
    console.photo(PEOPLE / "p02-b.jpg")
    console.shows(".who", "e-19")
    console.photo(ODD / "two-faces.jpg")
    console.shows(".outcome", "From left to right:", "e-1", "e-19")
    require(console.marked()["landmarks"] == 10, "not all identified faces are drawn")
    walk.step(console, "two people identified")


def attacks(walk, console):
    """The service's network takes cold colors for an attack."""
    console.open("verify")
    console.fill("#verify-id", "e-17")
    console.photo(walk.folder / "cold.jpg")
    console.push("Verify")
    console.shows(".outcome", "No match, although the score is above the threshold.", "This looks like a photo or a screen")
    console.says("#presentation", "Only live faces match.")
    walk.step(console, "an attack is refused")
    console.photo(PEOPLE / "p01-b.jpg")
    console.push("Verify")
    console.shows(".outcome", "The photo matches e-17.")
    require("photo or a screen" not in console.text(f"{console.here} .outcome"), "a live face is called an attack")
    console.open("identify")
    console.photo(walk.folder / "cold.jpg")
    console.shows(".outcome", "No match", "e-17 would match, but the face is not live.")
    walk.step(console, "an attack is not identified")


def calibration(walk, console):
    console.open("calibration")
    console.shows(".outcome", "0 of 20 photos")
    console.photo(walk.folder / "dark.jpg")
    console.shows(".guidance", "Not counted. Too dark")
    console.push("Start camera")
    console.shows(".guidance", "Counted.")
    walk.step(console, "live photos are counted")
    # Twenty photos, a little more than one a second.
    time.sleep(30)
    console.push("Save pad-calibration.toml")
    console.push("Stop camera")
    file = console.downloads / "pad-calibration.toml"
    wait(file.exists, lambda: "the calibration is saved")
    file = file.read_text()
    rows = tomllib.loads(file)
    require(rows["live_photos"] >= 20 and [row["bpcer"] for row in rows["threshold"]][:1] == [0.05], f"the file is {file}")
    manifest = tomllib.loads((DATA / "pad/warmth.toml").read_text())
    require(rows["models"] == [manifest["model"]["sha256"]], f"the file is {file}")
    walk.step(console, "a calibration can be saved")


# A webcam before which somebody follows the instructions of the page, half a second later: a head, or a print of it.
PERSON = """((pictures) => {
    if (!navigator.mediaDevices) return;
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 400 });
    const context = canvas.getContext("2d");
    const bitmap = (text) => createImageBitmap(new Blob([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))]));
    window.who = "head";
    let pose = "straight";
    navigator.mediaDevices.getUserMedia = async () => {
        const poses = {};
        for (const [who, turned] of Object.entries(pictures)) {
            poses[who] = {};
            for (const [name, text] of Object.entries(turned)) poses[who][name] = await bitmap(text);
        }
        setInterval(() => {
            const asked = document.querySelector(".instruction")?.innerText ?? "";
            const next = /left/.test(asked) ? "left" : /right/.test(asked) ? "right" : /Raise/.test(asked) ? "up" : /straight/.test(asked) ? "straight" : pose;
            if (next !== pose) setTimeout(() => (pose = next), 500);
            context.drawImage(poses[who][pose], 0, 0);
        }, 40);
        return canvas.captureStream(25);
    };
})"""


def person():
    turns = DATA / "turns"
    picture = lambda name: base64.b64encode((turns / f"{name}.jpg").read_bytes()).decode()
    head = {pose: picture(f"p01-{pose}") for pose in ["straight", "left", "right", "up"]}
    flat = {pose: picture(f"p01-print-{pose}") for pose in ["left", "right", "up"]} | {"straight": head["straight"]}
    return f"{PERSON}({json.dumps({'head': head, 'print': flat})})"


def turning(walk, console):
    console.on_new_pages(person())
    console.open("turning")
    console.fill("#turning-id", "e-17")
    console.push("Start")
    console.shows(".instruction", "Look straight into the camera.")
    console.until(f"/Turn|Raise/.test(document.querySelector('{console.here} .instruction').innerText)")
    walk.step(console, "asked to turn the head")
    console.shows(".gauge", "Live, and matches e-17.", "Above the threshold")
    walk.step(console, "a turning head is verified")
    console.fill("#turning-id", "")
    console.push("Start")
    console.shows(".outcome", "e-17", "Live, and identified as this employee.")
    console.value("who = 'print'")
    console.push("Start")
    console.shows(".outcome", "This moves like a flat picture, not like a head.")
    walk.step(console, "a turned print is refused")
