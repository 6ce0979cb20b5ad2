#!/usr/bin/env python3
"""Tests three replicas on one PostgreSQL under mixed load while one at a time fails.

    cargo build
    e2e/with-postgres e2e/replicas.py --binary target/debug/likeness --seconds 60

The organization is migrated from SQLite by `likeness migrate-store`. Each replica reaches PostgreSQL
through a proxy of this script, which cuts its connections or discards their bytes; replicas are also
killed. First, two replicas race to enroll one employee, repeatedly: one succeeds. Then workers
enroll and erase twenty people on any replica, while others identify and verify them on all three.
The time before and after each call is recorded, which bounds what a probe may answer. The checker
reports
- resurrected: a probe matched a person after their erasure was answered (on another replica: a
  second after);
- lost: a probe did not match a person after their enrollment was answered (likewise), and nobody had
  begun to erase them;
- wrong: a probe matched another person, unless the encoder confuses the two, which is measured
  before;
- uncertain: a replica answered a probe more than a second after it was cut off, before it was
  reconnected.
Each is an error, and so is a 500; 503 and lost connections are not. At the end every replica must
hold the same gallery and find everybody in it.
"""

import argparse
import collections
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from fault_proxy import Proxy
from service import KIND, PEOPLE as PHOTOS, Address, form, free_port

PEOPLE = [f"p{number:02}" for number in range(1, 21)]
LAG = 1.0  # seconds that another replica may be behind
now = time.monotonic


def photo(person, take):
    return (PHOTOS / f"{person}-{take}.jpg").read_bytes()


