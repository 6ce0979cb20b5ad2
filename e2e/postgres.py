#!/usr/bin/env python3
"""Tests the real binary on PostgreSQL: separate data keys, TLS, master key rotation, dead connections.

    cargo build
    e2e/with-postgres e2e/postgres.py --binary target/debug/likeness

- Data keys are stored in the second database only, and erasing an employee removes them there.
- A connection is encrypted, and refused if the server's certificate has another authority or name.
- The master key is replaced under two replicas that enroll meanwhile. No employee is lost; a replica
  with the former key continues to identify, enrolls nobody, and answers 503 rather than miss an
  employee who was enrolled with the new key.
- Every connection of a replica is black-holed while it decides, several times. It recovers, and each
  decision is in the audit trail once.

e2e/replicas.py tests replicas under load.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from replicas import LAG, Replica, migrated, photo


def sql(url, statement):
    """The rows of an answer, columns parted by |."""
    done = subprocess.run(["psql", "-qAt", url, "-c", statement], capture_output=True, text=True, check=True)
    return done.stdout.split()


def make_key(path):
    path.touch(0o600)
    path.write_bytes(os.urandom(32))
    return path


class Place:
    """A server, a folder, a binary."""

    def __init__(self, server, binary, folder):
        self.server, self.binary, self.folder, self.running = server, binary, folder, []

    def database(self):
        name = f"test_{uuid.uuid4().hex[:12]}"
        sql(f"{self.server}/postgres", f"create database {name}")
        return f"{self.server}/{name}"

    def start(self, name, key, url, *more):
        """A replica that is ready."""
        replica = Replica(name, self.binary, key, self.folder)
        replica.url = url
        replica.start(*more)
        self.running.append(replica)
        replica.until_ready()
        return replica

    def run(self, key, *command):
        return subprocess.run([self.binary, *command, "--master-key-file", str(key), "--data-dir", str(self.folder / "none")], capture_output=True, text=True)

    def refused(self, key, *command):
        """Why a command failed."""
        done = self.run(key, *command)
        assert done.returncode != 0, f"{command} did not fail"
        return done.stderr


def enroll(replica, employee, person):
    fields = {"employee_id": employee, "photo": photo(person, "a"), "confirm_lookalike": "true"}
    return replica.call("POST", "/enroll", fields)


def found(replica, person):
    """Whom a photo is identified as."""
    status, answer = replica.call("POST", "/identify", {"photo": photo(person, "b")})
    assert status == 200, answer
    return answer["match"] and answer["match"]["employee_id"]


def keys_apart(place):
    """The data keys in a database of their own: moved there, added, kept over a restart, erased."""
    key, data, keys = make_key(place.folder / "apart.key"), place.database(), place.database()
    migrated(place.binary, key, place.folder, data, "--key-database", keys)

    def held():
        return set(sql(keys, "select encode(key_id, 'hex') from likeness_keys.data_key"))

    def used():
        return set(sql(data, "select encode(key_id, 'hex') from likeness.template")) | {"00" * 16}

    assert len(held()) == 2 and held() == used(), "those of the founder and of the audit trail"
    replica = place.start("apart", key, data, "--key-database", keys)
    assert found(replica, "p01") == "founder"
    assert enroll(replica, "p02", "p02")[0] == 201
    assert len(held()) == 3 and held() == used()
    replica.stop()
    replica = place.start("apart", key, data, "--key-database", keys)
    assert (found(replica, "p01"), found(replica, "p02")) == ("founder", "p02")
    assert replica.call("DELETE", "/employees/founder")[0] == 200
    assert len(held()) == 2 and held() == used(), "the founder's is gone"
    assert (found(replica, "p01"), found(replica, "p02")) == (None, "p02")
    replica.stop()
    elsewhere = sql(data, "select schemaname from pg_tables where tablename = 'data_key'")
    assert elsewhere == [], f"data keys beside the data: {elsewhere}"
    why = place.refused(key, "keys", "list", "--database", data)
    assert "--key-database" in why, why
    print("data keys lie in the second database alone, and are removed from it by erasure", flush=True)


def encrypted(place, authority):
    """A connection that is encrypted to a server that is who it says."""
    key, data = make_key(place.folder / "tls.key"), urlsplit(place.database())
    other = place.folder / "other.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", "/dev/null", "-out", str(other)]
    subprocess.run(make, check=True, capture_output=True)

    def url(host, authority):
        return f"postgres://{data.username}@{host}:{data.port}{data.path}?sslmode=verify-full&sslrootcert={authority}"

    for host, root, why in [("localhost", other, "UnknownIssuer"), ("127.0.0.1", authority, "not valid for name")]:
        said = place.refused(key, "keys", "list", "--database", url(host, root))
        assert why in said, said
        print(f"  {host} with {Path(root).name}: {said.strip()}")
    replica = place.start("tls", key, url("localhost", authority))
    assert enroll(replica, "p01", "p01")[0] == 201
    assert found(replica, "p01") == "p01"
    connections = sql(place.server + "/postgres", f"select ssl from pg_stat_ssl join pg_stat_activity using (pid) where datname = '{data.path[1:]}'")
    assert len(connections) >= 5 and set(connections) == {"t"}, connections
    replica.stop()
    print(f"{len(connections)} connections, all encrypted; another authority and another name are refused", flush=True)


def rotated(place):
    """The master key is replaced while two replicas run, each with its copy of the file, and somebody enrolls."""
    old = make_key(place.folder / "replica-a.key")
    copy = place.folder / "replica-b.key"
    shutil.copy(old, copy)
    data, staff, put_off = place.database(), ["p01", "p02", "p03"], []
    a, b = (place.start(f"replica {key.stem[-1]}", key, data) for key in (old, copy))
    for person, replica in zip(staff, (a, b, a)):
        assert enroll(replica, person, person)[0] == 201

    def go_on_enrolling():
        while not put_off:
            status, answer = enroll(b, f"new-{len(staff)}", "p04")
            if status == 201:
                staff.append(answer["employee_id"])
            else:
                put_off.append((status, answer))

    enrolling = threading.Thread(target=go_on_enrolling)
    enrolling.start()
    while len(staff) < 6:
        time.sleep(0.05)
    done = place.run(old, "keys", "rotate-master", "--database", data)
    assert done.returncode == 0, done.stderr
    enrolling.join()
    assert not sql(data, "select key_id from likeness_keys.data_key where master_id <> (select master_id from likeness_keys.data_key order by key_id limit 1)")
    time.sleep(LAG)
    for replica in (a, b):
        replica.until_ready()
        assert [found(replica, person) for person in staff[:3]] == staff[:3], "with the former key in memory"
        put_off.append(enroll(replica, "p05", "p05"))
    for status, answer in put_off:
        assert (status, answer["code"]) == (503, "not_ready") and "master key" in answer["detail"], (status, answer)
    assert b.call("DELETE", f"/employees/{staff.pop()}")[0] == 200, "nobody waits for the new key to be erased"

    a.stop()
    a = place.start("replica a", old, data)
    assert enroll(a, "p05", "p05")[0] == 201
    staff.append("p05")
    time.sleep(LAG)
    status, answer = b.call("POST", "/identify", {"photo": photo("p05", "b")})
    assert (status, answer["code"]) == (503, "not_ready"), "it cannot know them, and says so"
    b.stop()
    why = place.refused(copy, "keys", "list", "--database", data)
    assert "does not open" in why, why
    shutil.copy(old, copy)
    b = place.start("replica b", copy, data)
    assert enroll(b, "p06", "p06")[0] == 201
    staff.append("p06")
    time.sleep(LAG)
    for replica in (a, b):
        listed = [entry["employee_id"] for entry in replica.call("GET", "/employees?limit=1000")[1]["employees"]]
        assert listed == sorted(staff), (listed, staff)
        for person in staff:
            of = "p04" if person.startswith("new") else person
            status, answer = replica.call("POST", "/verify", {"employee_id": person, "photo": photo(of, "b")})
            assert status == 200 and answer["match"], (replica.name, person, answer)
        replica.stop()
    done = place.run(old, "audit", "verify", "--database", data)
    assert done.returncode == 0, done.stderr
    print(f"the master key was replaced beneath two replicas, and all {len(staff)} people are found by both", flush=True)


def until(what, ask, seconds=90):
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"not {what} within {seconds} s"
        time.sleep(0.1)
    return answer


def blackholed(place, rounds=4):
    """The journal recovers from connections that fall silent without closing, more of them than its pool holds."""
    key, data = make_key(place.folder / "silent.key"), place.database()
    replica = Replica("silent", place.binary, key, place.folder, place.server, data.rsplit("/", 1)[1])
    replica.start()
    place.running.append(replica)
    replica.until_ready()
    assert enroll(replica, "p01", "p01")[0] == 201
    sent, answered, enough = [0], [0], threading.Event()

    def decide():
        while not enough.is_set():
            sent[0] += 1
            status, _ = replica.call("POST", "/verify", {"employee_id": "p01", "photo": photo("p01", "b")})
            answered[0] += status == 200

    def written():
        return int(sql(data, "select count(*) from likeness.audit_event where action = 'verify'")[0])

    deciding = threading.Thread(target=decide, daemon=True)
    deciding.start()
    for _ in range(rounds):
        before = answered[0]
        until("deciding", lambda: answered[0] > before + 3)
        # During a write, which waits for this session's lock.
        hold = subprocess.Popen(["psql", "-q", data], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        hold.stdin.write("select pg_advisory_lock(1818848101, 0);\n")
        hold.stdin.flush()
        until("a write that waits", lambda: sql(data, "select 1 from pg_locks where locktype = 'advisory' and not granted"))
        replica.proxy.blackhole()
        hold.stdin.close()
        hold.wait()
        before = answered[0]
        until("deciding after a black hole", lambda: answered[0] > before)
    enough.set()
    deciding.join()
    # Nobody decides anything any more.
    until("written", lambda: replica.call("GET", "/readyz")[1].get("audit") == {"waiting": 0, "quarantined": 0})
    assert answered[0] <= written() <= sent[0], (answered, written(), sent)
    twice = sql(data, "select at from likeness.audit_event where action = 'verify' group by at having count(*) > 1")
    assert not twice, f"written twice: {twice}"

    def enrolled():
        """Connections that nothing has used since are given up one by one."""
        status, answer = enroll(replica, "p02", "p02")
        assert status in (201, 503), (status, answer)
        return status == 201

    until("enrolling", enrolled)
    replica.stop()
    done = place.run(key, "audit", "verify", "--database", data)
    assert done.returncode == 0, done.stderr
    print(f"{rounds} times every connection was black-holed: {answered[0]} decisions were answered, each is in the trail once", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--binary", type=Path, required=True)
    args = arguments.parse_args()
    server, authority = (os.environ.get(f"LIKENESS_TEST_POSTGRES{part}") for part in ("", "_CA"))
    if not server or not authority:
        sys.exit("no PostgreSQL: run it by e2e/with-postgres")
    with tempfile.TemporaryDirectory() as folder:
        place = Place(server, args.binary.resolve(), Path(folder))
        try:
            keys_apart(place)
            encrypted(place, authority)
            rotated(place)
            blackholed(place)
        finally:
            for replica in place.running:
                if replica.process.poll() is None:
                    replica.kill()


if __name__ == "__main__":
    main()
