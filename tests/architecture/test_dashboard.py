"""The shipped dashboards: every panel asks something, and only for what the data model promises."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "configs" / "dashboards").glob("*.json"))
MODEL = (ROOT / "docs" / "reference" / "data-model.md").read_text(encoding="utf-8")
START_NS, END_NS = 1_783_339_200_000_000_000, 1_783_342_800_000_000_000
COLUMNS = 24
TIME_RANGE = f"time >= {START_NS} AND time < {END_NS}"


def helper() -> ModuleType:
    """Load tests/system/dashboard_queries.py, which lies beside the tests that run the queries."""
    path = ROOT / "tests" / "system" / "dashboard_queries.py"
    spec = importlib.util.spec_from_file_location("dashboard_queries", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


dashboard_queries = helper()


def documented() -> dict[str, set[str]]:
    """Return the names of the data model: what stands in the first cell of its tables, by the table's first header."""
    found: dict[str, set[str]] = {}
    header = ""
    for line in MODEL.splitlines():
        if not line.startswith("|"):
            header = ""
        elif not header:
            header = line.strip("|").split("|")[0].strip()
        else:
            found.setdefault(header, set()).update(re.findall(r"`([^`]+)`", line.strip("|").split("|")[0]))
    return found


NAMES = documented()


def unknown_names(query: str) -> set[str]:
    """Return every name in a query that the data model does not have."""
    sources = set(re.findall(r'"(\w+)"', " ".join(re.findall(r'FROM ((?:"\w+"(?:, )?)+)', query))))
    aliases = set(re.findall(r'AS "([^"]+)"', query))
    rest = set(re.findall(r'"([^"]+)"', query)) - sources - aliases
    channels = {
        name
        for one, several in re.findall(r"\"channel\" (?:= '(\w+)'|=~ /\^\(([\w|]+)\)\$/)", query)
        for name in (one or several).split("|")
    }
    unknown = (sources - NAMES["measurement"]) | (rest - NAMES["field"] - NAMES["tag"]) | (channels - NAMES["channel"])
    return unknown | ({"no source"} if not sources else set())


def all_queries(path: Path) -> list[tuple[str, str]]:
    asked = dashboard_queries.queries(path, start_ns=START_NS, end_ns=END_NS, interval="60s")
    return [*asked, *dashboard_queries.variable_queries(path)]


CASES = [pytest.param(path, id=path.stem) for path in DASHBOARDS]
QUERIES = [
    pytest.param(query, id=f"{i}-{title}") for p in DASHBOARDS for i, (title, query) in enumerate(all_queries(p))
]


def test_there_is_a_dashboard() -> None:
    assert "street-overview" in {path.stem for path in DASHBOARDS}


@pytest.mark.parametrize("path", CASES)
def test_every_panel_has_a_query_and_a_description(path: Path) -> None:
    panels = list(dashboard_queries.panels(dashboard_queries.load(path)))
    assert len({panel["title"] for panel in panels}) == len(panels) > 0
    for panel in panels:
        assert panel["description"]
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert target["rawQuery"] is True
            assert target["query"].startswith("SELECT ")
            assert target["datasource"] == {"type": "influxdb", "uid": "${datasource}"}


@pytest.mark.parametrize("path", CASES)
def test_panels_stand_side_by_side(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    ids = set()
    for panel in dashboard_queries.panels(dashboard_queries.load(path)):
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        ids.add(panel["id"])
    assert len(ids) == len(list(dashboard_queries.panels(dashboard_queries.load(path))))


@pytest.mark.parametrize("path", CASES)
def test_each_panel_obeys_time_and_variables(path: Path) -> None:
    for panel in dashboard_queries.panels(dashboard_queries.load(path)):
        for target in panel["targets"]:
            query = target["query"]
            for part in ("$timeFilter", "time($__interval)", "=~ /^$site$/", "=~ /^$gateway$/", "'$period'"):
                assert part in query, f"{panel['title']}: no {part}"


@pytest.mark.parametrize("query", QUERIES)
def test_only_documented_names_are_asked_for(query: str) -> None:
    assert unknown_names(query) == set()


@pytest.mark.parametrize("query", QUERIES)
def test_levels_are_never_averaged_and_counts_are_summed(query: str) -> None:
    assert not re.search(r'mean\("(leq|min|max|sum)"\)', query)
    assert "'laeq'" not in query or 'mean("mean")' not in query


@pytest.mark.parametrize("query", QUERIES)
def test_everything_is_expanded(query: str) -> None:
    assert not dashboard_queries.VARIABLE.search(query)
    if query.startswith("SELECT"):
        assert TIME_RANGE in query
        assert "GROUP BY time(60s)" in query
        assert query.count("(") == query.count(")")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ('SELECT mean("mean") FROM "water" WHERE "site" =~ /^.*$/', "water"),
        ('SELECT mean("average") FROM "air"', "average"),
        ('SELECT mean("mean") FROM "air" GROUP BY "street"', "street"),
        ('SELECT mean("mean") FROM "air" WHERE "channel" = \'pm3\'', "pm3"),
        ('SELECT mean("mean") FROM "air" WHERE "channel" =~ /^(pm10|pm3)$/', "pm3"),
    ],
)
def test_an_unknown_name_is_seen(query: str, name: str) -> None:
    assert unknown_names(query) == {name}


def small(tmp_path: Path, query: str) -> Path:
    """Write a dashboard of one panel inside of a folded row."""
    panel: dict[str, Any] = {"type": "timeseries", "title": "one", "targets": [{"query": query}]}
    variables = [
        {"name": "datasource", "type": "datasource"},
        {"name": "site", "type": "query", "query": "SHOW", "allValue": ".*", "current": {"value": ["$__all"]}},
        {"name": "flag", "type": "custom", "current": {"value": "2"}},
    ]
    path = tmp_path / "small.json"
    dashboard = {"panels": [{"type": "row", "panels": [panel]}], "templating": {"list": variables}}
    path.write_text(json.dumps(dashboard))
    return path


def test_macros_and_variables_in_all_their_forms(tmp_path: Path) -> None:
    path = small(tmp_path, "$timeFilter a=~/^$site$/ b=${flag} c=[[flag]] d=${site:regex} time($__interval)")
    [(title, query)] = dashboard_queries.queries(path, start_ns=1, end_ns=2, variables={"site": "here"})
    assert title == "one"
    assert query == "time >= 1 AND time < 2 a=~/^here$/ b=2 c=2 d=here time(10s)"


def test_an_undefined_variable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="street"):
        dashboard_queries.queries(small(tmp_path, "SELECT $street"), start_ns=1, end_ns=2)
