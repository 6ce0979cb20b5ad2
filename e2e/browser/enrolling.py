"""Enrolments, from files and from the webcam."""

import json

from service import PEOPLE, ROOT

from .page import ODD, require

# The mean difference, of 255, between the photo that was sent and the one that is shown; a JPEG's own loss is about 1.
DIFFERENCE = """(async (canvas) => {
    const sent = await createImageBitmap(window.sent);
    if (sent.width !== canvas.width || sent.height !== canvas.height) return 255;
    const pixels = (image) => {
        const context = new OffscreenCanvas(sent.width, sent.height).getContext("2d");
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, sent.width, sent.height).data;
    };
    const [a, b] = [pixels(sent), pixels(canvas)];
    return a.reduce((sum, value, at) => sum + Math.abs(value - b[at]), 0) / a.length;
})"""


def from_files(walk, console):
    console.open("enroll")
    console.push("Enroll")
    console.shows(".outcome", "Enter an employee ID")
    console.last_day("2099-12-31")
    console.enroll("e-17", PEOPLE / "p01-b.jpg")
    console.shows(".outcome", "2099")
    console.says("#about", "1 enrolled")
    walk.step(console, "enrolled from a file")

    console.enroll("e-18", ODD / "no-face.jpg", says="No face found.")
    console.shows(".guidance", "No face found.")
    console.enroll("e-18", ODD / "two-faces.jpg", says="One person at a time")
    console.enroll("no such id", PEOPLE / "p03-b.jpg", says="An employee_id must be 1 to 64 characters")
    console.enroll("e-18", walk.folder / "dark.jpg", says="is not suitable as a reference")
    console.shows(".outcome", "Too dark: turn toward the light.")
    walk.step(console, "refused with reasons")
    console.choose(f"{console.here} input[type=file]", ROOT / "Cargo.toml")
    console.shows(".guidance", "can't be decoded as a photo")
    console.last_day("2020-12-31")
    console.push("Enroll")
    console.shows(".outcome", "today or later")
    console.focus_is("enroll-end")


def upright_and_shrunk(walk, console):
    console.open("enroll")
    marks = []
    for orientation in range(1, 9):
        console.photo(ODD / f"orientation-{orientation}.jpg")
        marks.append(console.marked())
        difference = console.value(f"{DIFFERENCE}(document.querySelector('{console.here} canvas'))")
        require(difference < 3, f"orientation {orientation}: what is shown is not what was sent, by {difference}")
    for mark in marks:
        require(mark["size"] == [450, 600] and mark["view"] == "0 0 450 600", f"not upright: {mark}")
        apart = max(abs(a - b) for a, b in zip(mark["box"], marks[0]["box"]))
        require(apart < 12 and mark["landmarks"] == 5, f"another face than upright: {mark}, {marks[0]}")
    console.photo(walk.folder / "large.jpg")
    mark = console.marked()
    require(mark["size"] == [1600, 1200], f"not shrunk: {mark}")
    x, y, width, height = mark["box"]
    require(600 < x + width / 2 < 1000 and 300 < y + height / 2 < 800, f"the face is elsewhere: {mark}")
    walk.step(console, "large and turned photos")


