"""Archives: long columns, or rows of many series as they stand in an export, judged and summarised at once.

The tests and the statistics are those of the live stages and windows, with the same verdicts and the same sums, bit for
bit. One thing differs: a window that closes live does not wait for the neighbours of its last rows; here all are there.
Memory is for some rows that wait and for the windows that come out, never for all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.base import Kind
from gateway.block import F8, FLAGS, I4, I8, MOMENTS, REASONS, U1, U2, Flag, Reason, usable
from gateway.pipeline.filters import hampel
from gateway.pipeline.kernels import Mask
from gateway.pipeline.quality import gross_range
from gateway.pipeline.rolling import flat
from gateway.pipeline.statistics import percentiles, summarise

NS = 1_000_000_000
APART = 1 << 15  # interleaved rows taken apart at once: their columns stay in the cache of the processor
HELD = 3 << 20  # rows that wait for their windows to be whole: 48 MB
PIECE = 1 << 17  # rows of one series: a megabyte a column
FIRST, LAST = MOMENTS.index("first_s"), MOMENTS.index("last_s")
GOOD, FAIL, MISSING = int(Flag.GOOD), int(Flag.FAIL), int(Flag.MISSING)
Numbers = npt.NDArray[np.unsignedinteger[Any]]
Chunk = tuple[I8, Numbers, F8]
PLACE = np.array([FLAGS.index(Flag(i)) if i in FLAGS else 0 for i in range(MISSING + 1)])  # of a flag in FLAGS
PLACE.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Series:
    """What is known of one series: its kind, the time that a row stands for, and what its values are held against.

    A value outside [lo, hi] fails, one outside the suspect span is suspect (QARTOD gross range). Of those that do not
    fail, an outlier by `filters.hampel` among `neighbours` on either side, 0 for no such test, is given `outlier`; one
    whose neighbours are not all there, or further apart than `near_s` from row to row, is not judged so. A value, as it
    came, that with the `stuck_n` rows before it stays within the tolerance is given `stuck` (`rolling.flat`).
    """

    kind: str = "scalar"
    dur_s: float = 1.0
    lo: float = -np.inf
    hi: float = np.inf
    suspect_lo: float = -np.inf
    suspect_hi: float = np.inf
    neighbours: int = 0
    near_s: float = np.inf
    n_sigmas: float = 3.0
    sigma_floor: float = 0.0
    outlier: Flag = Flag.SUSPECT
    stuck_n: int = 0
    tolerance: float = 0.0
    stuck: Flag = Flag.SUSPECT


class Summary(NamedTuple):
    """The windows that hold a row, by series and then time: k of them."""

    series: I4  # [k] its number
    start_ns: I8  # [k] UTC
    n_by_flag: I4  # [k, 5] in the order of FLAGS
    reasons: I4  # [k, 13] in the order of REASONS
    moments: F8  # [k, 13] of the usable values, in the order of MOMENTS
    percentiles: F8  # [k, p] of the usable values, of a SPEED of its magnitude


def judge(one: Series, t: I8, v: F8, first: int = 0, end: int | None = None) -> tuple[U1, U2]:
    """Flag the values v[first:end] of a series and say why; their neighbours outside are looked at as well."""
    end = len(v) if end is None else end
    k, n = one.neighbours, one.stuck_n
    low, high = max(first - k, 0), min(end + k, len(v))
    around = gross_range(v[low:high], one.lo, one.hi, one.suspect_lo, one.suspect_hi)
    flag = around[first - low : end - low].copy()
    reason = _bit((flag > GOOD) & (flag < MISSING), Reason.RANGE)
    if k:
        odd = _outliers(one, t[low:high], _without(v[low:high], around == FAIL))[first - low : end - low]
        _raise(flag, odd, one.outlier)
        reason |= _bit(odd, Reason.SPIKE)
    if n:
        low = max(first - n, 0)
        still = flat(v[low:end], n, one.tolerance)[first - low :]
        if still.any():
            _raise(flag, still, one.stuck)
            reason |= _bit(still, Reason.STUCK)
    return flag, reason


def _without(v: F8, of: Mask) -> F8:
    """Return a copy with NaN in some places."""
    out = v.copy()
    out[of] = np.nan
    return out


def _raise(flag: U1, of: Mask, level: Flag) -> None:
    """Make some flags at least as bad as a level; none of these rows is missing."""
    np.maximum(flag, of.view(np.uint8) * np.uint8(level), out=flag)


def _bit(of: Mask, why: Reason) -> U2:
    """Return the reason where it holds."""
    return of * np.uint16(why)


def _outliers(one: Series, t: I8, x: F8) -> Mask:
    """Find outliers; what has a gap in time among its neighbours is none."""
    k = one.neighbours
    odd = hampel(x, k, one.n_sigmas, one.sigma_floor)
    if one.near_s < np.inf:
        for gap in (t[1:] - t[:-1] > round(one.near_s * NS)).nonzero()[0].tolist() if odd.any() else ():
            odd[max(gap + 1 - k, 0) : gap + 1 + k] = False
    return odd


def of_columns(
    series: Sequence[Series], columns: Iterable[tuple[I8, F8]], period_s: int, p: Sequence[float] = ()
) -> Summary:
    """Judge and summarise columns (t in UTC ns, v), one for each series: windows of `period_s`, percentiles p.

    Raises ValueError where time runs backwards.
    """
    parts: list[Summary] = []
    for number, (one, (t, v)) in enumerate(zip(series, columns, strict=True)):
        parts += _column(number, one, t, v, 0, len(t), period_s * NS, p)
    return _together(parts)


def of_rows(
    series: Sequence[Series],
    chunks: Iterable[Chunk],
    period_s: int,
    p: Sequence[float] = (),
) -> Summary:
    """Judge and summarise rows (t in UTC ns, number of the series, v) that come in chunks, series interleaved.

    The rows of each series rise in time; those of several need no order among each other. Raises ValueError where time
    runs backwards, or for a number that is none of a series.
    """
    period_ns, held = period_s * NS, 0
    waiting = [_Rows([], [], 0) for _ in series]
    parts: list[list[Summary]] = [[] for _ in series]
    for rows in _cut(chunks):
        held += len(rows[0])
        for s, t, v in _by_series(*rows, len(series)):
            waiting[s].t.append(t)
            waiting[s].v.append(v)
        if held >= HELD:
            for s, one in enumerate(series):
                some, waiting[s] = _take(s, one, waiting[s], period_ns, p)
                parts[s] += some
            held = 0
    for s, one in enumerate(series):
        t, v = waiting[s].joined()
        parts[s] += _column(s, one, t, v, waiting[s].done, len(t), period_ns, p)
    every = [part for own in parts for part in own]
    del parts
    return _together(every)


class _Rows(NamedTuple):
    """Rows of one series that wait, in pieces; the first `done` are here as neighbours of the others only."""

    t: list[I8]
    v: list[F8]
    done: int

    def joined(self) -> tuple[I8, F8]:
        """Return them in one piece."""
        return np.concatenate([np.empty(0, np.int64), *self.t]), np.concatenate([np.empty(0), *self.v])


def _cut(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Cut chunks into some that stay in the cache of the processor."""
    for t, number, v in chunks:
        for first in range(0, len(t), APART):
            rows = slice(first, first + APART)
            yield t[rows], number[rows], v[rows]


