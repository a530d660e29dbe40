"""What the gateway says of itself: the latest window of every series, links, sums and alarms."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from drivers.base import Fault, Miss
from gateway.block import MISS_BASE, SCHEME, Windows
from gateway.board import NoticeBoard
from gateway.calibrations import NOBODY, described
from gateway.clock import Clock
from gateway.config import Config
from gateway.core import Core, Plans
from gateway.outbox import Outbox
from gateway.pipeline.derive import Derived
from gateway.pipeline.fields import Column
from gateway.polling import BusOwner
from gateway.publish import Publisher
from gateway.rawlog import RawLog
from gateway.release import version
from gateway.rules_windows import periods
from gateway.streaming import StreamOwner
from gateway.vehicles import numbers_of

VALUE_FIELDS = ("leq", "mean", "sum")  # the first of these that a series has is its value


@dataclass(slots=True)
class Latest:
    """The latest window of every series and period."""

    rows: dict[tuple[str, str, int], dict[str, Any]] = field(default_factory=dict)

    def take(self, windows: Windows, fields: dict[str, Column]) -> None:
        """Remember a window that was committed; of running means and of days and nights the store tells."""
        if windows.period:
            return
        for i, (domain, sensor, channel, unit) in enumerate(windows.series):
            row: dict[str, Any] = {name: column[i] for name, column in fields.items() if column[i] is not None}
            value = next((name for name in VALUE_FIELDS if name in row), None)
            self.rows[sensor, channel, windows.period_s] = {
                "sensor": sensor, "channel": channel, "domain": domain, "unit": unit, "period_s": windows.period_s,
                "start_ns": windows.start_ns, "statistic": value, "value": row.get(value or ""),
                "flag": row.get("flag"), "capture": row.get("capture"), "n": row.get("n"),
            }  # fmt: skip

    def keep(self, sensors: set[str]) -> None:
        """Forget the windows of sensors that are no longer there: nobody shall take them for present."""
        self.rows = {key: row for key, row in self.rows.items() if key[0] in sensors}

    def now(self) -> bytes:
        """Write the live values for the retained topic `now`."""
        return msgspec.json.encode({"v": 1, "series": list(self.rows.values())})


def program() -> str:
    """Return the version of this program."""
    return version()


def describe(config: Config, plans: Plans, t_ns: int = 0, parts: Mapping[str, str] = NOBODY) -> dict[str, Any]:
    """Write what the retained `meta` message says at a time: what is measured where, and under which rules."""
    sensors = []
    for sensor in config.sensor:
        driver = plans[sensor.name].reader.driver
        units = {channel.name: channel.unit for channel in plans[sensor.name].spec.channels}
        sensors.append(
            {
                "name": sensor.name,
                "driver": driver.name,
                "domain": driver.domain,
                "model": driver.model,
                "channels": units,
                **described(sensor, t_ns, parts.get(sensor.name, "")),
                **numbers_of(sensor, driver),
            }
        )
    derived = sorted((one for plan in plans.values() for one in plan.derived), key=lambda one: one.place)
    return {
        "v": 1,
        "site": asdict(config.site),
        "gateway": config.gateway.name,
        "config": config.hash,
        "version": program(),
        "flag_scheme": SCHEME,
        "periods_s": [config.windows.base_s, *config.windows.long_s],
        "periods": periods(config),
        "min_capture": config.windows.min_capture,
        "sensors": sensors,
        "derived": [_derived(config, one) for one in derived],
    }


def _derived(config: Config, one: Derived) -> dict[str, Any]:
    """Describe a derived channel: what it is made of, and with which numbers."""
    written = next(own for own in config.derived if own.name == one.sensor)
    channel = one.derivation.channel(one.options)
    return {
        "name": one.sensor, "kind": one.derivation.kind, "domain": one.derivation.domain,
        "channels": {channel.name: channel.unit}, "serial": written.serial, "origin": written.origin,
        "parts": {name: f"{at.sensor}.{at.channel}" for name, at in one.parts.items()}, "options": one.options,
        "method": one.derivation.method(one.options).plain(),
    }  # fmt: skip


def status(
    config: Config,
    clock: Clock,
    core: Core,
    clock_said: dict[str, Any],
    latest: Latest,
    owners: Iterable[BusOwner | StreamOwner],
    outbox: Outbox,
    publisher: Publisher,
    rawlog: RawLog,
    alarms: dict[str, str],
    dropped_records: int,
    notices: NoticeBoard,
) -> dict[str, Any]:
    """Collect the whole state for the status file; no secrets ever."""
    owners = list(owners)
    account = outbox.account()
    now, line_now = clock.utc_ns(), clock.mono_ns() + core.offset_ns
    return {
        "v": 1,
        "t_ns": now,
        "gateway": config.gateway.name,
        "site": config.site.name,
        "version": program(),
        "config": config.hash,
        "pid": os.getpid(),
        "alarms": list(alarms.values()),
        "clock": clock_said,
        "links": [{"name": o.health.name, "up": o.health.up, "error": o.health.error, "hint": o.health.hint,
                   "losses": o.health.losses} for o in owners],
        "sensors": [_sensor(sensor.name, sensor.driver, sensor.link, core, line_now) for sensor in config.sensor],
        "inputs": _inputs(config, notices),
        "windows": list(latest.rows.values()),
        "broker": {"connected": publisher.connected, "alarm": publisher.alarm, "queued": outbox.n_queued,
                   "sent": publisher.sent, "receipts": publisher.receipts, "confirm": config.mqtt.confirm},
        "ledger": {name: account[name] for name in ("expected", "valid", "rejected", "missing")},
        "account": account,
        "raw_log": {"written": rawlog.appended_bytes, "quarantined": rawlog.quarantined_bytes,
                    "lost_blocks": rawlog.lost.blocks, "dropped_segments": rawlog.dropped_segments,
                    "dropped_records": dropped_records},
    }  # fmt: skip


def _inputs(config: Config, notices: NoticeBoard) -> list[dict[str, Any]]:
    """Say what parts were told last of what others measured, and why it was not simply that."""
    return [
        {"sensor": sensor.name, "input": name, "source": sensor.inputs.get(name, ""), **told._asdict()}
        for sensor in config.sensor
        for name, told in notices.told(sensor.name).items()
    ]


def _sensor(name: str, driver: str, link: str, core: Core, now_ns: int) -> dict[str, Any]:
    counts = core.counts.get(name)
    faults: dict[str, int] = {}
    misses: dict[str, int] = {}
    if counts is not None:
        faults = {Fault(code).name.lower(): n for code, n in counts.faults.items() if 0 < code < MISS_BASE}
        reasons = list(Miss)
        misses = {str(reasons[c - MISS_BASE]): n for c, n in counts.faults.items() if c >= MISS_BASE}
    heard = counts is not None and counts.last_t_ns > 0
    return {
        "name": name, "driver": driver, "link": link, "frames": counts.faults[0] if counts else 0, "faults": faults,
        "misses": misses, "garbage": counts.garbage if counts else 0,
        "age_s": round((now_ns - counts.last_t_ns) / 1e9, 1) if heard and counts else None,
    }  # fmt: skip
