#!/usr/bin/env python3
"""Tests real reverse proxies in front of the real binary, with and without API keys.

    e2e/reverse_proxies.py [--binary target/debug/likeness]

nginx with only proxy_pass, HAProxy and socat forward to a service without keys: every call without
the local credential is refused. Then keys are added, and the last is revoked: every call is refused.
Finally the configurations of docs/behind-a-proxy.md, also under a path prefix: the console, its
assets and its calls work. A proxy that is not installed is skipped by name. Needs Python's standard
library; everything listens on loopback. Exits with 1 on a fault.
"""

import argparse
import contextlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from service import KIND, PEOPLE, ROOT, form, free_port, started

PHOTO = (PEOPLE / "p01-a.jpg").read_bytes()
# Every call that changes or tells anything.
GUARDED = [
    ("GET", "/employees", None), ("GET", "/employees/e-1", None), ("DELETE", "/employees/e-1", None), ("GET", "/metrics", None),
    *(("POST", path, form({"employee_id": "e-1", "photo": PHOTO, "photo_a": PHOTO, "photo_b": PHOTO}))
      for path in ("/enroll", "/verify", "/identify", "/compare", "/check")),
]
NGINX = """
user root; worker_processes 1; daemon off; pid FOLDER/nginx.pid; error_log FOLDER/nginx.log;
events {}
http {
  access_log off;
  client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy; fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
  server { listen 127.0.0.1:PORT; CONTENT }
}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend in
  bind 127.0.0.1:PORT
  default_backend out
backend out
  server likeness SERVICE
"""