def _by_series(t: I8, number: Numbers, v: F8, n: int) -> Iterator[tuple[int, I8, F8]]:
    """Take the rows of n series apart: the number of each one that occurs, and its t and v in their order."""
    order = np.argsort(number, kind="stable")  # of bytes: by counting, not by comparing
    t, number, v = t[order], number[order], v[order]
    if len(number) and int(number[-1]) >= n:
        raise ValueError(f"archive: there is no series {int(number[-1])}")
    begins = np.searchsorted(number, np.arange(n, dtype=number.dtype)).tolist()
    for s, (begin, end) in enumerate(zip(begins, [*begins[1:], len(t)], strict=True)):
        if end > begin:
            yield s, t[begin:end], v[begin:end]


def _take(number: int, one: Series, rows: _Rows, period_ns: int, p: Sequence[float]) -> tuple[list[Summary], _Rows]:
    """Summarise the windows that no later row can change; return them, and the rows of the others."""
    t, v = rows.joined()
    last = int(t[max(len(t) - 1 - one.neighbours, 0)]) if len(t) else 0  # what comes behind it is not decided yet
    end = max(int(np.searchsorted(t, last - last % period_ns)), rows.done)
    parts = _column(number, one, t, v, rows.done, end, period_ns, p)
    keep = max(end - max(one.neighbours, one.stuck_n), 0)
    return parts, _Rows([t[keep:].copy()], [v[keep:].copy()], end - keep)


