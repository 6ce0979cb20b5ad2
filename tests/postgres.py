#!/usr/bin/env python3
"""What the real binary does with PostgreSQL beside what tests/replicas.py shows.

    cargo build
    tests/with-postgres tests/postgres.py --binary target/debug/likeness

The data keys lie in a second database and nowhere else, and are gone from it with whoever is erased. A connection is encrypted, and refused where the
server's certificate is of another authority or name.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from replicas import Replica, migrated, photo


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


def enrol(replica, employee, person):
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
    assert enrol(replica, "p02", "p02")[0] == 201
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
    print("data keys lie in the second database alone, and are gone from it with whoever is erased", flush=True)


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
    assert enrol(replica, "p01", "p01")[0] == 201
    assert found(replica, "p01") == "p01"
    connections = sql(place.server + "/postgres", f"select ssl from pg_stat_ssl join pg_stat_activity using (pid) where datname = '{data.path[1:]}'")
    assert len(connections) >= 5 and set(connections) == {"t"}, connections
    replica.stop()
    print(f"{len(connections)} connections, all encrypted; another authority and another name are refused", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--binary", type=Path, required=True)
    args = arguments.parse_args()
    server, authority = (os.environ.get(f"LIKENESS_TEST_POSTGRES{part}") for part in ("", "_CA"))
    if not server or not authority:
        sys.exit("no PostgreSQL: run it by tests/with-postgres")
    with tempfile.TemporaryDirectory() as folder:
        place = Place(server, args.binary.resolve(), Path(folder))
        try:
            keys_apart(place)
            encrypted(place, authority)
        finally:
            for replica in place.running:
                if replica.process.poll() is None:
                    replica.kill()


if __name__ == "__main__":
    main()
