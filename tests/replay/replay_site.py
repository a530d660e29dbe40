"""The gateway of the recorded street: its site file, its journal on disk, and a power cut."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from replay_street import BOOTED_S, DRIVER_OF, START_S

from gateway import history, wire
from gateway.acquire import Timeline
from gateway.block import Windows
from gateway.clock import Clock
from gateway.config import Config
from gateway.config_file import load
from gateway.core import Core, Plan
from gateway.journal import Journal
from gateway.pipeline.windows import NS
from gateway.plans import plans
from gateway.rawblock import block_of, deflate
from gateway.rawfiles import Folder
from gateway.rawread import Position
from gateway.rawring import blocks, survey
from gateway.record import ClockRecord, Record, RecordKind, encode
from gateway.supervise import Alarms

BASE = Path(__file__).parents[2] / "configs" / "base.toml"
SITE = """extends = "{base}"
[site]
name = "street"
[gateway]
name = "lp-test"
data_dir = "data"
[rawlog]
segment_mb = {segment_mb}
[windows]
long_s = [300, 3600]
"""
PLACE = {"sen55": 'bus = "/dev/i2c-1"\naddress = 0x69', "bme280": 'bus = "/dev/i2c-1"\naddress = 0x76'}


def site(folder: Path, segment_mb: float = 0.3, more: str = "") -> Config:
    """Write and load the site file of a data directory; `more` stands at its end."""
    text = SITE.format(base=BASE, segment_mb=segment_mb)
    for sensor, driver in DRIVER_OF.items():
        place = PLACE.get(driver, f'port = "/dev/serial/by-id/{sensor}"')
        text += f'[[sensor]]\nname = "{sensor}"\ndriver = "{driver}"\n{place}\n'
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "site.toml"
    path.write_text(text + more, encoding="utf-8")
    return load(path)


def clock_record(epoch: int = 0, offset_s: float = BOOTED_S) -> Record:
    return Record(RecordKind.CLOCK, 0, "", encode(ClockRecord("boot", round(offset_s * NS), True, epoch)))


def new_core(config: Config) -> Core:
    """Make a core that knows the time, as the journal leaves it."""
    windows = config.windows
    core = Core({config.hash: plans(config)}, windows.base_s, config.gateway.lateness_s, windows.allowed_lateness_s)
    core.begin(config.hash)
    core.feed([clock_record()])
    return core


def whole(windows: Windows) -> tuple[Any, ...]:
    """Write windows down so that equal means bit-equal."""
    arrays = [getattr(windows, name) for name in history.ARRAYS]
    names = (windows.period_s, windows.start_ns, windows.rev, windows.series, windows.kind, windows.sensors)
    names += tuple(getattr(windows, name) for name in history.DETAILS)
    return (*names, *((str(array.dtype), array.shape, array.tobytes()) for array in arrays))


class Post:
    """A lamp post's gateway that can be switched off at any moment; what it has on disk is all that it keeps."""

    def __init__(self, config: Config, own_plans: dict[str, Plan] | None = None) -> None:
        self._config = config
        self._plans = own_plans or plans(config)
        self.data = config.gateway.data_dir
        self.starts = 0
        self.start()

    def start(self) -> None:
        clock = Clock(epoch_ns=BOOTED_S * NS)  # UTC = mono + BOOTED_S, also for the records
        self.alarms = Alarms()
        self.journal = Journal(self._config, self._plans, Timeline(clock), self.alarms)
        self.journal.open()
        self.starts += 1

    async def take(self, records: Sequence[Record], *, commit: bool = True) -> None:
        self.journal.take(records)
        if commit:
            await self.journal.commit()

    def cut_power(self, torn: Sequence[Record] = (), share: float = 0.5) -> None:
        """Nothing more is written down; a share of the block of the `torn` records had reached the medium."""
        journal = self.journal
        journal.disk.shutdown()
        journal.outbox.db.close()
        if torn:
            files = Folder(self.data / "raw")
            segment, (*_, last) = survey(files)[-1], blocks(files, 0)
            block = block_of(deflate(torn), last.sequence + 1, segment.first)
            files.write(segment.name, last.end, block[: min(int(len(block) * share), segment.size - last.end)])

    async def run(self, blocks: Iterable[Sequence[Record]]) -> None:
        """Take blocks without a break, then end as the gateway does."""
        for block in blocks:
            await self.take(block)
        await self.end()

    async def end(self) -> None:
        await self.journal.close()
        self.journal.disk.shutdown()
        self.journal.shut()


def database(data: Path) -> sqlite3.Connection:
    return sqlite3.connect(data / "gateway.db", isolation_level=None)


def kept_history(data: Path) -> list[tuple[Any, ...]]:
    """Return every base window on disk, bit by bit."""
    with closing(database(data)) as db:
        return [whole(windows) for windows in history.between(db, 0, 2**62)]


def kept_messages(data: Path, least_start_ns: int = START_S * NS) -> list[dict[str, Any]]:
    """Return every message on disk but for its number."""
    with closing(database(data)) as db:
        query = "SELECT payload FROM message WHERE start_ns >= ? ORDER BY period_s, start_ns, rev, seq"
        messages = [wire.unpack_windows(payload) for (payload,) in db.execute(query, (least_start_ns,))]
    out = [msgspec.to_builtins(message) for message in messages]
    for message in out:
        del message["epoch"], message["seq"]
    return out


def move_position(data: Path, position: Position) -> None:
    """Falsify from where the next start goes on."""
    with closing(database(data)) as db:
        db.execute("UPDATE state SET segment = ?, offset = ?", position)


def blocks_of(records: Sequence[Record], sizes: Iterable[int]) -> list[list[Record]]:
    """Cut a recording into batches of the given sizes; the last one takes the rest."""
    blocks, at = [], 0
    for size in sizes:
        if at >= len(records):
            break
        blocks.append(list(records[at : at + size]))
        at += size
    if at < len(records):
        blocks.append(list(records[at:]))
    return blocks
