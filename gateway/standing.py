"""What is in force of the raw log: clock, configuration, contexts. Every segment begins with it, to be read alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gateway.config import Config
from gateway.core import Plan
from gateway.outbox import SavedState
from gateway.rawkeep import keeps
from gateway.rawlog import RawLog, Sizes
from gateway.rawread import Position
from gateway.record import Context, Record, RecordKind, encode

MB = 1_000_000


class Standing:
    """The latest CLOCK and CONFIG, and the latest CONTEXT of each source."""

    def __init__(self) -> None:
        self._records: dict[tuple[RecordKind, str], Record] = {}

    def take(self, records: Sequence[Record]) -> None:
        """Remember what has come into force."""
        for record in records:
            if record.kind in (RecordKind.CLOCK, RecordKind.CONFIG):
                self._records[record.kind, ""] = record
            elif record.kind is RecordKind.CONTEXT:
                context = msgspec.msgpack.decode(record.data, type=Context)
                again = encode(Context(False, context.data, context.serial))  # the session itself began long ago
                self._records[record.kind, record.source] = record._replace(data=again)

    def preface(self) -> list[Record]:
        """Return what a new segment must say first, so that it can be read when the ones before it are gone."""
        return list(self._records.values())


def open_rawlog(config: Config, plans: Mapping[str, Plan], saved: SavedState | None, standing: Standing) -> RawLog:
    """Open the raw log; its numbers go on behind the saved position, also when its folder was lost."""
    raw = config.rawlog
    sizes = Sizes(int(raw.segment_mb * MB), int(raw.keep_mb * MB), int(raw.recent_mb * MB))
    behind = Position(saved.segment, saved.offset) if saved else Position()
    return RawLog(
        config.gateway.data_dir, sizes, behind=behind, preface=standing.preface, keeps=keeps(raw, plans)
    )  # fmt: skip
