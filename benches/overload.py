#!/usr/bin/env python3
"""Measures 64 clients that call at once: latency of served requests, and time to a 503.

    benches/overload.py [--clients 64] [--seconds 10] [--runs 5]

Needs wrk. One client runs alone first, then all of them. A client calls again as soon as it is
answered, or a tenth of a second after a 503 (`overload.lua`). Clients and service share the cores of
this machine.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

from compare import KIND, ROOT, Service, form


def crowd(service, body, clients, seconds):
    """Returns the response times in ms, by status, sorted."""
    command = ["wrk", "-t", str(clients), "-c", str(clients), "-d", f"{seconds}s", "-s", Path(__file__).with_suffix(".lua"), f"http://127.0.0.1:{service.port}/identify"]
    said = subprocess.run(command, env=os.environ | {"BODY": str(body), "KIND": KIND, "AUTHORIZATION": service.header()["Authorization"]}, capture_output=True, text=True, check=True).stdout
    of = defaultdict(list)
    for line in said.split("answers:\n")[1].splitlines():
        status, milliseconds = line.split()
        of[int(status)].append(float(milliseconds))
    for status, times in sorted(of.items()):
        times.sort()
        print(f"{clients:3} clients: {len(times):5} answers {status}, p50 {statistics.median(times):6.1f} ms, p99 {late(times):6.1f} ms")
    return of


def late(times):
    """Returns the p99."""
    return times[int(0.99 * (len(times) - 1))]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--clients", type=int, default=64)
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--binary", type=Path, default=ROOT / "target/release/likeness")
    options.add_argument("serve", nargs="*", help="further options of the service, behind --")
    options = options.parse_args()
    ratios = []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
            (body := Path(folder) / "body").write_bytes(form({"photo": (ROOT / "tests/data/people/p01-a.jpg").read_bytes()}))
            command = [options.binary, "serve", "--listen", "127.0.0.1:PORT", "--address-rate-limit", "1000000", "--data-dir", Path(folder) / "data", *options.serve]
            service = Service("likeness", command, log, Path(folder) / "data")
            try:
                service.first_answer(body.read_bytes())
                alone = statistics.median(crowd(service, body, 1, options.seconds // 2)[200])
                ratios.append(late(crowd(service, body, options.clients, options.seconds)[200]) / alone)
            finally:
                service.stop()
    print(f"p99 of those who were served: {statistics.median(ratios):.1f} times the p50 of one alone ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
