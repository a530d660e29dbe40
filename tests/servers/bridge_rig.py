"""A broker, a bridge and a gateway's own Outbox and Publisher, each of which can be hurt; and the sums at the end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gateway import wire
from gateway.bridge import Bridge, Terms
from gateway.clock import Clock
from gateway.dead_letters import DeadLetters
from gateway.outbox import Outbox
from gateway.spool import Spool
from gateway.store.base import Store
from gateway.store.influx import InfluxV1
from gateway.store.lineprotocol import encode
from tests.servers.conftest import Server, accepts, binary, free_port
from tests.store.fake_influx import FakeInflux, Reply, Request

WAIT_S = 20.0


@contextmanager
def mosquitto(folder: Path, *lines: str) -> Iterator[Server]:
    """Run a broker of one's own; without further lines it forgets everything when it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    conf = [f"listener {port} {Server.host}", "allow_anonymous true", *lines]
    conf += ["user root"] if os.geteuid() == 0 else []
    (folder / "mosquitto.conf").write_text("\n".join(conf) + "\n")
    command = [binary("mosquitto", "mosquitto"), "-c", str(folder / "mosquitto.conf")]
    server = Server(command, port, folder, lambda: accepts(port))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def bridging(
    port: int, store: Store, folder: Path, *, spool: Spool | None = None, host: str = Server.host, **others: Any
) -> Iterator[Bridge]:
    """Run a bridge in a thread, subscribed, until the end."""
    terms = Terms(host, port, "bridge", "bridge", None, None, 60, 100, 1_000_000, 0.05, 0.5)._replace(**others)
    bridge = Bridge(terms, store, DeadLetters(folder / "dead-letters"), Clock(), spool)
    subscribed = threading.Event()
    bridge._client.on_subscribe = lambda *_: subscribed.set()
    thread = threading.Thread(target=bridge.run)
    thread.start()
    try:
        assert subscribed.wait(WAIT_S)
        yield bridge
    finally:
        bridge.stop.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()
    assert bridge.failed is None


def run_alone(port: int, url: str, folder: Path) -> None:
    """Run a bridge with a spool into an InfluxDB 1 until this process is killed."""
    terms = Terms(Server.host, port, "bridge", "bridge", None, None, 60, 100, 1_000_000, 0.05, 0.5, spool_after_s=0.2)
    spool = Spool(folder / "spool", 10**7)
    Bridge(terms, InfluxV1(url, "city"), DeadLetters(folder / "dead"), Clock(), spool).run()


class KeepingInflux(FakeInflux):
    """Speaks /write of InfluxDB 1 and keeps the lines it has said 204 to; `reply` may refuse, `wait_s` make it slow."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[bytes, list[bytes]] = {}  # series and time -> fields, each time they came
        self.wait_s = 0.0
        self._keeping = threading.Lock()

    def answer(self, request: Request) -> Reply:
        """Keep what is written, unless told to refuse."""
        if self.wait_s:
            self.closing.wait(self.wait_s)
        if self.reply.status == 204 and not self.reply.act:
            with self._keeping:
                for line in request.body.splitlines():
                    series, fields, at = line.rsplit(b" ", 2)
                    self.lines.setdefault(series + b" " + at, []).append(fields)
        return self.reply

    @property
    def stored(self) -> set[bytes]:
        """Everything it has, as lines."""
        with self._keeping:
            return {key.replace(b" ", b" " + fields[-1] + b" ") for key, fields in self.lines.items()}

    @property
    def most_writes(self) -> int:
        """How often the key that was written most often was written."""
        with self._keeping:
            return max(map(len, self.lines.values()), default=0)


def lines(messages: Sequence[wire.WindowsMessage]) -> set[bytes]:
    """Return what a store must hold of some messages."""
    return set(encode([point for one in messages for point in wire.points(one)]).splitlines())


def account_closes(outbox: Outbox) -> bool:
    """Whether every message that was committed is receipted, dead, replaced or still here."""
    sums = outbox.account()
    gone = sums["receipted_messages"] + sums["dead_messages"] + sums["replaced_messages"]
    return sums["messages"] == gone + len(outbox.queued) + sums.get("dropped_messages", 0)


def opened(path: Path) -> closing[Outbox]:
    """Open a gateway's outbox."""
    return closing(Outbox(path / "gateway.db"))
