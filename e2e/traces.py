#!/usr/bin/env python3
"""Tests the traces of a binary with the feature `otlp` against the guide.

    e2e/traces.py [--binary target/debug/likeness]

A collector on loopback stores what it receives and decodes the protobuf fields under test. Each
request is one trace, the caller's if it sends one; its stages are within it, with the names and
times of `Server-Timing`; no byte contains an employee, score or photo. A collector that is absent,
silent or slow changes no answer and doesn't delay the shutdown. Needs Python's standard library.
Exits with 1 on a fault.
"""

import argparse
import json
import socket
import struct
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from service import PEOPLE, ROOT, Service, started
NAME = "ada.lovelace"
TOLD = {"http.request.method", "http.route", "http.response.status_code", "likeness.request_id", "error.type"}
SERVER, ERROR = 2, 2
# The exporter gives a batch ten seconds, the end of the process two.
LONGEST_END = 9


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(data):
    """The fields of a protobuf message by their number, each with its values in their order."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
            value, at = data[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def value(message):
    """Of an AnyValue the text or the number."""
    found = fields(message)
    return found[1][0].decode() if 1 in found else found[3][0]


def attributes(entries):
    pairs = (fields(entry) for entry in entries)
    return {pair[1][0].decode(): value(pair[2][0]) for pair in pairs}


def spans(body):
    """The spans of an ExportTraceServiceRequest (opentelemetry-proto, trace.proto)."""
    for resource in fields(body)[1]:
        parts = fields(resource)
        service = attributes(fields(parts[1][0])[1])["service.name"]
        for scope in parts[2]:
            for span in fields(scope)[2]:
                parts = fields(span)
                begin, end = (struct.unpack("<Q", parts[number][0])[0] for number in (7, 8))
                yield {
                    "service": service, "trace": parts[1][0].hex(), "id": parts[2][0].hex(), "begin": begin, "end": end,
                    "parent": parts.get(4, [b""])[0].hex(), "name": parts[5][0].decode(), "kind": parts[6][0],
                    "told": attributes(parts.get(9, [])), "status": fields(parts[15][0]).get(3, [0])[0] if 15 in parts else 0,
                }


@contextmanager
def collector():
    """A collector that keeps every body; gives its address and them."""
    bodies = []

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf", self.path
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keep)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()


class Caller(Service):
    """Sends a traceparent of its own with each call, and keeps what was answered."""

    def __init__(self, url):
        super().__init__(url)
        self.calls = []

    def call(self, method, path, body=None, headers=None, sampled=True):
        number = len(self.calls) + 1
        trace, parent = f"{number:032x}", f"{number:016x}"
        headers = self.header | (headers or {}) | {"traceparent": f"00-{trace}-{parent}-{sampled:02x}"}
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        answer = json.loads(response.read() or b"null")
        self.calls.append({"trace": trace, "parent": parent, "sampled": sampled, "route": f"{method} {path.split('?')[0]}",
                           "status": response.status, "id": response.getheader("x-request-id"), "answer": answer,
                           "stages": response.getheader("server-timing")})
        return response.status, answer


def everything(service):
    """Each kind of call that somebody is named in; the statuses and, where one was decided, the decisions."""
    photos = [PEOPLE / f"p01-{letter}.jpg" for letter in "abc"]
    answers = [
        service.send("/enroll", photos[0], employee_id=NAME),
        service.send("/verify", photos[1], employee_id=NAME),
        service.send("/identify", photos[2]),
        service.send("/compare", photos[0], employee_id=NAME),
        service.send("/verify", photos[1], employee_id=f"not.{NAME}"),
        service.call("GET", f"/employees/{NAME}"),
        service.call("DELETE", f"/employees/{NAME}"),
        service.call("GET", "/nowhere"),
    ]
    return [(status, answer.get("code"), bool(answer.get("match"))) for status, answer in answers]


def numbers(answer):
    """Every score and similarity of an answer."""
    if isinstance(answer, dict):
        for key, member in answer.items():
            if key in ("score", "similarity"):
                yield member
            yield from numbers(member)
    elif isinstance(answer, list):
        for member in answer:
            yield from numbers(member)


def check_call(call, found):
    """A call's spans are one of its own and its stages within."""
    roots = [span for span in found if span["parent"] == call["parent"]]
    assert len(roots) == 1, (call, found)
    root, stages = roots[0], sorted((span for span in found if span is not roots[0]), key=lambda span: span["begin"])
    route = call["route"].replace(f"/{NAME}", "/{employee_id}").replace("/nowhere", "(none)")
    assert (root["name"], root["kind"], root["service"]) == (route, SERVER, "likeness"), root
    told = {"http.request.method": route.split()[0], "http.route": route.split()[1], "http.response.status_code": call["status"],
            "likeness.request_id": call["id"]}
    if call["status"] >= 400:
        told["error.type"] = call["answer"]["code"]
    assert root["told"] == told, root["told"]
    assert (root["status"] == ERROR) == (call["status"] >= 500), root
    timed = [stage.split(";dur=") for stage in (call["stages"] or "").split(", ") if stage]
    assert [stage["name"] for stage in stages] == [name for name, _ in timed], (stages, timed)
    for stage, (_, milliseconds) in zip(stages, timed):
        assert stage["parent"] == root["id"] and not stage["told"], stage
        assert root["begin"] <= stage["begin"] <= stage["end"] <= root["end"], (root, stage)
        # The same measurement, which the header rounds.
        assert abs((stage["end"] - stage["begin"]) / 1e6 - float(milliseconds)) < 0.0051, (stage, milliseconds)
    return len(stages)


