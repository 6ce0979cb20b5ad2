#!/usr/bin/env python3
"""Runs an hour of mixed load on the real binary, and checks that its memory use is stable.

    cargo build --release
    tools/soak.py --minutes 60 --rate 15 --picture docs/soak.png     (matplotlib, for the plot)

Starts target/release/likeness with a new data directory. Two workers enroll, replace, verify, identify,
compare, list and erase; every tenth call is invalid: half a photo, no face, an unknown field, a client
that disconnects within its photo or before its answer. Each answer is checked. Memory (VmRSS) is read
every five seconds; the result compares its median in the second tenth of the time with the last.
"""

import argparse
import http.client
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from service import DATA, KIND, ROOT, Address, form  # noqa: E402


def photo(person, take):
    return (DATA / f"people/p{person:02}-{take}.jpg").read_bytes()


class Worker(threading.Thread):
    """One client with ten employees of its own, one call after another at its share of the rate."""

    def __init__(self, address, header, number, until, pause):
        super().__init__()
        self.address, self.header, self.until, self.pause = address, header, until, pause
        self.random, self.people = random.Random(number), {f"w{number}-{k}": None for k in range(10)}
        self.calls, self.wrong = 0, []

    def call(self, method, path, fields=None):
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        body = form(fields) if fields else None
        connection.request(method, path, body, self.header | ({"Content-Type": KIND} if body else {}))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def hang_up(self, whole):
        """Leaves in the middle of a photo, or right after it."""
        body = form({"photo": photo(self.random.randint(1, 20), "b")})
        credential = "".join(f"{name}: {value}\r\n" for name, value in self.header.items())
        head = f"POST /identify HTTP/1.1\r\nHost: localhost\r\n{credential}Content-Type: {KIND}\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(self.address) as stream:
            stream.sendall(head.encode() + (body if whole else body[:len(body) // 2]))
        return None

    def bad(self):
        kind = self.random.randrange(5)
        if kind == 0:
            return 422, self.call("POST", "/identify", {"photo": photo(1, "a")[:3000]})[0]
        if kind == 1:
            return 422, self.call("POST", "/identify", {"photo": (DATA / "odd/no-face.jpg").read_bytes()})[0]
        if kind == 2:
            return 400, self.call("POST", "/identify", {"photo": photo(1, "a"), "tip": "5"})[0]
        return None, self.hang_up(kind == 3)

    def good(self):
        name = self.random.choice(list(self.people))
        person = self.people[name]
        kind = self.random.randrange(10)
        if person is None or kind < 2:
            person_now = self.random.randint(1, 20)
            fields = {"employee_id": name, "photo": photo(person_now, "a"), "confirm_lookalike": "true", "replace": "true"}
            self.people[name] = person_now
            return 201 if person is None else 200, self.call("POST", "/enroll", fields)[0]
        if kind < 5:
            status, answer = self.call("POST", "/verify", {"employee_id": name, "photo": photo(person, "b")})
            return (200, True), (status, answer.get("match"))
        if kind < 7:
            return 200, self.call("POST", "/identify", {"photo": photo(self.random.randint(1, 20), "b")})[0]
        if kind == 7:
            return 200, self.call("POST", "/compare", {"photo_a": photo(person, "a"), "photo_b": photo(person, "b")})[0]
        if kind == 8:
            return 200, self.call("GET", "/employees?limit=1000")[0]
        self.people[name] = None
        return 200, self.call("DELETE", f"/employees/{name}")[0]

    def run(self):
        while time.time() < self.until:
            due = time.time() + self.pause
            wanted, got = self.bad() if self.random.random() < 0.1 else self.good()
            self.calls += 1
            if wanted != got:
                self.wrong.append((wanted, got))
            time.sleep(max(0.0, due - time.time()))


def resident(pid):
    """Megabytes in memory, and open files."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    memory = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
    return memory, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def draw(samples, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 3.5))
    axis.plot([s[0] / 60 for s in samples], [s[1] for s in samples])
    axis.set(xlabel="minutes", ylabel="resident memory, MB", ylim=(0, None))
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--rate", type=float, default=15, help="calls a second, all workers together")
    arguments.add_argument("--picture", type=Path)
    arguments.add_argument("--binary", type=Path, default=ROOT / "target/release/likeness")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [chosen.binary, "--listen", "127.0.0.1:0", "--data-dir", folder, "--log", "warn"]
        service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        url = service.stdout.readline().split("http://")[1].split()[0].rstrip(".")
        host, port = url.rsplit(":", 1)
        started = time.time()
        until = started + 60 * chosen.minutes
        header = Address.of(url, folder).header
        workers = [Worker((host, int(port)), header, number, until, 2 / chosen.rate) for number in range(2)]
        for worker in workers:
            worker.start()
        samples = []
        while any(worker.is_alive() for worker in workers):
            samples.append((time.time() - started, *resident(service.pid)))
            time.sleep(5)
        for worker in workers:
            worker.join()
        size = sum(p.stat().st_size for p in Path(folder).iterdir()) / 1e6
        verified = subprocess.run([chosen.binary, "audit", "verify", "--data-dir", folder], capture_output=True, text=True)
        service.terminate()
        ended = service.wait(timeout=60)
    calls, wrong = sum(w.calls for w in workers), sum((w.wrong for w in workers), [])
    tenth = max(1, len(samples) // 10)
    early, late = (statistics.median(s[1] for s in part) for part in (samples[tenth:2 * tenth], samples[-tenth:]))
    print(f"{calls:,} calls in {chosen.minutes:g} minutes, {len(wrong)} answered otherwise than expected {wrong[:5]}")
    print(f"memory {early:.1f} MB in the second tenth, {late:.1f} MB in the last ({late / early:.3f}), most {max(s[1] for s in samples):.1f} MB; "
          f"open files {samples[-1][2]}, most {max(s[2] for s in samples)}; files {size:.1f} MB")
    print(f"audit trail: {verified.stdout.strip() or verified.stderr.strip()}; exit code {ended}")
    if chosen.picture:
        draw(samples, chosen.picture)
    if wrong or ended or verified.returncode:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
