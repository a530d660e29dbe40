"""The journal: the core and everything it leaves on disk, in the order that survives a power cut.

A batch is logged raw, then fed to the core; a closed period is committed with the core's state and the place in the
raw log from which the next start goes on. What brings our own code down is remembered first: a batch that does it
twice is set aside and its sensor no longer trusted, so that replaying the log cannot become a crash loop.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway import history
from gateway.acquire import Timeline
from gateway.block import Windows
from gateway.clock import Clock, boot_id
from gateway.commit import Committer, Terms
from gateway.config import Config
from gateway.core import Core, Plan
from gateway.outbox import Outbox
from gateway.pipeline.longer import Running, Validity, local
from gateway.pipeline.noise import DayParts
from gateway.plans import percentiles
from gateway.rawblock import pack
from gateway.rawkeep import keeps
from gateway.rawlog import RawLog, Sizes
from gateway.rawread import Position
from gateway.record import ClockRecord, ConfigRecord, Context, Record, RecordKind, encode
from gateway.supervise import Alarms

log = logging.getLogger(__name__)
T = TypeVar("T")
NS = 1_000_000_000
MB = 1_000_000
CLOCK_STEP_NS = NS // 2


def terms(config: Config) -> Terms:
    """Take out of a configuration what goes into messages."""
    windows, gateway, hours = config.windows, config.gateway, config.windows.hours
    parts = DayParts(hours.day, hours.evening, hours.night)
    return Terms(
        config.site.name,
        gateway.name,
        windows.long_s,
        windows.min_capture,
        gateway.history_days,
        running=tuple(Running(*one) for one in windows.running_s),
        local=tuple(local(name, config.site.timezone, parts) for name in windows.local),
        parts=parts,
        percentiles=percentiles(config),
        validity={
            name: Validity(one.min_capture, one.by == "hours", one.hour_min_capture)
            for name, one in windows.validity.items()
        },
        allowed_lateness_s=windows.allowed_lateness_s,
    )


class Journal:
    """The disk's side of one run; `open` and `close` block, the rest may be called from the event loop."""

    def __init__(self, config: Config, plans: dict[str, Plan], timeline: Timeline, alarms: Alarms) -> None:
        self._config = config
        self._plans = plans
        self._timeline = timeline
        self._clock: Clock = timeline.clock
        self._alarms = alarms
        self._data_dir: Path = config.gateway.data_dir
        self._pending: list[Windows] = []  # closed, not yet committed: the disk is full or away
        self._standing: dict[tuple[RecordKind, str], Record] = {}  # what is in force: clock, configuration, contexts
        self._position = Position()
        self._epoch = -1
        self._synced_ns = self._clock.mono_ns()
        self.disk = ThreadPoolExecutor(1, "disk")  # one thread: the database and the log have one owner

    # -- start and end -----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the files and bring the core to where the last run left it; raises OSError, sqlite3.Error."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self.outbox = Outbox(self._data_dir / "gateway.db")
        if self.outbox.quarantined:
            self._alarms.raise_("database", f"the database could not be used; it is kept as {self.outbox.quarantined}")
        self._open_rawlog()
        self.committer = Committer(self.outbox, terms(self._config))
        self.core = self._new_core()
        again = self._restore()
        self.core.distrusted = frozenset(self._distrusted())
        for after, records in again:
            closed = self._feed(records, after)
            if closed:
                self.committer.commit(closed, self.core, *after)
        self.core.caught_up()
        if any(bad := (self.rawlog.quarantined_bytes, self.rawlog.lost.blocks, self.rawlog.lost.bytes)):
            log.warning("raw log: %d bytes of a torn tail set aside, %d blocks missing, %d bytes passed over", *bad)
        self._begin()

    def _open_rawlog(self) -> None:
        """Open the raw log; its numbers go on behind the saved position, also when its folder was lost."""
        raw, saved = self._config.rawlog, self.outbox.state()
        sizes = Sizes(int(raw.segment_mb * MB), int(raw.keep_mb * MB), int(raw.recent_mb * MB))
        behind = Position(saved.segment, saved.offset) if saved else Position()
        judge = keeps(raw, self._plans)
        self.rawlog = RawLog(self._data_dir, sizes, behind=behind, preface=self._preface, keeps=judge)

    def _preface(self) -> list[Record]:
        """Return what a new segment must say first, so that it can be read when the ones before it are gone."""
        return list(self._standing.values())

    def _remember_standing(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.kind in (RecordKind.CLOCK, RecordKind.CONFIG):
                self._standing[record.kind, ""] = record
            elif record.kind is RecordKind.CONTEXT:
                context = msgspec.msgpack.decode(record.data, type=Context)
                again = encode(Context(False, context.data, context.serial))  # the session itself began long ago
                self._standing[record.kind, record.source] = record._replace(data=again)

    async def close(self) -> None:
        """Write the state down, so that the next start has nothing to replay.

        Not while closed windows wait for the disk: the state of the last commit stands before them, and from there
        the raw log makes them again.
        """
        await self.commit()
        if self._pending:
            return
        state = Committer.state_of(self.core, *self._position)
        try:
            await self.on_disk(lambda: self.outbox.commit(state=state))
        except (sqlite3.Error, OSError) as error:
            self._alarms.raise_("disk", f"cannot write the state: {error}; the next start reads the raw log instead")

    def shut(self) -> None:
        """Close the files."""
        if hasattr(self, "rawlog"):
            self.rawlog.close()
            self.outbox.close()

    def _new_core(self) -> Core:
        config = self._config
        windows = config.windows
        return Core(
            {config.hash: self._plans}, windows.base_s, config.gateway.lateness_s, windows.allowed_lateness_s
        )  # fmt: skip

    def _restore(self) -> Iterator[tuple[Position, list[Record]]]:
        """Put back the saved state; return what must be read again of the raw log."""
        saved = self.outbox.state()
        if saved is None:
            self.core.begin(self._config.hash)
            return self.rawlog.read_whole()
        try:
            lost = self.core.restore(saved.body, self._config.hash)
        except ValueError as error:
            log.warning("the saved state is set aside (%s); the raw log rebuilds it", error)
            (self._quarantine() / f"state-{saved.segment}-{saved.offset}").write_bytes(saved.body)
            self.core = self._new_core()
            # What history holds is not made again: the log may no longer have all of it.
            last_ns = history.last_start_ns(self.outbox.db)
            closed_ns = 0 if last_ns is None else last_ns + self._config.windows.base_s * NS
            self.core.begin(self._config.hash, closed_ns)
            return self.rawlog.read(Position())
        if lost:
            log.warning("configured anew, so their open window starts afresh: %s", ", ".join(lost))
        return self.rawlog.read(Position(saved.segment, saved.offset))

    def _begin(self) -> None:
        """Write down under which clock and configuration this run begins."""
        self._epoch = self.core.clock.epoch
        self.set_clock(same_epoch=self.core.clock.boot_id in ("", boot_id()))
        config = ConfigRecord(self._config.hash)
        self.take([Record(RecordKind.CONFIG, self._clock.mono_ns(), "", encode(config))])

    # -- records -> windows ------------------------------------------------------------------------------------

    def take(self, records: Sequence[Record]) -> None:
        """Log and feed a batch; what it closes waits for `commit`."""
        self._position = self.rawlog.append(records)
        if self.rawlog.trouble:
            self._alarms.raise_("raw log", self.rawlog.trouble)
        else:
            self._alarms.clear("raw log")
        self._remember_standing(records)
        self._pending += self._feed(records, self._position)

    async def commit(self) -> list[Windows]:
        """Commit what has closed; return all windows made, or none when the disk refuses (they are tried again)."""
        if not self._pending:
            return []
        bases = list(self._pending)
        state = Committer.state_of(self.core, *self._position)
        watermark_ns = self.core.watermark_ns
        try:
            done = await self.on_disk(lambda: self.committer.write(bases, state, watermark_ns, self.core))
        except (sqlite3.Error, OSError) as error:
            self._alarms.raise_("disk", f"cannot commit: {error}; free some space in {self._data_dir}")
            return []
        self._alarms.clear("disk")
        self._pending = self._pending[len(bases) :]
        return done

    async def sync_if_due(self) -> None:
        """Put the raw log on the medium every `sync_s`, right behind a batch, so that a power cut costs no more."""
        now = self._clock.mono_ns()
        if now - self._synced_ns < self._config.rawlog.sync_s * NS - NS // 2:
            return
        self._synced_ns = now
        try:
            await self.on_disk(self.rawlog.sync)
        except OSError as error:
            self._alarms.raise_("raw log sync", f"cannot sync the raw log: {error}; a power cut may cost more now")
        else:
            self._alarms.clear("raw log sync")

    async def on_disk(self, job: Callable[[], T]) -> T:
        """Do something in the thread that owns the files."""
        return await asyncio.get_running_loop().run_in_executor(self.disk, job)

    # -- time ----------------------------------------------------------------------------------------------------

    def follow_clock(self) -> None:
        """Keep the offset while it is within half a second of UTC; else begin a new epoch."""
        drift = self._clock.utc_ns() - self._clock.mono_ns() - self._timeline.offset_ns
        if abs(drift) >= CLOCK_STEP_NS:
            log.warning("the clock was set by %+.3f s: a new time line begins", drift / NS)
            self.set_clock(same_epoch=False)

    def set_clock(self, *, same_epoch: bool) -> None:
        """Take the offset of UTC now and write it down; within one epoch a small difference changes nothing."""
        mono, utc = self._clock.mono_ns(), self._clock.utc_ns()
        offset, known = utc - mono, self.core.clock
        same_line = same_epoch and known.boot_id == boot_id() and abs(known.offset_ns - offset) < CLOCK_STEP_NS
        if same_line:
            offset = known.offset_ns
        else:
            self._epoch += 1
        self._timeline.offset_ns = offset
        clock = ClockRecord(boot_id(), offset, self._clock.synchronised(), self._epoch)
        self.take([Record(RecordKind.CLOCK, mono, "", encode(clock))])

    # -- crashes of our own code -------------------------------------------------------------------------------

    def _feed(self, records: Sequence[Record], position: Position) -> list[Windows]:
        try:
            return self.core.feed(records)
        except Exception:
            self._remember_crash(records, position)
            raise

    def _remember_crash(self, records: Sequence[Record], position: Position) -> None:
        """Count crashes by place; a batch that does it twice is set aside and its sensor no longer trusted."""
        name = self.core.current
        here = f"{position.segment}:{position.offset}:{name}"
        log.exception("our own code failed on the records of %s", name)
        if self.outbox.recall("crash", "") != here:
            self.outbox.remember("crash", here)
            return
        (self._quarantine() / f"batch-{position.segment}-{position.offset}.raw").write_bytes(pack(records))
        distrusted = self._distrusted() | {name: version("lamppost")}
        self.outbox.remember("distrusted", msgspec.json.encode(distrusted).decode())

    def _distrusted(self) -> dict[str, str]:
        """Return the sensors whose records this version of the program has failed on twice."""
        known: dict[str, str] = msgspec.json.decode(self.outbox.recall("distrusted", "{}"))
        current = {name: by for name, by in known.items() if by == version("lamppost")}
        for name in current:
            self._alarms.raise_(f"bug {name}", f"our own code fails on {name}: its bad frames are rejected; report it")
        return current

    def _quarantine(self) -> Path:
        folder = self._data_dir / "quarantine"
        folder.mkdir(exist_ok=True)
        return folder
