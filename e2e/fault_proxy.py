"""A TCP proxy between the service and its database that fails on request."""

import socket
import threading


class Proxy:
    """Forwards to PostgreSQL while `open`; `shut` drops every connection, `dumb` discards all bytes.

    `blackhole` discards all bytes of the present connections without closing them, as after a
    failover that moved the address. New connections are forwarded."""

    def __init__(self, target):
        self.target, self.state, self.pairs, self.lock = target, "open", set(), threading.Lock()
        self.swallowed = set()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.server.accept()
            if self.state == "shut":
                client.close()
                continue
            pair = (client, socket.create_connection(self.target))
            for end in pair:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.add(pair)
            for a, b in [pair, pair[::-1]]:
                threading.Thread(target=self.carry, args=(a, b, pair), daemon=True).start()

    def carry(self, source, sink, pair):
        try:
            while data := source.recv(65536):
                if self.state != "dumb" and pair not in self.swallowed:
                    sink.sendall(data)
        except OSError:
            pass
        if pair not in self.swallowed:
            self.drop(pair)

    def drop(self, pair):
        with self.lock:
            self.pairs.discard(pair)
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def blackhole(self):
        with self.lock:
            self.swallowed |= self.pairs
            self.pairs.clear()

    def set(self, state):
        """Connections that lost bytes are closed when the proxy opens again."""
        before, self.state = self.state, state
        if state == "shut" or before == "dumb":
            for pair in list(self.pairs):
                self.drop(pair)
