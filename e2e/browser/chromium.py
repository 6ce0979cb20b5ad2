"""Drives a headless Chromium through its DevTools protocol, over two pipes: Python's standard library is all it needs."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

# A machine with two busy cores takes its time.
PATIENCE = 60

# How long one command may take. A page that goes away at the very moment leaves some without an answer.
AN_ANSWER = 20

KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}


def executable():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Failed(Exception):
    """The page is not as it should be."""


class Left(Failed):
    """The page went away while it was asked."""


def wait(truth, what):
    end = time.monotonic() + PATIENCE
    while not truth():
        if time.monotonic() > end:
            raise Failed(f"never came true: {what()}")
        time.sleep(0.05)


class Browser:
    """One tab. `webcam` is a file of JPEGs one after the other, which the webcam shows over and over."""

    def __init__(self, folder, webcam=None):
        folder.mkdir()
        command = [
            executable(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--lang=en-GB", "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe",
        ]
        if webcam:
            command += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
                        f"--use-file-for-fake-video-capture={webcam}"]
        (theirs_in, self.to), (self.back, theirs_out) = os.pipe(), os.pipe()
        # The protocol is spoken on descriptors 3 and 4. They may be taken by the pipes' other ends: first out of the way.
        shell = f'exec 8<&{theirs_in} 9>&{theirs_out}; exec "$@" 3<&8 4>&9'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command, "about:blank"],
            pass_fds=[theirs_in, theirs_out], stdout=subprocess.DEVNULL, stderr=(folder / "log").open("w"))
        os.close(theirs_in), os.close(theirs_out)
        self.buffer, self.number, self.session, self.events = b"", 0, None, []
        # What the browser asked the user, who said yes.
        self.asked = []
        self.downloads = folder / "downloads"
        self._open()

    def _open(self):
        tabs = self.send("Target.getTargets")["targetInfos"]
        tab = next(t for t in tabs if t["type"] == "page")
        self.session = self.send("Target.attachToTarget", targetId=tab["targetId"], flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "DOM", "Network"]:
            self.send(f"{domain}.enable")
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        self.shape(1280, 860)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.to)
        self.process.terminate()
        self.process.wait()
        os.close(self.back)

    # The protocol.

    def send(self, method, **parameters):
        number = self._tell(method, **parameters)
        end = time.monotonic() + AN_ANSWER
        while True:
            answer = self._read(end)
            if answer is None:
                raise Left(f"{method}: nobody answered")
            if answer.get("id") == number:
                if "error" in answer:
                    said = answer["error"]["message"]
                    left = "navigated" in said or "context" in said
                    raise (Left if left else Failed)(f"{method}: {said}")
                return answer["result"]
            self._take(answer)

    def _take(self, event):
        if event.get("method") == "Page.javascriptDialogOpening":
            self.asked.append(event["params"]["type"])
            self._tell("Page.handleJavaScriptDialog", accept=True)
        self.events.append(event)

    def _tell(self, method, **parameters):
        """Sends a command, and gives the number that its answer will bear."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self.to, rest):]
        return self.number

    def _read(self, end):
        """The next message, or nothing until that time."""
        while b"\0" not in self.buffer:
            if not select.select([self.back], [], [], max(0, end - time.monotonic()))[0]:
                return None
            more = os.read(self.back, 1 << 20)
            if not more:
                raise Failed("Chromium has ended")
            self.buffer += more
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    # The page.

    def visit(self, url):
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def reload(self):
        # Not at once, for then nobody answered.
        self.value("setTimeout(() => location.reload()) && true")

    def value(self, expression):
        """What an expression comes to, a promise resolved."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise Failed(f"{expression[:300]}: {answer['exceptionDetails']['exception'].get('description')}")
        return answer["result"].get("value")

    def until(self, expression):
        """Waits until an expression is true."""
        said = lambda: f"{expression}\nthe page says:\n{self.value('document.body.innerText')}"
        wait(lambda: self.holds(expression), said)

    def holds(self, expression):
        """Whether an expression is true now; a page that goes away says no."""
        try:
            return self.value(f"Boolean({expression})")
        except Left:
            return False

    def text(self, selector):
        return self.value(f"document.querySelector({selector!r}).innerText")

    def says(self, selector, *words):
        """Waits until an element shows all of the words."""
        self.until(f"{json.dumps(words)}.every((words) => document.querySelector({selector!r})?.innerText.includes(words))")

    def click(self, selector, clicks=1):
        """With the mouse, as a person does: what is hidden can't be clicked."""
        self._click(f"document.querySelector({selector!r})", clicks)

    def push(self, name, clicks=1):
        """Clicks the button of that name, in the dialog where one is open."""
        shown = f"(one) => one.checkVisibility() && (one.ariaLabel ?? one.innerText) === {name!r}"
        self._click(f"[...(document.querySelector('dialog[open]') ?? document).querySelectorAll('button, .button')].find({shown})", clicks)

    def _click(self, expression, clicks):
        self.until(f"{expression}?.checkVisibility() && !{expression}.disabled")
        self.value(f"{expression}.scrollIntoView({{ block: 'center' }})")
        x, y = self.value(f"(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])({expression}.getBoundingClientRect())")
        for click in range(1, clicks + 1):
            if click > 1:
                # As fast as a hand.
                time.sleep(0.15)
            for kind in ["mousePressed", "mouseReleased"]:
                self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=click)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def fill(self, selector, text):
        self.click(selector)
        self.value(f"document.querySelector({selector!r}).select?.()")
        self.type(text)

    def press(self, key):
        code = KEYS[key]
        text = {"Enter": "\r", " ": " "}.get(key)
        named = {"key": key, "code": {" ": "Space"}.get(key, key), "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", **named, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **named)

    def choose(self, selector, path):
        """Chooses a file, as the file dialog would."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def choose_by_key(self, path):
        """Presses Enter where the focus is, and chooses a file in the dialog that opens."""
        self.send("Page.setInterceptFileChooserDialog", enabled=True)
        self.press("Enter")
        opened = lambda: self.value("1") and [e["params"] for e in self.events if e.get("method") == "Page.fileChooserOpened"]
        wait(opened, lambda: "a file dialog opens")
        self.send("DOM.setFileInputFiles", backendNodeId=opened()[-1]["backendNodeId"], files=[str(path)])
        self.send("Page.setInterceptFileChooserDialog", enabled=False)

    def offline(self, is_off):
        self.send("Network.emulateNetworkConditions", offline=is_off, latency=0, downloadThroughput=-1, uploadThroughput=-1)

    def shape(self, width, height, phone=False, scheme="light"):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def on_new_pages(self, script):
        """Runs a script before those of each page from now on; returns how to end that."""
        number = self.send("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
        return lambda: self.send("Page.removeScriptToEvaluateOnNewDocument", identifier=number)

    def screenshot(self, path, scale=1):
        self.value("scrollTo(0, 0)")
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": scale}
        data = self.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def complaints(self, calls):
        """Errors, exceptions, refusals of the Content-Security-Policy, and failed loads of all but `calls`."""
        self.value("0")
        found = []
        for event in self.events:
            what, about = event.get("method"), event.get("params", {})
            if what == "Runtime.exceptionThrown":
                found.append(about["exceptionDetails"]["exception"].get("description", "an exception"))
            elif what == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
                found.append(f"console: {about['args']}")
            elif what == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
                entry = about["entry"]
                if not (entry["source"] == "network" and any(c in entry.get("url", "") for c in calls)):
                    found.append(f"{entry['source']}: {entry['text']} ({entry.get('url', '')})")
        self.events.clear()
        return found
