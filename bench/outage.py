"""A broker that is away for days, then back: no time is slept, and every window is in the store at the end.

`python -m bench.outage --hours 168 --json` writes docs/evidence/outage.json; ends with 1 when something was lost.

Records of three SEN55 (24 series) go through the gateway's own journal, minute by minute, on a clock that is set.
Then its publisher meets a broker at last: it hands over so many messages in a second, the real bridge carries them into
the embedded store, and of the receipts some are lost. The power goes once in the middle of the outage and once in the
middle of the drain. New minutes go on being made: they must not wait behind the backlog.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import evidence
from bench.outage_parts import (
    BYTE_NS,
    EVERY_S,
    MINUTE,
    NS,
    SENSORS,
    SERIES,
    START_NS,
    Air,
    Line,
    LinePublisher,
    NotingStore,
    QuietBridge,
    SetClock,
    Watched,
    in_short,
)
from gateway import wire
from gateway.accounts import account
from gateway.acquire import Timeline
from gateway.broker_terms import broker_terms
from gateway.config import Config
from gateway.config_file import load
from gateway.dispatch import Lanes
from gateway.journal import Journal
from gateway.plans import plans
from gateway.publish import Status
from gateway.store.base import Key
from gateway.store.sqlite import SqliteStore
from gateway.supervise import Alarms

MORE_S = 3600  # so long minutes are made after the broker has come back
LOOK_ROUNDS = 100  # of the event loop between two looks at the queue, which is long
IDLE_ROUNDS = 20  # of the event loop in which nothing was done: everybody waits
SITE = """\
extends = {base}
[site]
name = "outage"
[gateway]
name = "lp-outage"
data_dir = "data"
run_dir = "run"
[mqtt]
backlog_messages_per_s = {per_s}
[bridge]
data_dir = "bridge"
"""
SENSOR = """
[[sensor]]
name = "{name}"
driver = "sen55"
bus = "/dev/i2c-{i}"
address = 0x69
every_s = {every_s}
"""


class Post:
    """The gateway without its sensors: a journal whose power can be cut; it notes what it commits."""

    def __init__(self, config: Config, clock: SetClock, seed: int) -> None:
        self.config = config
        self.clock = clock
        self.made: dict[Key, bytes] = {}  # of every point that was ever committed: its fields, in short
        self.minutes: list[int] = []  # starts, as the clock had them when they were made
        self.air = Air(seed)
        self._noted = 0
        self.start()

    def start(self) -> None:
        """Switch on."""
        self.journal = Journal(self.config, plans(self.config), Timeline(self.clock), Alarms())
        self.journal.disk.submit(self.journal.open).result()

    def cut_power(self) -> None:
        """Leave what is on the disk, and nothing else."""
        self.journal.disk.shutdown()
        self.journal.outbox.db.close()

    async def live(self) -> None:
        """Live through a minute whose end has come."""
        start_ns = START_NS + len(self.minutes) * MINUTE
        self.journal.take(self.air.minute(start_ns))
        await self.journal.commit()
        await self.journal.on_disk(self._note)
        self.minutes.append(start_ns)

    def _note(self) -> None:
        for seq, payload in self.journal.outbox.db.execute(
            "SELECT seq, payload FROM message WHERE seq > ? AND kind = '' ORDER BY seq", (self._noted,)
        ):
            self._noted = seq
            for point in wire.points(wire.unpack_windows(payload)):
                self.made[point[:3]] = in_short(point.fields)

    @property
    def next_ns(self) -> int:
        """When the next minute can be made, UTC."""
        return START_NS + (len(self.minutes) + 1) * MINUTE + 3 * NS


@dataclass
class Outage:
    """One run; its figures are what is written down."""

    folder: Path
    minutes: int
    seed: int = 1
    swallowed_ns: int = 0  # what starts then never reaches the store: the control
    lanes: bool = True  # without them everything waits for everything before it: another control
    byte_ns: int = BYTE_NS
    clock: SetClock = field(default_factory=SetClock)
    delays_s: list[float] = field(default_factory=list)  # of live minutes while the backlog was drained
    figures: dict[str, Any] = field(default_factory=dict)
    _seen_taken: int = 0
    _rounds_idle: int = 0

    def run(self) -> dict[str, Any]:
        """Do it; return the figures."""
        asyncio.run(self._run())
        return self.figures

    async def _run(self) -> None:
        begun_s = time.monotonic()
        self.post = Post(site(self.folder, self.minutes), self.clock, self.seed)
        await self._away()
        self._note_sizes()
        away_s = time.monotonic() - begun_s
        path = self.post.config.bridge.data_dir / "store.db"
        with closing(NotingStore(path, self.clock, self.swallowed_ns)) as self.store:
            bridge = QuietBridge(self.post.config, self.store, self.clock)
            self.line = Line(bridge, self.clock, random.Random(self.seed), self.byte_ns)
            back_ns = self.clock.utc_ns()
            await self._drain()
        self._judge()
        self.figures |= {
            "drained_in_virtual_s": round((self.clock.utc_ns() - back_ns) / NS),
            "seconds_away": round(away_s, 1), "seconds_drain": round(time.monotonic() - begun_s - away_s, 1),
        }  # fmt: skip

    async def _away(self) -> None:
        for n in range(self.minutes):
            self.clock.pass_(self.post.next_ns - self.clock.utc_ns())
            await self.post.live()
            if n == self.minutes // 2:
                self.post.cut_power()
                self.post.start()

    async def _drain(self) -> None:
        """Send what has waited, with the power cut in the middle of it, until there is a receipt for everything."""
        backlog = len(self.post.journal.outbox.queued)
        await self._send(lambda: len(self.post.journal.outbox.queued) < backlog // 2)
        self.post.cut_power()
        self.post.start()
        await self._send(lambda: not self.post.journal.outbox.queued)
        await self.post.journal.close()
        self.post.journal.shut()
        self.post.journal.disk.shutdown()

    async def _send(self, until: Callable[[], bool]) -> None:
        journal = self.post.journal
        disk = Watched(journal.disk)
        terms = broker_terms(self.post.config)
        publisher = LinePublisher(
            terms if self.lanes else terms._replace(lanes=Lanes()), journal.outbox, self.clock, disk,
            lambda online, reason: Status(1, online, reason, "", ""),
        )  # fmt: skip
        publisher.line = self.line
        sending = asyncio.create_task(publisher.run())
        last_ns = START_NS + self.minutes * MINUTE + MORE_S * NS  # then only receipts are waited for
        rounds = 0
        while rounds % LOOK_ROUNDS or not until():
            rounds += 1
            await asyncio.sleep(0)
            if sending.done():
                sending.result()
            if not self.line.carry() and not self._at_work(disk):
                self.clock.pass_(NS)
                publisher.notify()
                self._rounds_idle = 0
            while self.clock.utc_ns() >= self.post.next_ns and self.post.next_ns <= last_ns:
                await self.post.live()
                publisher.notify()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    def _at_work(self, disk: Watched) -> bool:
        """Tell whether the sender does something; when it only waits for time to pass, time passes."""
        if disk.busy or self.line.taken != self._seen_taken:
            self._rounds_idle, self._seen_taken = 0, self.line.taken
        self._rounds_idle += 1
        return self._rounds_idle < IDLE_ROUNDS

    def _note_sizes(self) -> None:
        data = self.post.config.gateway.data_dir
        days = self.minutes / 1440
        self.post.journal.outbox.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with closing(sqlite3.connect(data / "gateway.db")) as db:
            sizes = {
                name: db.execute(f"SELECT total(length({column})) FROM {name}").fetchone()[0]
                for name, column in (("message", "payload"), ("history", "block"), ("detail", "block"))
            }
        raw = self.post.journal.rawlog.appended_bytes
        per_day = {name: round(size / days) for name, size in sizes.items()}
        whole = round((data / "gateway.db").stat().st_size / days)
        self.figures |= {
            "days": round(days, 3), "minutes": self.minutes, "series": SERIES,
            "backlog_messages": len(self.post.journal.outbox.queued),
            "bytes_per_day": {"gateway_db": whole, **per_day, "raw_log_of_the_second_half": round(raw / days * 2)},
        }  # fmt: skip

    def _judge(self) -> None:
        made = dict(self.post.made)
        stored: dict[Key, bytes] = {}
        with closing(SqliteStore(self.post.config.bridge.data_dir / "store.db", read_only=True)) as store:
            for point in store.read(0, 2**62):
                assert point[:3] not in stored
                stored[point[:3]] = in_short(point.fields)
        end_ns = START_NS + self.minutes * MINUTE
        drained_ns = max(at_ns for start_ns, at_ns in self.store.came_ns.items() if start_ns < end_ns)
        for start_ns, at_ns in self.store.came_ns.items():
            if end_ns <= start_ns and start_ns + MINUTE < drained_ns:
                self.delays_s.append((at_ns - start_ns - MINUTE) / NS)
        with closing(sqlite3.connect(self.post.config.gateway.data_dir / "gateway.db", isolation_level=None)) as db:
            messages, points, _ = account(db)
        starts = {key[2] for key, _ in made.items() if dict(key[1])["period"] == "60s"}
        self.figures |= {
            "messages": messages.produced, "points": points.produced, "sums_close": messages.closes and points.closes,
            "lost": len(made.keys() - stored.keys()), "unknown": len(stored.keys() - made.keys()),
            "changed": sum(made[key] != stored[key] for key in made.keys() & stored.keys()),
            "doubled": points.produced - len(made),
            "queued": messages.queued, "dropped": sum(messages.dropped.values()),
            "restamped": len(starts ^ set(self.post.minutes)), "power_cuts": 2,
            "receipts_lost": self.line.lost_receipts, "publishes": self.line.taken, "bytes_sent": self.line.bytes,
            "live_minutes_meanwhile": len(self.delays_s), "live_delay_max_s": round(max(self.delays_s, default=0.0), 1),
        }  # fmt: skip


def site(folder: Path, minutes: int, more: str = "") -> Config:
    """Write and load the site file; the drain of a short outage is made slower, so that it takes ten minutes too."""
    folder.mkdir(parents=True, exist_ok=True)
    base = json.dumps(str(evidence.ROOT / "configs" / "base.toml"))
    text = SITE.format(base=base, per_s=min(5.0, minutes / 600))
    text += "".join(SENSOR.format(name=name, i=i, every_s=EVERY_S) for i, name in enumerate(SENSORS, 1))
    path = folder / "site.toml"
    path.write_text(text + more, encoding="utf-8")
    return load(path)


def ok(figures: dict[str, Any]) -> bool:
    """Tell whether nothing is lost, nothing is twice, and the sums close."""
    bad = ("lost", "unknown", "changed", "doubled", "queued", "dropped", "restamped")
    return bool(figures["sums_close"]) and not any(figures[name] for name in bad)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=168.0)
    parser.add_argument("--json", action="store_true", help="write docs/evidence/outage.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = Outage(Path(folder), round(args.hours * 60)).run()
    print(json.dumps(figures, indent=1))
    if args.json:
        evidence.write("outage", figures)
    return 0 if ok(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
