"""History: the closed base windows of the last weeks, one compressed column block per period.

Beside it, for as long as a window may be amended or go into a longer one, its details: samples and single slots.
"""

from __future__ import annotations

import logging
import sqlite3
import zlib
from collections.abc import Iterator

import msgspec
import numpy as np

from drivers.base import Fault, Miss
from gateway.block import F8, FLAGS, I8, MOMENTS, REASONS, SLOT_COUNTS, Packed, Windows

log = logging.getLogger(__name__)
DAY_NS = 86_400_000_000_000
ARRAYS = ("n_by_flag", "expected", "usable", "moments", "reasons", "slots", "rejected", "missed")
COMPACT = {"moments": "<f8"}  # everything else counts: 32 bits are enough
DETAILS = ("samples", "codes", "seen")
VERSION = 2
MOMENTS_OF = {1: 7, VERSION: len(MOMENTS)}  # how many of MOMENTS a block of each version has; it has no others


def encode(windows: Windows) -> bytes:
    """Write windows down as one block."""
    columns = {name: getattr(windows, name).astype(COMPACT.get(name, "<i4")).tobytes() for name in ARRAYS}
    whole = {
        "v": VERSION, "period_s": windows.period_s, "start_ns": windows.start_ns, "rev": windows.rev,
        "series": windows.series, "kind": windows.kind, "sensors": windows.sensors, **columns,
    }  # fmt: skip
    return zlib.compress(msgspec.msgpack.encode(whole), 6)


def encode_details(windows: Windows) -> bytes | None:
    """Write down what is needed of windows only for a while; None where that is nothing."""
    if not windows.samples and not windows.codes:
        return None
    details = {name: getattr(windows, name) for name in DETAILS}
    return zlib.compress(msgspec.msgpack.encode(details), 1)  # half of it is noise: trying harder gains 3 %


def decode(block: bytes, details: bytes | None = None) -> Windows:
    """Read a block, and its details where they are still there; raise ValueError when it is none."""
    try:
        whole = msgspec.msgpack.decode(zlib.decompress(block))
        if details is not None:
            whole |= msgspec.msgpack.decode(zlib.decompress(details))
        k, s = len(whole["series"]), len(whole["sensors"])

        def counts(name: str, *shape: int) -> I8:
            return np.frombuffer(whole[name], "<i4").astype(np.int64).reshape(shape)

        return Windows(
            whole["period_s"],
            whole["start_ns"],
            whole["rev"],
            series=tuple(tuple(key) for key in whole["series"]),
            kind=tuple(whole["kind"]),
            n_by_flag=counts("n_by_flag", k, len(FLAGS)),
            expected=counts("expected", k),
            usable=counts("usable", k),
            moments=_moments(whole["moments"], k, MOMENTS_OF[whole["v"]]),
            reasons=counts("reasons", k, len(REASONS)),
            sensors=tuple(whole["sensors"]),
            slots=counts("slots", s, len(SLOT_COUNTS)),
            rejected=counts("rejected", s, len(Fault)),
            missed=counts("missed", s, len(Miss)),
            samples=tuple(Packed(*packed) for packed in whole.get("samples", ())),
            codes=tuple(whole.get("codes", ())),
            seen=tuple(whole.get("seen", ())),
        )
    except (zlib.error, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a block of history: {error}") from None


def _moments(raw: bytes, k: int, known: int) -> F8:
    """Read the moments of k series; those that a block of an older version has not are NaN."""
    out = np.full((k, len(MOMENTS)), np.nan)
    out[:, :known] = np.frombuffer(raw, "<f8").reshape(k, known)
    return out


def put(db: sqlite3.Connection, windows: Windows) -> None:
    """Add a closed window inside the caller's transaction; a revision replaces the earlier one."""
    row = (windows.start_ns, windows.rev, encode(windows))
    db.execute("INSERT OR REPLACE INTO history (start_ns, rev, block) VALUES (?, ?, ?)", row)
    db.execute("DELETE FROM detail WHERE start_ns = ?", (windows.start_ns,))
    if (details := encode_details(windows)) is not None:
        db.execute("INSERT INTO detail (start_ns, block) VALUES (?, ?)", (windows.start_ns, details))


def rev_of(db: sqlite3.Connection, start_ns: int) -> int | None:
    """Return the revision under which a window is known, or None."""
    row = db.execute("SELECT rev FROM history WHERE start_ns = ?", (start_ns,)).fetchone()
    return None if row is None else int(row[0])


def between(db: sqlite3.Connection, start_ns: int, end_ns: int) -> Iterator[Windows]:
    """Yield the base windows that start in [start_ns, end_ns), in order; one that cannot be read is left out."""
    query = """SELECT start_ns, history.block, detail.block FROM history LEFT JOIN detail USING (start_ns)
        WHERE start_ns >= ? AND start_ns < ? ORDER BY start_ns"""
    for at_ns, block, details in db.execute(query, (start_ns, end_ns)):
        try:
            yield decode(block, details)
        except ValueError as error:  # its slots count as missing in the longer window; the gateway goes on
            log.error("the window at %d is left out of longer ones: %s", at_ns, error)


def any_between(db: sqlite3.Connection, start_ns: int, end_ns: int) -> bool:
    """Tell whether any base window that starts in [start_ns, end_ns) is known."""
    query = "SELECT 1 FROM history WHERE start_ns >= ? AND start_ns < ? LIMIT 1"
    return db.execute(query, (start_ns, end_ns)).fetchone() is not None


def last_start_ns(db: sqlite3.Connection) -> int | None:
    """Return the start of the newest window, or None where there is none."""
    (start_ns,) = db.execute("SELECT max(start_ns) FROM history").fetchone()
    return None if start_ns is None else int(start_ns)


def weight(db: sqlite3.Connection) -> tuple[float, float]:
    """Return how many bytes of history a day makes, after its newest windows, and how many days there are."""
    (first_ns,) = db.execute("SELECT min(start_ns) FROM history").fetchone()
    newest = "SELECT start_ns, length(block) AS size FROM history ORDER BY start_ns DESC LIMIT 60"
    size, since_ns, last_ns, k = db.execute(
        f"SELECT sum(size), min(start_ns), max(start_ns), count(*) FROM ({newest})"  # noqa: S608 - fixed words
    ).fetchone()
    if k < 2:
        return 0.0, 0.0
    return size * (k - 1) / k / (last_ns - since_ns) * DAY_NS, (last_ns - first_ns) / DAY_NS


def prune(db: sqlite3.Connection, before_ns: int, details_before_ns: int = 0) -> None:
    """Forget what is older than the site keeps."""
    db.execute("DELETE FROM history WHERE start_ns < ?", (before_ns,))
    db.execute("DELETE FROM detail WHERE start_ns < ?", (max(before_ns, details_before_ns),))
