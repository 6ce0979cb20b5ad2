"""Walks through the console, step by step."""

from contextlib import contextmanager

from . import accessible
from .chromium import Failed
from .page import Console, require


class Walk:
    """What is tried, and where its pictures go."""

    def __init__(self, binary, folder, screenshots):
        self.binary, self.folder, self.screenshots = binary, folder, screenshots
        self.steps = 0

    @contextmanager
    def console(self, name, url, webcam=None):
        with Console(self.folder / name, url, self.folder / f"{webcam}.mjpeg" if webcam else None) as console:
            try:
                yield console
                self.look_for_complaints(console)
            except Failed:
                if self.screenshots:
                    console.screenshot(self.screenshots / "failed.png")
                raise

    def look_for_complaints(self, console):
        complaints = console.complaints()
        require(not complaints, "the browser complains:\n" + "\n".join(complaints))

    def step(self, console, name):
        """One more thing that is as it should be, readable and usable by anybody; a picture of it."""
        self.look_for_complaints(console)
        faults = accessible.faults(console)
        if self.screenshots:
            console.screenshot(self.screenshots / f"{name.replace(' ', '-')}.png")
        require(not faults, f"{name}:\n" + "\n".join(faults))
        self.steps += 1
        print(f"  {name}", flush=True)
