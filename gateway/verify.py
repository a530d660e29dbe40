"""Verify: what the store holds, against what the gateway remembers, key by key and field by field."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.expected import Expected, Hour, Wanted
from gateway.store.base import Key, Store

NS = 1_000_000_000
HOUR_NS = 3600 * NS
PERCENTILE = re.compile(r"[plv]\d{1,2}(\.\d+)?")
MADE_ANEW = 1e-12  # longer windows may differ so much, relatively, between processors and releases of numpy
TOLD = 20  # differences that are told one by one
UNSENT = ("missing", "older")
TROUBLES = ("missing", "older", "newer", "different", "extra", "doubled")


class Difference(NamedTuple):
    """One point that is not as it should be; `detail` says how."""

    what: str  # one of TROUBLES
    key: Key
    detail: str = ""


@dataclass(slots=True)
class Report:
    """What came out: numbers of points, and the first differences."""

    windows: int = 0
    points: int = 0  # that should be there
    equal: int = 0
    on_the_way: int = 0  # without a receipt, so not missing
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TROUBLES, 0))
    first: list[Difference] = field(default_factory=list)
    uncompared_windows: int = 0  # of which history cannot say what they were: made under other rules, or unreadable
    uncompared_fields: int = 0  # percentiles whose samples are gone, flags of other rules, leftovers of a revision
    unreadable: int = 0
    unsent_ns: list[int] = field(default_factory=list)  # starts of what sending again would mend

    @property
    def differences(self) -> int:
        """How many points are not as they should be."""
        return sum(self.counts.values())

    def tell(self, difference: Difference) -> None:
        """Count a difference, and keep it while there are few."""
        self.counts[difference.what] += 1
        if difference.what in UNSENT:
            self.unsent_ns.append(difference.key[2])
        if len(self.first) < TOLD:
            self.first.append(difference)

    def add(self, other: Report) -> None:
        """Add what came out of another stretch of time."""
        for name in ("windows", "points", "equal", "on_the_way", "uncompared_windows", "uncompared_fields"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unreadable += other.unreadable
        for what, n in other.counts.items():
            self.counts[what] += n
        self.first += other.first[: TOLD - len(self.first)]
        starts = self.unsent_ns + other.unsent_ns
        self.unsent_ns = [min(starts), max(starts)] if starts else []


class Place(NamedTuple):
    """Whose points are compared, and how exactly the store keeps numbers (relative; 0: every bit)."""

    site: str
    gateway: str
    digits: float = 0.0


def verify(
    expected: Expected, store: Store, place: Place, start_ns: int, end_ns: int, seen: Callable[[int], None]
) -> Report:
    """Compare everything that starts in [start_ns, end_ns), hour by hour; raises StoreError.

    A stretch with differences is looked at twice: the gateway and the bridge go on working meanwhile.
    """
    whole = Report()
    for first_ns, last_ns in hours(start_ns, end_ns):
        seen(first_ns)
        report = _stretch(expected, store, place, first_ns, last_ns)
        if report.differences:
            report = _stretch(expected, store, place, first_ns, last_ns)
        whole.add(report)
    return whole


def hours(start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
    """Cut a span at full hours."""
    while start_ns < end_ns:
        border_ns = min(start_ns - start_ns % HOUR_NS + HOUR_NS, end_ns)
        yield start_ns, border_ns
        start_ns = border_ns


def _stretch(expected: Expected, store: Store, place: Place, start_ns: int, end_ns: int) -> Report:
    hour = expected.between(start_ns, end_ns)
    report = Report(
        windows=hour.windows,
        points=len(hour.points),
        uncompared_windows=len(hour.unknown),
        unreadable=hour.unreadable,
    )
    left, met = dict(hour.points), set()
    late: list[Difference] = []
    for point in store.read(start_ns, end_ns, place.gateway):
        key, tags = point[:3], dict(point.tags)
        if tags.get("site") != place.site or tags.get("gateway") != place.gateway:
            continue
        wanted = left.pop(key, None)
        if wanted is not None:
            met.add(key)
            late += _judged(report, key, wanted, point.fields, place.digits)
        elif key in met:
            report.tell(Difference("doubled", key))
        elif point.start_ns >= expected.held_ns and (tags.get("period", ""), point.start_ns) not in hour.unknown:
            report.tell(Difference("extra", key))
    late += [Difference("missing", key) for key in left]
    _settle(report, expected, hour, late)
    return report


def _judged(
    report: Report, key: Key, wanted: Wanted, found: Mapping[str, float], digits: float
) -> Iterator[Difference]:
    """Compare one point that is there; yield a difference that may be over once its revision has arrived."""
    want, have = wanted.fields["rev"], found.get("rev", math.nan)
    if have < want:
        yield Difference("older", key, f"revision {have:g} instead of {want:g}")
    elif have > want:
        report.tell(Difference("newer", key, f"revision {have:g} instead of {want:g}"))
    else:
        wrong, skipped = unlike(wanted, found, digits)
        report.uncompared_fields += skipped
        if wrong:
            said = (f"{name} {_shown(have)} instead of {_shown(want)}" for name, (want, have) in sorted(wrong.items()))
            report.tell(Difference("different", key, ", ".join(said)))
        else:
            report.equal += 1


def _settle(report: Report, expected: Expected, hour: Hour, late: list[Difference]) -> None:
    """Tell what is on its way from what is missing."""
    starts = {one.key[2] for one in late}
    waiting = expected.keys_of([seq for at_ns in starts for seq in hour.on_the_way.get(at_ns, ())])
    for one in sorted(late, key=lambda one: (one.key[2], one.key)):
        if one.key in waiting:
            report.on_the_way += 1
        else:
            report.tell(one)


def unlike(wanted: Wanted, found: Mapping[str, float], digits: float) -> tuple[dict[str, tuple[float, float]], int]:
    """Compare the fields of a point: return what differs (NaN: not there), and how many could not be compared."""
    if wanted.fields == found:
        return {}, 0
    allowed = digits if wanted.exact else max(digits, MADE_ANEW)
    old, revised = wanted.of_before, wanted.fields["rev"] > 0
    wrong: dict[str, tuple[float, float]] = {}
    skipped = 0
    for name in wanted.fields.keys() | found.keys():
        want, have = wanted.fields.get(name, math.nan), found.get(name, math.nan)
        sampled = PERCENTILE.fullmatch(name) is not None
        untold = (sampled and (old or not wanted.percentiles)) or (old and name == "flag")
        if untold or (math.isnan(want) and revised):  # a store keeps what a rewrite leaves out
            skipped += 1
        elif not abs(have - want) <= allowed * abs(want):
            wrong[name] = want, have
    return wrong, skipped


def _shown(value: float) -> str:
    return "nothing" if math.isnan(value) else repr(value)
