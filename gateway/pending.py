"""Closed windows that the disk does not take: they wait in memory, which is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from gateway.block import Windows

MOST_BYTES = 16_000_000  # hours of windows of five sensors, with their samples; the service has 256 MB


def bounded(pending: Sequence[Windows], most_bytes: int = MOST_BYTES) -> tuple[list[Windows], list[Windows]]:
    """Return the newest windows that fit into memory, the last one always, and those that are given up for them."""
    kept = size = 0
    for one in reversed(pending):
        size += weight(one)
        if kept and size > most_bytes:
            break
        kept += 1
    first = len(pending) - kept
    return list(pending[first:]), list(pending[:first])


def weight(windows: Windows) -> int:
    """Return how many bytes of memory windows take, about."""
    arrays = (getattr(windows, field.name) for field in fields(windows))
    size = sum(one.nbytes for one in arrays if isinstance(one, np.ndarray))
    details = (*windows.codes, *windows.seen, *(packed.data for packed in windows.samples))
    return size + sum(len(one) + 100 for one in details) + 2000
