"""From what was made and what arrived to the account of one system: pure functions over lists.

A reading is one value of one series that a sensor gave to a living process of the system. Times are UTC seconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

EDGE_S = 0.05  # so close to the end of the count two clocks may see a reading on different sides


class Reading(NamedTuple):
    """A value that was made: its series, and when."""

    series: str
    t_s: float


class Arrival(NamedTuple):
    """A value that arrived: its series, which reading it is, and the time under which a store would keep it."""

    series: str
    number: int
    key_ms: int


class Window(NamedTuple):
    """A window that arrived: its series, its start, its revision, and how many readings are in it."""

    series: str
    start_s: float
    rev: int
    n: int
    expected: int


@dataclass(slots=True)
class Account:
    """What became of the readings of one system."""

    made: int = 0
    unheard: int = 0  # said by sensors, or due, while no process was there to hear them
    arrived: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    merged: int = 0
    untold: int = 0  # lost or unheard, and nobody in the city is told that they are missing
    lost_in: dict[str, int] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)


def of_values(made: Iterable[Reading], arrivals: list[Arrival], phase_of: Callable[[float], str]) -> Account:
    """Account for a system that sends every reading; `made` names readings by whole seconds, arrivals in order."""
    wanted = {(one.series, int(one.t_s)) for one in made}
    times: Counter[tuple[str, int]] = Counter((one.series, one.number) for one in arrivals)
    missing = [key for key in wanted if key not in times]
    keys: dict[tuple[str, int], set[int]] = defaultdict(set)
    for one in arrivals:
        keys[one.series, one.key_ms].add(one.number)
    return Account(
        made=len(wanted),
        arrived=len(wanted) - len(missing),
        lost=len(missing),
        doubled=sum(n - 1 for n in times.values()),
        reordered=out_of_order([(one.series, one.number) for one in arrivals]),
        merged=sum(len(numbers) - 1 for numbers in keys.values()),
        lost_in=dict(Counter(phase_of(float(second)) for _, second in missing)),
    )


def of_windows(
    made: Iterable[Reading],
    stored: list[Window],
    heard: list[Window],
    base_s: int,
    phase_of: Callable[[float], str],
) -> Account:
    """Account for a system that sends windows, which say how many readings are in them.

    `stored` is what the city's store holds, one window for each key; `heard` what a subscriber got, in order.
    """
    due: Counter[tuple[str, float]] = Counter()
    edge: Counter[tuple[str, float]] = Counter()
    for one in made:
        start_s = one.t_s // base_s * base_s
        due[one.series, start_s] += 1
        near_s = min(one.t_s - start_s, start_s + base_s - one.t_s)
        edge[one.series, start_s] += near_s < EDGE_S
    held: Counter[tuple[str, float]] = Counter()
    for window in stored:
        held[window.series, window.start_s] += window.n
    account = _account(due, held, edge, phase_of)
    first = {(one.series, one.start_s, one.rev) for one in heard}
    account.doubled += sum(one.n for one in heard) - sum(n for n in _once(heard).values())
    account.reordered = _late(heard)
    account.merged = sum(max(0, window.n - window.expected) for window in stored)
    latest: dict[tuple[str, float], Window] = {}
    for window in heard:
        known = latest.get((window.series, window.start_s))
        latest[window.series, window.start_s] = window if known is None or window.rev >= known.rev else known
    account.more = {
        "windows": len(held),
        "revisions": sum(rev > 0 for _, _, rev in first),
        "heard_by_subscriber": sum(window.n for window in latest.values()),
    }
    return account


def _account(
    due: Counter[tuple[str, float]],
    held: Counter[tuple[str, float]],
    edge: Counter[tuple[str, float]],
    phase_of: Callable[[float], str],
) -> Account:
    """Compare window by window; what may lie on either side of an edge is weighed against the windows beside it."""
    out = Account(made=due.total())
    lost_in: Counter[str] = Counter()
    for series in sorted({series for series, _ in due}):
        carried = 0
        starts = sorted(start_s for other, start_s in due.keys() | held.keys() if other == series)
        for i, start_s in enumerate(starts):
            gap = due[series, start_s] - held[series, start_s] + carried
            nexts = starts[i + 1 : i + 2]
            movable = edge[series, start_s] + (edge[series, nexts[0]] if nexts else 0)
            carried = 0
            if gap and abs(gap) <= movable:
                carried = gap if nexts else 0  # seen on the other side of the edge
            elif gap > 0:
                lost_in[phase_of(start_s)] += gap
            else:
                out.doubled -= gap
    out.lost = lost_in.total()
    out.arrived = out.made - out.lost
    out.lost_in = dict(lost_in)
    return out


def _once(heard: list[Window]) -> dict[tuple[str, float, int], int]:
    return {(one.series, one.start_s, one.rev): one.n for one in heard}


def _late(heard: list[Window]) -> int:
    """Count the readings in windows that came for the first time after a later window of their series."""
    newest: dict[str, float] = {}
    seen: set[tuple[str, float]] = set()
    late = 0
    for one in heard:
        if (one.series, one.start_s) not in seen and one.start_s < newest.get(one.series, float("-inf")):
            late += one.n
        seen.add((one.series, one.start_s))
        newest[one.series] = max(one.start_s, newest.get(one.series, one.start_s))
    return late


def out_of_order(numbers: list[tuple[str, int]]) -> int:
    """Count values that came for the first time after a later one of their series."""
    newest: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    late = 0
    for series, number in numbers:
        if (series, number) not in seen and number < newest.get(series, number):
            late += 1
        seen.add((series, number))
        newest[series] = max(number, newest.get(series, number))
    return late
