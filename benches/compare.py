#!/usr/bin/env python3
"""Compares the service with the one that a team would build in Python (peer/peer.py), interleaved.

    pip install -r benches/peer/requirements.txt      # in a separate environment; apt install wrk
    cargo build --release && models/get-sface.sh
    benches/compare.py [--runs 5] [--seconds 5]

Four services: likeness, likeness with SFace, likeness with SFace and YuNet, and the peer (also SFace and YuNet). Each run
calls them in turn, in another order each time; the median of the ratios likeness / peer is printed
with the lowest and the highest. CPU time is that of the service's process; the services and the
clients share the cores of this machine.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from service import KIND, ROOT, Address, form, free_port  # noqa: E402

HERE = Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")


def photos(folder):
    """Returns request bodies with a generated face: a badge photo, a photo from a page, a phone's photo."""
    face = cv2.imread(str(ROOT / "tests/data/people/p01-a.jpg"))
    noise = np.random.default_rng(3)
    for name, (width, height), quality in (("250", (250, 250), 90), ("1344", (1344, 1008), 90), ("12MP", (4032, 3024), 94)):
        side = min(width, height)
        big = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
        big = cv2.copyMakeBorder(big, height - side, 0, (width - side) // 2, width - side - (width - side) // 2, cv2.BORDER_REPLICATE)
        # Sensor noise, so that the photo's size in bytes is that of a phone's.
        big = np.clip(big + noise.normal(0, 3, big.shape), 0, 255).astype(np.uint8)
        jpeg = cv2.imencode(".jpg", big, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        body = folder / f"{name}.body"
        body.write_bytes(form({"photo": jpeg}))
        script = folder / f"{name}.lua"
        script.write_text(f"""wrk.method = "POST"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = "{KIND}"
wrk.headers["Authorization"] = os.getenv("AUTHORIZATION")
""")
        yield name, body, script, len(jpeg)


class Service:
    """A process started by the benchmark, called over loopback."""

    def __init__(self, name, command, log, data=None):
        """`data`: the data directory, whose local credential is sent."""
        self.name, self.data = name, data
        self.port = free_port()
        self.process = subprocess.Popen([str(c).replace("PORT", str(self.port)) for c in command], stdout=log, stderr=log)
        self.url = f"http://127.0.0.1:{self.port}"

    def cpu(self):
        """Returns the processor time so far, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self, which):
        """Returns the memory in MB: VmRSS is the present, VmHWM the peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(which + r":\s+(\d+)", status)[1]) / 1000

    def header(self):
        return Address.of(self.url, self.data).header if self.data else {}

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, body, {"Content-Type": KIND} | self.header())
        return json.loads(urllib.request.urlopen(request, timeout=60).read())

    def first_answer(self, body):
        """Returns the processor time from the start to the first answered photo, in seconds."""
        for _ in range(600):
            try:
                self.post("/identify", body)
                return self.cpu()
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        sys.exit(f"{self.name} does not answer")

    def load(self, script, clients, seconds):
        """Returns requests a second, p50 and p99 in ms, CPU ms for each request, and responses other than 200."""
        before = self.cpu()
        said = subprocess.run(["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", script, self.url + "/identify"], capture_output=True, text=True, check=True, env=os.environ | {"AUTHORIZATION": self.header().get("Authorization", "")}).stdout
        used = self.cpu() - before
        count = int(re.search(r"(\d+) requests in", said)[1])
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        times = {q: as_ms(re.search(rf"\n\s+{q}%\s+(\S+)", said)[1]) for q in (50, 99)}
        return {"rate": float(re.search(r"Requests/sec:\s+(\S+)", said)[1]), "p50": times[50], "p99": times[99], "cpu": 1000 * used / count, "refused": int(refused[1]) if refused else 0}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def as_ms(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--runs", type=int, default=5)
    ask.add_argument("--seconds", type=int, default=5)
    ask.add_argument("--binary", type=Path, default=ROOT / "target/release/likeness")
    args = ask.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed: apt install wrk")
    folder = Path(tempfile.mkdtemp(prefix="likeness-compare-"))
    log = (folder / "log").open("w")
    bodies = {name: (body, script, size) for name, body, script, size in photos(folder)}
    # The peer detects no presentation attacks.
    ours = [args.binary, "serve", "--listen", "127.0.0.1:PORT", "--address-rate-limit", "1000000", "--queue", "64", "--pad-mode", "off"]
    commands = {
        "default": [*ours, "--data-dir", folder / "default"],
        "SFace": [*ours, "--data-dir", folder / "SFace", "--encoder", ROOT / "models/sface.onnx"],
        "SFace, YuNet": [*ours, "--data-dir", folder / "SFace, YuNet", "--encoder", ROOT / "models/sface.onnx", "--detector", ROOT / "models/yunet.onnx", "--landmarks", "none"],
        "peer": [sys.executable, HERE / "peer/peer.py", "PORT"],
    }
    results, starts = [], {name: [] for name in commands}
    services = {}
    try:
        for run in range(args.runs):
            for name, command in commands.items():
                service = Service(name, command, log, folder / name if name != "peer" else None)
                starts[name].append(service.first_answer(bodies["250"][0].read_bytes()))
                if run + 1 < args.runs:
                    service.stop()
                else:
                    services[name] = service
        rest = {}
        for name, service in services.items():
            for face in sorted((ROOT / "tests/data/people").glob("*-b.jpg")):
                try:
                    service.post("/enroll", form({"employee_id": face.stem, "photo": face.read_bytes(), "confirm_lookalike": "true"}))
                except urllib.error.HTTPError as refused:
                    print(f"{name} refuses {face.name}: {json.load(refused)['detail']}")
            rest[name] = service.memory("VmRSS")
        cases = [("250", 1), ("250", 2), ("250", 4), ("250", 16), ("1344", 1), ("1344", 4), ("12MP", 1), ("12MP", 4)]
        for run in range(args.runs):
            for photo, clients in cases:
                order = list(services)[run % len(services):] + list(services)[: run % len(services)]
                row = {name: services[name].load(bodies[photo][1], clients, args.seconds) for name in order}
                results.append((photo, clients, row))
                print(f"\rrun {run + 1}/{args.runs}  {photo} with {clients} clients   ", end="", file=sys.stderr, flush=True)
        most = {name: service.memory("VmHWM") for name, service in services.items()}
    finally:
        for service in services.values():
            service.stop()
    print(file=sys.stderr)
    report(bodies, cases, results, starts, rest, most)


def report(bodies, cases, results, starts, rest, most):
    names = list(starts)
    ours = [name for name in names if name != "peer"]
    columns = ["`/identify`", "photo", "clients", *names, *(f"{name} / peer" for name in ours)]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")

    def line(title, photo, clients, middle, ratio, digits):
        print(f"| {title} | {photo} | {clients} | " + " | ".join([f"{middle[name]:.{digits}f}" for name in names] + [ratio[name] for name in ours]) + " |")

    for figure, title, digits in (("cpu", "CPU ms a request", 1), ("rate", "requests a second", 0), ("p50", "p50 ms", 1), ("p99", "p99 ms", 1)):
        for photo, clients in cases:
            rows = [row for p, c, row in results if (p, c) == (photo, clients)]
            middle = {name: statistics.median(row[name][figure] for row in rows) for name in names}
            ratio = {name: spread([row[name][figure] / row["peer"][figure] for row in rows]) for name in ours}
            line(title, f"{photo} ({bodies[photo][2] / 1000:.0f} kB)", clients, middle, ratio, digits)
    for title, of in (("CPU s from start to first answer", starts), ("MB at rest", {n: [v] for n, v in rest.items()}), ("MB at most, four 12 MP at once among it", {n: [v] for n, v in most.items()})):
        ratio = {name: spread([a / b for a, b in zip(of[name], of["peer"])]) for name in ours}
        line(title, "", "", {name: statistics.median(of[name]) for name in names}, ratio, 2)
    refused = {name: sum(row[name]["refused"] for _, _, row in results) for name in results[0][2]}
    print(f"\nAnswers other than 200: {refused}. {os.cpu_count()} cores, {next(l for l in open('/proc/cpuinfo') if 'model name' in l).split(': ')[1].strip()}.")


if __name__ == "__main__":
    main()
