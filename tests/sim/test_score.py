"""The score: known errors are found, limits end it with 1, and nothing to compare is not a good score."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_sim.__main__ import app
from firmware_sim.score import Score, ScoreError, delivery, limits, read_truth, score, table
from gateway.last_day import LastDay
from gateway.outbox import Outbox
from gateway.outlook import FACT
from gateway.store.sqlite import SqliteStore
from gateway.wire import TAGS, Point

START_S = 1_768_176_000
NS = 1_000_000_000
HOURS = 2
LAEQ_DB, PM, SPEED = 61.0, 12.0, 11.0


def write_truth(path: Path, minutes: int = 60 * HOURS) -> Path:
    """Ten vehicles a minute; loud and quiet minutes take turns."""
    lines = []
    for k in range(minutes):
        at_s = START_S + 60 * k
        for n in range(10):
            speed = (SPEED + 0.1 * n) * (-1.0) ** n
            lines.append({"t_ns": (at_s + 6 * n) * NS, "street": "vehicle", "class": "car", "speed": speed})
        laeq = LAEQ_DB + (3.0 if k % 2 else -3.0)
        values = {"pm2_5": PM + 0.01 * k, "co2": 420.0}
        lines.append({"t_ns": at_s * NS, "street": "minute", "for_s": 60, "laeq": laeq, "values": values})
        lines.append({"t_ns": at_s * NS, "name": "pm", "device": "sds011", "values": {"pm2_5": 1.0}})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def point(domain: str, channel: str, unit: str, k: int, period_s: int, **fields: float) -> Point:
    tags = dict(zip(TAGS, ("s", "g", domain, channel, f"{period_s}s", unit), strict=True))
    return Point(domain, tuple(tags.items()), (START_S + k * period_s) * NS, {"flag": 1.0, "n": 9.0, **fields})


def ledger(sensor: str, k: int, valid: float) -> Point:
    tags = (("site", "s"), ("gateway", "g"), ("sensor", sensor), ("period", "60s"))
    fields = {"expected": 60.0, "valid": valid, "rejected": 0.0, "missing": 60.0 - valid}
    return Point("ledger", tags, (START_S + 60 * k) * NS, fields)


def true_laeq() -> float:
    return 10.0 * math.log10((10.0 ** ((LAEQ_DB + 3.0) / 10.0) + 10.0 ** ((LAEQ_DB - 3.0) / 10.0)) / 2.0)


def write_store(path: Path, pm: float = 0.0, laeq: float = 0.0, missed: int = 0, speed: float = 0.0) -> Path:
    """Make a store that is off by so much in every hour."""
    points = [ledger("air", k, 60.0 if k % 2 else 57.0) for k in range(60 * HOURS)]
    points.append(point("air", "pm2_5", "ug/m3", 60 * HOURS - 1, 60, mean=99.0))
    for k in range(HOURS):
        mean = PM + 0.01 * (60 * k + 29.5)
        points += [
            point("air", "pm2_5", "ug/m3", k, 3600, mean=mean + pm),
            point("air", "voc_index", "1", k, 3600, mean=1.0),
            point("noise", "laeq", "dB", k, 3600, leq=true_laeq() + laeq),
            point("traffic", "vehicles", "{vehicles}", k, 3600, sum=600.0 - missed),
            point("traffic", "vehicle_speed", "m/s", k, 3600, mean=SPEED + 0.45 + speed, v85=SPEED + 0.8 + speed),
        ]
    store = SqliteStore(path)
    store.write(points)
    store.close()
    return path


def compare(folder: Path, **off: float) -> Score:
    truth = read_truth(write_truth(folder / "truth.jsonl"))
    store = SqliteStore(write_store(folder / "store.db", **off), read_only=True)  # type: ignore[arg-type]
    try:
        return score(truth, store)
    finally:
        store.close()


def error_of(found: Score, what: str) -> tuple[float, float, float, int]:
    (one,) = [one for one in found.errors if one.what == what]
    return one.bias, one.rmse, one.most, one.n


def test_a_right_store_has_no_error(tmp_path: Path) -> None:
    found = compare(tmp_path)
    assert found.period_s == 3600
    assert {one.what for one in found.errors} == {"pm2_5", "laeq", "vehicles", "speed", "v85"}
    for one in found.errors:
        assert one.most == pytest.approx(0.0, abs=1e-9), one
        assert one.n == HOURS
    assert found.capture == {"air": pytest.approx(0.975)}
    assert found.behind_s == 0.0
    assert limits(found, dict.fromkeys(("count", "speed", "v85", "laeq", "pm"), 0.01) | {"capture": 0.97}) == []


@pytest.mark.parametrize(
    ("off", "what", "bias"),
    [
        ({"pm": 1.5}, "pm2_5", 1.5),
        ({"laeq": -0.7}, "laeq", -0.7),
        ({"missed": 30}, "vehicles", -5.0),
        ({"speed": 0.5}, "speed", 1.8),
        ({"speed": -0.5}, "v85", -1.8),
    ],
)
def test_what_is_wrong_is_found_in_its_unit(tmp_path: Path, off: dict[str, float], what: str, bias: float) -> None:
    found = compare(tmp_path, **off)
    assert error_of(found, what) == (pytest.approx(bias), pytest.approx(abs(bias)), pytest.approx(abs(bias)), HOURS)
    others = [one for one in found.errors if one.what != what and one.what not in ("speed", "v85")]
    assert all(one.most < 1e-9 for one in others)


def test_limits_are_said_by_name_and_can_be_left_out(tmp_path: Path) -> None:
    found = compare(tmp_path, missed=30)
    assert limits(found, {"count": 2.0}) == ["traffic vehicles: 5.00 %, more than 2"]
    assert limits(found, {"count": 6.0}) == []
    assert limits(found, {"count": 2.0}, ["traffic.vehicles"]) == ["no sensor tells vehicles"]
    assert limits(found, {"capture": 0.99}) == ["air capture: 0.9750, less than 0.99"]


def test_the_table_fits_a_phone(tmp_path: Path) -> None:
    said = list(table(compare(tmp_path, pm=1234.5, laeq=-0.001)))
    assert max(map(len, said)) <= 60
    assert any("pm2_5" in line and "+1234" in line for line in said)


def test_minutes_where_there_is_no_whole_hour(tmp_path: Path) -> None:
    truth = read_truth(write_truth(tmp_path / "truth.jsonl", 5))
    store = SqliteStore(tmp_path / "store.db")
    store.write([point("air", "pm2_5", "ug/m3", k, 60, mean=PM + 0.01 * k) for k in range(5)])
    store.write([point("air", "pm2_5", "ug/m3", 0, 3600, mean=77.0)])  # of an hour that the truth does not know whole
    found = score(truth, store)
    store.close()
    assert (found.period_s, error_of(found, "pm2_5")[3]) == (60, 5)
    assert error_of(found, "pm2_5")[2] == pytest.approx(0.0, abs=1e-9)


def test_windows_that_nobody_should_believe_do_not_count(tmp_path: Path) -> None:
    truth = read_truth(write_truth(tmp_path / "truth.jsonl", 5))
    store = SqliteStore(tmp_path / "store.db")
    store.write([point("air", "pm2_5", "ug/m3", k, 60, mean=77.0, flag=4.0) for k in range(5)])
    with pytest.raises(ScoreError, match="no whole window"):
        score(truth, store)
    store.close()


def test_a_truth_without_a_street_is_no_truth(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text('{"t_ns":1,"name":"pm","device":"sds011","values":{}}\n')
    with pytest.raises(ScoreError, match="--truth-detail minute"):
        read_truth(path)
    path.write_text('{"t_ns":1,"street":"min')
    with pytest.raises(ScoreError, match=r"truth.jsonl:1: .* still writing"):
        read_truth(path)


# -- how long it took ----------------------------------------------------------------------------------------------

DELAYS_S = [2.0] * 90 + [4.0] * 9 + [300.0]


def write_books(data_dir: Path, delays_s: list[float]) -> Path:
    """A gateway that has noted how long delivery took."""
    day = LastDay()
    day.delivered(START_S * NS, delays_s)
    outbox = Outbox(data_dir / "gateway.db")
    outbox.remember(FACT, day.save())
    outbox.close()
    return data_dir


def test_the_gateway_tells_when_windows_arrived(tmp_path: Path) -> None:
    found = delivery(write_books(tmp_path, DELAYS_S))
    assert found is not None
    assert (found.n, found.longest_s) == (100, 300.0)
    assert found.median_s == pytest.approx(2.0, rel=0.06)
    assert found.p95_s == pytest.approx(4.0, rel=0.06)


def test_a_gateway_that_delivered_nothing_tells_nothing(tmp_path: Path) -> None:
    assert delivery(write_books(tmp_path / "none", [])) is None
    Outbox(tmp_path / "new" / "gateway.db").close()
    assert delivery(tmp_path / "new") is None


def test_latency_in_the_verb(tmp_path: Path) -> None:
    truth, store = str(write_truth(tmp_path / "truth.jsonl")), str(write_store(tmp_path / "store.db"))
    books = str(write_books(tmp_path / "gateway", DELAYS_S))
    code, said = verb(truth, store)
    assert (code, "no store tells" in said) == (0, True)
    code, said = verb(truth, store, "--max-latency", "9")
    assert (code, "BEYOND  no gateway tells when" in said) == (1, True)
    code, said = verb(truth, store, "--data-dir", books, "--max-latency", "5")
    assert (code, "p95 4.2 s, longest 300.0 s" in said) == (0, True), said
    assert verb(truth, store, "--data-dir", books, "--max-latency", "3")[0] == 1
    assert json.loads(verb(truth, store, "--data-dir", books, "--json")[1])["delivery"]["n"] == 100
    assert max(map(len, said.splitlines())) <= 60
    code, said = verb(truth, store, "--data-dir", str(tmp_path / "nowhere"))
    assert (code, "there is no gateway.db" in said) == (2, True)


def verb(*args: str) -> tuple[int, str]:
    said = CliRunner().invoke(app, ["score", *args])
    return said.exit_code, said.output


def test_the_verb(tmp_path: Path) -> None:
    truth = str(write_truth(tmp_path / "truth.jsonl"))
    store = str(write_store(tmp_path / "store.db", missed=30))
    code, said = verb(truth, store)
    assert (code, "vehicles" in said) == (0, True)
    code, said = verb(truth, store, "--max-count", "2")
    assert (code, "BEYOND  traffic vehicles: 5.00 %" in said) == (1, True)
    assert verb(truth, store, "--max-count", "2", "--leave-out", "traffic.vehicles", "--max-laeq", "0.1")[0] == 1
    assert verb(truth, store, "--max-laeq", "0.1", "--max-pm", "0.1", "--min-capture", "0.9")[0] == 0
    code, said = verb(truth, store, "--json", "--max-count", "2")
    told = json.loads(said)
    assert (code, told["beyond"], told["period_s"]) == (1, ["traffic vehicles: 5.00 %, more than 2"], 3600)
    assert told["capture_mean"] == pytest.approx(0.975)
    assert verb(truth, str(tmp_path / "nowhere.db"))[0] == 2
    assert verb(str(tmp_path / "nowhere.jsonl"), store)[0] == 2


def test_a_site_file_names_its_store(tmp_path: Path) -> None:
    truth = str(write_truth(tmp_path / "truth.jsonl"))
    write_store(tmp_path / "data" / "store.db")
    base = Path(__file__).parents[2] / "configs" / "base.toml"
    site = tmp_path / "site.toml"
    sensor = '[[sensor]]\nname = "pm"\ndriver = "sds011"\nport = "/dev/pm"\n'
    store = f'[store]\nkind = "sqlite"\npath = "{tmp_path}/data/store.db"\n'
    site.write_text(f'extends = "{base}"\n[site]\nname = "s"\n[gateway]\nname = "g"\n{store}{sensor}')
    code, said = verb(truth, str(site), "--max-laeq", "0.01")
    assert (code, "no store tells" in said) == (0, True), said
    write_books(tmp_path / "books", DELAYS_S)
    site.write_text(site.read_text().replace('name = "g"\n', f'name = "g"\ndata_dir = "{tmp_path}/books"\n'))
    code, said = verb(truth, str(site), "--max-latency", "5")
    assert (code, "of 100:" in said) == (0, True), said
