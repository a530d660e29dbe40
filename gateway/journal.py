"""The journal: the core and everything it leaves on disk, in the order that survives a power cut.

A batch is logged raw, then fed to the core; a closed period is committed with the core's state and the place in the
raw log from which the next start goes on. What brings our own code down is remembered first: a batch that does it
twice is set aside and its sensor no longer trusted, so that replaying the log cannot become a crash loop.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from gateway import history
from gateway.acquire import Timeline
from gateway.ballast import Ballast, disk_is_full
from gateway.block import Windows
from gateway.caps import caps
from gateway.clock import Clock, boot_id
from gateway.commit import Committer
from gateway.config import Config
from gateway.core import Core, Plan
from gateway.crashes import Crashes
from gateway.health import status_folder
from gateway.holding import Hold, Replay, between
from gateway.in_hand import InHand
from gateway.outbox import Opened, Outbox, SavedState
from gateway.pending import bounded
from gateway.rawread import Position
from gateway.record import ClockRecord, ConfigRecord, Record, RecordKind, encode
from gateway.standing import Standing, open_rawlog
from gateway.supervise import Alarms
from gateway.terms import terms
from gateway.timekeeper import Timekeeper

__all__ = ["Journal", "terms"]
log = logging.getLogger(__name__)
T = TypeVar("T")
NS, MB = 1_000_000_000, 1_000_000
AT_ONCE = 30  # windows that are committed together, where many come at once


class Journal:
    """The disk's side of one run; `open` and `close` block, the rest may be called from the event loop."""

    def __init__(
        self, config: Config, plans: dict[str, Plan], timeline: Timeline, alarms: Alarms, opened: Opened = Outbox
    ) -> None:
        self._config = config
        self._opened = opened
        self._plans = plans
        self._timeline = timeline
        self._clock: Clock = timeline.clock
        self._alarms = alarms
        self._data_dir = config.gateway.data_dir
        self._pending: list[Windows] = []  # closed, not yet committed: the disk is full or away
        self._standing = Standing()
        self.in_hand = InHand(status_folder(config.gateway.run_dir, config.gateway.data_dir))
        self._position = Position()  # from here on the next start reads: what stands before is in the core
        self.keeper = Timekeeper(timeline, config.gateway.unsynced_hold_s, alarms)
        self._preview: Core | None = None  # while readings wait for the clock: a core that shows what they say
        self._synced_ns = self._told_ns = self._clock.mono_ns()
        self.disk = ThreadPoolExecutor(1, "disk")  # one thread: the database and the log have one owner

    # -- start and end -----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the files and bring the core to where the last run left it; raises OSError, sqlite3.Error."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        of = self._config.outbox
        limits = caps(of.max_mb, of.max_records, of.max_age_days, of.free_floor_mb)
        self.outbox = self._opened(self._data_dir / "gateway.db", limits)
        self.ballast = Ballast(self._data_dir, int(of.ballast_mb * MB), limits.floor_bytes)
        self.ballast.make()
        if self.outbox.quarantined:
            self._alarms.raise_("database", f"the database could not be used; it is kept as {self.outbox.quarantined}")
        self.rawlog = open_rawlog(self._config, self._plans, self.outbox.state(), self._standing)
        self.in_hand.begin(self.rawlog)
        self.committer = Committer(self.outbox, terms(self._config))
        self.core = self._new_core()
        self._crashes = Crashes(self.outbox, self._data_dir / "quarantine", self._alarms)
        replay = self._restore()
        self.core.distrusted = self._crashes.distrusted()
        for after, records in replay.batches(self.rawlog.lost):
            closed = self._feed(records, after)
            if closed:
                self.committer.commit(closed, self.core, *after)
        self.core.caught_up()
        if any(bad := (self.rawlog.quarantined_bytes, self.rawlog.lost.blocks, self.rawlog.lost.bytes)):
            log.warning("raw log: %d bytes of a torn tail set aside, %d blocks missing, %d bytes passed over", *bad)
        self._begin(replay.hold)

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
            self.in_hand.close()
            self.rawlog.close()
            self.outbox.close()

    def _new_core(self) -> Core:
        of, known = self._config.windows, {self._config.hash: self._plans}
        return Core(known, of.base_s, self._config.gateway.lateness_s, of.allowed_lateness_s)

    def _restore(self) -> Replay:
        """Put back the saved state; return what must be read again of the raw log."""
        saved = self.outbox.state()
        if saved is None:
            self.core.begin(self._config.hash)
            return Replay(self.rawlog.read_whole, Position())
        try:
            lost = self.core.restore(saved.body, self._config.hash)
        except ValueError as error:
            log.warning("the saved state is set aside (%s); the raw log rebuilds it", error)
            quarantine = self._data_dir / "quarantine"
            quarantine.mkdir(exist_ok=True)
            (quarantine / f"state-{saved.segment}-{saved.offset}").write_bytes(saved.body)
            self.core = self._new_core()
            # What history holds is not made again: the log may no longer have all of it.
            last_ns = history.last_start_ns(self.outbox.db)
            closed_ns = 0 if last_ns is None else last_ns + self._config.windows.base_s * NS
            self.core.begin(self._config.hash, closed_ns)
            return Replay(partial(self.rawlog.read, Position()), Position())
        if lost:
            log.warning("configured anew, so their open window starts afresh: %s", ", ".join(lost))
        position = Position(saved.segment, saved.offset)
        return Replay(partial(self.rawlog.read, position), position)

    def _begin(self, hold: Hold | None) -> None:
        """Write down under which clock and configuration this run begins; `hold` is what waits in the log for one."""
        if hold is not None and hold.boot_id != boot_id():
            left = self.keeper.left_behind(self.core.clock, hold, self.core.end_ns)
            for _ in self._bring(hold, left):
                if self._pending:
                    self.committer.commit(self._pending, self.core, *self._position)
                    self._pending.clear()
            hold = None
        self._position = self.rawlog.position if hold is None else hold.start
        if self.core.watermark_ns and self.core.clock.boot_id == boot_id():
            last_tick_ns = self.core.watermark_ns + int(self._config.gateway.lateness_s * NS)
            self._told_ns = last_tick_ns - self.core.offset_ns
        clock = self.keeper.begin(self.core.clock, hold, self._position, self.core.end_ns)
        if self.keeper.hold is not None:
            self._preview = self._new_core()
            self._preview.begin(self._config.hash)
            self._preview.distrusted = self.core.distrusted
            self._preview.feed([self._stamped(replace(clock, epoch=0))])
        self.take([self._stamped(clock)])
        self.take([Record(RecordKind.CONFIG, self._clock.mono_ns(), "", encode(ConfigRecord(self._config.hash)))])

    # -- records -> windows ------------------------------------------------------------------------------------

    def take(self, records: Sequence[Record]) -> None:
        """Log and feed a batch; what it closes waits for `commit`."""
        self.in_hand.logging(self.rawlog.position)
        position = self.rawlog.append(records)
        self.in_hand.logged()
        if self.rawlog.trouble:
            self._alarms.raise_("raw log", self.rawlog.trouble)
        else:
            self._alarms.clear("raw log")
        self._standing.take(records)
        self._told_ns = next((one.mono_ns for one in reversed(records) if one.kind is RecordKind.TICK), self._told_ns)
        if self.keeper.hold is not None and self._preview is not None:
            self._feed(records, Position(), self._preview)  # its windows are nobody's
        else:
            self._position = position
            self._pending += self._feed(records, position)

    async def commit(self) -> list[Windows]:
        """Commit what has closed, and events; return all windows made, or none when the disk refuses.

        They are tried again; what does not fit into memory meanwhile is given up, the oldest first, and counted.
        """
        if not self._pending and not self.outbox.waiting:
            return []
        bases = list(self._pending)
        state = Committer.state_of(self.core, *self._position)
        watermark_ns = self.core.watermark_ns
        try:
            done = await self.on_disk(lambda: self._write(bases, state, watermark_ns))
        except (sqlite3.Error, OSError) as error:
            self._pending, given_up = bounded(self._pending)
            self.outbox.lose(given_up)
            self._alarms.raise_("disk", f"cannot commit: {error}; free some space in {self._data_dir}")
            return []
        self._alarms.clear("disk")
        if self.ballast.full:
            self._alarms.raise_("ballast", f"the disk is nearly full; free some space in {self._data_dir}")
        else:
            self._alarms.clear("ballast")
        self._pending = self._pending[len(bases) :]
        return done

    def _write(self, bases: Sequence[Windows], state: SavedState, watermark_ns: int) -> list[Windows]:
        """Commit; if the disk is full, once more with the room that the ballast leaves."""

        def write() -> list[Windows]:
            if bases:
                return self.committer.write(bases, state, watermark_ns, self.core)
            self.outbox.commit()
            return []

        try:
            done = write()
        except (sqlite3.Error, OSError) as error:
            if not disk_is_full(error) or not self.ballast.give_up():
                raise
            done = write()
        self.ballast.make()
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

    @property
    def view(self) -> Core:
        """The core that shows what sensors say now: while readings wait, that is not the one which makes windows."""
        return self._preview or self.core

    async def follow_clock(self) -> AsyncIterator[list[Windows]]:
        """Keep the offset while it is within half a second of UTC; else begin a new epoch.

        What has waited for the clock is fed bit by bit, with what was committed of it; others have their turn between.
        """
        clock = self.keeper.follow(self.core.clock, self._told_ns, self.core.end_ns)
        if clock is None:
            return
        hold, self._preview = self.keeper.end_hold(), None
        if hold is None:
            self.take([self._stamped(clock)])
            return
        for _ in self._bring(hold, clock):
            await asyncio.sleep(0)
            if len(self._pending) >= AT_ONCE:
                yield await self.commit()
        yield await self.commit()

    def _bring(self, hold: Hold, clock: ClockRecord) -> Iterator[None]:
        """Write down the clock that ends a hold and feed what has waited for it, a batch at a time."""
        record = self._stamped(clock)
        end = self.rawlog.append([record])
        self._standing.take([record])
        missed = self.rawlog.lost.blocks
        self._position = hold.start
        self._pending += self._feed([record], hold.start)
        for after, records in between(self.rawlog.read(hold.start), hold.start, end):
            self._pending += self._feed(records, after)
            self._position = after
            yield
        if (missed := self.rawlog.lost.blocks - missed) > 0:
            self._alarms.raise_("clock hold", f"{missed} blocks that waited for the clock are gone; raise keep_mb")

    def _stamped(self, clock: ClockRecord) -> Record:
        return Record(RecordKind.CLOCK, self._clock.mono_ns(), "", encode(clock))

    def _feed(self, records: Sequence[Record], position: Position, core: Core | None = None) -> list[Windows]:
        core = core or self.core
        try:
            return core.feed(records)
        except Exception:
            self._crashes.remember(core.current, records, position)
            raise
