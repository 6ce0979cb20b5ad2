#!/usr/bin/env python3
"""Runs the commands of README.md and docs/ with the built binary, each page in an empty folder.

    e2e/guide.py [--binary target/release/likeness] [--write] [PAGE…]

The blocks of a page run in order in one shell, which stops at the first failure:
    ```sh              runs as it is
    ```sh serve        runs in the background until the next one, a `stop` or the end of the page;
                       the script continues when it is ready
    ```sh fails        must fail
    ```sh skip: WHY    is not run; the script prints why
    <!-- try: … -->    prepares what the reader has: photos, a file. $DATA is tests/data

The block that follows is compared with the output: ```json by keys and values (numbers within a
thousandth; times, ids and digests by their form), ```text line by line (numbers by their form; …
matches anything). --write replaces it with the output. A free port replaces 127.0.0.1:8080. Needs
bash, curl and Python's standard library. Exits with 1 if a page is wrong.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from service import DATA, ROOT, free_port

BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$|<!-- try: (.*?) -->", re.M | re.S)
PRELUDE = """
set -euo pipefail
stop() { if [ -n "${SERVICE:-}" ]; then kill "$SERVICE"; wait "$SERVICE" || true; SERVICE=; fi; }
trap stop EXIT
ready() {
  for _ in $(seq 300); do
    if grep -q "ready at" "$1"; then return; fi
    kill -0 "$SERVICE"; sleep 0.1
  done
  return 1
}
"""


def script(page, blocks):
    """The page as one bash script; what block N prints goes to $OUT/N."""
    lines = [PRELUDE]
    for at, block in enumerate(blocks):
        language, how, text, before = block.groups()
        if before:
            lines.append(before)
        elif language != "sh":
            continue
        elif how.strip() == "serve":
            lines.append(f"stop\n{{ exec {text}}} > $OUT/{at} 2>&1 &\nSERVICE=$!; ready $OUT/{at}")
        elif how.strip() == "fails":
            lines.append(f"if ( {text}) > $OUT/{at} 2>&1; then echo 'block {at} did not fail' >&2; exit 1; fi")
        elif how.strip().startswith("skip: "):
            print(f"{page.name}: not tried, {how.strip()[6:]}: {text.splitlines()[0]}")
        elif how.strip():
            sys.exit(f"{page.name}: what is ```sh{how}?")
        else:
            lines.append(f"exec 3>&1 > $OUT/{at}\n{text}exec >&3")
    return "\n".join(lines)


def run(page, blocks, binary, out):
    listen = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        Path(home, ".curlrc").write_text("silent\nshow-error\n")
        environment = {"PATH": f"{binary.parent}:{os.environ['PATH']}", "HOME": home, "DATA": str(DATA),
                       "OUT": out, "LISTEN": listen, "LIKENESS_LISTEN": listen, "LIKENESS_LOG": "error"}
        text = script(page, blocks).replace("127.0.0.1:8080", listen)
        ended = subprocess.run(["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    if ended.returncode:
        printed = sorted(Path(out).glob("[0-9]*"), key=lambda file: file.stat().st_mtime)
        last = printed[-1] if printed else None
        shown = f"```sh\n{blocks[int(last.name)][3]}```\nprinted:\n{last.read_text()}\n" if last else ""
        sys.exit(f"{page.name}: status {ended.returncode}\n{shown}{ended.stderr}")
    return listen


def documents(text):
    """The JSON values of a text, one after the other; what stands around them is passed over."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (start := text.find("{", at)) >= 0:
        value, at = decoder.raw_decode(text, start)
        found.append(value)
    return found


CHANGING = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{24,}|[\w-]{40,}")


def alike(shown, real):
    if isinstance(shown, dict) and isinstance(real, dict):
        return shown.keys() == real.keys() and all(alike(shown[key], real[key]) for key in shown)
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(alike, shown, real))
    if isinstance(shown, str) and isinstance(real, str):
        return CHANGING.sub("~", shown) == CHANGING.sub("~", real)
    if type(shown) in (int, float) and type(real) in (int, float):
        return abs(shown - real) <= 1e-3 * max(1, abs(real))
    return shown is real


def written(value, width=118, indent=0):
    """JSON with as many members on a line as fit."""
    flat = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if len(flat) + indent <= width or not isinstance(value, (dict, list)):
        return flat
    if isinstance(value, list):
        return "[" + (",\n" + " " * (indent + 1)).join(written(member, width, indent + 1) for member in value) + "]"
    lines, line = [], ""
    for key, member in value.items():
        part = f'{json.dumps(key)}:{written(member, width - len(key) - 4, indent + 1)}'
        if line and len(line) + len(part) + indent + 2 > width:
            lines.append(line + ",")
            line = part
        else:
            line = f"{line},{part}" if line else part
    return "{" + ("\n" + " " * (indent + 1)).join([*lines, line]) + "}"


def lines_alike(shown, real):
    form = re.escape(re.sub(r"\d+", "0", CHANGING.sub("~", shown.strip()))).replace("…", ".*")
    return re.fullmatch(form, re.sub(r"\d+", "0", CHANGING.sub("~", real.strip()))) is not None


def wrong(language, shown, printed):
    if language == "json":
        return not alike(documents(shown), documents(printed))
    real = printed.strip().splitlines()
    return not shown.strip() or not all(any(lines_alike(line, other) for other in real) for line in shown.strip().splitlines() if line.strip() != "…")


def try_page(page, binary, write):
    """Whether the page is right; with `write` it is made so."""
    text = page.read_text()
    blocks = list(BLOCK.finditer(text))
    faults = []
    with tempfile.TemporaryDirectory() as out:
        listen = run(page, blocks, binary, out)
        for at, (before, block) in enumerate(zip(blocks, blocks[1:])):
            language, printed = block[1], Path(out) / str(at)
            if language not in ("json", "text") or before[1] != "sh" or not printed.exists():
                continue
            real = printed.read_text().replace(listen, "127.0.0.1:8080")
            if wrong(language, block[3], real):
                faults.append((block, "\n".join(map(written, documents(real))) + "\n" if language == "json" else real))
    for block, real in reversed(faults):
        if write:
            text = text[:block.start(3)] + real + text[block.end(3):]
        else:
            print(f"{page.name}: shown\n{block[3]}printed\n{real}")
    if write:
        page.write_text(text)
    print(f"{page.name}: {sum(block[1] == 'sh' for block in blocks)} blocks, {len(faults)} {'written' if write else 'wrong'}")
    return write or not faults


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--binary", type=Path, default=ROOT / "target/release/likeness")
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("pages", nargs="*", type=Path)
    given = arguments.parse_args()
    pages = given.pages or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return 0 if all([try_page(page, given.binary.resolve(), given.write) for page in pages]) else 1


if __name__ == "__main__":
    sys.exit(main())
