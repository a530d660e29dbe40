"""The queries of a shipped Grafana dashboard, expanded as Grafana would, so that a test can ask a real server.

Macros and variables: https://grafana.com/docs/grafana/latest/datasources/influxdb/query-editor/ (InfluxQL).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]
VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]")


def load(path: Path) -> Json:
    """Read a dashboard."""
    dashboard: Json = json.loads(path.read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: Json) -> Iterator[Json]:
    """Yield every panel that draws something, also those inside of a folded row."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def defaults(dashboard: Json) -> dict[str, str]:
    """Return what the variables are when the dashboard is opened: everything, or their first value."""
    values = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "datasource":
            current = variable["current"]["value"]
            values[variable["name"]] = variable["allValue"] if current in ("$__all", ["$__all"]) else str(current)
    return values


def queries(
    path: Path, *, start_ns: int, end_ns: int, interval: str = "10s", variables: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Return (panel title, InfluxQL) for every query of every panel, over start_ns <= time < end_ns.

    `variables` replaces the defaults of the dashboard; raise ValueError for a variable that nobody defines.
    """
    dashboard = load(path)
    words = defaults(dashboard) | dict(variables or {})
    words |= {"timeFilter": f"time >= {start_ns} AND time < {end_ns}", "__interval": interval}
    return [
        (panel["title"], expand(target["query"], words)) for panel in panels(dashboard) for target in panel["targets"]
    ]


def variable_queries(path: Path, variables: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Return (variable name, InfluxQL) for the variables that are filled by a query."""
    dashboard = load(path)
    words = defaults(dashboard) | dict(variables or {})
    asked = [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    return [(variable["name"], expand(variable["query"], words)) for variable in asked]


def expand(query: str, words: Mapping[str, str]) -> str:
    """Put words in the place of $name, ${name} and [[name]]."""

    def word(match: re.Match[str]) -> str:
        name = next(group for group in match.groups() if group)
        if name not in words:
            raise ValueError(f"{match[0]} is not defined in: {query}")
        return words[name]

    return VARIABLE.sub(word, query)