def _column(
    number: int, one: Series, t: I8, v: F8, first: int, end: int, period_ns: int, p: Sequence[float]
) -> list[Summary]:
    """Judge and summarise the rows from `first` to `end`, which are whole windows, some of them at a time."""
    if end <= first:
        return []
    if bool((t[1:] < t[:-1]).any()):
        raise ValueError("archive: time runs backwards")
    edges = _edges(t[first:end], period_ns) + first
    bounds = np.append(edges, end)
    cuts = np.unique(bounds[np.searchsorted(bounds, [*range(first, end, PIECE), end])])
    parts = []
    for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        flag, reason = judge(one, t, v, a, b)
        own = edges[np.searchsorted(edges, a) : np.searchsorted(edges, b)] - a
        parts.append(_windows(number, one, t[a:b], v[a:b], flag, reason, own, period_ns, p))
    return parts


def _edges(t: I8, period_ns: int) -> I8:
    """Return the first row of each window that holds one; edges are looked up, which is cheaper than dividing times."""
    begin, end = int(t[0]) // period_ns, int(t[-1]) // period_ns + 1
    if end - begin > len(t):
        window = t // period_ns
        return np.concatenate([[0], (window[1:] != window[:-1]).nonzero()[0] + 1]).astype(np.int64)
    edges = np.searchsorted(t, np.arange(begin, end + 1, dtype=np.int64) * period_ns)
    return edges[:-1][edges[1:] > edges[:-1]].astype(np.int64)


def _windows(
    number: int, one: Series, t: I8, v: F8, flag: U1, reason: U2, edges: I8, period_ns: int, p: Sequence[float]
) -> Summary:
    """Summarise rows that are judged, window by window."""
    k = len(edges)
    n_by_flag, reasons = _counts(flag, reason, edges)
    n = (n_by_flag[:, 0] + n_by_flag[:, 1] + n_by_flag[:, 2]).astype(np.int64)
    start_ns = t[edges] - t[edges] % period_ns
    x, rows = v, np.arange(0)
    if int(n.sum()) < len(v):
        rows = usable(flag).nonzero()[0]
        x = v[rows]
    shares = percentiles(np.abs(x) if one.kind == Kind.SPEED else x, n, (0.0, *p, 100.0)) if len(p) else None
    extremes = None if shares is None else (shares[:, 0], shares[:, -1])
    moments = summarise(x, n, one.kind, np.broadcast_to(np.float64(one.dur_s), len(x)), extremes=extremes)
    some = n > 0
    ends = np.cumsum(n)[some] - 1
    for column, at in ((FIRST, ends - n[some] + 1), (LAST, ends)):
        when = t[rows[at]] if len(rows) else t[at]
        moments[some, column] = np.round((when - start_ns[some]) / NS, 3)
    ranks = np.empty((k, 0)) if shares is None else shares[:, 1:-1]
    return Summary(np.full(k, number, np.int32), start_ns, n_by_flag, reasons, moments, ranks)


def _counts(flag: U1, reason: U2, edges: I8) -> tuple[I4, I4]:
    """Count flags and reasons by window, from the rows that are not simply good: most archives have few of them."""
    k, f = len(edges), len(FLAGS)
    odd = ((flag != GOOD) | (reason != 0)).nonzero()[0]
    window = np.repeat(np.arange(k), np.diff(np.searchsorted(odd, np.append(edges, len(flag)))))
    n_by_flag = np.bincount(window * f + PLACE[flag[odd]], minlength=k * f).reshape(k, f).astype(np.int32)
    n_by_flag[:, 0] += np.diff(np.append(edges, len(flag))) - np.bincount(window, minlength=k)
    reasons = np.zeros((k, len(REASONS)), np.int32)
    why = reason[odd]
    every = int(np.bitwise_or.reduce(why))
    for i, bit in enumerate(REASONS):
        if every & bit:
            reasons[:, i] = np.bincount(window[(why & np.uint16(bit)) != 0], minlength=k)
    return n_by_flag, reasons


def _together(parts: list[Summary]) -> Summary:
    """Put what came in pieces behind each other; the pieces are given up one by one."""
    if not parts:
        raise ValueError("archive: no rows")
    columns = [list(column) for column in zip(*parts, strict=True)]
    parts.clear()
    return Summary(*(np.concatenate(columns.pop(0)) for _ in Summary._fields))
