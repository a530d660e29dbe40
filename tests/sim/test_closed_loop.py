"""The loop closed: a street, its sensors and the whole gateway in virtual time; what arrives is what happened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_sim.__main__ import app
from firmware_sim.scenario import Scenario, load_scenario
from firmware_sim.score import Score, limits, read_truth, score
from firmware_sim.street import Street
from firmware_sim.street_truth import Detail
from firmware_sim.virtual import STORE, TRUTH, Plan, Totals, run
from firmware_sim.virtual_site import site
from gateway.config_sensors import PassagesConfig
from gateway.outbox import Outbox
from gateway.record import Record
from gateway.store.sqlite import SqliteStore
from gateway.wire import Point

SCENES = Path(__file__).parents[2] / "configs" / "sim"
TUESDAY_S = 1_768_262_400  # 2026-01-13T00:00:00Z
QUARTER_S, HOUR_S, DAY_S = 900, 3600, 86_400
RUSH_S = TUESDAY_S + 6 * HOUR_S  # 8 h local
# Of a lidar, of a radar, of a class 1 meter; SEN55: 5 ug/m3 + 5 % (datasheet, table 1), here of about 14 ug/m3
LIMITS = {"count": 2.0, "speed": 1.0, "v85": 2.0, "laeq": 0.5, "pm": 5.7, "capture": 0.99}


def scene(name: str, **changes: object) -> Scenario:
    return replace(load_scenario(SCENES / f"{name}.toml"), **changes)  # type: ignore[arg-type]


def simulate(
    what: Scenario,
    folder: Path,
    start_s: int,
    for_s: int,
    skip_s: int = 0,
    jobs: int = 1,
    detail: Detail = Detail.MINUTE,
) -> Totals:
    return run(Plan(what, site(what, folder), folder, start_s, for_s, detail, jobs, skip_s))


def compared(folder: Path) -> Score:
    store = SqliteStore(folder / STORE, read_only=True)
    try:
        return score(read_truth(folder / TRUTH), store)
    finally:
        store.close()


def points(folder: Path) -> list[Point]:
    store = SqliteStore(folder / STORE, read_only=True)
    try:
        return list(store.read(0, 2**62))
    finally:
        store.close()


def told(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / TRUTH).read_text().splitlines()]


def means(found: Iterable[Point], sensor: str, channel: str, field: str = "mean") -> list[float]:
    """Return a field of the minutes of one channel, in order."""
    tags = {"sensor": sensor, "channel": channel, "period": "60s"}
    return [p.fields[field] for p in found if tags.items() <= dict(p.tags).items() and field in p.fields]


def accounts(found: Iterable[Point]) -> dict[str, dict[str, float]]:
    """Sum up the ledger of each sensor over the minutes."""
    out: dict[str, dict[str, float]] = {}
    for one in found:
        tags = dict(one.tags)
        if one.measurement == "ledger" and tags["period"] == "60s":
            mine = out.setdefault(tags["sensor"], {})
            for name, n in one.fields.items():
                mine[name] = mine.get(name, 0.0) + n
    return out


# -- an hour, a day ------------------------------------------------------------------------------------------------


def test_an_hour_of_rush(tmp_path: Path) -> None:
    totals = simulate(scene("rush-hour"), tmp_path, RUSH_S, HOUR_S)
    assert totals.messages > 60
    found = compared(tmp_path)
    assert found.period_s == HOUR_S
    assert limits(found, LIMITS) == []
    assert found.behind_s <= 0


def test_the_limits_would_notice_a_wrong_sensor(tmp_path: Path) -> None:
    """A quarter of an hour whose sound meter is 1 dB off, whose truth has more vehicles than passed the lidar.

    And whose radar takes for one vehicle whatever follows closely: half of a platoon is gone then.
    """
    what = scene("rush-hour")
    uarts = tuple(replace(p, options={"drift_per_day": 0.1}) if p.name == "noise" else p for p in what.uarts)
    what = replace(what, uarts=uarts)
    config = site(what, tmp_path)
    dull = PassagesConfig(azimuth_deg=8.0, step_km_h=1000.0, echo_ratio=1e9)
    sensors = tuple(replace(one, passages=dull) if one.name == "radar" else one for one in config.sensor)
    run(Plan(what, replace(config, sensor=sensors), tmp_path, RUSH_S + DAY_S, QUARTER_S, skip_s=DAY_S))
    lines = (tmp_path / TRUTH).read_text().splitlines(keepends=True)
    cars = [line for line in lines if '"vehicle"' in line]
    (tmp_path / TRUTH).write_text("".join(lines + cars[::20]))
    found = compared(tmp_path)
    (noise,) = [one for one in found.errors if one.what == "laeq"]
    assert noise.bias == pytest.approx(1.0, abs=0.1)
    beyond = limits(found, LIMITS)
    assert {"noise laeq", "lidar vehicles", "radar vehicles"} <= {one.partition(":")[0] for one in beyond}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_day_of_rush(tmp_path: Path) -> None:
    simulate(scene("rush-hour"), tmp_path, TUESDAY_S, DAY_S, jobs=2)
    found = compared(tmp_path)
    (laeq,) = [one for one in found.errors if one.what == "laeq"]
    assert laeq.n == 24
    assert limits(found, LIMITS) == []  # speeds and levels of every hour, also of the worst
    by_hour = {one.sensor: one.most for one in found.errors if one.what == "vehicles"}
    assert max(by_hour.values()) <= LIMITS["count"], by_hour


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_day_of_24_sensors_with_the_mishaps_of_a_bad_month(tmp_path: Path) -> None:
    what = scene("soak")
    simulate(what, tmp_path, TUESDAY_S, DAY_S, jobs=2)
    sums = accounts(points(tmp_path))
    assert len(sums) == 24
    for sensor, mine in sums.items():
        assert mine["expected"] == mine["valid"] + mine["rejected"] + mine["missing"], sensor
        assert mine["valid"] > 0.97 * mine["expected"], sensor


# -- seeds ---------------------------------------------------------------------------------------------------------


def trace(what: Scenario, folder: Path, jobs: int = 1) -> tuple[list[Record], list[Point], list[str]]:
    """Run three minutes; return every record, every point and every line of the truth."""
    records: list[Record] = []
    config = site(what, folder)
    config = replace(config, gateway=replace(config.gateway, batch_s=10.0))  # the second process may run ahead
    plan = Plan(what, config, folder, RUSH_S, 180, Detail.ALL, jobs)
    run(plan, each=records.extend)
    return records, points(folder), sorted((folder / TRUTH).read_text().splitlines())


@pytest.mark.parametrize("name", ["all-faults", "rush-hour"])
def test_the_same_seed_gives_the_same_bytes_in_one_process_or_two(name: str, tmp_path: Path) -> None:
    one, again, two = (trace(scene(name), tmp_path / str(k), 1 + (k == 2)) for k in range(3))
    assert len(one[0]) > 1000
    assert one == again
    assert one == two


def test_another_seed_does_not(tmp_path: Path) -> None:
    one, other = (trace(scene("all-faults", seed=k), tmp_path / str(k)) for k in (1, 2))
    for mine, its in zip(one, other, strict=True):
        assert mine != its


# -- what each scenario is about -----------------------------------------------------------------------------------


def quiet_street(found: list[Point], lines: list[dict[str, object]], _totals: Totals) -> None:
    cars = sum(line.get("street") == "vehicle" for line in lines)
    assert cars < 40
    assert sum(means(found, "lidar", "vehicles", "sum")) == pytest.approx(cars, abs=1.5)
    assert min(means(found, "noise", "laeq", "leq")) < 45.0


def rush_hour(found: list[Point], lines: list[dict[str, object]], _totals: Totals) -> None:
    assert sum(line.get("street") == "vehicle" for line in lines) > 130
    assert sum(means(found, "lidar", "vehicles", "sum")) > 130


def smog(found: list[Point], _lines: list[dict[str, object]], _totals: Totals) -> None:
    clear = Street(scene("smog-episode").seed, scene("smog-episode").street)
    assert means(found, "air", "pm2_5")[-1] > 3.0 * clear.particles(RUSH_S + QUARTER_S).pm2_5
    assert means(found, "co2", "co2")[-1] > 490.0


def fireworks(found: list[Point], _lines: list[dict[str, object]], _totals: Totals) -> None:
    assert means(found, "pm-north", "pm2_5")[-1] > 100.0
    assert max(means(found, "noise", "laeq", "leq")) > 75.0


def fog(found: list[Point], lines: list[dict[str, object]], _totals: Totals) -> None:
    dry = [line["values"]["pm2_5"] for line in lines if line.get("street") == "minute"]  # type: ignore[index]
    assert means(found, "pm-north", "pm2_5")[-1] > 3.0 * dry[-1]
    assert means(found, "weather", "humidity")[-1] > 98.0


def all_faults(found: list[Point], lines: list[dict[str, object]], _totals: Totals) -> None:
    struck = {line["fault"] for line in lines if line.get("event") in ("hit", "begin")}
    assert struck == {fault.kind for fault in scene("all-faults").faults}
    for sensor, mine in accounts(found).items():
        assert mine["expected"] == mine["valid"] + mine["rejected"] + mine["missing"], sensor
        assert 0.0 < mine["valid"] < mine["expected"], sensor


def dead_bus(found: list[Point], _lines: list[dict[str, object]], _totals: Totals) -> None:
    sums = accounts(found)
    for sensor in ("air", "weather"):
        assert sums[sensor]["valid"] == pytest.approx(300.0, abs=5.0)
        assert sums[sensor]["missing_link_down"] > 590.0
    for sensor in ("cabinet", "noise", "pm-north"):
        assert sums[sensor]["valid"] >= sums[sensor]["expected"] - 2.0


def outage(found: list[Point], _lines: list[dict[str, object]], totals: Totals) -> None:
    assert len(means(found, "weather", "temperature")) == 15
    assert 8 <= totals.most_held <= 12


def soak(found: list[Point], _lines: list[dict[str, object]], _totals: Totals) -> None:
    sums = accounts(found)
    assert len(sums) == 24
    assert all(mine["expected"] == mine["valid"] + mine["rejected"] + mine["missing"] for mine in sums.values())


def week(found: list[Point], _lines: list[dict[str, object]], _totals: Totals) -> None:
    sums = accounts(found)
    assert len(sums) == 25
    assert all(mine["expected"] == mine["valid"] + mine["rejected"] + mine["missing"] for mine in sums.values())
    lent = sums.pop("lidar")  # for half of the time, at 10 Hz
    assert (lent["expected"], lent["valid"]) == (2400.0, pytest.approx(1200.0, abs=10.0))
    assert all(mine["valid"] > 0.9 * mine["expected"] for mine in sums.values())


CASES: Mapping[str, tuple[object, int]] = {
    "quiet-street": (quiet_street, 0),
    "rush-hour": (rush_hour, 0),
    "smog-episode": (smog, 150_000),
    "new-year-fireworks": (fireworks, 13_500 + QUARTER_S),
    "fog": (fog, 7200 + 14_400),
    "all-faults": (all_faults, 0),
    "dead-bus": (dead_bus, 0),
    "outage-7-days": (outage, HOUR_S + 7 * DAY_S - 600),
    "soak": (soak, 0),
    "week-24": (week, HOUR_S - 120),
}
SHORTER_S = {"week-24": 240}


@pytest.mark.parametrize("name", CASES)
def test_a_quarter_of_an_hour_of(name: str, tmp_path: Path) -> None:
    what, skip_s = CASES[name]
    totals = simulate(scene(name), tmp_path, RUSH_S, SHORTER_S.get(name, QUARTER_S), skip_s)
    assert callable(what)
    what(points(tmp_path), told(tmp_path), totals)


def test_every_scenario_file_has_a_case() -> None:
    old = {"crossroads", "street"}
    assert {path.stem for path in SCENES.glob("*.toml")} - old == set(CASES)


def test_nothing_waits_any_more_after_an_outage(tmp_path: Path) -> None:
    simulate(scene("outage-7-days"), tmp_path, RUSH_S, 240, HOUR_S + 7 * DAY_S - 120)
    outbox = Outbox(tmp_path / "gateway" / "gateway.db")
    assert not outbox.queued
    outbox.close()


# -- the verb ------------------------------------------------------------------------------------------------------


def test_the_verbs_virtual_and_score(tmp_path: Path) -> None:
    place = tmp_path / "run"
    args = ["virtual", str(SCENES / "dead-bus.toml"), "--for", "120", "--from", "2026-01-13T06:00", "--dir", str(place)]
    first = CliRunner().invoke(app, [*args, "--json", "--jobs", "1", "--truth-detail", "second"])
    assert first.exit_code == 0, first.output
    said = json.loads(first.stdout)
    assert said["seconds"] == 120.0
    assert said["windows"] >= 2
    seconds = [line for line in told(place) if line.get("street") == "second"]
    assert len(seconds) == 120
    again = CliRunner().invoke(app, args)
    assert (again.exit_code, "earlier run" in again.output) == (2, True)
    result = CliRunner().invoke(app, ["score", said["truth"], said["store"], "--max-laeq", "0.5"])
    assert result.exit_code == 0, result.output
    assert "noise" in result.output


@pytest.mark.parametrize("wrong", [["--from", "yesterday"], ["--from", "2026-01-13T06:00:30"], ["--for", "5"]])
def test_the_verb_refuses(wrong: list[str], tmp_path: Path) -> None:
    args = ["virtual", str(SCENES / "dead-bus.toml"), "--dir", str(tmp_path / "x"), *wrong]
    assert CliRunner().invoke(app, args).exit_code == 2


def test_a_site_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[sensor]]\nname = "cold"\ndriver = "sht3x"\nbus = "i2c-2"\naddress = 0x45\n')
    args = ["virtual", str(SCENES / "dead-bus.toml"), "--site", str(own), "--for", "120", "--dir", str(tmp_path / "x")]
    assert CliRunner().invoke(app, args).exit_code == 0
    assert len(means(points(tmp_path / "x"), "cold", "temperature")) == 2


def test_a_site_file_of_another_scenario_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[sensor]]\nname = "cold"\ndriver = "sht3x"\nbus = "i2c-9"\naddress = 0x45\n')
    args = ["virtual", str(SCENES / "dead-bus.toml"), "--site", str(own), "--for", "120", "--dir", str(tmp_path / "x")]
    result = CliRunner().invoke(app, args)
    assert (result.exit_code, "i2c-9" in result.output) == (2, True)
