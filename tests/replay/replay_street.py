"""An hour of a street as records of acquisition: the twins in virtual time, with faults, garbage and misses.

What the sensors say depends on the seed alone; how it is cut into chunks and how often time is told are arguments.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from drivers import DRIVERS
from drivers.base import Miss, Script
from drivers.script import Answer, Reply, Step, run
from firmware_sim.device import I2cDevice, Nack, UartDevice
from firmware_sim.devices.bme280 import Bme280
from firmware_sim.devices.nsrt_mk4 import NsrtMk4
from firmware_sim.devices.ops243 import Ops243
from firmware_sim.devices.sds011 import Sds011
from firmware_sim.devices.sen55 import Sen55
from firmware_sim.street import F8, Street
from gateway.record import Context, Record, RecordKind, Tick, encode

NS = 1_000_000_000
START_S = 1_767_258_000  # 2026-01-01T09:00:00Z
BOOTED_S = START_S - 7200  # two hours before: UTC = mono + BOOTED_S
MISSES = (Miss.TIMEOUT, Miss.NACK, Miss.SHORT, Miss.NOT_READY)
RATE = 0.02  # of the seconds in which something goes wrong with a sensor
POLLED = {"noise": 0.12, "air": 0.31, "weather": 0.55}  # when in a second each is asked
STREAMED = ("pm", "radar")


@dataclass(frozen=True)
class Cuts:
    """How the same bytes reach the gateway."""

    seed: int = 0
    tick_s: int = 5
    carry: bool = True  # a piece of a frame may wait for the next second


def mono_ns(t_s: float) -> int:
    return round((t_s - BOOTED_S) * 1e6) * 1000


def record(kind: RecordKind, t_s: float, source: str, data: bytes) -> Record:
    return Record(kind, mono_ns(t_s), source, data)


def tick(t_s: float) -> Record:
    return record(RecordKind.TICK, t_s, "", encode(Tick(mono_ns(t_s), list(POLLED))))


class Swell(Street):
    """A street whose weather goes up and down as a sine: nothing is drawn for each second, so an hour is quick."""

    def _drift(self, stream: str, t_s: float | F8, scale_s: float) -> F8:
        return np.asarray(np.sin(2 * np.pi * np.asarray(t_s) / scale_s + len(stream)))


class Bench:
    """All five twins, each on a line or a bus of its own."""

    def __init__(self, seed: int) -> None:
        street = Swell(seed)
        self.lines: dict[str, UartDevice] = {
            "pm": Sds011(street, _unheard),
            "radar": Ops243(street, _unheard),
            "noise": NsrtMk4(street, _unheard),
        }
        self.parts: dict[str, I2cDevice] = {"air": Sen55(street, _unheard), "weather": Bme280(street, _unheard)}

    def say(self, sensor: str, script: Script, t_s: float) -> Answer:
        return run(_Wire(self, sensor, t_s), script, {}, DRIVERS[DRIVER_OF[sensor]].defaults())


DRIVER_OF = {"pm": "sds011", "radar": "ops243", "noise": "nsrt_mk4", "air": "sen55", "weather": "bme280"}


def _unheard(t_s: float, values: object) -> None:
    """Nobody asks for the truth here."""


class _Wire:
    """Carries the steps of a script to a twin; time passes as the script says."""

    def __init__(self, bench: Bench, sensor: str, t_s: float) -> None:
        self._bench, self._sensor, self._t_s = bench, sensor, t_s

    def __call__(self, step: Step) -> Reply:
        reply = self._serial(step) if self._sensor in self._bench.lines else self._i2c(step)
        self._t_s += step.settle_s
        return reply

    def _serial(self, step: Step) -> Reply:
        said = self._bench.lines[self._sensor].receive(step.tx, self._t_s)
        self._t_s += step.wait_s
        if not step.rx:
            return b""
        return said if len(said) == step.rx else Miss.TIMEOUT

    def _i2c(self, step: Step) -> Reply:
        part = self._bench.parts[self._sensor]
        try:
            if step.tx:
                part.write(step.tx, self._t_s)
            self._t_s += step.wait_s
            return part.read(step.rx, self._t_s) if isinstance(step.rx, int) and step.rx else b""
        except Nack:
            return Miss.NACK


def street(seconds: int = 3600, seed: int = 1, cuts: Cuts | None = None) -> list[Record]:
    """Record a street from START_S on, and the ticks that close its last window."""
    cuts = cuts or Cuts()
    records = list(_second_by_second(Bench(seed), seconds, random.Random(seed), random.Random(cuts.seed), cuts))
    return [*records, tick(START_S + seconds + 5.001)]


def _second_by_second(
    bench: Bench, seconds: int, dice: random.Random, knife: random.Random, cuts: Cuts
) -> Iterator[Record]:
    waiting = dict.fromkeys(STREAMED, b"")
    for second in range(START_S, START_S + seconds):
        if second == START_S:
            yield from _sessions(bench, second, (*STREAMED, *POLLED))
        elif second == START_S + seconds // 2:
            yield from _sessions(bench, second, ("weather",))  # its plug was pulled
        now = list(_polled(bench, second, dice))
        for sensor in STREAMED:
            said = waiting[sensor] + _streamed(bench, sensor, second, dice)
            kept = knife.randrange(6) if cuts.carry else 0
            waiting[sensor] = said[len(said) - kept :] if kept else b""
            now += _chunks(sensor, second, said[: len(said) - kept], knife)
        yield from sorted(now, key=lambda one: one.mono_ns)
        if (second + 1) % cuts.tick_s == 0:
            yield tick(second + 1.001)


def _sessions(bench: Bench, second: int, sensors: tuple[str, ...]) -> Iterator[Record]:
    for sensor in sensors:
        frame = b""
        if sensor in POLLED:
            answer = bench.say(sensor, DRIVERS[DRIVER_OF[sensor]].setup, second - 0.5)
            assert answer.miss is None, (sensor, answer)
            frame = answer.frame
        yield record(RecordKind.CONTEXT, second + 0.05, sensor, encode(Context(True, frame)))


def _polled(bench: Bench, second: int, dice: random.Random) -> Iterator[Record]:
    """Ask each polled part: mostly a frame, now and then a miss or a frame with a bit turned over."""
    for sensor, at_s in POLLED.items():
        access = DRIVERS[DRIVER_OF[sensor]].access
        frame, miss, *_ = bench.say(sensor, access.script, second + at_s)
        luck = dice.random()
        if luck < RATE:
            miss = dice.choice(MISSES)
        if miss is not None:
            yield record(RecordKind.MISS, second + at_s, sensor, str(miss).encode())
            continue
        if luck < 2 * RATE:
            frame = _spoilt(frame, dice)
        yield record(RecordKind.FRAME, second + at_s, sensor, frame)
    if second % 60 == 5:
        status = bench.say("air", DRIVERS["sen55"].chores[0].script, second + 0.7)
        yield record(RecordKind.CONTEXT, second + 0.75, "air", encode(Context(False, status.frame)))


def _streamed(bench: Bench, sensor: str, second: int, dice: random.Random) -> bytes:
    """Listen for a second: frames, sometimes a spoilt one, sometimes noise on the line."""
    line = bench.lines[sensor]
    said, _ = line.update(second + 0.2)
    if sensor == "radar" and not said:
        said = line.receive(b"?V", second + 0.2)
    luck = dice.random()
    if luck < RATE and said:
        said = _spoilt(said, dice)
    elif luck < 2 * RATE:
        noise = dice.randbytes(dice.randrange(1, 14))
        said = noise + said if dice.random() < 0.5 else said + noise
    elif luck < 2.5 * RATE:
        said = b""  # a second in which nothing came
    return said


def _spoilt(data: bytes, dice: random.Random) -> bytes:
    at, bit = dice.randrange(len(data)), dice.randrange(8)
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def _chunks(sensor: str, second: int, said: bytes, knife: random.Random) -> Iterator[Record]:
    """Cut what was said anywhere; every chunk arrives within its second."""
    edges = sorted({0, len(said), *(knife.randrange(len(said) + 1) for _ in range(knife.randrange(4)))})
    for i, (first, last) in enumerate(pairwise(edges)):
        yield record(RecordKind.CHUNK, second + 0.21 + 0.13 * i, sensor, said[first:last])
