"""Reading a scenario file: what its tables have in common, and how every problem is told with its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
REQUIRED = object()
# what a scenario may write for a parameter of a twin, by its annotation
WORDS: Final[Mapping[object, str]] = MappingProxyType(
    {
        str: "a string",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        Sequence[str]: 'a list of strings, for example ["aac0..."]',
    }
)


class ScenarioError(Exception):
    """The scenario cannot be run; one line per problem, each naming the file and the key."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class FileReader:
    """Reads single keys, goes on after a problem, and remembers which names are taken."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[str] = []
        self.taken: dict[str, str] = {}

    def tables(self, table: Mapping[str, object], key: str, where: str) -> list[tuple[str, Mapping[str, object]]]:
        """The array of tables under a key, each with its place."""
        place = f"{where}.{key}" if where else key
        entries = table.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            path = re.sub(r"\[\d+\]", "", place)
            self.problem(place, "must be an array of tables", f"write [[{path}]]")
            return []
        return [(f"{place}[{i}]", entry) for i, entry in enumerate(entries)]

    def name(self, table: Mapping[str, object], where: str) -> str:
        """Read a name that is a file name, too, and is used once."""
        name = self.text(table, "name", where)
        if not name:
            return name
        if not NAME.fullmatch(name):
            self.problem(f"{where}.name", f"{name!r} cannot be a file name", "use letters, digits, '-', '_' and '.'")
        elif name in self.taken:
            self.problem(f"{where}.name", f"{name!r} is already used by {self.taken[name]}", "give each its own name")
        else:
            self.taken[name] = where
        return name

    def text(self, table: Mapping[str, object], key: str, where: str) -> str:
        """Read a word that must be there; "" where it is not."""
        value = table.get(key)
        if isinstance(value, str) and value:
            return value
        found = "is missing" if value is None else f"{value!r} is not a name"
        self.problem(f"{where}.{key}", found, f'write {key} = "..."')
        return ""

    def integer(self, table: Mapping[str, object], key: str, where: str, default: object) -> int | None:
        """Read a whole number; None where it is none."""
        value = table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        found = "is missing" if value is REQUIRED else f"{value!r} is not a whole number"
        example = {"address": "0x76", "unit_id": "1"}.get(key, "7")
        self.problem(f"{where}.{key}" if where else key, found, f"write {key} = {example}")
        return None

    def only(self, table: Mapping[str, object], known: Iterable[str], where: str) -> None:
        """Tell of every key that means nothing here."""
        for key in table:
            if key not in known:
                self.problem(f"{where}.{key}" if where else key, "unknown key", meant(key, known))

    def problem(self, key: str, what: str, hint: str) -> None:
        """Take note of a problem."""
        self.problems.append(f"{self.file}: {key}: {what}; {hint}")


def fits(wanted: object, value: object) -> bool:
    """Tell whether a TOML value can be given to a parameter with that annotation."""
    if wanted == Sequence[str]:
        return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
    if wanted in (int, float):
        return isinstance(value, int if wanted is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, bool if wanted is bool else str)


def meant(word: str, known: Iterable[str]) -> str:
    """Return the hint for a word that nobody knows."""
    known = tuple(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
