"""What holds for all of the console: keyboard, screens, keys, and that a fault would be seen."""

import subprocess
import time

from service import PEOPLE

from . import accessible
from .listing import saved
from .page import SECTIONS, require


def by_keyboard(walk, console):
    """Verifies, identifies and erases without a mouse."""
    console.open("verify")
    console.press("Tab")
    console.focus_is("Skip to the content")
    console.press("Enter")
    console.until("document.activeElement.localName === 'main'")
    require(console.value("location.hash") == "#verify", "the section can't be reloaded")
    console.tab_to("verify-id")
    console.type("e-19")
    console.tab_to("Choose a photo")
    console.choose_by_key(PEOPLE / "p02-b.jpg")
    console.shows(".guidance", "The photo is good.")
    console.tab_to("Verify")
    console.press(" ")
    console.shows(".verdict", "Above the threshold")
    console.focus_is("Verify")
    console.open("verify")
    console.tab_to("Identify")
    console.press("Enter")
    console.at("identify")
    console.focus_is("Identify")
    console.tab_to("Start camera")
    console.press("Enter")
    console.shows(".who", "e-19")
    console.focus_is("Stop camera")
    console.press("Enter")
    console.focus_is("Start camera")

    console.open("employees")
    console.tab_to("search")
    console.type("e-19")
    console.press("Enter")
    console.shows(".found", "1 employee with an ID starting with e-19.")
    console.tab_to("Erase e-19")
    console.press("Enter")
    # Nobody is erased by a hasty Enter.
    console.focus_is("Keep")
    console.press("Enter")
    console.focus_is("Erase e-19")
    console.press("Enter")
    console.focus_is("Keep")
    # Asked again before the browser tells that the question before was closed: that answer is not this one's.
    console.value("document.querySelector('dialog .no').click(), document.activeElement.click()")
    console.focus_is("Keep")
    console.press("Tab")
    console.focus_is("Erase e-19")
    walk.step(console, "asked whether to erase")
    console.press("Enter")
    console.focus_is("Receipt for e-19")
    saved(console, "e-19")
    console.tab_to("Dismiss")
    console.press("Enter")
    console.focus_is("search")
    require(console.without(".receipts"), "the receipt is still there")


def phone_and_dark(walk, console):
    for shape in [{"width": 390, "height": 844, "phone": True}, {"width": 1280, "height": 860}]:
        for scheme in ["light", "dark"]:
            console.shape(scheme=scheme, **shape)
            for section in SECTIONS:
                console.open(section)
                if section not in ("turning", "employees", "calibration"):
                    console.photo(PEOPLE / "p01-c.jpg")
                if section == "verify":
                    console.fill("#verify-id", "e-17")
                    console.push("Verify")
                    console.shows(".verdict", "Above the threshold")
                walk.step(console, f"{section} {scheme} {'on a phone' if 'phone' in shape else 'on a desk'}")
    ground, ink = (console.value(f"getComputedStyle(document.body).{what}") for what in ["backgroundColor", "color"])
    require(brightness(ground) < 60 < 190 < brightness(ink), f"dark mode has {ink} on {ground}")
    console.shape(1280, 860)


def the_focus(console):
    for section in SECTIONS:
        console.open(section)
        console.until("document.querySelector('#about').innerText")
        faults = accessible.focus_faults(console)
        require(not faults, f"{section}: " + "\n".join(faults))


def keys(walk, console, data):
    key = lambda *what: subprocess.run([walk.binary, "--data-dir", data, "keys", *what], check=True, capture_output=True, text=True).stdout.strip()
    admin = key("add", "--first")
    desk, door = (key("add", role, "--role", role) for role in ["enroller", "terminal"])

    # The service reads its keys anew every second.
    time.sleep(1.1)

    def sign_in(with_key):
        console.focus_is("key")
        console.type(with_key)
        console.press("Enter")

    console.visit(console.url)
    console.focus_is("key")
    require(not console.value("document.querySelector('nav').checkVisibility()"), "something is to be had without a key")
    walk.step(console, "asked for a key")
    sign_in("likeness_guess")
    console.says("#key-refused", "This key is not valid")
    console.value("document.querySelector('#key').select()")
    sign_in(admin)
    console.at("enroll")
    console.enroll("k-1", PEOPLE / "p05-b.jpg")
    console.reload()
    console.says("#about", "1 enrolled")
    console.push("Sign out")
    console.focus_is("key")
    require(console.value("sessionStorage.length") == 0, "signed out, the key is forgotten")

    sign_in(door)
    console.at("identify")
    console.photo(PEOPLE / "p09-b.jpg")
    console.shows(".who", "No match")
    console.says("header", "This key can only verify and identify")
    for section in ["enroll", "employees"]:
        require(not console.value(f"document.querySelector('nav a[href=\"#{section}\"]').checkVisibility()"), f"{section} is shown to a terminal")
        console.value(f"location.hash = '{section}'")
        console.at("identify")
    walk.step(console, "a key of a terminal")
    console.push("Sign out")

    sign_in(desk)
    console.click('nav a[href="#enroll"]')
    console.at("enroll")
    console.photo(PEOPLE / "p06-b.jpg")
    console.fill("#enroll-id", "k-2")
    key("revoke", "enroller")
    time.sleep(1.1)
    console.push("Enroll")
    console.says("#key-refused", "not valid or was revoked")
    walk.step(console, "asked again")
    sign_in(admin)
    console.shows(".outcome", "nothing was changed. Try again.")
    console.push("Enroll")
    console.shows(".outcome", "k-2 is enrolled.")


def faults_are_seen(walk, console):
    """What would be a complaint is one."""
    for breaks, told in [
        ("document.querySelector('[data-section=enroll] .lead').style.color = '#ccc'", "a contrast of"),
        ("document.querySelector('[for=enroll-id]').remove()", "a field without a visible label"),
        ("document.querySelector('.act button').textContent = ''", "a button without a name"),
        ("document.querySelector('footer').style.width = '1300px'", "wide on a screen of 1280"),
    ]:
        console.open("enroll")
        console.value(breaks)
        faults = accessible.faults(console)
        require(any(told in fault for fault in faults), f"not seen: {breaks}; but {faults}")
    for breaks, told in [("style.outline = 'none'", "the focus can't be seen"), ("tabIndex = 5", "takes the way")]:
        console.open("enroll")
        console.value(f"document.querySelector('.act button').{breaks}")
        require(told in str(accessible.focus_faults(console)), f"not seen: {breaks}")

    walk.look_for_complaints(console)
    for breaks in [
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.broken = true' }))",
        "fetch('http://localhost:9/')",
        "document.body.innerHTML = '<p>'",
        "document.body.append(Object.assign(document.createElement('style'), { textContent: 'p { color: red }' }))",
        "setTimeout(() => { throw new Error('Content Security Policy aside') })",
    ]:
        console.value(f"(async () => {{ try {{ await ({breaks}) }} catch {{}} }})()")
        console.value("new Promise((done) => setTimeout(done, 50))")
        told = str(console.complaints())
        require("Content Security Policy" in told or "Trusted" in told, f"not refused: {breaks}; but {told}")
    require(console.value("window.broken") is None, "an inline script ran")


def brightness(colour):
    channels = [float(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    return sum(channels) / 3
