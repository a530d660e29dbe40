"""Amending a closed window by what came late for it: the same as if it had come in time.

Slots are settled anew, one by one, so a slot that was missing becomes valid and the sums close. Counts, slots,
extremes, first and last reading and percentiles come out exactly as in time; what is summed (mean, m2, sum, energy and
so on) within 1e-12 of it, because a sum that is grouped differently changes its last bits.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace

import numpy as np

from gateway.block import I8, SLOT_COUNTS, U1, Windows
from gateway.ledger import tally
from gateway.pipeline.moments import combine_moments
from gateway.pipeline.samples import together

VALID, EXTRA, LATE = (SLOT_COUNTS.index(name) for name in ("valid", "extra", "late"))


def chosen(windows: Windows, sensors: Iterable[str], kind: str = "") -> Windows:
    """Return what windows say of some sensors, in their order; of one kind of series, if it is given."""
    wanted = set(sensors)
    k = [i for i, key in enumerate(windows.series) if key[1] in wanted and kind in ("", windows.kind[i])]
    s = [i for i, name in enumerate(windows.sensors) if name in wanted]
    return replace(
        windows,
        series=tuple(windows.series[i] for i in k),
        kind=tuple(windows.kind[i] for i in k),
        n_by_flag=windows.n_by_flag[k],
        expected=windows.expected[k],
        usable=windows.usable[k],
        moments=windows.moments[k],
        reasons=windows.reasons[k],
        sensors=tuple(windows.sensors[i] for i in s),
        slots=windows.slots[s],
        rejected=windows.rejected[s],
        missed=windows.missed[s],
        samples=tuple(windows.samples[i] for i in k) if windows.samples else (),
        codes=tuple(windows.codes[i] for i in s) if windows.codes else (),
        seen=tuple(windows.seen[i] for i in k) if windows.seen else (),
        share=None if windows.share is None else windows.share[k],
        extras=tuple((name, values[k]) for name, values in windows.extras),
    )


def amend(known: Windows, late: Windows, events: Container[str]) -> Windows:
    """Return the known window with what came late; of the sensors in `events` no frame is extra.

    Raises ValueError when the two do not speak of the same series, or the known one has no account of its single slots.
    """
    if (known.series, known.sensors) != (late.series, late.sensors):
        raise ValueError("other series than when the window was closed")
    if not known.codes or not known.seen or [len(one) for one in known.codes] != [len(one) for one in late.codes]:
        raise ValueError("nothing is known of its single slots")
    codes = [np.minimum(_bytes(a), _bytes(b)) for a, b in zip(known.codes, late.codes, strict=True)]
    seen = [_bytes(a) | _bytes(b) for a, b in zip(known.seen, late.seen, strict=True)]
    sums, rejected, missed = tally(np.concatenate(codes), np.array([len(one) for one in codes]))
    n = np.stack([known.n_by_flag[:, :3].sum(axis=1), late.n_by_flag[:, :3].sum(axis=1)])
    moments = np.stack([known.moments, late.moments])
    pairs = zip(known.samples, late.samples, strict=True)
    return replace(
        known,
        n_by_flag=known.n_by_flag + late.n_by_flag,
        usable=np.array([int(np.bitwise_count(bits).sum()) for bits in seen], np.int64),
        moments=combine_moments(moments, n.astype(np.float64), np.zeros(2)),
        reasons=known.reasons + late.reasons,
        slots=_slots(known, late, sums, events),
        rejected=rejected,
        missed=missed,
        samples=tuple(together(pair) for pair in pairs),
        codes=tuple(one.tobytes() for one in codes),
        seen=tuple(one.tobytes() for one in seen),
    )


def revised(windows: Windows, rev: int) -> Windows:
    """Return the windows under another revision number."""
    return replace(windows, rev=rev) if rev != windows.rev else windows


def _slots(known: Windows, late: Windows, sums: I8, events: Container[str]) -> I8:
    """Return the account of the slots: good frames beyond one a slot are extra, those that came late are late."""
    good = known.slots[:, VALID] + known.slots[:, EXTRA] + late.slots[:, VALID] + late.slots[:, EXTRA]
    extra = np.where([name in events for name in known.sensors], 0, good - sums[:, VALID])
    return np.column_stack([sums, extra, known.slots[:, LATE] + late.slots[:, LATE]]).astype(np.int64)


def _bytes(raw: bytes) -> U1:
    return np.frombuffer(raw, np.uint8)
