"""What is done when a window closes: the slots are settled, the flags counted, the usable values summarised.

Many sensors go through at once, because on short columns it is the number of calls that costs, not the values. What is
said of a sensor depends on its own rows alone, bit for bit, whatever stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.base import Channel, Kind
from gateway.block import F8, FLAGS, I8, MOMENTS, NOTHING, REASONS, U1, U2, Flag, Packed, usable
from gateway.ledger import places, settled, tally
from gateway.pipeline.samples import pack
from gateway.pipeline.statistics import summarise

NS = 1_000_000_000
FIRST, LAST = MOMENTS.index("first_s"), MOMENTS.index("last_s")
AT_ONCE = 1 << 15  # values in one go: beyond it the columns leave the cache of the processor
LEVELS = 16  # more than the highest flag


class Cut(NamedTuple):
    """What one sensor has in one window: n rows that rise in time, and what happened in its slots."""

    channels: tuple[Channel, ...]
    keep: tuple[bool, ...]  # of each channel: are its samples kept
    alive: npt.NDArray[np.bool_]  # [c] its usable slots are those in which the part was alive
    events: bool
    expected: I8  # numbers of the slots, which rise
    t: I8  # [n]
    v: F8  # [n, c]
    flag: U1
    fit: npt.NDArray[np.bool_]  # [n, c] is the value usable
    reason: U2
    dur_s: F8
    row_slot: I8  # [n] number of the slot of each row
    slot: I8  # [m]
    code: U1  # [m]
    watched: npt.NDArray[np.bool_] | None = None  # of each slot: does it count that nothing was seen; None: of all


class Closed(NamedTuple):
    """Some sensors in one window, as Windows has it: k series of s sensors."""

    n_by_flag: I8
    expected: I8
    usable: I8
    moments: F8
    reasons: I8
    slots: I8  # [s, 5] without what came late
    rejected: I8
    missed: I8
    samples: tuple[Packed, ...]
    codes: tuple[bytes, ...]
    seen: tuple[bytes, ...]


def close_cuts(cuts: Sequence[Cut], start_ns: int) -> Closed:
    """Close one window of some sensors."""
    codes = [settled(cut.slot, cut.code, cut.expected) for cut in cuts]
    sizes = np.array([len(one) for one in codes])
    sums, rejected, missed = tally(np.concatenate(codes), sizes)
    good = np.array([int((cut.code == 0).sum()) for cut in cuts])
    extra = np.where([cut.events for cut in cuts], 0, good - sums[:, 1])
    seen = [_seen(cut, own == 0) for cut, own in zip(cuts, codes, strict=True)]
    channels = [len(cut.channels) for cut in cuts]
    parts = [_values(some, start_ns) for some in _groups(cuts)]
    return Closed(
        np.concatenate([part.n_by_flag for part in parts]),
        np.repeat(sizes, channels).astype(np.int64),
        np.concatenate([one.sum(axis=0) for one in seen]).astype(np.int64),
        np.concatenate([part.moments for part in parts]),
        np.concatenate([_reasons(cut) for cut in cuts]),
        np.column_stack([sums, extra]).astype(np.int64),
        rejected,
        missed,
        tuple(packed for part in parts for packed in part.samples),
        tuple(one.tobytes() for one in codes),
        tuple(bits.tobytes() for one in seen for bits in np.packbits(one, axis=0).T),
    )


def _seen(cut: Cut, valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tell in which slots [n] each channel [c] has a usable value; if it counts events: in which the part was alive."""
    out = np.zeros((len(cut.expected), len(cut.channels)), np.bool_)
    if not cut.alive.all() and len(cut.t):
        place, inside = places(cut.row_slot, cut.expected)
        fit = cut.fit
        if not inside.all():
            place, fit = place[inside], fit[inside]
        fresh = place[1:] != place[:-1]
        if fresh.all():
            out[place] = fit
        else:
            firsts = np.flatnonzero(np.concatenate([[True], fresh]))
            out[place[firsts]] = np.logical_or.reduceat(fit, firsts, axis=0)
    if cut.alive.any():
        out[:, cut.alive] = (valid if cut.watched is None else valid & cut.watched)[:, None]
    return out


