"""One closed minute of the five sensors, made by the core from plausible blocks."""

from __future__ import annotations

import numpy as np

from drivers import DRIVERS
from gateway.block import Block, Slots, Windows
from gateway.pipeline.windows import NS, SensorSpec, add, close, join


def minute() -> Windows:
    """Close one window of 60 s with a reading per second and channel."""
    rng = np.random.default_rng(2)
    parts = []
    for name, driver in DRIVERS.items():
        spec = SensorSpec(name, driver.domain, driver.channels, NS)
        c = len(driver.channels)
        t = np.arange(60, dtype=np.int64) * NS
        ones = np.ones((60, c), np.uint8)
        block = Block(t, rng.normal(20.0, 3.0, (60, c)), ones, ones.astype(np.uint16) * 0, np.ones(60), 60 * NS)
        state = add(spec.initial(), block, Slots(t, np.zeros(60, np.uint8)), 0)
        parts.append(close(spec, state, 0, 60)[1])
    return join(parts)
