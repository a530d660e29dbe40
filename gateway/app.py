"""The composition root: a configuration becomes objects in one TaskGroup. The only file that knows all others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from gateway import health
from gateway.acquire import BusOwner, Recorder, StreamOwner, Timeline
from gateway.block import Windows
from gateway.clock import Clock, boot_id
from gateway.commit import Committer, Terms
from gateway.config import Config, ConfigError, SensorConfig, load
from gateway.core import Core, Plan
from gateway.links import LinkKey, group, owner
from gateway.outbox import Outbox
from gateway.pipeline.fields import columns
from gateway.plans import plans
from gateway.publish import Extra, Publisher, Status
from gateway.publish import Terms as BrokerTerms
from gateway.rawlog import Position, RawLog, pack
from gateway.record import ClockRecord, ConfigRecord, Record, RecordKind, Tick, encode
from gateway.status import Latest, describe, status
from gateway.tls import tls_context

log = logging.getLogger(__name__)
NS = 1_000_000_000
CLOCK_STEP_NS = NS // 2
FIRST_BATCHES_S = 10.0  # right after the start batches are short, so that a technician sees the first frame
DRAIN_S = 15.0
STUCK_S = 30.0  # an owner that has not passed its loop for so long keeps the watchdog hungry


class App:
    """One run of the gateway."""

    def __init__(self, path: Path, config: Config, clock: Clock) -> None:
        self._path = path
        self._config = config
        self._clock = clock
        self._timeline = Timeline(clock)
        self._recorder = Recorder()
        self._board = health.Board(config.gateway.data_dir, clock)
        self._disk = ThreadPoolExecutor(1, "disk")
        self._latest = Latest()
        self._owners: dict[LinkKey, BusOwner | StreamOwner] = {}
        self._stream_tasks: dict[LinkKey, asyncio.Task[None]] = {}
        self._pending: list[Windows] = []  # closed, not yet committed: the disk is full or away
        self._alarms: dict[str, str] = {}
        self._reload: tuple[Config, int] | None = None
        self._stop = asyncio.Event()
        self._epoch = 0
        self._last_batch_ns = clock.mono_ns()
        self._started_ns = clock.mono_ns()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; raises what a bug raised, OSError or sqlite3.Error when nothing can be kept."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hup)
        await loop.run_in_executor(self._disk, self._open)
        publisher = self._publisher = self._make_publisher()
        self._first_records()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                sending = tasks.create_task(publisher.run())
                self._start_owners(self._config)
                helpers = [
                    tasks.create_task(job()) for job in (self._batches, self._syncs, self._beats, self._measures)
                ]
                self._tell_meta()
                health.notify("READY=1", f"STATUS=gateway {self._config.gateway.name} is running")
                log.info("gateway %s: %d sensors", self._config.gateway.name, len(self._config.sensor))
                await self._stop.wait()
                health.notify("STOPPING=1")
                await self._stop_owners(list(self._owners))
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                await self._last_batch()
                await self._drain()
                sending.cancel()
        finally:
            await loop.run_in_executor(self._disk, self._close)
            self._disk.shutdown()

    # -- start and end -----------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open the disk's side and bring the core to where the last run left it."""
        config = self._config
        data_dir = config.gateway.data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self._outbox = Outbox(data_dir / "gateway.db")
        if self._outbox.quarantined:
            self._alarm("disk", f"the database was damaged; it lies in {self._outbox.quarantined}, a new one is used")
        mb = 1_000_000
        raw = config.rawlog
        self._rawlog = RawLog(data_dir / "raw", int(raw.segment_mb * mb), int(raw.keep_mb * mb))
        if self._rawlog.quarantined_bytes:
            log.warning("raw log: %d bytes of a torn tail set aside", self._rawlog.quarantined_bytes)
        self._committer = Committer(self._outbox, self._terms(config))
        self._core = self._new_core()
        self._core.distrusted = frozenset(self._distrusted())
        self._replay(self._restore())
        self._epoch = self._core.clock.epoch

    def _new_core(self) -> Core:
        config = self._config
        return Core({config.hash: self._plans(config)}, config.windows.base_s, config.gateway.lateness_s)

    def _restore(self) -> Position:
        """Put back the saved state; return from where the raw log must be read again."""
        saved = self._outbox.state()
        if saved is None:
            self._core.begin(self._config.hash)
            return Position()
        try:
            lost = self._core.restore(saved.body, self._config.hash)
        except ValueError as error:
            log.warning("the saved state is set aside (%s); the raw log rebuilds it", error)
            beside = self._config.gateway.data_dir / "quarantine"
            beside.mkdir(exist_ok=True)
            (beside / f"state-{saved.segment}-{saved.offset}").write_bytes(saved.body)
            self._core = self._new_core()
            self._core.begin(self._config.hash)
            return Position()
        if lost:
            log.warning("configured anew, so their open window starts afresh: %s", ", ".join(lost))
        return Position(saved.segment, saved.offset)

    def _replay(self, position: Position) -> None:
        """Feed what was recorded after the last commit; commit what that closes."""
        for after, records in self._rawlog.read(position):
            closed = self._feed(records, after)
            if closed:
                self._committer.commit(closed, self._core, *after)

    def _first_records(self) -> None:
        """Write down under which clock and configuration this run begins."""
        self._position = self._set_clock(same_epoch=self._core.clock.boot_id in ("", boot_id()))
        mono = self._clock.mono_ns()
        records = [Record(RecordKind.CONFIG, mono, "", encode(ConfigRecord(self._config.hash)))]
        self._position = self._append(records)
        self._feed(records, self._position)

    def _close(self) -> None:
        if hasattr(self, "_rawlog"):
            self._rawlog.close()
            self._outbox.close()

    async def _last_batch(self) -> None:
        """Take what is still in hand and write the state down, so that the next start has nothing to replay."""
        await self._batch()
        state = Committer.state_of(self._core, *self._position)
        await self._on_disk(self._outbox.commit, (), (), state)
        self._write_status()

    async def _drain(self) -> None:
        """Give the broker and the bridge a moment to answer; what is left waits for the next start."""
        waited = 0.0
        while self._outbox.queued and self._publisher.connected and waited < DRAIN_S:
            self._publisher.notify()
            await asyncio.sleep(0.2)
            waited += 0.2
        self._write_status()

    # -- records -> windows ------------------------------------------------------------------------------------

    async def _batches(self) -> None:
        while True:
            now = self._clock.mono_ns()
            young = now - self._started_ns < FIRST_BATCHES_S * NS
            batch_s = min(1.0, self._config.gateway.batch_s) if young else self._config.gateway.batch_s
            await asyncio.sleep(self._clock.real_s(batch_s))
            await self._batch()

    async def _batch(self) -> None:
        """Log, feed and, if a period closed, commit what acquisition has gathered."""
        self._check_owners()
        self._follow_clock()
        records = self._recorder.drain()
        now = self._clock.mono_ns()
        floors = [floor for o in self._owners.values() if (floor := o.floor_ns()) is not None]
        tick_ns = max(min([now, *floors]), now - 2 * NS)  # a hung bus may not hold back the others
        records = self._with_reload(records, tick_ns)
        records.append(self._tick(tick_ns))
        self._position = self._append(records)
        closed = self._feed(records, self._position)
        self._last_batch_ns = now
        if closed or self._pending:
            await self._commit(closed)

    def _tick(self, mono_ns: int) -> Record:
        up = [o.health.name for o in self._owners.values() if o.health.up]
        return Record(RecordKind.TICK, mono_ns, "", encode(Tick(mono_ns, up)))

    def _append(self, records: Sequence[Record]) -> Position:
        try:
            position = self._rawlog.append(records)
        except OSError as error:
            self._alarm("raw log", f"cannot write the raw log: {error}; windows go on without it")
            return getattr(self, "_position", Position())
        self._clear("raw log")
        return position

    def _feed(self, records: Sequence[Record], position: Position) -> list[Windows]:
        """Feed the core; what brings it down is remembered first, so that a second time can be the last."""
        try:
            return self._core.feed(records)
        except Exception:
            self._remember_crash(records, position)
            raise

    async def _commit(self, closed: list[Windows]) -> None:
        self._pending += closed
        state = Committer.state_of(self._core, *self._position)
        bases = list(self._pending)
        try:
            done = await self._on_disk(self._committer.write, bases, state, self._core.watermark_ns, self._core)
        except (sqlite3.Error, OSError) as error:
            self._alarm("disk", f"cannot commit: {error}; free some space in {self._config.gateway.data_dir}")
            return
        self._clear("disk")
        self._pending = self._pending[len(bases) :]
        for windows in done:
            self._latest.take(windows, columns(windows, self._committer.terms.min_capture))
        self._publisher.notify()
        self._publisher.tell(Extra("now", self._latest.now(), retain=True, expiry_s=3 * self._config.windows.base_s))
        self._write_status()

    async def _on_disk(self, job: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, job, *args)

    # -- crashes of our own code -------------------------------------------------------------------------------

    def _remember_crash(self, records: Sequence[Record], position: Position) -> None:
        """Count crashes by place; a batch that does it twice is set aside and its sensor no longer trusted."""
        name = self._core.current
        here = f"{position.segment}:{position.offset}:{name}"
        seen = self._outbox.recall("crash", "")
        log.exception("our own code failed on the records of %s", name)
        if seen != here:
            self._outbox.remember("crash", here)
            return
        beside = self._config.gateway.data_dir / "quarantine"
        beside.mkdir(exist_ok=True)
        (beside / f"batch-{position.segment}-{position.offset}.raw").write_bytes(pack(records))
        distrusted = self._distrusted() | {name: version("lamppost")}
        self._outbox.remember("distrusted", msgspec.json.encode(distrusted).decode())

    def _distrusted(self) -> dict[str, str]:
        """Return the sensors whose records this version of the program has failed on twice."""
        known: dict[str, str] = msgspec.json.decode(self._outbox.recall("distrusted", "{}"))
        return {name: by for name, by in known.items() if by == version("lamppost")}

    # -- time ----------------------------------------------------------------------------------------------------

    def _set_clock(self, *, same_epoch: bool) -> Position:
        """Take the offset of UTC now and write it down."""
        mono, utc = self._clock.mono_ns(), self._clock.utc_ns()
        if not same_epoch or self._epoch < 0:
            self._epoch += 1
        offset = utc - mono
        known = self._core.clock
        if known.boot_id == boot_id() and known.epoch == self._epoch and abs(known.offset_ns - offset) < CLOCK_STEP_NS:
            offset = known.offset_ns  # the same time line goes on
        clock = ClockRecord(boot_id(), offset, self._clock.synchronised(), self._epoch)
        self._timeline.offset_ns = offset
        records = [Record(RecordKind.CLOCK, mono, "", encode(clock))]
        position = self._append(records)
        self._pending += self._feed(records, position)
        return position

    def _follow_clock(self) -> None:
        """Keep the offset while it is within half a second of UTC; else begin a new epoch."""
        drift = self._clock.utc_ns() - self._clock.mono_ns() - self._timeline.offset_ns
        if abs(drift) >= CLOCK_STEP_NS:
            log.warning("the clock was set by %+.3f s: a new time line begins", drift / NS)
            self._position = self._set_clock(same_epoch=False)

    # -- links ---------------------------------------------------------------------------------------------------

    def _start_owners(self, config: Config) -> None:
        for key, sensors in group(config).items():
            if key in self._owners:
                continue
            one = owner(sensors, self._recorder, self._timeline, config.gateway.back_off_max_s)
            self._owners[key] = one
            if isinstance(one, BusOwner):
                one.start()
            else:
                self._stream_tasks[key] = self._tasks.create_task(one.run())

    async def _stop_owners(self, keys: list[LinkKey]) -> None:
        """Stop owners; a script in hand is finished, a hung one is left behind."""
        owners = [self._owners.pop(key) for key in keys]
        for one in owners:
            if isinstance(one, BusOwner):
                one.stop()
        tasks = [self._stream_tasks.pop(key) for key in keys if key in self._stream_tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in owners:
            if isinstance(one, BusOwner) and not await asyncio.to_thread(one.join, 3.0):
                log.warning("%s: hangs in the kernel; left behind", one.health.name)

    def _check_owners(self) -> None:
        for one in self._owners.values():
            if isinstance(one, BusOwner) and one.failed is not None:
                raise one.failed

    # -- reload --------------------------------------------------------------------------------------------------

    def _on_hup(self) -> None:
        """Read the configuration again; a good one takes effect at the next window's border."""
        mono_us = self._clock.mono_ns() // 1000
        health.notify("RELOADING=1", f"MONOTONIC_USEC={mono_us}")
        try:
            fresh = load(self._path)
        except ConfigError as error:
            log.error("the new configuration is refused, the old one stays:\n%s", error)
        else:
            self._plan_reload(fresh)
        health.notify("READY=1")

    def _plan_reload(self, fresh: Config) -> None:
        old = self._config
        fixed = [
            name for name in ("gateway", "rawlog", "mqtt", "store", "bridge")
            if getattr(fresh, name) != getattr(old, name)
        ]  # fmt: skip
        if fresh.windows.base_s != old.windows.base_s:
            fixed.append("windows.base_s")
        if fixed:
            log.error("not reloadable: %s; restart the gateway instead (the old values stay)", ", ".join(fixed))
            return
        if fresh.hash == old.hash:
            log.info("the configuration has not changed")
            return
        base_ns = fresh.windows.base_s * NS
        border = (self._clock.mono_ns() + self._timeline.offset_ns) // base_ns * base_ns + base_ns
        self._core.learn(fresh.hash, self._plans(fresh))
        self._reload = (fresh, border)
        log.info("configuration %s takes effect at the next window", fresh.hash)

    def _with_reload(self, records: list[Record], tick_ns: int) -> list[Record]:
        """Put the CONFIG record of a planned reload at its border, once time has passed it."""
        if self._reload is None:
            return records
        fresh, border = self._reload
        border_mono = border - self._timeline.offset_ns
        if tick_ns < border_mono:
            return records
        self._reload = None
        self._config = fresh
        self._committer.terms = self._terms(fresh)
        self._tasks.create_task(self._change_owners(fresh))
        config = Record(RecordKind.CONFIG, border_mono, "", encode(ConfigRecord(fresh.hash)))
        before = [record for record in records if record.mono_ns < border_mono]
        return [*before, config, *records[len(before) :]]

    async def _change_owners(self, config: Config) -> None:
        wanted = group(config)
        await self._stop_owners([key for key in self._owners if key not in wanted])
        self._start_owners(config)
        self._tell_meta()

    # -- what others are told ----------------------------------------------------------------------------------

    async def _syncs(self) -> None:
        while True:
            await asyncio.sleep(self._clock.real_s(self._config.rawlog.sync_s))
            try:
                await self._on_disk(self._rawlog.sync)
            except OSError as error:
                self._alarm("raw log", f"cannot sync the raw log: {error}")

    async def _measures(self) -> None:
        """Measure the board on the grid of its slots."""
        slot_ns = round(health.EVERY_S * NS)
        while True:
            now = self._clock.mono_ns()
            utc = now + self._timeline.offset_ns
            due = now - utc % slot_ns + slot_ns + NS // 2
            await asyncio.sleep(self._clock.real_s((due - now) / NS))
            self._recorder.put(RecordKind.FRAME, due, health.BOARD, self._board.frame())

    async def _beats(self) -> None:
        """Feed the watchdog while every owner goes round, and keep the status file fresh."""
        beat_s = max(1.0, int(os.environ.get("WATCHDOG_USEC", "20000000")) / 2e6)
        while True:
            await asyncio.sleep(min(beat_s, 10.0))
            if not (stuck := self._stuck()):
                health.notify("WATCHDOG=1")
                self._clear("stuck")
            else:
                self._alarm("stuck", f"does not go round: {', '.join(stuck)}")
            self._write_status()

    def _stuck(self) -> list[str]:
        now = self._clock.mono_ns()
        passed = {o.health.name: o.passed_ns for o in self._owners.values() if isinstance(o, BusOwner)}
        passed["batches"] = self._last_batch_ns
        if self._publisher.connected:
            passed["publisher"] = self._publisher.passed_ns
        limit_s = STUCK_S + self._config.gateway.batch_s
        return [name for name, at in passed.items() if now - at > limit_s * NS]

    def _write_status(self) -> None:
        folder = health.status_folder(self._config.gateway.run_dir, self._config.gateway.data_dir)
        now = status(
            self._config, self._clock, self._core, self._latest, self._owners.values(), self._outbox, self._publisher,
            self._rawlog, {**self._alarms, **({"broker": self._publisher.alarm} if self._publisher.alarm else {})},
        )  # fmt: skip
        try:
            health.write_status(folder, now)
        except OSError as error:
            self._alarm("status", f"cannot write the status file: {error}")
        short = {key: now[key] for key in ("v", "t_ns", "alarms", "broker", "ledger", "links")}
        self._publisher.tell(Extra("health", msgspec.json.encode(short)))

    def _tell_meta(self) -> None:
        meta = describe(self._config, self._plans(self._config))
        self._publisher.tell(Extra("meta", msgspec.json.encode(meta), qos=1, retain=True))

    def _alarm(self, name: str, text: str) -> None:
        if self._alarms.get(name) != text:
            log.error(text)
        self._alarms[name] = text

    def _clear(self, name: str) -> None:
        if self._alarms.pop(name, None):
            log.info("%s: well again", name)

    # -- small parts ---------------------------------------------------------------------------------------------

    @staticmethod
    def _plans(config: Config) -> dict[str, Plan]:
        board = SensorConfig(name=health.BOARD, driver=health.BOARD)
        return plans(config, ((board, health.BOARD_DRIVER),))

    @staticmethod
    def _terms(config: Config) -> Terms:
        windows, gateway = config.windows, config.gateway
        return Terms(config.site.name, gateway.name, windows.long_s, windows.min_capture, gateway.history_days)

    def _make_publisher(self) -> Publisher:
        mqtt = self._config.mqtt
        terms = BrokerTerms(
            self._config.gateway.name, mqtt.host, mqtt.port, mqtt.password_file, tls_context(self._config.mqtt),
            mqtt.keepalive_s, mqtt.inflight, mqtt.confirm, mqtt.resend_s, mqtt.resend_max_s,
            self._config.gateway.back_off_max_s,
        )  # fmt: skip

        def birth(online: bool, reason: str) -> Status:
            return Status(1, online, reason, version("lamppost"), self._config.hash)

        return Publisher(terms, self._outbox, self._clock, self._disk, birth)


async def run(path: Path) -> None:
    """Run the gateway of a site file until it is told to stop; raises ConfigError."""
    config = load(path)
    with contextlib.suppress(asyncio.CancelledError):
        await App(path, config, Clock.from_env()).run()
