"""What a scenario file says of the street: `[street]`, `[[street.event]]`, and how each part sees it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Final

from firmware_sim.street import EPISODES, Episode, Sense, StreetParameters
from firmware_sim.street.episodes import objections as episode_objections
from firmware_sim.street.parameters import objections as street_objections

Tell = Callable[[str, str, str], None]  # key, what is wrong, hint
PARAMETERS: Final = tuple(field.name for field in fields(StreetParameters))
MOST_NAMED = 15
NUMBERS: Final = ("from_s", "for_s", "strength")
# options of every part beside those of its twin, with the type that each wants
SENSES: Final[Mapping[str, object]] = MappingProxyType(
    {field.name: bool if field.name == "humidity_swells" else float for field in fields(Sense)}
)


def read_street(document: Mapping[str, object], tell: Tell) -> StreetParameters:
    """Read `[street]`; tell every problem and go on without what is wrong."""
    table, usual = _table(document, tell), StreetParameters()
    known = {key: value for key, value in table.items() if key != "event"}
    for key in [key for key in known if key not in PARAMETERS]:
        tell(f"street.{key}", "unknown key", _hint(key, (*PARAMETERS, "event")))
    numbers = _numbers({key: known[key] for key in known if key in PARAMETERS}, "street", tell)
    street = replace(usual, **numbers)
    for key, what, hint in street_objections(street):
        tell(f"street.{key}", what, hint)
    return street


def read_episodes(document: Mapping[str, object], tell: Tell) -> tuple[Episode, ...]:
    """Read `[[street.event]]`; tell every problem."""
    tables = _table(document, lambda _key, _what, _hint: None).get("event", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        tell("street.event", "must be an array of tables", "write [[street.event]]")
        return ()
    return tuple(_episode(table, f"street.event[{i}]", tell) for i, table in enumerate(tables))


def sense_of(options: Mapping[str, object]) -> Sense:
    """Take out of the options of a part how it sees the street."""
    said = {key: value for key, value in options.items() if key in SENSES}
    numbers = {key: float(value) for key, value in said.items() if isinstance(value, (int, float))}
    return Sense(**{**numbers, "humidity_swells": bool(said.get("humidity_swells", False))})  # type: ignore[arg-type]


def _episode(table: Mapping[str, object], where: str, tell: Tell) -> Episode:
    for key in table:
        if key not in ("kind", *NUMBERS):
            tell(f"{where}.{key}", "unknown key", _hint(key, ("kind", *NUMBERS)))
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in EPISODES:
        said = "is missing" if kind is None else f"unknown event {kind!r}"
        tell(f"{where}.kind", said, _hint(str(kind), EPISODES))
        kind = EPISODES[0]
    if "for_s" not in table:
        tell(f"{where}.for_s", "is missing", "write for_s = 3600")
    given = {key: table[key] for key in NUMBERS if key in table}
    numbers = _numbers(given, where, tell)
    wrong = given.keys() - numbers.keys()
    episode = Episode(kind, **{"from_s": 0.0, "for_s": 1.0, **numbers})
    for key, what, hint in episode_objections(episode):
        if key not in wrong:
            tell(f"{where}.{key}", what, hint)
    return episode


def _table(document: Mapping[str, object], tell: Tell) -> Mapping[str, object]:
    table = document.get("street", {})
    if isinstance(table, dict):
        return table
    tell("street", "must be a table", "write [street]")
    return {}


def _numbers(given: Mapping[str, object], where: str, tell: Tell) -> dict[str, float]:
    out = {}
    for key, value in given.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            out[key] = float(value)
        else:
            tell(f"{where}.{key}", f"{value!r} is not a number", f"write {key} = 1.0")
    return out


def _hint(word: str, known: Iterable[str]) -> str:
    names = tuple(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known here: {', '.join(names)}" if len(names) <= MOST_NAMED else "docs/reference/scenario.md has them all"
