"""Vehicles of a simulated street, as its radar and its lidar see them: each counted, and counted once."""

from __future__ import annotations

from typing import Any

import numpy as np

from drivers.traffic.ops243.driver import DRIVER
from firmware_sim.devices.lidar_beam import length_m, shoot
from firmware_sim.devices.ops243 import Ops243
from firmware_sim.street import Street
from gateway.block import Block, Flag
from gateway.pipeline.passages_lidar import LidarPassages
from gateway.pipeline.passages_radar import RadarPassages
from gateway.pipeline.windows import NS

START_S = 1_767_260_000
STREET = Street(7)
RADAR = RadarPassages(0, 1, NS // 2, 20 * NS, 2, 8 / 3.6, "median")
LIDAR = LidarPassages(0, 3, 5, 6.0, 0.5, 0.5, NS // 5, 20 * NS, 4 * NS, 10.0)
ALONE_S = 11.0  # the slowest is in the beam of the radar for ten


def quiet(*said: Any) -> None:
    """Nobody listens to what the twins report of themselves."""


def test_a_radar_counts_every_vehicle_that_is_alone() -> None:
    twin, lines, at = Ops243(STREET, quiet), [], []
    twin.receive(b"UMOJOM", START_S)
    now_s = float(START_S)
    while now_s < START_S + 3600:
        said, next_s = twin.update(now_s)
        for line in said.splitlines(keepends=True):
            lines.append(line)
            at.append(round(now_s * NS))
        now_s = next_s
    decoded = DRIVER.decode(lines, b"", DRIVER.defaults())
    speed = decoded.values[:, 1:2]
    t = np.array(at, np.int64)[decoded.frame]
    flag = np.full(speed.shape, Flag.GOOD, np.uint8)
    one = Block(t, speed, flag, np.zeros(speed.shape, np.uint16), np.ones(len(t)), (START_S + 3600) * NS)
    _, out = RADAR.step(RADAR.initial(), one)
    own = ~np.isnan(out.v[:, 1])
    seen_s, found = out.t[own] / NS, out.v[own, 4]
    vehicles = STREET.vehicles(START_S + 20, START_S + 3580)
    pass_s = np.array([vehicle.pass_s for vehicle in vehicles])
    alone = [v for v in vehicles if (np.abs(pass_s - v.pass_s) < ALONE_S).sum() == 1]
    assert len(alone) >= 8
    for vehicle in alone:
        beam_s = sorted(vehicle.pass_s - ahead_m / vehicle.speed_m_s for ahead_m in (5.0, 40.0))
        mine = (seen_s > beam_s[0]) & (seen_s < beam_s[1] + 1.0)
        assert mine.sum() == 1, vehicle
        assert np.isclose(found[mine][0], vehicle.speed_m_s, rtol=0.05), vehicle  # the median's cosine is above 0.95


def test_a_lidar_counts_what_can_be_told_apart_from_the_side() -> None:
    seconds = 300
    at_s = START_S + np.arange(seconds * 100) / 100
    x = np.array([[round(shoot(STREET, s, 7.9, 20_000.0).distance_m, 2)] for s in at_s.tolist()])
    flag = np.full(x.shape, Flag.GOOD, np.uint8)
    t = START_S * NS + np.arange(len(x)) * (NS // 100)
    _, out = LIDAR.step(
        LIDAR.initial(), Block(t, x, flag, np.zeros(x.shape, np.uint16), np.full(len(t), 0.01), int(t[-1]))
    )
    spans: list[list[float]] = []
    for vehicle in STREET.vehicles(START_S + 5, START_S + seconds):
        half_s = length_m(vehicle) / 2.0 / abs(vehicle.speed_m_s)
        if spans and vehicle.pass_s - half_s < spans[-1][1] + 0.2:
            spans[-1][1] = max(spans[-1][1], vehicle.pass_s + half_s)
        else:
            spans.append([vehicle.pass_s - half_s, vehicle.pass_s + half_s])
    ended = [end - begin for begin, end in spans if end < START_S + seconds - 0.3]
    assert len(ended) > 30
    assert np.nansum(out.v[:, 1]) == len(ended)
    assert np.isclose(np.nansum(out.v[:, 2]), sum(ended), rtol=0.02)
