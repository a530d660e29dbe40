"""One hour twice: by processes, ptys and sockets at ten times the speed, and in virtual time; and what differs."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from compare import Points, in_store
from rig import Rig

from drivers import DRIVERS
from firmware_sim.scenario import Scenario, load_scenario
from firmware_sim.virtual import STORE, Plan, run
from firmware_sim.virtual_site import site
from gateway.clock import NS
from gateway.demo import Settings

SCENE = Path(__file__).with_name("paced.toml")
RATE = 10
BEGIN_S = 1_768_284_000  # 2026-01-13T06:00:00Z, 8 h local
LEAD_S, MINUTE_S, HOUR_S = 300, 60, 3600  # the lead: until everybody has started, and a minute more
BATCH_S = 30.0  # as rarely in real time as on a post: whoever commits holds up whoever asks
LATE_S = 45  # of the street, until a window is closed: batch, lateness and a little more
N_APART = 2
# In a minute a reading weighs as much as any other, also one that came a block of the sound meter late (1/8 s, which is
# 12 ms here) and took it from the next. In an hour that is nothing.
LEQ_APART_DB = 0.1
SECONDS = ("on_time",)  # its sum is no number of anything
Resolutions = Mapping[tuple[str, str], float]  # of a channel of a sensor
Windows = Mapping[tuple[str, str, str, int], Mapping[str, float]]  # sensor, channel, period, seconds since BEGIN_S


@dataclass(frozen=True, slots=True)
class Apart:
    """By how much one number of a window differs, and by how much it may."""

    window: tuple[str, str, str, int]
    what: str
    by: float
    most: float

    @property
    def beyond(self) -> bool:
        """Tell whether that is too much; a mean may be rounded in its last bit."""
        return self.by > self.most * (1.0 + 1e-9)

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{'.'.join(self.window[:2])} {self.window[2]} at {self.window[3]} s: {self.what} {self.by:.4g} apart"


def scene(seed: int | None = None) -> Scenario:
    found = load_scenario(SCENE)
    return found if seed is None else replace(found, seed=seed)


def sensors(folder: Path) -> str:
    """Return the sensors of the site file that virtual time makes of the scenario: both runs have the same."""
    site(scene(), folder)
    text = (folder / "site.toml").read_text()
    return text[text.index("[[sensor]]") :]


def resolutions(text: str) -> Resolutions:
    """Return what the drivers say; a derived channel, such as vehicles, has none."""
    named = {one["name"]: DRIVERS[one["driver"]] for one in tomllib.loads(text)["sensor"]}
    return {(name, c.name): c.resolution for name, driver in named.items() for c in driver.channels if c.resolution}


def virtual(folder: Path, for_s: int, seed: int | None = None) -> Windows:
    """Run it without waiting."""
    what = scene(seed)
    run(Plan(what, site(what, folder), folder, BEGIN_S - LEAD_S, LEAD_S + for_s + MINUTE_S))
    return windows(in_store(folder / STORE), for_s)


def paced(folder: Path, for_s: int, text: str, monkeypatch: pytest.MonkeyPatch) -> Windows:
    """Run simulator, gateway, broker, bridge and store as processes whose clocks run ten times as fast."""
    folder.mkdir()
    listed = folder / "sensors.toml"
    listed.write_text(text)
    epoch_s = BEGIN_S - LEAD_S - time.clock_gettime(time.CLOCK_BOOTTIME) * RATE
    monkeypatch.delenv("WATCHDOG_USEC")  # its seconds are real ones, and those of the gateway are not
    monkeypatch.setenv("GATEWAY_CLOCK", f"{epoch_s:.3f}:{RATE}")
    settings = Settings(scenario=SCENE, sensors=listed, base_s=MINUTE_S, long_s=(HOUR_S,), batch_s=BATCH_S)
    rig = Rig(folder / "demo", "iotcore", settings)
    rig.start()
    try:
        rig.wait_for_frames(MINUTE_S // 2)
        assert rig.clock.utc_ns() < BEGIN_S * NS, "this machine is too slow: nobody was ready when the hour began"
        end_ns = (BEGIN_S + for_s + LATE_S) * NS
        rig.wait(lambda: rig.clock.utc_ns() >= end_ns, "the end", for_s / RATE + 120.0)
        last_s = HOUR_S if for_s >= HOUR_S else MINUTE_S
        last = ("noise", "laeq", f"{last_s}s", for_s - last_s)
        rig.wait(lambda: last in windows(rig.stored(), for_s), "the last window")
    finally:
        rig.stop()
    return windows(rig.stored(), for_s)


def windows(points: Points, for_s: int) -> Windows:
    """Return the windows that lie wholly in the span."""
    found = {}
    for (what, tags, start_ns), fields in points.items():
        words, at_s = dict(tags), start_ns // NS - BEGIN_S
        whole = at_s >= 0 and at_s + int(words["period"].removesuffix("s")) <= for_s
        if whole and what not in ("ledger", "health"):
            found[words["sensor"], words["channel"], words["period"], at_s] = fields
    return found


def compared(one: Windows, other: Windows, of: Resolutions) -> Iterator[Apart]:
    """Compare window with window: n within two, sums of what is counted too, means and levels within the resolution."""
    for window in sorted(one.keys() | other.keys()):
        mine, its = one.get(window), other.get(window)
        if mine is None or its is None:
            yield Apart(window, "there is only one", float("inf"), 0.0)
            continue
        yield Apart(window, "n", abs(mine.get("n", 0.0) - its.get("n", 0.0)), N_APART)
        mean = of.get(window[:2])
        level = mean if mean is None or window[2] == f"{HOUR_S}s" else max(mean, LEQ_APART_DB)
        for name, most in (("mean", mean), ("leq", level), ("sum", N_APART)):
            if most is None or window[1] in SECONDS or (name not in mine and name not in its):
                continue
            known = name in mine and name in its
            yield Apart(window, name, abs(mine[name] - its[name]) if known else float("inf"), most)
