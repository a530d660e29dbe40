"""Crashes of our own code: a batch that brings it down twice is set aside, and its sensor is no longer trusted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway.outbox import Outbox
from gateway.rawblock import pack
from gateway.rawread import Position
from gateway.record import Record
from gateway.release import version
from gateway.supervise import Alarms

log = logging.getLogger(__name__)


class Crashes:
    """What is known of crashes; on disk, because the process falls with each of them."""

    def __init__(self, outbox: Outbox, quarantine: Path, alarms: Alarms) -> None:
        self._outbox = outbox
        self._quarantine = quarantine
        self._alarms = alarms

    def remember(self, name: str, records: Sequence[Record], position: Position) -> None:
        """Count a crash on the records of a sensor, by place; call it while the error is handled."""
        here = f"{position.segment}:{position.offset}:{name}"
        log.exception("our own code failed on the records of %s", name)
        if self._outbox.recall("crash", "") != here:
            self._outbox.remember("crash", here)
            return
        self._quarantine.mkdir(exist_ok=True)
        (self._quarantine / f"batch-{position.segment}-{position.offset}.raw").write_bytes(pack(records))
        distrusted = self._distrusted() | {name: version()}
        self._outbox.remember("distrusted", msgspec.json.encode(distrusted).decode())

    def distrusted(self) -> frozenset[str]:
        """Return the sensors whose records this version of the program has failed on twice, and say so."""
        return frozenset(self._distrusted())

    def _distrusted(self) -> dict[str, str]:
        known: dict[str, str] = msgspec.json.decode(self._outbox.recall("distrusted", "{}"))
        current = {name: by for name, by in known.items() if by == version()}
        for name in current:
            self._alarms.raise_(f"bug {name}", f"our own code fails on {name}: its bad frames are rejected; report it")
        return current
