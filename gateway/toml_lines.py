"""Where each key of a TOML file stands, so that an error can say file:line.

`tomllib` reads values and forgets lines. This scanner only finds the lines of headers and keys; it never decides
what a value is, so where it cannot tell (keys inside an inline table) it names the line of the enclosing key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*(?P<name>[^\[\]#]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*(?P<name>(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"))*)\s*=")
_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")
_FENCE = re.compile(r"\"\"\"|'''")


def key_lines(text: str) -> dict[Path, int]:
    """Map each table and key of a TOML text to its line, counted from 1."""
    lines: dict[Path, int] = {(): 1}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in _logical_lines(text):
        header = _HEADER.match(line)
        if header:
            table = _open_table(header, counts)
            lines.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if key:
            path = table
            for part in _PART.findall(key["name"]):
                path = (*path, part.strip("\"'"))
                lines.setdefault(path, number)
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """Return the line of a key, or of the nearest table around it; None when not even its table is there."""
    for size in range(len(path), 0, -1):
        if path[:size] in lines:
            return lines[path[:size]]
    return None


def _open_table(header: re.Match[str], counts: dict[Path, int]) -> Path:
    """Follow a [header] or [[header]]; the parts that are arrays of tables mean their latest element."""
    parts = [part.strip("\"'") for part in _PART.findall(header["name"])]
    path: Path = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if header[1] == "[[" and i == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines outside multi-line strings and multi-line arrays."""
    fence, depth = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            if fence in line:
                fence = ""
            continue
        if depth == 0:
            yield number, line
        marks = _FENCE.findall(line)
        if len(marks) % 2:
            fence = marks[-1]
            continue
        if depth or _KEY.match(line):
            bare = re.sub(r"\"[^\"]*\"|'[^']*'|#.*", "", line)
            depth = max(0, depth + bare.count("[") - bare.count("]"))
