#!/usr/bin/env python3
"""Holds the service to its own description: schemathesis finds no fault, and a generated client does the README's walk.

    e2e/openapi.py [--binary target/debug/likeness] [--seed 1]

Works in target/openapi: a virtual environment with what e2e/requirements.txt names, and a data folder and a client,
both made anew. The same seed sends the same requests. Takes half a minute (schemathesis is given four), and one more for the
installation. Exit status 1 where there is a fault; where pip can install nothing it says "skipped", with 0.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

from service import ROOT, started

HERE = Path(__file__).resolve().parent
WORK = ROOT / "target" / "openapi"
TOOLS = WORK / "venv" / "bin"
MOST_SECONDS = 240


def installed():
    if subprocess.run([sys.executable, "-m", "venv", WORK / "venv"]).returncode:
        return False
    install = [TOOLS / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"]
    return subprocess.run(install).returncode == 0


def no_fault(url, key, seed):
    """Sends what the description allows and what it forbids, and looks at the answers."""
    command = [TOOLS / "schemathesis", "--config-file", HERE / "schemathesis.toml", "run", f"{url}/openapi.json",
               "--header", f"Authorization: Bearer {key}", "--continue-on-failure", "--max-examples", "30", "--seed", seed]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE)}
    try:
        return subprocess.run(command, env=environment, cwd=WORK, timeout=MOST_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"schemathesis was not done after {MOST_SECONDS} s")
        return False


def with_forms_alone(url):
    """The description without the bodies in JSON: of a call that takes two kinds the generator makes one that cannot be
    imported (openapi-generators/openapi-python-client#1451)."""
    with urllib.request.urlopen(f"{url}/openapi.json") as answer:
        description = json.load(answer)
    for item in description["paths"].values():
        for operation in item.values():
            operation.get("requestBody", {"content": {}})["content"].pop("application/json", None)
    return json.dumps(description)


def client_walks(url, key):
    """Makes a client of the description, and lets it do what the README does."""
    client = WORK / "client"
    shutil.rmtree(client, ignore_errors=True)
    client.mkdir()
    description = client / "openapi.json"
    description.write_text(with_forms_alone(url))
    command = [TOOLS / "openapi-python-client", "generate", "--path", description, "--meta", "none",
               "--output-path", client / "likeness_client"]
    subprocess.run(command, check=True, capture_output=True)
    walk = [TOOLS / "python", HERE / "openapi_client.py", url, key]
    return subprocess.run(walk, env=os.environ | {"PYTHONPATH": str(client)}).returncode == 0


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--binary", type=Path, default=ROOT / "target" / "debug" / "likeness")
    arguments.add_argument("--seed", default="1")
    given = arguments.parse_args()
    binary = given.binary.resolve()
    if not installed():
        print("skipped: the API's description, for pip can install nothing here")
        return 0
    data = WORK / "data"
    shutil.rmtree(data, ignore_errors=True)
    settings = ["--data-dir", data, "--listen", "127.0.0.1:0", "--log", "warn", "--rate-limit", "100000"]
    adding = [binary, "keys", "add", "--first", *settings]
    key = subprocess.run(adding, check=True, capture_output=True, text=True).stdout.strip()
    with started([binary, *settings]) as (url, _):
        # The walk first: its people are those that schemathesis enrols too.
        sound = [client_walks(url, key), no_fault(url, key, given.seed)]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
