#!/usr/bin/env python3
"""What becomes of 64 clients who all want an answer at once: who is served, how late, and how soon the others are told.

    benches/overload.py [--clients 64] [--seconds 10]

One client alone first, then all of them; each asks again as soon as it is answered, or a tenth of a second after it was turned away. They share this machine's cores with the service.
"""
import argparse
import http.client
import statistics
import tempfile
import threading
import time
from pathlib import Path

from compare import KIND, ROOT, Service, form


def ask(port, body, until, answers):
    """Asks until then, keeping (status, milliseconds)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.time() < until:
        began = time.perf_counter()
        connection.request("POST", "/identify", body, {"Content-Type": KIND})
        response = connection.getresponse()
        response.read()
        answers.append((response.status, 1000 * (time.perf_counter() - began)))
        if response.status == 503:
            time.sleep(0.1)


def crowd(service, body, clients, seconds):
    answers, until = [], time.time() + seconds
    threads = [threading.Thread(target=ask, args=(service.port, body, until, answers)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    of = {status: sorted(ms for s, ms in answers if s == status) for status in {s for s, _ in answers}}
    for status, times in sorted(of.items()):
        print(f"{clients:3} clients: {len(times):5} answers {status}, p50 {statistics.median(times):6.1f} ms, p99 {times[int(0.99 * (len(times) - 1))]:6.1f} ms")
    return of


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--clients", type=int, default=64)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--binary", type=Path, default=ROOT / "target/release/likeness")
    options = options.parse_args()
    body = form({"photo": (ROOT / "tests/data/people/p01-a.jpg").read_bytes()})
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        service = Service("likeness", [options.binary, "serve", "--listen", "127.0.0.1:PORT", "--rate-limit", "1000000", "--data-dir", Path(folder) / "data"], log)
        try:
            service.first_answer(body)
            alone = statistics.median(crowd(service, body, 1, options.seconds / 2)[200])
            served = crowd(service, body, options.clients, options.seconds)[200]
        finally:
            service.stop()
    print(f"p99 of those who were served: {served[int(0.99 * (len(served) - 1))] / alone:.1f} times the p50 of one alone")


if __name__ == "__main__":
    main()
