#!/usr/bin/env python3
"""Sends every file of the given folders to a service, as a photo to identify.

    tools/image_corpus.py DIR.. -- COMMAND      starts the service by this command, and stops it afterwards

Intended for collections of images that broke decoders: libjpeg-turbo's seed-corpora (afl-testcases,
bugs) and the tests of image-rs/image. They are cloned (git clone --depth 1
https://github.com/libjpeg-turbo/seed-corpora https://github.com/image-rs/image), never committed.

Prints the answers by code, the slowest files and the peak memory of the service. Exits with 1 if an
answer is a 5xx or missing, if a file takes more than a second of processor time (which, unlike wall
time, doesn't depend on other load), or if the memory exceeds 300 MB. Needs Python's standard library
and Linux (/proc).
"""

import http.client
import os
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from service import Service, started  # noqa: E402

MOST_SECONDS = 1.0
MOST_MEMORY_KB = 300_000
TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_memory_kb(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def send_all(service, pid, files):
    answers, times, failed = Counter(), [], []
    for file in files:
        before, started_at = processor_seconds(pid), time.monotonic()
        try:
            status, answer = service.send("/identify", file)
        except (OSError, http.client.HTTPException) as error:
            failed.append(f"{file}: {error!r}")
            service.connection.close()
            continue
        times.append((processor_seconds(pid) - before, time.monotonic() - started_at, file))
        answers[f"{status} {answer.get('code', '-')}"] += 1
        if status >= 500:
            failed.append(f"{file}: {status} {answer['code']}")
    return answers, times, failed


def main(arguments):
    if "--" not in arguments:
        sys.exit(__doc__)
    at = arguments.index("--")
    folders, command = arguments[:at], arguments[at + 1 :]
    files = sorted(file for folder in folders for file in Path(folder).rglob("*") if file.is_file() and not file.is_symlink())
    with started(command) as (url, pid):
        answers, times, failed = send_all(Service(url), pid, files)
        peak = peak_memory_kb(pid)
    print(f"{len(files)} files")
    for answer, count in answers.most_common():
        print(f"{count:6}  {answer}")
    times.sort(reverse=True)
    for processor, clock, file in times[:5]:
        print(f"{processor:6.2f} s of processor time, {clock:.2f} s on the clock: {file}")
    print(f"peak memory {peak / 1000:.0f} MB")
    failed += [f"{file}: {processor:.2f} s" for processor, _, file in times if processor > MOST_SECONDS]
    print("\n".join(failed) or "nothing failed")
    return 1 if failed or peak > MOST_MEMORY_KB or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