def _reasons(cut: Cut) -> I8:
    """Count the reasons of each channel: i8[c, 13]."""
    if not cut.reason.any():
        return np.zeros((len(cut.channels), len(REASONS)), np.int64)
    bits = np.array(REASONS, np.uint16)
    counts: I8 = ((cut.reason[:, :, None] & bits) != 0).sum(axis=0)
    return counts


def _groups(cuts: Sequence[Cut]) -> Iterator[Sequence[Cut]]:
    """Put together what is small."""
    first, size = 0, 0
    for i, cut in enumerate(cuts):
        size += cut.v.size
        if size >= AT_ONCE or i == len(cuts) - 1:
            yield cuts[first : i + 1]
            first, size = i + 1, 0


class _Values(NamedTuple):
    n_by_flag: I8
    moments: F8
    samples: tuple[Packed, ...]


def _values(cuts: Sequence[Cut], start_ns: int) -> _Values:
    """Count the flags and summarise the usable values of some sensors, series by series."""
    channels = [channel for cut in cuts for channel in cut.channels]
    rows = np.repeat([len(cut.t) for cut in cuts], [len(cut.channels) for cut in cuts])
    flag = np.concatenate([cut.flag.T.ravel() for cut in cuts])
    series = np.repeat(np.arange(len(channels)) * LEVELS, rows)
    table = np.bincount(series + flag, minlength=LEVELS * len(channels)).reshape(-1, LEVELS)
    n_by_flag = table[:, FLAGS].astype(np.int64)
    counts = table[:, Flag.GOOD : Flag.SUSPECT + 1].sum(axis=1).astype(np.int64)
    x = np.concatenate([cut.v.T.ravel() for cut in cuts])
    weight_s = np.concatenate([np.tile(cut.dur_s, len(cut.channels)) for cut in cuts])
    if int(counts.sum()) < len(x):
        fit = usable(flag)
        x, weight_s = x[fit], weight_s[fit]
    moments = summarise(x, counts, [channel.kind for channel in channels], weight_s)
    moments[:, [FIRST, LAST]] = np.concatenate([_first_and_last(cut, start_ns) for cut in cuts])
    keep = [kept for cut in cuts for kept in cut.keep or (False,) * len(cut.channels)]
    return _Values(n_by_flag, moments, _samples(channels, keep, x, counts))


def _first_and_last(cut: Cut, start_ns: int) -> F8:
    """Return when each channel [c] had its first and last usable value, s from the start; NaN where it has none."""
    if not len(cut.t):
        return np.full((len(cut.channels), 2), np.nan)
    fit = cut.fit
    at = np.array([[0, len(fit) - 1]])
    if not fit.all():
        at = np.stack([fit.argmax(axis=0), len(fit) - 1 - fit[::-1].argmax(axis=0)], axis=1)
    at_s = np.round((cut.t[at] - start_ns) / NS, 3)  # finer than ms is the noise of the clock's offset
    return np.where(np.atleast_1d(fit.any(axis=0))[:, None], at_s, np.nan)


def _samples(channels: Sequence[Channel], keep: Sequence[bool], x: F8, counts: I8) -> tuple[Packed, ...]:
    """Pack the usable values of the channels whose samples are kept; of a speed its magnitude."""
    ends = np.cumsum(counts).tolist()
    out = []
    for channel, kept, n, end in zip(channels, keep, counts.tolist(), ends, strict=True):
        own = x[end - n : end]
        if kept and n:
            out.append(pack(np.abs(own) if channel.kind is Kind.SPEED else own, channel.resolution))
        else:
            out.append(NOTHING)
    return tuple(out)
