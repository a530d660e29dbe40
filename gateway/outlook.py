"""The outlook of a running gateway: it keeps the counters of the last day, and says what follows from them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import msgspec

from gateway import health, history
from gateway.caps import AGE, FLOOR, RECORDS, SIZE, Fill
from gateway.clock import Clock
from gateway.config import Config
from gateway.fill_alarm import FillAlarm
from gateway.forecast import Forecast, Grower, Room, forecast
from gateway.held import ROW_BYTES
from gateway.last_day import LastDay
from gateway.outbox import Outbox
from gateway.publish import Publisher
from gateway.rawlog import RawLog

NS = 1_000_000_000
MB = 1_000_000
FACT = "last_day"
KEEP_S = 600.0  # how often the last day is written down: a crash costs so much of it, and the card 2 kB each time
BLOCK = 512  # bytes, the unit of st_blocks


class Outlook:
    """Counts what is written, queued and sent; `open`, `weigh` and `close` belong to the thread that owns the files."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._kept_ns = clock.mono_ns()
        self._history = Grower(0.0, 0.0)
        self._alarm = FillAlarm()
        self.day = LastDay()

    def open(self, outbox: Outbox, rawlog: RawLog, publisher: Publisher, history_days: float) -> None:
        """Go on from what an earlier run has kept."""
        self._outbox, self._rawlog, self._publisher = outbox, rawlog, publisher
        self.day = LastDay(outbox.recall(FACT, ""))
        self.weigh(history_days)
        self.count()

    def weigh(self, history_days: float) -> None:
        """Look how much room history will still take."""
        per_day, days = history.weight(self._outbox.db)
        self._history = Grower(per_day, per_day * max(0.0, history_days - days))

    def count(self) -> bool:
        """Take the counters after a commit; tell whether it is time to `weigh`."""
        now, mono = self._clock.utc_ns(), self._clock.mono_ns()
        counters = {
            "card_bytes": health.written_bytes(),
            "device_bytes": health.device_written_bytes(self._data_dir),
            "payload_bytes": self._outbox.committed_bytes,
            "messages": self._outbox.account()["messages"],
            "rawlog_bytes": self._rawlog.appended_bytes,
            "modem_bytes": self._publisher.out_bytes,
        }
        self.day.count(now, mono, {name: n for name, n in counters.items() if n >= 0})
        self.day.delivered(now, self._outbox.take_delivered_s())
        if mono - self._kept_ns < KEEP_S * NS:
            return False
        self.keep()
        return True

    def keep(self) -> None:
        """Write the last day down with the next commit."""
        self._kept_ns = self._clock.mono_ns()
        self._outbox.note(FACT, self.day.save())

    def standing(self) -> health.Standing:
        """Say how the outbox stands, for the board's own channels."""
        account, oldest_ns = self._outbox.account(), self._outbox.oldest_unsent_ns()
        dropped = sum(n for name, n in account.items() if name.startswith("dropped_") and name.endswith("_messages"))
        per_day = self.day.per_day("card_bytes")
        return health.Standing(
            queued=self._outbox.n_queued,
            unsent=len(self._outbox.unsent),
            oldest_unsent_s=0.0 if oldest_ns is None else max(0.0, (self._clock.utc_ns() - oldest_ns) / NS),
            receipted=account["receipted_messages"],
            dropped=dropped,
            dead=account["dead_messages"],
            written_per_day=health.NAN if per_day is None else per_day,
            fill=self._fill().share,
        )

    def alarm(self, config: Config) -> dict[str, str]:
        """Say how full the outbox is, if that is worth an alarm: subject and text."""
        fill = self._fill()
        return self._alarm.look(fill, self._days_until(fill, config))

    def _fill(self) -> Fill:
        return self._outbox.fill(self._clock.utc_ns())

    def _days_until(self, fill: Fill, config: Config) -> float | None:
        """Return in how many days a cap is reached, if nothing is delivered; None while the rate is unknown."""
        if fill.cap == AGE:
            return max(0.0, fill.most - fill.used)
        if fill.cap == FLOOR:
            said = self.forecast(config)
            return None if said is None else said.offline_days
        payloads, messages = self.day.per_day("payload_bytes"), self.day.per_day("messages")
        if payloads is None or not messages:
            return None
        rates = {SIZE: payloads + ROW_BYTES * messages, RECORDS: messages}
        return max(0.0, fill.most - fill.used) / rates[fill.cap] if fill.cap in rates else None

    def forecast(self, config: Config) -> Forecast | None:
        """Say what the last day means for the days to come; None while the disk does not answer."""
        try:
            disk = os.statvfs(self._data_dir)
            taken = sum(path.stat().st_blocks * BLOCK for path in self._data_dir.glob("raw/*"))
        except OSError:
            return None
        room = Room(
            free_bytes=disk.f_bavail * disk.f_frsize,
            outbox_bytes=self._outbox_room(),
            floor_bytes=self._outbox.caps.floor_bytes,
            rawlog_bytes=max(0.0, config.rawlog.keep_mb * MB - taken),
            history=self._history,
        )
        return forecast(self.day, room, config.health.card_endurance_tb, config.health.origin)

    def _outbox_room(self) -> float:
        """Return how many bytes the outbox may still take, by its caps on size and on records."""
        caps, payloads, messages = self._outbox.caps, self.day.per_day("payload_bytes"), self.day.per_day("messages")
        each = payloads / messages + ROW_BYTES if payloads is not None and messages else 0.0
        left = max(0.0, caps.max_records - len(self._outbox))
        by_records = left * each if each else math.inf
        return max(0.0, min(caps.max_bytes - self._outbox.held_bytes, by_records))

    def said(self, config: Config) -> dict[str, Any]:
        """Return what goes into the status file and the `health` message."""
        standing, delay, fill = self.standing(), self.day.delay(), self._fill()
        return {
            "outbox": {"queued": standing.queued, "unsent": standing.unsent, "dropped": standing.dropped,
                       "dead": standing.dead, "oldest_unsent_s": round(standing.oldest_unsent_s, 1),
                       "fill": round(fill.share, 4), "cap": fill.cap},
            "forecast": msgspec.to_builtins(self.forecast(config)),
            "delivery": None if delay is None else {name: round(value, 3) for name, value in delay._asdict().items()},
        }  # fmt: skip
