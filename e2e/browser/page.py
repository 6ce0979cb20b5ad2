"""The console in a browser, and the service that it belongs to."""

import subprocess
from contextlib import contextmanager

from service import DATA, PEOPLE, started

from .chromium import Browser, Failed

ODD = DATA / "odd"
SECTIONS = ["enroll", "verify", "identify", "turning", "employees", "calibration"]

# What the page calls and may be refused, which a browser tells on its console whatever the page does.
CALLS = ["/check", "/enroll", "/verify", "/identify", "/employees", "/presentation"]

# Keeps the last photo that was sent, and how many calls with one were ever made and under way at once. `instead` answers
# in the service's place, by path, or later than it.
WATCH = """(() => {
    const real = window.fetch;
    let under_way = 0;
    Object.assign(window, { most: 0, calls: 0, instead: {} });
    window.fetch = async (path, options) => {
        const photo = options?.body?.get?.("photo");
        const { status, body, after } = instead[path.slice(1)] ?? {};
        if (after) await new Promise((done) => setTimeout(done, after));
        if (status) return new Response(body, { status });
        if (!photo) return real(path, options);
        window.sent = photo;
        window.calls += 1;
        window.most = Math.max(window.most, ++under_way);
        try { return await real(path, options); } finally { under_way -= 1; }
    };
})()"""

# What has the focus, as a person would call it.
FOCUSED = """(({ id, innerText, ariaLabel, labels }) =>
    ariaLabel || innerText || (labels?.length && id === "" ? labels[0].innerText : id))(document.activeElement ?? {})"""

# Box and landmarks as drawn, and the size of the photo that they are drawn on.
MARKED = """((section) => {
    const [overlay, canvas] = ["svg", "canvas"].map((name) => section.querySelector(name));
    const box = ["x", "y", "width", "height"].map((name) => Number(overlay.querySelector("rect")?.getAttribute(name)));
    const landmarks = overlay.querySelectorAll("circle").length;
    return { box, landmarks, view: overlay.getAttribute("viewBox"), size: [canvas.width, canvas.height] };
})"""


def require(truth, what):
    if not truth:
        raise Failed(what)


class Console(Browser):
    """A browser with the console of a service open at a section."""

    def __init__(self, folder, url, webcam=None):
        super().__init__(folder, webcam)
        self.url = url
        self.on_new_pages(WATCH)
        if url.key:
            self.visit(f"{url}/#key={url.key}")
            self.until("location.hash === ''")

    def complaints(self):
        return super().complaints(CALLS)

    def open(self, section):
        self.visit("about:blank")
        self.visit(f"{self.url}/#{section}")
        self.at(section)

    def at(self, section):
        """Waits until a section is open; what is asked for from then on is asked within it."""
        self.here = f"[data-section={section}]"
        self.until(f"document.querySelector('{self.here}').checkVisibility()")

    def shows(self, part, *words):
        self.says(f"{self.here} {part}", *words)

    def without(self, part):
        """Whether nothing is in a part."""
        return not self.text(f"{self.here} {part}")

    def focus_is(self, name):
        self.until(f"{FOCUSED} === {name!r}")

    def tab_to(self, name):
        for _ in range(40):
            if self.value(FOCUSED) == name:
                return
            self.press("Tab")
        raise Failed(f"the Tab key never came to {name}, but is at {self.value(FOCUSED)}")

    def photo(self, path):
        self.choose(f"{self.here} input[type=file]", path)
        self.until(f"document.querySelector('{self.here} .still canvas')")
        self.until(f"!/^(Reading|Checking)/.test(document.querySelector('{self.here} .guidance').innerText)")

    def enroll(self, employee, path, says=None):
        """Says that they are enrolled, or what is given."""
        self.photo(path)
        self.fill("#enroll-id", employee)
        self.push("Enroll")
        if not self.value("document.querySelector('dialog').open"):
            self.shows(".outcome", says or f"{employee} is enrolled.")

    def last_day(self, day):
        self.value(f"document.querySelector('#enroll-end').value = '{day}'")

    def erase(self, employee):
        self.push(f"Erase {employee}")
        self.push(f"Erase {employee}")

    def marked(self):
        return self.value(f"{MARKED}(document.querySelector('{self.here}'))")


@contextmanager
def service(binary, data, *arguments):
    command = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--log", "error", *arguments]
    with started(command) as (url, _):
        yield url


def enroll(url, employee, photo, **fields):
    """Without the page."""
    given = [f"employee_id={employee}", f"photo=@{PEOPLE / photo}", *(f"{name}={value}" for name, value in fields.items())]
    credential = [f"{name}: {value}" for name, value in url.header.items()]
    subprocess.run(["curl", "-sSf", *(part for line in credential for part in ("-H", line)), *(part for field in given for part in ("-F", field)), f"{url}/enroll"], check=True, stdout=subprocess.DEVNULL)
