"""What the long record keeps of each source: all of it, what was wrong, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from gateway.config_site import RawLogConfig
from gateway.core import Plan
from gateway.ingest import Reader, read
from gateway.pipeline.stage import State
from gateway.rawlog import Keeps
from gateway.record import Record, RecordKind

READINGS = (RecordKind.FRAME, RecordKind.CHUNK, RecordKind.MISS)  # a policy never touches the other kinds


def keep_of(config: RawLogConfig, source: str) -> str:
    """Return the policy of a source: that of the first entry which names it, else `all`."""
    return next((one.keep for one in config.keep if fnmatchcase(source, one.source)), "all")


def keeps(config: RawLogConfig, plans: Mapping[str, Plan]) -> Keeps | None:
    """Return what judges the records of a batch, or None when everything is kept."""
    if all(one.keep == "all" for one in config.keep):
        return None
    return _Judge(config, {name: plan.reader for name, plan in plans.items()})


class _Judge:
    """Looks at whole batches: of a source whose faults are kept, a batch with a fault is kept as a whole.

    What a part says around its fault explains it, and a stream can be read again only from all of its bytes.
    """

    def __init__(self, config: RawLogConfig, readers: Mapping[str, Reader]) -> None:
        self._config = config
        self._readers = readers
        self._policies: dict[str, str] = {}
        self._states: dict[str, State] = {}

    def __call__(self, records: Sequence[Record]) -> list[bool]:
        """Say of each record whether the long record is to hold it."""
        by_source: dict[str, list[Record]] = {}
        for record in records:
            by_source.setdefault(record.source, []).append(record)
        kept = {source: self._keeps(source, own) for source, own in by_source.items()}
        return [record.kind not in READINGS or kept[record.source] for record in records]

    def _keeps(self, source: str, records: Sequence[Record]) -> bool:
        policy = self._policies.setdefault(source, keep_of(self._config, source))
        return policy == "all" or (policy == "faults" and self._faulty(source, records))

    def _faulty(self, source: str, records: Sequence[Record]) -> bool:
        """Read the records as ingest will, and see whether anything is wrong with them; when in doubt, it is."""
        reader = self._readers.get(source)
        if reader is None:
            return True
        state = self._states.setdefault(source, reader.initial())
        try:
            self._states[source], readings = read(reader, state, records, 0, records[-1].mono_ns)
        except Exception:  # noqa: BLE001 - our own code fails on it: exactly what somebody will want to see
            return True
        return any(reading.garbage or reading.slots.code.any() for reading in readings)
