"""Live: 24 series through the stages and windows of the core, in batches of 10 s, against plain Python by reading.

What is timed is what the core does behind decoding: a Block made of each sensor's rows, the stages (range, Hampel among
three neighbours, flat line over a minute), the window of each minute with percentiles kept. CPU seconds for an hour of
data; the blocks of a run stand ready as plain arrays.

All series side by side in one block show what the kernels take: that is held against the target. Several sensors show
what it takes on a lamp post, where each one is a call of its own.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import numpy as np

from bench.peers import by_plain, task
from drivers import DRIVERS
from drivers.base import Channel
from gateway.block import Block, Flag, Slots
from gateway.core import Core
from gateway.ingest import Reader
from gateway.pipeline.centred import Centred, HampelTest
from gateway.pipeline.quality import FlatLineTest, RangeTest
from gateway.pipeline.windows import NS, SensorSpec
from gateway.plan import Plan

BATCH_S, SPAN_S, PERIOD_S, LATENESS_S = 10, 600, 60, 2.0
KERNELS = "all 24 series in one block"  # what is held against a target
LAYOUTS = {KERNELS: (1, 24), "6 sensors of 4 channels": (6, 4), "24 sensors of 1 channel": (24, 1)}
RATES_HZ = (1, 10, 100)
Ready = list[list[tuple[np.ndarray, ...]]]


@dataclass(frozen=True, slots=True)
class Site:
    """Sensors that are alike, and how often they speak."""

    sensors: int
    channels: int
    hz: int

    def plan(self, name: str) -> Plan:
        c, slot = self.channels, NS // self.hz
        lo, hi = np.full(c, task.LO), np.full(c, task.HI)
        stages = (
            RangeTest(lo, hi, lo, hi),
            FlatLineTest((task.STUCK_N * self.hz,) * c, (0,) * c, (task.TOLERANCE,) * c),
            Centred((HampelTest((3,) * c, (task.N_SIGMAS,) * c, (task.SIGMA_FLOOR,) * c),), slot * 3 // 2, c),
        )
        channels = tuple(Channel(f"c{i}", "1", resolution=0.1) for i in range(c))
        spec = SensorSpec(name, "air", channels, slot, keep=(True,) * c)
        return Plan(name, Reader(replace(DRIVERS["sds011"], channels=channels), {}, slot, 0), stages, spec)

    def batches(self, span_s: int) -> Ready:
        """Make the rows: of each batch and sensor t, v, flag, reason, dur_s and what its slots say."""
        rng, n = np.random.default_rng(5), BATCH_S * self.hz
        out = []
        for b in range(span_s // BATCH_S):
            own = []
            for s in range(self.sensors):
                t = task.START_NS + b * BATCH_S * NS + np.arange(n) * (NS // self.hz) + s * 1_000_000
                v = np.round(rng.normal(20.0, 1.5, (n, self.channels)), 1)
                v[rng.random(v.shape) < task.BAD] = 999.9
                spiked = rng.random(v.shape) < task.SPIKES
                v[spiked] += 50.0
                flag = np.full(v.shape, Flag.NOT_EVALUATED, np.uint8)
                reason = np.zeros(v.shape, np.uint16)
                own.append((t, v, flag, reason, np.full(n, 1.0 / self.hz), np.zeros(n, np.uint8)))
            out.append(own)
        return out


def measure() -> dict[str, dict[str, float]]:
    """Return CPU seconds per hour of data, by layout and rate, and those of plain Python."""
    out: dict[str, dict[str, float]] = {}
    for name, (sensors, channels) in LAYOUTS.items():
        out[name] = {f"{hz} Hz": round(_ours(Site(sensors, channels, hz)), 3) for hz in RATES_HZ}
    out["plain Python, by reading"] = {f"{hz} Hz": round(_plain(hz), 3) for hz in RATES_HZ}
    return out


def _ours(site: Site, repeats: int = 3) -> float:
    span_s = max(SPAN_S // site.hz, 120)
    batches = site.batches(span_s)
    times = []
    for _ in range(repeats):
        core = core_of(site)
        start = time.process_time()
        closed = feed(core, batches)
        times.append(time.process_time() - start)
        assert closed == span_s // PERIOD_S - 1, closed
    return statistics.median(times) * 3600 / span_s


def core_of(site: Site) -> Core:
    """Make a core for this site alone, ready for its blocks."""
    plans = {f"s{i}": site.plan(f"s{i}") for i in range(site.sensors)}
    core = Core({"bench": plans}, PERIOD_S, LATENESS_S)
    core.begin("bench")
    return core


def feed(core: Core, batches: Ready) -> int:
    """Do with each batch what the core does when its records are read, and count the windows that closed."""
    closed = 0
    plans = list(core._plans.items())
    for b, batch in enumerate(batches):
        until_ns = task.START_NS + (b + 1) * BATCH_S * NS
        for (name, plan), (t, v, flag, reason, dur_s, code) in zip(plans, batch, strict=True):
            core._keep(plan, core._states[name], Block(t, v, flag, reason, dur_s, until_ns), Slots(t, code))
        closed += len(core._close_until(until_ns - int(LATENESS_S * NS)))
    return closed


def _plain(hz: int) -> float:
    rows = task.make(task.SERIES * 4000)  # what a reading costs does not depend on how many come in a second
    readings = by_plain.prepare(rows)
    start = time.process_time()
    by_plain.run(readings)
    return (time.process_time() - start) / len(rows.t) * task.SERIES * 3600 * hz