class Replica:
    """The binary on PostgreSQL behind a proxy, or on files where there is no server."""

    def __init__(self, name, binary, key, folder, server=None, database=None):
        self.name, self.binary, self.key, self.folder, self.url = name, binary, key, folder, None
        if server:
            url = urlsplit(server)
            self.proxy = Proxy((url.hostname, url.port))
            self.url = f"postgres://{url.username}@127.0.0.1:{self.proxy.port}/{database}"
        self.port = free_port()
        self.log = open(folder / f"{self.name}.log", "ab")
        self.process = None

    def start(self, *more):
        command = [self.binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.folder / self.name),
                   "--master-key-file", str(self.key), "--workers", "1", "--rate-limit", "100000"]
        command += ["--database", self.url, *more] if self.url else []
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.log)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(40) == 0, f"{self.name} did not stop well"

    def call(self, method, path, fields=None):
        """Status and answer; (None, why) where there was none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = form(fields) if fields else None
        try:
            connection.request(method, path, body, self.local() | ({"Content-Type": KIND} if body else {}))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return None, str(error)
        finally:
            connection.close()

    def local(self):
        """The header of the local credential, which is another one after each start."""
        return Address.of("", self.folder / self.name).header

    def until_ready(self, seconds=120):
        end = now() + seconds
        while now() < end:
            status, answer = self.call("GET", "/readyz")
            if status == 200:
                return answer
            if self.process.poll() is not None:
                sys.exit(f"{self.name} ended: see its log\n" + Path(self.log.name).read_text()[-2000:])
            time.sleep(0.05)
        sys.exit(f"{self.name} did not become ready: {status} {answer}\n" + Path(self.log.name).read_text()[-2000:])


class History:
    """What is known of each person, and what each probe said."""

    def __init__(self):
        self.lock = threading.Lock()
        self.changes = {person: [] for person in PEOPLE}  # [kind, sent, answered or None, replica]
        self.probes = []  # (person, sent, answered, replica, kind, status, whom)
        self.cuts = []  # [replica, from, to]
        self.calls = collections.Counter()
        self.alike = set()  # (person of a probe, whom the encoder may take them for)

    def count(self, kind, status):
        with self.lock:
            self.calls[f"{kind} {status}"] += 1


def change(history, replicas, until, people, seed):
    """Enrols and erases each of some people, over and over."""
    rng = random.Random(seed)
    enrolled = dict.fromkeys(people, False)
    while now() < until:
        person, replica = rng.choice(people), rng.choice(replicas)
        kind = "erase" if enrolled[person] else "enroll"
        entry = [kind, now(), None, replica]
        history.changes[person].append(entry)
        if kind == "enroll":
            fields = {"employee_id": person, "photo": photo(person, "a")}
            if any(person in pair for pair in history.alike):
                fields["confirm_lookalike"] = "true"
            status, answer = replica.call("POST", "/enroll", fields)
        else:
            status, answer = replica.call("DELETE", f"/employees/{person}")
        answered = now()
        history.count(kind, status)
        if (kind, status) in [("enroll", 201), ("erase", 200), ("erase", 202)]:
            entry[2] = answered
            enrolled[person] = kind == "enroll"
        elif (kind, status) in [("enroll", 409), ("erase", 404)]:
            # An earlier call of unknown end had been done after all.
            if kind == "enroll" and answer["code"] != "already_enrolled":
                history.changes[person].append(["wrong", entry[1], answered, replica])
            enrolled[person] = kind == "enroll"
            entry[0] = "unknown"
        else:
            # It may or may not have been done: what is true is asked for by the next call of the other kind.
            entry[0] = "unknown"
            time.sleep(0.1)
            enrolled[person] = True
        time.sleep(rng.uniform(0, 0.3))


def probe(history, replicas, until, seed):
    rng = random.Random(seed)
    while now() < until:
        person, replica, kind = rng.choice(PEOPLE), rng.choice(replicas), rng.choice(["identify", "verify"])
        fields = {"photo": photo(person, rng.choice("bc"))}
        if kind == "verify":
            fields["employee_id"] = person
        sent = now()
        status, answer = replica.call("POST", f"/{kind}", fields)
        answered, whom = now(), None
        if status == 200 and answer["match"]:
            whom = person if kind == "verify" else answer["match"]["employee_id"]
        history.count(kind, status)
        with history.lock:
            history.probes.append((person, sent, answered, replica, kind, status, whom))
        if status != 200:
            time.sleep(0.02)


def trouble(history, replicas, until, pause, seed):
    """One at a time is killed, cut off or struck dumb, and joined again."""
    rng = random.Random(seed)
    kinds, turn = ["shut", "kill", "dumb"], 0
    while now() + pause + 5 < until:
        time.sleep(pause)
        kind, replica = kinds[turn % 3], replicas[turn // 3 % len(replicas)]
        turn += 1
        began = now()
        if kind == "kill":
            replica.kill()
            time.sleep(rng.uniform(0.5, 2))
            replica.start()
        else:
            replica.proxy.set(kind)
            cut = [replica, began, None]
            history.cuts.append(cut)
            time.sleep(rng.uniform(2.5, 4))
            cut[2] = now()
            replica.proxy.set("open")
        joined = now()
        replica.until_ready()
        history.count("trouble:", kind)
        print(f"  {kind:<4} {replica.name}, away for {joined - began:.1f} s, ready again after {now() - joined:.1f} s", flush=True)


def check(history):
    """Every probe against what is known of its person."""
    faults, judged = [], collections.Counter()
    for person, changes in history.changes.items():
        faults += [f"{person} was taken for somebody else when enrolled" for kind, *_ in changes if kind == "wrong"]
    for person, sent, answered, replica, kind, status, whom in history.probes:
        tell = f"{kind} of {person} at {sent:.2f} on {replica.name}: {status} {whom}"
        for where, began, ended in history.cuts:
            if where is replica and sent > began + LAG and (ended is None or answered < ended) and status in (200, 404):
                faults.append(f"uncertain: {tell}, cut off since {began:.2f}")
        if whom not in (None, person) and (person, whom) not in history.alike:
            faults.append(f"wrong: {tell}")
        if status == 500:
            faults.append(f"failed: {tell}")
        if status not in (200, 404):
            continue
        known = None
        for change_kind, began, ended, by in history.changes[person]:
            if began >= answered:
                break
            # Known is only what was answered long enough before the probe and is the last thing that was begun.
            lag = 0 if by is replica else LAG
            settled = change_kind in ("enroll", "erase") and ended is not None and ended + lag <= sent
            known = change_kind if settled else None
        if known == "enroll":
            judged["enrolled"] += 1
            if whom is None:
                faults.append(f"lost: {tell}")
        elif known == "erase":
            judged["erased"] += 1
            if whom == person:
                faults.append(f"resurrected: {tell}")
        else:
            judged["in between"] += 1
    return faults, judged


def the_checker_finds():
    """Each fault in a history that is made up, and none in the same history told as it should be."""
    here, there = argparse.Namespace(name="here"), argparse.Namespace(name="there")
    told = [  # whom a probe of p01 found, when it was sent and where, and the fault in that
        ("p01", 3, there, None), (None, 3, there, "lost"), (None, 1.5, here, "lost"), (None, 1.5, there, None),
        ("p01", 13, there, "resurrected"), ("p01", 11.5, here, "resurrected"), ("p01", 11.5, there, None), (None, 13, there, None),
        ("p02", 3, here, "wrong"), ("p01", 7, there, "uncertain"), ("p01", 5.5, there, None),
    ]
    for whom, sent, replica, fault in told:
        history = History()
        history.changes["p01"] = [["enroll", 0, 1, here], ["erase", 10, 11, here]]
        history.cuts = [[there, 5, 9]]
        history.probes = [("p01", sent, sent + 0.1, replica, "identify", 200, whom)]
        faults, _ = check(history)
        assert [line.split(":")[0] for line in faults] == ([fault] if fault else []), (whom, sent, replica, faults)


def migrated(binary, key, folder, url, *more):
    """A service on files has one employee; its organisation is moved, and moved again, which changes nothing."""
    service = Replica("files", binary, key, folder)
    service.start()
    service.until_ready()
    status, _ = service.call("POST", "/enroll", {"employee_id": "founder", "photo": photo("p01", "a")})
    assert status == 201, status
    service.stop()
    for _ in range(2):
        command = [binary, "migrate-store", f"sqlite://{folder / 'files' / 'likeness.db'}", url, "--master-key-file", str(key), *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    print(done.stderr.strip().splitlines()[-1])


def still_there(replicas):
    """Every replica identifies the migrated employee, who is then erased."""
    for replica in replicas:
        status, answer = replica.call("POST", "/identify", {"photo": photo("p01", "b")})
        assert status == 200 and answer["match"]["employee_id"] == "founder", answer
    status, receipt = replicas[0].call("DELETE", "/employees/founder")
    assert status == 200 and receipt["status"] == "erased" and len(receipt["outlasting"]) == 4, receipt


def race(replicas, rounds):
    """Two replicas enroll one employee at the same moment; how often the first one won."""
    first = 0
    for number in range(rounds):
        pair, person = random.sample(replicas, 2), PEOPLE[number % len(PEOPLE)]
        barrier, statuses = threading.Barrier(2), [None, None]

        def enroll(side):
            barrier.wait()
            statuses[side], _ = pair[side].call("POST", "/enroll", {"employee_id": f"race-{number}", "photo": photo(person, "a")})

        threads = [threading.Thread(target=enroll, args=(side,)) for side in (0, 1)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sorted(statuses) == [201, 409], f"race {number}: {statuses}"
        first += statuses[0] == 201
        status, _ = random.choice(pair).call("DELETE", f"/employees/race-{number}")
        assert status == 200, status
    print(f"{rounds} races for one employee: 201 and 409 in each, {first} times the first", flush=True)


def alike(replica):
    """Whom the encoder may take for another, in whatever gallery of these people: near the threshold of all of them, or beyond."""
    for person in PEOPLE:
        status, _ = replica.call("POST", "/enroll", {"employee_id": person, "photo": photo(person, "a"), "confirm_lookalike": "true"})
        assert status == 201, status
    pairs = set()
    for person in PEOPLE:
        for take in "bc":
            _, answer = replica.call("POST", "/identify", {"photo": photo(person, take), "top": 20})
            bound = answer["threshold"]["score"] - 3  # log-odds; twenty times fewer people lower it by less
            pairs |= {(person, other["employee_id"]) for other in answer["candidates"] if other["score"] > bound}
    for person in PEOPLE:
        replica.call("DELETE", f"/employees/{person}")
    return {(person, other) for person, other in pairs if person != other}


def settle(replicas, history):
    """All replicas hold the same people and find each of them."""
    time.sleep(LAG)
    everybody = [entry["employee_id"] for entry in replicas[0].call("GET", "/employees?limit=1000")[1]["employees"]]
    for replica in replicas:
        assert replica.until_ready()["gallery_size"] == len(everybody), f"{replica.name} holds another gallery"
        for person in PEOPLE:
            status, answer = replica.call("POST", "/identify", {"photo": photo(person, "b")})
            found = answer["match"] and answer["match"]["employee_id"]
            expected = person if person in everybody else None
            assert found == expected or (person, found) in history.alike, f"{replica.name} takes {person} for {found}"
    print(f"in the end all replicas hold the same {len(everybody)} people and find each of them", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--binary", type=Path, required=True)
    arguments.add_argument("--server", default=os.environ.get("LIKENESS_TEST_POSTGRES"), help="postgres://USER@HOST:PORT")
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--pause", type=float, default=4, help="between two troubles")
    arguments.add_argument("--races", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    args = arguments.parse_args()
    if not args.server:
        sys.exit("no PostgreSQL: run it by e2e/with-postgres")
    database = f"replicas_{uuid.uuid4().hex[:12]}"
    subprocess.run(["psql", "-q", f"{args.server}/postgres", "-c", f"create database {database}"], check=True)
    random.seed(args.seed)
    the_checker_finds()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        key = folder / "master.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(32))
        binary = args.binary.resolve()
        replicas = [Replica(f"replica {number}", binary, key, folder, args.server, database) for number in (1, 2, 3)]
        migrated(binary, key, folder, f"{args.server}/{database}")
        try:
            for replica in replicas:
                replica.start()
            for replica in replicas:
                replica.until_ready()
            still_there(replicas)
            race(replicas, args.races)
            history = History()
            history.alike = alike(replicas[0])
            print(f"the encoder may take one for another: {sorted(history.alike)}", flush=True)
            until = now() + args.seconds
            workers = [threading.Thread(target=change, args=(history, replicas, until, PEOPLE[k::2], args.seed + k)) for k in (0, 1)]
            workers += [threading.Thread(target=probe, args=(history, replicas, until, args.seed + k)) for k in (7, 8, 9)]
            workers.append(threading.Thread(target=trouble, args=(history, replicas, until, args.pause, args.seed)))
            [worker.start() for worker in workers]
            [worker.join() for worker in workers]
            faults, judged = check(history)
            print(f"{len(history.probes)} probes: " + ", ".join(f"{count} of {kind}" for kind, count in sorted(judged.items())))
            print("; ".join(f"{kind}: {count}" for kind, count in sorted(history.calls.items())))
            settle(replicas, history)
            for replica in replicas:
                replica.stop()
        finally:
            for replica in replicas:
                if replica.process and replica.process.poll() is None:
                    replica.kill()
        if faults:
            for replica in replicas:
                lines = Path(replica.log.name).read_text().splitlines()
                print(replica.name, *[line for line in lines if "ERROR" in line or "internal" in line][-10:], sep="\n")
            sys.exit("\n".join(faults[:50]) + f"\n{len(faults)} faults")
        assert judged["enrolled"] > 50 and judged["erased"] > 50, "too little was judged to say anything"
        print("nobody was lost, resurrected or taken for another, and nobody cut off answered")


if __name__ == "__main__":
    main()
