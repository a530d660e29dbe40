"""A store that is a server of its own: it takes line protocol over HTTP and keeps the lines, also when it is killed.

`python store_server.py PORT FILE`; as InfluxDB 2 answers a write: 204 when it is on the disk.
"""

from __future__ import annotations

import gzip
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if "write" in self.path:
            with Path(sys.argv[2]).open("ab") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def points(lines: bytes) -> dict[tuple[bytes, bytes], frozenset[bytes]]:
    """Return what a store has after some lines: (measurement and tags, time) -> fields; the last line counts."""
    out = {}
    for line in lines.splitlines():
        prefix, fields, time = line.rsplit(b" ", 2)
        out[prefix, time] = frozenset(fields.split(b","))
    return out


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
