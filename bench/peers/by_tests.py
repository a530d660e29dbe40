"""The three tests of QARTOD alone, series by series: ioos-qc's, and ours of the same definitions; flags out."""

from __future__ import annotations

import numpy as np

from bench.peers.task import HI, LO, NS, TOLERANCE, Rows, split

SUSPECT_SPAN = (1.0, 200.0)
SUSPECT_STEP, FAIL_STEP = 10.0, 25.0
STUCK_S, STUCK_FAIL_S = 3.0, 5.0  # repeat counts of the QARTOD manual, at 1 Hz
Columns = list[tuple[np.ndarray, np.ndarray]]


def prepare_columns(rows: Rows) -> Columns:
    # In whole seconds: ioos-qc rounds the step of time down to them, and a step of 0.999 s to nothing.
    return [(t // NS * NS, v) for t, v in split(rows)]


def ours(columns: Columns) -> np.ndarray:
    from gateway.pipeline import qartod

    out = []
    for t, v in columns:
        out.append(qartod.gross_range(v, (LO, HI), SUSPECT_SPAN))
        out.append(qartod.spike(v, SUSPECT_STEP, FAIL_STEP, "differential"))
        out.append(qartod.flat_line(v, t, STUCK_S, STUCK_FAIL_S, TOLERANCE))
    return np.concatenate(out)


def ioos(columns: Columns) -> np.ndarray:
    from ioos_qc import qartod

    out = []
    for t, v in columns:
        at = t.view("M8[ns]")
        out.append(qartod.gross_range_test(v, (LO, HI), SUSPECT_SPAN))
        out.append(qartod.spike_test(v, SUSPECT_STEP, FAIL_STEP, "differential"))
        out.append(qartod.flat_line_test(v, at, STUCK_S, STUCK_FAIL_S, TOLERANCE))
    return np.concatenate([np.ma.filled(flags, 9).astype(np.uint8) for flags in out])
