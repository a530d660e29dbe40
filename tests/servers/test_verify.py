"""`gateway verify` against real servers: what a run of the whole chain has left is all there, and a loss is seen."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chain_run import DATABASE, ChainRun
from typer.testing import CliRunner

from gateway.__main__ import app
from gateway.store.influx import InfluxV1
from gateway.wire import Point

pytestmark = [pytest.mark.servers, pytest.mark.timeout(150)]
STORES = ("influxdb", "victoria-metrics", "embedded")


def verified(run: ChainRun, store: str, code: int, *words: str) -> dict[str, Any]:
    """Ask for one of the three stores of the run: the site file itself, or that of one of the other bridges."""
    site = run.folder / "site.toml"
    other = {"victoria-metrics": "bridge-2.toml", "embedded": "bridge-3.toml"}.get(store)
    more = ["--store", str(run.folder / other)] if other else []
    result = CliRunner().invoke(app, ["verify", str(site), "--json", *more, *words])
    assert result.exit_code == code, result.output
    out: dict[str, Any] = msgspec.json.decode(result.stdout)
    return out


@pytest.mark.parametrize("store", STORES)
def test_all_that_history_knows_is_there(chain_run: ChainRun, store: str) -> None:
    out = verified(chain_run, store, 0)
    assert out["points"] == out["equal"] > 80
    assert out["all_there"] is True
    assert out["on_the_way"] == out["queued_messages"] == 0
    assert out["delivery"]["n"] > 0
    assert 0.0 < out["delivery"]["median_s"] <= out["delivery"]["longest_s"] < 120.0


def test_a_number_that_is_another_is_seen(chain_run: ChainRun) -> None:
    """Control, and put right again: the run is shared. VictoriaMetrics keeps both of two values at one time."""
    key, fields = next((key, fields) for key, fields in chain_run.embedded.items() if "mean" in fields)
    with closing(InfluxV1(chain_run.influx_url, DATABASE)) as behind:
        for value, code in ((fields["mean"] * (1 + 1e-11), 1), (fields["mean"], 0)):
            behind.write([Point(*key, {"mean": value})])
            out = verified(chain_run, "influxdb", code)
            assert out["different"] == code
            assert out["equal"] + code == out["points"]
            if code:
                assert out["first"][0]["detail"].startswith("mean ")


def test_a_series_that_the_server_has_lost_is_missing(chain_run: ChainRun, tmp_path: Path) -> None:
    """Control on a copy of the database, without one sensor."""
    copy = "without"
    lost = 0
    source, target = InfluxV1(chain_run.influx_url, DATABASE), InfluxV1(chain_run.influx_url, copy)
    target.create_database()
    for point in source.read(0, 2**62, "demo-gw"):
        if ("sensor", "noise") in point.tags:
            lost += 1
        else:
            target.write([point])
    text = (chain_run.folder / "site.toml").read_text()
    bridge = chain_run.folder / "bridge-without.toml"
    bridge.write_text(text.replace(f'database = "{DATABASE}"', f'database = "{copy}"'))
    site = str(chain_run.folder / "site.toml")
    result = CliRunner().invoke(app, ["verify", site, "--json", "--store", str(bridge)])
    assert result.exit_code == 1, result.output
    out = msgspec.json.decode(result.stdout)
    assert (out["missing"], out["extra"], out["different"]) == (lost, 0, 0)
    assert lost > 0
    source.close()
    target.close()


def test_only_one_gateway_is_read(chain_run: ChainRun) -> None:
    """The bridge of a city writes hundreds into one database."""
    tags = (("site", "demo"), ("gateway", "other"), ("sensor", "pm"), ("channel", "pm10"), ("period", "10s"))
    store = InfluxV1(chain_run.influx_url, DATABASE)
    store.write([Point("air", tags, 1_767_225_600 * 10**9, {"mean": 1.0})])
    points = list(store.read(0, 2**62, "other"))
    assert [dict(point.tags)["gateway"] for point in points] == ["other"]
    assert {dict(point.tags)["gateway"] for point in store.read(0, 2**62, "demo-gw")} == {"demo-gw"}
    list(store._query("DROP SERIES WHERE gateway = 'other'", "POST"))  # the run is shared
    store.close()