@contextlib.contextmanager
def running(command, port):
    """Runs a proxy until the block ends; gives its port once it accepts."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None:
                sys.exit(f"{command[0]} did not start: {process.stderr.read()}")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def nginx(content, folder):
    port = free_port()
    text = NGINX.replace("FOLDER", str(folder)).replace("PORT", str(port)).replace("CONTENT", content)
    (folder / "nginx.conf").write_text(text)
    return running([shutil.which("nginx"), "-c", folder / "nginx.conf", "-e", folder / "nginx.log"], port)


def haproxy(service, folder):
    port = free_port()
    (folder / "haproxy.cfg").write_text(HAPROXY.replace("PORT", str(port)).replace("SERVICE", service))
    return running([shutil.which("haproxy"), "-f", folder / "haproxy.cfg"], port)


def socat(service, _):
    port = free_port()
    return running([shutil.which("socat"), f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"TCP:{service}"], port)


def caddy(content, folder):
    port = free_port()
    (folder / "Caddyfile").write_text("{\n  admin off\n  auto_https off\n}\n" + f"http://127.0.0.1:{port} {{\n{content}\n}}\n")
    return running([shutil.which("caddy"), "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"], port)


PLAIN = {
    "nginx": lambda service, folder: nginx(f"location / {{ proxy_pass http://{service}; }}", folder),
    "haproxy": haproxy,
    "socat": socat,
}


def call(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, headers | ({"Content-Type": KIND} if body else {}))
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def refused(port, what, status=401, **headers):
    for method, path, body in GUARDED:
        got, text, _ = call(port, method, path, body, **headers)
        assert got == status, f"{what}: {method} {path} was answered {got}: {text[:200]}"


def installed(proxies):
    for name, start in proxies.items():
        if shutil.which(name):
            yield name, start
        else:
            print(f"skipped: {name} is not installed")


def without_keys(url, folder):
    service = url.removeprefix("http://")
    for name, start in installed(PLAIN):
        with start(service, folder) as port:
            refused(port, f"{name}, no keys")
            for host in ("localhost", "127.0.0.1:8080", "likeness.example.org"):
                refused(port, f"{name}, no keys, Host {host}", Host=host)
            # Named by another host even the local credential is of no use.
            if name != "nginx":
                refused(port, f"{name}, local credential, another Host", 403, Host="likeness.example.org", **url.header)
    print("no keys: nothing is served through a proxy", flush=True)


def with_the_last_key_revoked(binary, data, url, folder):
    def keys(*what):
        return subprocess.run([binary, "keys", *what, "--data-dir", data], check=True, capture_output=True, text=True).stdout.strip()

    key = keys("add", "--first")
    time.sleep(1.1)
    for name, start in installed(PLAIN):
        with start(url.removeprefix("http://"), folder) as port:
            assert call(port, "GET", "/employees", Authorization=f"Bearer {key}")[0] == 200, name
            refused(port, f"{name}, without its key")
            refused(port, f"{name}, local credential beside a key", **url.header)
    keys("revoke", "admin")
    time.sleep(1.1)
    for name, start in installed(PLAIN):
        with start(url.removeprefix("http://"), folder) as port:
            refused(port, f"{name}, last key revoked")
            refused(port, f"{name}, a revoked key", Authorization=f"Bearer {key}")
            refused(port, f"{name}, local credential after the last key", **url.header)
    print("the last key revoked: nothing is served", flush=True)


def shown(server):
    """The configurations that the guide shows, by the words in front of them."""
    text = (ROOT / "docs/behind-a-proxy.md").read_text()
    return re.findall(rf"```{server}\n(.*?)```", text, re.S)


def console_works(port, prefix, key, what):
    """As a browser would: the page, all that it loads and calls, relative to where it is."""
    status, page, _ = call(port, "GET", f"{prefix}/")
    assert status == 200, f"{what}: {status}"
    for asset in re.findall(r'(?:src|href)="((?:console|docs)/[^"]+)"', page.decode()):
        assert call(port, "GET", f"{prefix}/{asset}")[0] == 200, f"{what}: {asset}"
    assert call(port, "GET", f"{prefix}/docs")[0] == 200 and call(port, "GET", f"{prefix}/openapi.json")[0] == 200
    # As a browser sends it on plain HTTP, where it has no Sec-Fetch-Site.
    origin = f"http://127.0.0.1:{port}"
    body = form({"employee_id": f"e-{port}", "photo": PHOTO, "confirm_lookalike": "true"})
    status, text, headers = call(port, "POST", f"{prefix}/enroll", body, Authorization=f"Bearer {key}", Origin=origin)
    assert status == 201, f"{what}: {text}"
    where = f"{prefix}/{headers['location']}"
    assert call(port, "GET", where, Authorization=f"Bearer {key}")[0] == 200, f"{what}: {where}"


def configurations(binary, folder):
    data = folder / "configured"
    command = [binary, "keys", "add", "--first", "--data-dir", data]
    key = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    with started([binary, "--listen", "127.0.0.1:0", "--data-dir", data, "--log", "error"]) as (url, _):
        service = url.removeprefix("http://")
        for name, start in installed({"nginx": nginx, "caddy": caddy}):
            examples = shown(name)
            assert len(examples) == 2, f"docs/behind-a-proxy.md shows {len(examples)} configurations of {name}"
            for example, prefix in zip(examples, ("", "/face")):
                with start(example.replace("127.0.0.1:8080", service), folder) as port:
                    console_works(port, prefix, key, f"{name}{prefix}")
        if shutil.which("nginx"):
            with PLAIN["nginx"](service, folder) as port:
                status, text, _ = call(port, "POST", "/enroll", form({"photo": PHOTO}), Authorization=f"Bearer {key}", Origin=f"http://127.0.0.1:{port}")
                assert status == 403 and "proxy_set_header Host" in json.loads(text)["detail"], text
    print("the guide's configurations serve the console, at the root and under a prefix", flush=True)


def any_proxy():
    return any(shutil.which(name) for name in PLAIN)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--binary", type=Path, default=ROOT / "target/debug/likeness")
    binary = str(arguments.parse_args().binary.resolve())
    if not any_proxy():
        print("skipped: no proxy is installed")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data = folder / "data"
        with started([binary, "--listen", "127.0.0.1:0", "--data-dir", data, "--log", "error"]) as (url, _):
            without_keys(url, folder)
            with_the_last_key_revoked(binary, data, url, folder)
        configurations(binary, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
