"""From what the models refuse to problems that a technician can act on; and a mended copy, to look for the rest."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway import secrets, toml_lines
from gateway.config import Config
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import (
    CalibrationConfig,
    ClimateConfig,
    DerivedConfig,
    DutyConfig,
    FilterConfig,
    GasIndexConfig,
    GasTuning,
    HumidityConfig,
    MaintenanceConfig,
    NeighbourConfig,
    PassagesConfig,
    QualityConfig,
    SensorConfig,
    TemperatureConfig,
)
from gateway.config_site import (
    BridgeConfig,
    GatewayConfig,
    KeepConfig,
    MqttConfig,
    OutboxConfig,
    RawLogConfig,
    SiteConfig,
    StoreConfig,
    WindowsConfig,
)

UNION = ("bool", "int", "float", "str")  # the branches of OptionValue, which pydantic puts into the path
MADE_UP = "unknown"
NUMBER = ("{input!r} is no number", "write a number, without quotes")
WHOLE = ("{input!r} is no whole number", "write a whole number, without quotes")
TRUTH = ("{input!r} is neither true nor false", "write true or false, without quotes")
TIME = ("{input!r} is no time", "write it as 2026-05-01T00:00:00Z, without quotes")
DAY = ("{input!r} is no day", "write it as 2026-05-01, without quotes")
SPAN = ("{input!r} is no span", "write two numbers, [low, high]")
WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(  # pydantic's name of an error -> what, hint
    {
        "missing": ("this key is missing", "add it"),
        "dataclass_type": ("{input!r} is no table", "write it as a table, in [brackets] on a line of its own"),
        "tuple_type": ("{input!r} is no list", "write a list; sensors are written as [[sensor]]"),
        "too_short": SPAN,
        "too_long": SPAN,
        "float_type": NUMBER,
        "float_parsing": NUMBER,
        "finite_number": ("{input!r} has no end", "write a finite number"),
        "int_type": WHOLE,
        "int_parsing": WHOLE,
        "int_from_float": WHOLE,
        "bool_type": TRUTH,
        "bool_parsing": TRUTH,
        "string_type": ("{input!r} is no text", "write it in quotes"),
        "path_type": ("{input!r} is no file name", "write it in quotes"),
        "string_pattern_mismatch": ("{input!r} is no name", "use small letters, digits, - and _, at most 40"),
        "datetime_type": TIME,
        "datetime_parsing": TIME,
        "datetime_from_date_parsing": TIME,
        "date_type": DAY,
        "date_from_datetime_parsing": DAY,
        "date_from_datetime_inexact": DAY,
        "literal_error": ("{input!r} is not known here", "use {expected}"),
        "greater_than": ("{input!r} is too small", "use more than {gt:g}"),
        "greater_than_equal": ("{input!r} is too small", "use {ge:g} or more"),
        "less_than_equal": ("{input!r} is too large", "use {le:g} or less"),
    }
)


def explain(detail: Any, sources: Sources) -> Problem:
    """Turn one of pydantic's errors into a Problem."""
    inside, kind = _path(detail), detail["type"]
    path = tuple(part for part in inside if inside[0] != "derived" or part != "keys")  # as it is written in the file
    if inside != detail["loc"]:
        what = f"{detail['input']!r} is neither a number, a text nor true or false"
        return sources.problem(path, what, "correct the value")
    if kind == "unexpected_keyword_argument":
        near = difflib.get_close_matches(str(path[-1]), _known_keys(path[:-1]), 1)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(_known_keys(path[:-1]))}"
        return sources.problem(path, "unknown key", hint)
    if kind == "missing" and len(path) == 1:
        return sources.problem(path, "this table is missing", f"add [{path[0]}] and its name")
    what, hint = WORDS.get(kind, (str(detail["msg"]), "correct the value"))
    said = "***" if path[-1] in secrets.FILES else detail["input"]
    facts = {"input": said, **detail.get("ctx", {})}
    return sources.problem(path, what.format(**facts), hint.format(**facts))


def _known_keys(path: toml_lines.Path) -> list[str]:
    model: Any = Config
    tables = {
        "site": SiteConfig, "gateway": GatewayConfig, "rawlog": RawLogConfig, "windows": WindowsConfig,
        "mqtt": MqttConfig, "outbox": OutboxConfig, "bridge": BridgeConfig, "store": StoreConfig,
        "sensor": SensorConfig, "derived": DerivedConfig, "neighbour": NeighbourConfig,
    }  # fmt: skip
    if path:
        model = tables.get(str(path[0]), QualityConfig)
    if path[:2] == ("rawlog", "keep"):
        model = KeepConfig
    elif "quality" in path:
        model = ClimateConfig if "climatology" in path else QualityConfig
    elif "filter" in path:
        model = FilterConfig
    elif "duty" in path:
        model = DutyConfig
    elif "gas_index" in path:
        model = GasIndexConfig if path[-1] == "gas_index" else GasTuning
    elif "calibration" in path:
        model = {"temperature": TemperatureConfig, "humidity": HumidityConfig}.get(str(path[-1]), CalibrationConfig)
    elif "maintenance" in path:
        model = MaintenanceConfig
    elif "passages" in path:
        model = PassagesConfig
    return sorted(model.__dataclass_fields__)


def mend(raw: dict[str, Any], detail: Any) -> None:
    """Take a wrong key out of `raw`, or make a missing one up, so that the rest of the file can be looked at."""
    node: Any = raw
    places: list[tuple[dict[str, Any], str]] = []  # each table on the way, and what to look up in it
    for part in _path(detail):
        if isinstance(node, dict):
            places.append((node, str(part)))
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            return  # taken out with another mistake
    table, key = places[-1]
    if detail["type"] != "missing":
        table.pop(key, None)
    elif key in ("site", "gateway"):
        table[key] = {"name": MADE_UP}
    elif key in ("name", "driver", "kind"):
        table[key] = MADE_UP
    else:
        table, key = places[-2]  # nothing to make up: the whole table goes
        table.pop(key, None)


def _path(detail: Any) -> toml_lines.Path:
    path: toml_lines.Path = tuple(detail["loc"])
    return path[:-1] if {"options", "keys"} & set(path[:-1]) and path[-1] in UNION else path
