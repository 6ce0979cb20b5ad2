#!/usr/bin/env python3
"""Enrolls, verifies and identifies many people through a running service.

    tools/walk.py                          the twenty generated people of tests/data
    tools/walk.py --cfp DIR [--people N]   the first N (200) people of the CFP photos
                                           (DIR/Data/Images/*/NNN/frontal): photo 01 is enrolled,
                                           photo 02 is the probe
    tools/walk.py [OPTIONS] -- COMMAND     starts the service by this command, and stops it afterwards

Prints how many were refused, missed or matched as another person, the median time of each stage, and
the memory of the service (with --pid, before and after). Erases all enrolled people at the end. Needs
Python's standard library. Exits with 1 if a result is not as expected, never with --cfp.
"""

import argparse
import statistics
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from service import PEOPLE, Address, Service, started  # noqa: E402

CONFIRMED = "enrolled though a look-alike"


def fixtures():
    for enrolled in sorted(PEOPLE.glob("p*-a.jpg")):
        name = enrolled.stem[:-2]
        yield name, enrolled, [PEOPLE / f"{name}-b.jpg", PEOPLE / f"{name}-c.jpg"]


def cfp(folder, people):
    found = sorted(folder.glob("Data/Images/*/*/frontal"), key=lambda f: f.parent.name)
    for frontal in found[:people]:
        yield f"cfp-{frontal.parent.name}", frontal / "01.jpg", [frontal / "02.jpg"]


def memory(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return f"{int(line.split()[1]) / 1000:.0f} MB"


def enrol(service, people, count, confirmed):
    """`confirmed`: whether a look-alike is known to be another person."""
    enrolled = []
    for name, photo, probes in people:
        status, answer = service.send("/enroll", photo, employee_id=name)
        outcome = "enrolled" if status == 201 else f"enrolment refused: {answer['code']}"
        if confirmed and status == 409 and answer["code"] == "looks_like_another":
            status, _ = service.send("/enroll", photo, employee_id=name, confirm_lookalike="true")
            outcome = CONFIRMED
        count[outcome] += 1
        if status == 201:
            enrolled.append((name, probes))
    return enrolled


def probe(service, enrolled, count):
    names = [name for name, _ in enrolled]
    for at, (name, probes) in enumerate(enrolled):
        for photo in probes:
            status, answer = service.send("/verify", photo, employee_id=name)
            if status != 200:
                count[f"probe refused: {answer['code']}"] += 1
                continue
            count["verified" if answer["match"] else "not verified"] += 1
            _, answer = service.send("/verify", photo, employee_id=names[(at + 1) % len(names)])
            count["taken for the next" if answer["match"] else "not taken for the next"] += 1
            _, answer = service.send("/identify", photo)
            found = answer["match"] and answer["match"]["employee_id"]
            count["identified" if found == name else "identified as another" if found else "not identified"] += 1


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--url", default="http://127.0.0.1:8080")
    arguments.add_argument("--data-dir", help="of the service, whose local credential is used [default: likeness-data, or that of COMMAND]")
    arguments.add_argument("--cfp", type=Path)
    arguments.add_argument("--people", type=int, default=200)
    arguments.add_argument("--pid", type=int)
    arguments.add_argument("command", nargs="*", metavar="COMMAND")
    given = arguments.parse_args()
    if given.command:
        with started(given.command, given.data_dir) as (given.url, given.pid):
            return walk(given)
    given.url = Address.of(given.url, given.data_dir or "likeness-data")
    return walk(given)


def walk(given):
    service, count = Service(given.url), Counter()
    _, ready = service.call("GET", "/readyz")
    print(f"encoder {ready['model']['name']}, {ready['gallery_size']} enrolled before")
    if given.pid:
        print("memory at rest", memory(given.pid))
    people = list(cfp(given.cfp, given.people) if given.cfp else fixtures())
    enrolled = enrol(service, people, count, confirmed=not given.cfp)
    probe(service, enrolled, count)
    if given.pid:
        print("memory after", memory(given.pid))
    for name, _ in enrolled:
        service.call("DELETE", f"/employees/{name}")
    for outcome, times in sorted(count.items()):
        print(f"{times:5}  {outcome}")
    print("median ms:", ", ".join(f"{name} {statistics.median(times):.2f}" for name, times in service.stages.items()))
    wrong = count.keys() - {"enrolled", CONFIRMED, "verified", "identified", "not taken for the next"}
    return 0 if given.cfp or not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
