"""Starts the service and calls its API: helpers of the end-to-end tests, the tools and the benchmarks."""

import http.client
import json
import socket
import subprocess
import sys
import urllib.parse
import uuid
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests/data"
PEOPLE = DATA / "people"

BOUNDARY = uuid.uuid4().hex
KIND = f"multipart/form-data; boundary={BOUNDARY}"


class Address(str):
    """The URL of a service; `header` holds its local credential, which is valid until a key is added."""

    header = {}

    @classmethod
    def of(cls, url, data):
        """The URL of a service with this data directory."""
        address, file = cls(url), Path(data) / "local.header"
        if file.exists():
            name, value = file.read_text().strip().split(": ")
            address.header = {name: value}
        return address

    @property
    def key(self):
        return self.header.get("Authorization", "").removeprefix("Bearer ")


def form(fields):
    """A body of the content type KIND: bytes are files, the rest is text."""
    parts = []
    for name, value in fields.items():
        file = '; filename="photo"' if isinstance(value, bytes) else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        parts.append(head.encode() + (value if isinstance(value, bytes) else str(value).encode()) + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Service:
    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
        self.stages, self.header = {}, url.header

    def call(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, self.header | (headers or {}))
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        for stage in filter(None, (response.getheader("server-timing") or "").split(", ")):
            name, time = stage.split(";dur=")
            self.stages.setdefault(name, []).append(float(time))
        return response.status, answer

    def send(self, path, photo, **fields):
        return self.call("POST", path, form(fields | {"photo": photo.read_bytes()}), {"Content-Type": KIND})


@contextmanager
def started(command, data=None):
    """Runs the command until the block ends; gives the address that it says it is ready at, and its process id.

    `data`: the data directory, where the command does not name it by --data-dir."""
    command = [str(part) for part in command]
    data = data or (command[command.index("--data-dir") + 1] if "--data-dir" in command else "likeness-data")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            first = process.stdout.readline()
            if "ready at" not in first:
                sys.exit(f"the service did not start: {first or 'it said nothing'}")
            yield Address.of(first.split("ready at ")[1].split()[0].rstrip("."), data), process.pid
        finally:
            process.terminate()
