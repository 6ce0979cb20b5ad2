#!/usr/bin/env python3
"""Measures a replica on PostgreSQL with many people: time until ready, memory, identification time.

    cargo build --release --example crowd && cargo build --release
    e2e/with-postgres benches/crowd.py 10000 100000 1000000

For each size, a new database is filled with references of random faces (examples/crowd.rs), and a
replica of the real binary starts on it. Probes are identified one after another, then by eight clients
at once. Prints a table row for each size.
"""

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from replicas import photo  # noqa: E402
from service import KIND, Address, form  # noqa: E402

PORT = 18761


def call(method, path, body=None, data=""):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=600)
    connection.request(method, path, body, Address.of("", data).header | ({"Content-Type": KIND} if body else {}))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def start(binary, url, key, folder):
    """Returns the process and the seconds until it was ready."""
    began = time.monotonic()
    command = [binary, "serve", "--listen", f"127.0.0.1:{PORT}", "--database", url, "--data-dir", folder, "--master-key-file", key, "--address-rate-limit", "100000", "--queue", "64"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(f"{folder}/log", "ab"))
    while True:
        assert process.poll() is None, Path(f"{folder}/log").read_text()[-2000:]
        try:
            if call("GET", "/readyz") == 200:
                return process, time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.02)


def memory(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def identify(times, count, probes, data):
    for number in range(count):
        began = time.monotonic()
        assert call("POST", "/identify", probes[number % len(probes)], data) == 200
        times.append(1000 * (time.monotonic() - began))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("sizes", type=int, nargs="+")
    arguments.add_argument("--binary", default="target/release/likeness")
    arguments.add_argument("--crowd", default="target/release/examples/crowd")
    arguments.add_argument("--count", type=int, default=300)
    args = arguments.parse_args()
    server = os.environ["LIKENESS_TEST_POSTGRES"]
    probes = [form({"photo": photo(f"p{number:02}", "b")}) for number in range(1, 21)]
    print("| people | filled, s | ready after, s | memory, MB | identify p50, p99, ms | eight at once, a second |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for size in args.sizes:
        url = f"{server}/crowd_{size}"
        subprocess.run(["psql", "-q", f"{server}/postgres", "-c", f"create database crowd_{size}"], check=True)
        with tempfile.TemporaryDirectory() as folder:
            key = Path(folder) / "master.key"
            key.touch(0o600)
            key.write_bytes(os.urandom(32))
            process, _ = start(args.binary, url, str(key), folder)
            process.terminate()
            process.wait()
            began = time.monotonic()
            subprocess.run(f"{args.crowd} {key} {size} | psql --quiet --set ON_ERROR_STOP=1 {url}", shell=True, check=True, stdout=subprocess.DEVNULL)
            filled = time.monotonic() - began
            process, ready = start(args.binary, url, str(key), folder)
            held = memory(process)
            identify([], 20, probes, folder)
            alone = []
            identify(alone, args.count, probes, folder)
            together, began = [], time.monotonic()
            threads = [threading.Thread(target=identify, args=(together, args.count // 4, probes, folder)) for _ in range(8)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            rate = len(together) / (time.monotonic() - began)
            process.terminate()
            process.wait()
        p99 = statistics.quantiles(alone, n=100)[98]
        print(f"| {size:,} | {filled:.0f} | {ready:.1f} | {held:.0f} | {statistics.median(alone):.1f}, {p99:.1f} | {rate:.0f} |", flush=True)
        subprocess.run(["psql", "-q", f"{server}/postgres", "-c", f"drop database crowd_{size}"], check=True)


if __name__ == "__main__":
    main()
