"""Every query of the shipped dashboards, asked of a real InfluxDB that the real chain has filled."""

from __future__ import annotations

import importlib.util
import json
import urllib.parse
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from chain_run import DATABASE, ChainRun

pytestmark = [pytest.mark.servers, pytest.mark.timeout(150)]
ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "configs" / "dashboards").glob("*.json"))
NS = 10**9
# A machine without such a sensor says nothing; and where nothing went wrong there is nothing to explain.
MAY_BE_EMPTY = ("Board: temperature and supply", "Why slots are lost")


def helper() -> ModuleType:
    """Load what expands the queries of a dashboard."""
    spec = importlib.util.spec_from_file_location("queries", ROOT / "tests" / "system" / "dashboard_queries.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ask(url: str, query: str) -> list[dict[str, Any]]:
    """Return the series of an answer; fail on an error, which InfluxDB reports with status 200."""
    asked = urllib.parse.urlencode({"db": DATABASE, "q": query, "epoch": "ns"})
    with urllib.request.urlopen(f"{url}/query?{asked}", timeout=10) as answer:
        (result,) = json.loads(answer.read())["results"]
    assert "error" not in result, f"{result['error']}: {query}"
    series: list[dict[str, Any]] = result.get("series", [])
    return series


def has_values(series: list[dict[str, Any]]) -> bool:
    return any(value is not None for one in series for _, *values in one["values"] for value in values)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_shows_what_the_chain_stored(path: Path, chain_run: ChainRun) -> None:
    times = [at_ns for _, _, at_ns in chain_run.embedded]
    words = {"period": "10s", "flag": "3"}
    queries = helper().queries(path, start_ns=min(times) - NS, end_ns=max(times) + NS, interval="10s", variables=words)
    assert len(queries) > 10
    empty = [title for title, query in queries if not has_values(ask(chain_run.influx_url, query))]
    assert set(empty) <= set(MAY_BE_EMPTY)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_variables_offer_what_there_is(path: Path, chain_run: ChainRun) -> None:
    tags = [dict(tags) for measurement, tags, _ in chain_run.embedded if measurement == "ledger"]
    for name, query in helper().variable_queries(path):
        offered = {value for one in ask(chain_run.influx_url, query) for _, value in one["values"]}
        assert offered == {one[name] for one in tags}


def test_a_panel_shows_the_very_numbers(chain_run: ChainRun) -> None:
    """One query by hand, against the embedded store: the grouping by 10 s is that of the windows."""
    path = ROOT / "configs" / "dashboards" / "street-overview.json"
    times = [at_ns for _, _, at_ns in chain_run.embedded]
    found = {}
    queries = helper().queries(
        path, start_ns=min(times), end_ns=max(times) + 1, interval="10s", variables={"period": "10s", "flag": "3"}
    )
    (query,) = (query for title, query in queries if title == "PM2.5 and PM10")
    for one in ask(chain_run.influx_url, query):
        for at_ns, value in one["values"]:
            if value is not None:
                found[one["tags"]["sensor"], one["tags"]["channel"], at_ns] = value
    expected = {
        (tag["sensor"], tag["channel"], at_ns): fields["mean"]
        for measurement, tags, at_ns in chain_run.embedded
        if measurement == "air" and (tag := dict(tags))["period"] == "10s" and tag["channel"] in ("pm2_5", "pm10")
        if (fields := chain_run.embedded[measurement, tags, at_ns])["flag"] <= 3 and "mean" in fields
    }
    assert found == expected
    assert len(found) >= 4
