"""A small HTTP server that answers as it is told: the refusals that no real server gives on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


@dataclass(frozen=True)
class Reply:
    """What to answer; `act` instead of an answer: `hang` until the server closes, or `close` the connection."""

    status: int = 204
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    act: str = ""
    charset: str = "utf-8"


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class FakeInflux(ThreadingHTTPServer):
    """Answers every request with `reply` and keeps the requests; `{authorization}` in a body repeats that header."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = Reply()
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, request: Request) -> Reply:
        """Say what is answered; for fakes that do more than refuse."""
        del request
        return self.reply

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is a test's intention, not an error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeInflux

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, dict(self.headers), body)
        self.server.requests.append(request)
        reply = self.server.answer(request)
        if reply.act == "hang":
            self.server.closing.wait()
        if reply.act:
            self.close_connection = True
            return
        said = reply.body.replace("{authorization}", self.headers.get("Authorization", "")).encode(reply.charset)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said if reply.status != 204 else b"")

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        """Keep the output of the tests clean."""


@contextmanager
def running(kind: type[FakeInflux] | None = None) -> Iterator[FakeInflux]:
    """Run a fake, of one's own kind if need be, on a free loopback port."""
    with (kind or FakeInflux)() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