def check_traces(binary):
    """What a collector is told; gives what is answered."""
    with collector() as (endpoint, bodies), tempfile.TemporaryDirectory() as data:
        with started([binary, "--listen", "127.0.0.1:0", "--data-dir", data, "--log", "off", "--otlp-endpoint", endpoint + "/"]) as (url, _):
            service = Caller(url)
            answers = everything(service)
            service.call("GET", "/livez", sampled=False)
            plain = Service(url)
            assert plain.call("GET", "/livez")[0] == 200
        # What was not sent yet came before the end of the process.
    found = [span for body in bodies for span in spans(body)]
    traces = {}
    for span in found:
        traces.setdefault(span["trace"], []).append(span)
    asked = [call for call in service.calls if call["sampled"]]
    stages = [check_call(call, traces.pop(call["trace"])) for call in asked]
    assert max(stages) >= 8, stages
    # Without a traceparent a request begins a trace; and a caller who keeps no trace wants none kept.
    [[alone]] = traces.values()
    assert (alone["name"], alone["parent"]) == ("GET /livez", ""), alone
    assert set().union(*(span["told"] for span in found)) == TOLD
    sent = b"".join(bodies)
    scores = {number for call in asked for number in numbers(call["answer"])}
    assert len(scores) > 4, scores
    written = (str(score)[:8].encode() for score in scores)
    for secret in [b"lovelace", *filter(lambda digits: len(digits) > 5, written), *(struct.pack("<d", score) for score in scores)]:
        assert secret not in sent, secret
    for photo in PEOPLE.glob("p01-*.jpg"):
        middle = photo.read_bytes()[1000:1016]
        assert middle not in sent, photo
    print(f"{len(found)} spans of {len(asked) + 1} requests in {len(bodies)} batches and {len(sent)} bytes, and nobody in them")
    return answers


def check_deaf(binary, what, endpoint, answers, *settings):
    """A collector that takes nothing changes no answer, and not for long the end."""
    command = ["env", *settings, binary, "--listen", "127.0.0.1:0", "--log", "off", "--otlp-endpoint", endpoint]
    with tempfile.TemporaryDirectory() as data:
        with started([*command, "--data-dir", data]) as (url, _):
            service = Caller(url)
            assert everything(service) == answers
            for _ in range(200):
                assert service.call("GET", "/livez")[0] == 200
            ending = time.monotonic()
        took = time.monotonic() - ending
    print(f"{what}: every answer as before, and the end took {took:.1f} s")
    assert took < LONGEST_END


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--binary", type=Path, default=ROOT / "target/debug/likeness")
    binary = str(arguments.parse_args().binary.resolve())
    answers = check_traces(binary)
    assert answers[1] == (200, None, True) and answers[2] == (200, None, True), answers
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        gone = nobody.getsockname()[1]
    check_deaf(binary, "no collector", f"http://127.0.0.1:{gone}", answers, "OTEL_BSP_SCHEDULE_DELAY=100")
    # Connections wait in its backlog for ever.
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        check_deaf(binary, "a silent collector and a full queue", endpoint, answers, "OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_BSP_MAX_QUEUE_SIZE=16")


if __name__ == "__main__":
    sys.exit(main())