def nothing_is_lost(walk, console):
    """Whatever comes back, it is said, and all that was filled in is still there for the next try."""
    console.open("enroll")
    console.photo(PEOPLE / "p10-b.jpg")
    console.fill("#enroll-id", "e-20")
    console.last_day("2099-12-31")
    for status, body, words in [
        (503, '{"code": "busy", "detail": ""}', "busy. Try again in a moment"),
        (500, '{"code": "internal", "detail": "", "request_id": "r-1"}', "Its log has the cause, for the request r-1"),
        (408, '{"code": "timed_out", "detail": "in short"}', "In short."),
        (413, "<html>Request Entity Too Large", "answered instead of the service, with status 413: the photo exceeds"),
        (200, "<html>Welcome to this network", "answered instead of the service, with status 200"),
    ]:
        console.value(f"instead['/enroll'] = {json.dumps({'status': status, 'body': body})}")
        console.push("Enroll")
        console.shows(".outcome", words)
    console.value("instead = {}")
    console.offline(True)
    console.push("Enroll")
    console.shows(".outcome", "No response")
    console.offline(False)
    kept = console.value("['id', 'end'].map((name) => document.querySelector(`#enroll-${name}`).value).join()")
    require(kept == "e-20,2099-12-31" and console.marked()["landmarks"] == 5, f"not all is there still: {kept}")
    walk.step(console, "no answer came")
    console.value("calls = 0, document.querySelector('#enroll-id').focus()")
    console.press("Enter")
    console.press("Enter")
    console.shows(".outcome", "e-20 is enrolled.")
    require(console.value("calls") == 1, "sent twice")
    console.open("employees")
    console.erase("e-20")
    console.shows(".receipts", "e-20 is erased.")


def questions(walk, console):
    console.open("enroll")
    console.enroll("e-18", PEOPLE / "p01-c.jpg", says="Enrolling")
    console.says("dialog", "Two different people?", "matches e-17")
    walk.step(console, "asked about a look-alike")
    console.press("Escape")
    console.shows(".outcome", "Nothing was changed.")
    console.push("Enroll")
    console.push("Yes, different people")
    console.shows(".outcome", "e-18 is enrolled.")

    console.enroll("e-17", PEOPLE / "p01-b.jpg", says="Enrolling")
    console.says("dialog", "e-17 is already enrolled")
    console.push("Keep existing")
    console.shows(".outcome", "Nothing was changed.")
    console.push("Enroll")
    console.push("Replace")
    # The other one is a look-alike still.
    console.push("Yes, different people")
    console.shows(".outcome", "e-17 is enrolled.")


def without_a_webcam(walk, console):
    console.open("enroll")
    console.push("Start camera")
    console.shows(".guidance", "No webcam found.")
    as_before = console.on_new_pages("Object.defineProperty(Navigator.prototype, 'mediaDevices', { value: undefined })")
    console.open("enroll")
    console.shows(".picker", "only on localhost or over TLS")
    console.until(f"document.querySelector('{console.here} .buttons :nth-child(2)').disabled")
    walk.step(console, "without a webcam")
    as_before()


def guided(walk, console):
    """Enrols from the webcam without a mouse."""
    console.open("enroll")
    guidance = f"document.querySelector('{console.here} .guidance')"
    console.value(f"""window.heard = new Set();
        new MutationObserver(() => heard.add({guidance}.innerText)).observe({guidance}, {{ childList: true, characterData: true, subtree: true }})""")
    console.tab_to("enroll-id")
    console.type("e-19")
    console.tab_to("Start camera")
    console.press("Enter")
    console.focus_is("Take photo")
    for words in ["No face found.", "Too dark", "Come closer", "Good. Take the photo."]:
        console.until(f"[...heard].some((said) => said.includes({words!r}))")
    walk.step(console, "guided before the webcam")
    # Not in the last moment before the film turns to another scene.
    console.until(f"!{guidance}.innerText.startsWith('Good')")
    console.shows(".guidance", "Good. Take the photo.")
    console.press("Enter")
    console.shows(".guidance", "The photo is good.")
    require(console.marked()["landmarks"] == 5, "the face is not drawn")
    console.tab_to("Enroll")
    console.press("Enter")
    console.shows(".outcome", "e-19 is enrolled.")
    console.focus_is("enroll-id")
    require(console.value("most") == 1, "more than one call was under way")
    walk.step(console, "enrolled by keyboard and webcam")

    console.push("Start camera")
    console.push("Take photo", clicks=2)
    console.until(f"document.querySelector('{console.here} .still canvas')")
    console.value("new Promise((done) => setTimeout(done, 500))")
    require(console.value(f"!document.querySelector('{console.here} video').srcObject"), "a double click starts the webcam again")
