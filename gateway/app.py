"""The composition root: a configuration becomes objects in one TaskGroup. The only file that knows all others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from gateway import health, in_force
from gateway.acquire import Recorder, Timeline
from gateway.block import Windows
from gateway.board import NoticeBoard, Posted, Source
from gateway.broker_terms import broker_terms
from gateway.calibrations import Watch
from gateway.certificates import on_line
from gateway.clock import Clock
from gateway.commit import fields_of
from gateway.config import Config, from_json
from gateway.config_sensors import SensorConfig
from gateway.core import Plan
from gateway.journal import Journal, terms
from gateway.links import Owners
from gateway.outbox import opened
from gateway.outlook import Outlook
from gateway.plans import plans
from gateway.polling import BusOwner
from gateway.publish import Extra, Publisher, Status
from gateway.record import ConfigRecord, Record, RecordKind, Tick, encode
from gateway.reload import Reload
from gateway.republish import Republish
from gateway.status import Latest, describe, program, status
from gateway.supervise import Alarms

log = logging.getLogger(__name__)
NS = 1_000_000_000
FIRST_BATCHES_S = 10.0  # right after the start batches are short, so that a technician sees the first frame
FIRST_BATCH_S = 0.25
DRAIN_S = 15.0
IN_SHORT = (
    "v", "t_ns", "alarms", "broker", "ledger", "links", "inputs", "account", "outbox", "forecast", "delivery",
)  # fmt: skip
STUCK_S = 30.0  # an owner that has not passed its loop for so long keeps the watchdog hungry


class App:
    """One run of the gateway."""

    def __init__(self, path: Path, config: Config, clock: Clock) -> None:
        self._path = path
        self._config = config
        self._clock = clock
        self._timeline = Timeline(clock)
        self._alarms = Alarms()
        self._notices = NoticeBoard()
        self._journal = Journal(config, _plans(config), self._timeline, self._alarms, opened)
        self._recorder = Recorder(self._journal.in_hand)
        self._owners = Owners(self._recorder, self._timeline, self._notices)
        self._calibrations = Watch(self._alarms, self._tell_event)
        self._latest = Latest()
        self._board = health.Board(config.gateway.data_dir, clock)
        self._outlook = Outlook(config.gateway.data_dir, clock)
        self._reload: Reload | None = None
        self._stop = asyncio.Event()
        self._last_batch_ns = self._started_ns = clock.mono_ns()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; raises OSError or sqlite3.Error when nothing can be kept, and bugs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hup)
        journal = self._journal
        try:
            await journal.on_disk(journal.open)
            self._publisher = Publisher(
                broker_terms(self._config), journal.outbox, self._clock, journal.disk, self._connection_status
            )
            await journal.on_disk(self._open_outlook)
            async with asyncio.TaskGroup() as self._tasks:
                await self._live()
        finally:
            await journal.on_disk(journal.shut)
            journal.disk.shutdown()

    async def _live(self) -> None:
        """Start everything, wait for the end, and stop in the order that loses nothing."""
        sending = self._tasks.create_task(self._publisher.run())
        self._owners.start(self._config, self._tasks)
        batches = self._tasks.create_task(self._batches())
        jobs = [self._tasks.create_task(job()) for job in (self._beats, self._measures)]
        self._follow_calibrations()
        self._tell_meta()
        health.notify("READY=1", f"STATUS=gateway {self._config.gateway.name} is running")
        log.info("gateway %s: %d sensors", self._config.gateway.name, len(self._config.sensor))
        await self._stop.wait()
        health.notify("STOPPING=1")
        await self._owners.stop()
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await batches  # not cancelled: a commit in hand must be seen to its end, or it would be made twice
        await self._batch()
        await self._journal.close()
        await self._drain()
        self._outlook.keep()
        sending.cancel()

    async def _drain(self) -> None:
        """Give the broker and the bridge a moment to answer; what is left waits for the next start."""
        waited = 0.0
        while self._journal.outbox.n_queued and self._publisher.connected and waited < DRAIN_S:
            self._publisher.notify()
            await asyncio.sleep(0.2)
            waited += 0.2
        self._write_status()

    # -- jobs ----------------------------------------------------------------------------------------------------

    async def _batches(self) -> None:
        while not self._stop.is_set():
            young = self._clock.mono_ns() - self._started_ns < FIRST_BATCHES_S * NS
            batch_s = min(FIRST_BATCH_S, self._config.gateway.batch_s) if young else self._config.gateway.batch_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._clock.real_s(batch_s))
            self._owners.raise_failures()
            await self._batch()

    async def _batch(self) -> None:
        """Log, feed and, if a period closed, commit what acquisition has gathered."""
        done: list[Windows] = []
        async for some in self._journal.follow_clock():  # what has waited for the clock comes bit by bit
            self._last_batch_ns, done = self._clock.mono_ns(), [*done, *some]
        if self._follow_calibrations():
            self._tell_meta()
        records = self._recorder.drain()
        now = self._clock.mono_ns()
        tick_ns = self._owners.tick_ns(now)
        up = [one.health.name for one in self._owners if one.health.up]
        tick = Record(RecordKind.TICK, tick_ns, "", encode(Tick(tick_ns, up)))
        self._journal.take([*self._with_reload(records, tick_ns), tick])
        core = self._journal.view
        self._notices.post({Source(*at): Posted(v, t_ns - core.offset_ns) for at, (t_ns, v) in core.newest.items()})
        self._last_batch_ns = now
        await self._journal.sync_if_due()
        done += await self._journal.commit()
        again = await self._journal.on_disk(self._republish.step)
        for windows in done:
            self._latest.take(windows, fields_of(windows, self._journal.committer.terms))
        if done or again:
            self._publisher.notify()
        if done:
            if self._outlook.count():
                await self._journal.on_disk(lambda: self._outlook.weigh(self._config.gateway.history_days))
            expiry_s = 3 * self._config.windows.base_s
            self._publisher.tell(Extra("now", self._latest.now(), retain=True, expiry_s=expiry_s))
            said = self._write_status()
            self._publisher.tell(Extra("health", msgspec.json.encode({key: said[key] for key in IN_SHORT})))

    async def _measures(self) -> None:
        """Measure the board on the grid of its slots."""
        slot_ns = round(health.EVERY_S * NS)
        while True:
            now = self._clock.mono_ns()
            due = now - (now + self._timeline.offset_ns) % slot_ns + slot_ns + NS // 2
            await asyncio.sleep(self._clock.real_s((due - now) / NS))
            self._recorder.put(RecordKind.FRAME, due, health.BOARD, self._board.frame(self._outlook.standing()))

    async def _beats(self) -> None:
        """Feed the watchdog while every owner goes round, and keep the status file fresh."""
        beat_s = max(1.0, int(os.environ.get("WATCHDOG_USEC", "20000000")) / 2e6)
        while True:
            broker = f"broker {self._config.mqtt.host}:{self._config.mqtt.port}"
            ending = on_line(self._config.mqtt, broker, self._publisher.peer, self._clock.utc_ns())
            self._alarms.replace("certificate", ending)
            self._write_status()
            if stuck := self._stuck():
                self._alarms.raise_("stuck", f"does not go round: {', '.join(stuck)}")
            else:
                health.notify("WATCHDOG=1")
                self._alarms.clear("stuck")
            await asyncio.sleep(min(beat_s, 20.0))

    def _stuck(self) -> list[str]:
        now = self._clock.mono_ns()
        passed = {one.health.name: one.passed_ns for one in self._owners if isinstance(one, BusOwner)}
        passed["batches"] = self._last_batch_ns
        if self._publisher.connected:
            passed["publisher"] = self._publisher.passed_ns
        limit_s = STUCK_S + self._config.gateway.batch_s
        return [name for name, at in passed.items() if now - at > limit_s * NS]

    # -- reload --------------------------------------------------------------------------------------------------

    def _on_hup(self) -> None:
        """Read the configuration again; a good one takes effect at the next window's border."""
        health.notify("RELOADING=1", f"MONOTONIC_USEC={self._clock.mono_ns() // 1000}")
        self._tasks.create_task(self._read_again())

    async def _read_again(self) -> None:
        """Let a process of its own check the file, so that what checks does not stay in our memory."""
        checker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "check", str(self._path), "--resolved",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await checker.communicate()
        if checker.returncode == 0:
            self._alarms.clear("reload")
            self._plan_reload(from_json(said))
        else:
            text = said.decode(errors="replace").strip()
            self._alarms.raise_("reload", f"the new configuration is refused, the old one stays:\n{text}")
        health.notify("READY=1")

    def _plan_reload(self, fresh: Config) -> None:
        old = self._config
        tables = ("gateway", "rawlog", "outbox", "mqtt", "store", "bridge")
        fixed = [name for name in tables if getattr(fresh, name) != getattr(old, name)]
        windows = ("base_s", "allowed_lateness_s")
        fixed += [f"windows.{name}" for name in windows if getattr(fresh.windows, name) != getattr(old.windows, name)]
        if fixed:
            log.error("not reloadable: %s; restart the gateway for it (the old values stay)", ", ".join(fixed))
            return
        if fresh.hash == old.hash:
            log.info("the configuration has not changed")
            return
        self._journal.core.learn(fresh.hash, _plans(fresh))
        self._reload = Reload.planned(fresh, self._timeline)
        log.info("configuration %s takes effect at the next window", fresh.hash)

    def _with_reload(self, records: list[Record], tick_ns: int) -> list[Record]:
        """Put the CONFIG record of a planned reload at its border, once time has passed it."""
        if self._reload is None or self._journal.keeper.hold or tick_ns < self._reload.mono_ns(self._timeline):
            return records
        fresh, border_mono = self._reload.config, self._reload.mono_ns(self._timeline)
        in_force.note(self._journal.outbox, fresh, self._reload.border_ns)
        self._reload, self._config = None, fresh
        self._journal.committer.terms = terms(fresh)
        self._latest.keep({one.name for one in fresh.sensor} | {one.name for one in fresh.derived} | {health.BOARD})
        self._tasks.create_task(self._owners.change(fresh, self._tasks))
        self._tell_meta()
        config = Record(RecordKind.CONFIG, border_mono, "", encode(ConfigRecord(fresh.hash)))
        before = [record for record in records if record.mono_ns < border_mono]
        return [*before, config, *records[len(before) :]]

    # -- what others are told ----------------------------------------------------------------------------------

    def _write_status(self) -> dict[str, Any]:
        """Replace the status file; return what it says."""
        journal, config = self._journal, self._config
        self._alarms.replace("outbox", self._outlook.alarm(config))
        alarms = dict(self._alarms.now) | ({"broker": self._publisher.alarm} if self._publisher.alarm else {})
        now = status(
            config, self._clock, journal.view, journal.keeper.said(journal.core.clock), self._latest, self._owners,
            journal.outbox, self._publisher,
            journal.rawlog, alarms, self._recorder.dropped, self._notices,
        ) | self._outlook.said(config)  # fmt: skip
        try:
            health.write_status(health.status_folder(config.gateway.run_dir, config.gateway.data_dir), now)
        except OSError as error:
            self._alarms.raise_("status", f"cannot write the status file: {error}")
        return now

    def _tell_meta(self) -> None:
        said = describe(self._config, _plans(self._config), self._clock.utc_ns(), self._journal.view.parts)
        self._publisher.tell(Extra("meta", msgspec.json.encode(said), qos=1, retain=True))

    def _follow_calibrations(self) -> bool:
        return self._calibrations.look(self._config, self._clock.utc_ns(), self._journal.view.parts)

    def _tell_event(self, event: dict[str, Any]) -> None:
        self._journal.outbox.tell(event, event["t_ns"])

    def _open_outlook(self) -> None:
        journal, config = self._journal, self._config
        self._outlook.open(journal.outbox, journal.rawlog, self._publisher, config.gateway.history_days)
        base_s = config.windows.base_s
        self._republish = Republish(config.gateway.data_dir, journal.outbox, journal.committer, journal.core, base_s)
        in_force.begin(journal.outbox, config)

    def _connection_status(self, online: bool, reason: str) -> Status:
        return Status(1, online, reason, program(), self._config.hash)


def _plans(config: Config) -> dict[str, Plan]:
    """Make the plans of all sensors and of the board itself."""
    board = SensorConfig(name=health.BOARD, driver=health.BOARD)
    return plans(config, ((board, health.BOARD_DRIVER),))


async def run(path: Path, config: Config, clock: Clock) -> None:
    """Run the gateway of a checked configuration, read from `path`, until it is told to stop."""
    await App(path, config, clock).run()
