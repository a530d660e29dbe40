"""What a time-series store must do for us: take points idempotently, and give them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Protocol

from gateway.wire import Point

Key = tuple[str, tuple[tuple[str, str], ...], int]  # (measurement, tags, start_ns)


class Verdict(StrEnum):
    """What a refusal of a store means for the batch."""

    RETRY = "retry"  # the store is away or busy: keep the batch, ask again later
    SLOW = "slow"  # no answer in time: keep the batch, ask again later with less at once
    SPLIT = "split"  # something in the batch is bad: find it by halves, store the rest
    OLD = "old"  # beyond what the store keeps: as SPLIT, but the points of one time are refused together
    LARGE = "large"  # too much at once, nothing of it bad: ask again with less
    REJECT = "reject"  # the store will never take it (credentials, no such bucket): retry slowly, raise an alarm


ABOUT_DATA = frozenset({Verdict.SPLIT, Verdict.OLD, Verdict.LARGE})


class StoreError(Exception):
    """A write that did not happen: the verdict, what the store said, how long it asked us to wait, its HTTP status."""

    def __init__(self, verdict: Verdict, what: str, retry_after_s: float | None = None, status: int = 0) -> None:
        super().__init__(what)
        self.verdict = verdict
        self.retry_after_s = retry_after_s
        self.status = status  # 0: it did not answer, or does not speak HTTP

    @property
    def about_data(self) -> bool:
        """Whether the data is refused, and not for now everything."""
        return self.verdict in ABOUT_DATA


class Store(Protocol):
    """A store behind one protocol; blocking; writing a point again with the same key replaces it."""

    def write(self, points: Sequence[Point]) -> None:
        """Write durably, or raise StoreError; where the store can tell, a lower `rev` never replaces a higher one."""
        ...

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[Point]:
        """Yield all points, or those of one gateway, whose window starts in [start_ns, end_ns); raise StoreError."""
        ...

    def close(self) -> None:
        """Let go of files and sockets."""
        ...
