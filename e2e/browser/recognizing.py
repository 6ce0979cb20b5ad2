"""Verification and identification."""

from service import PEOPLE

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
