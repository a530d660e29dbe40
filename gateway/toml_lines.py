"""Where each key of a TOML file stands, so that an error can say file:line.

`tomllib` reads values and forgets lines. This scanner only finds the lines of headers and keys; it never decides
what a value is, so where it cannot tell (keys inside an inline table) it names the line of the enclosing key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Path = tuple[str | int, ...]

_NAME = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_DOTTED = rf"(?P<name>{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*)"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*{_DOTTED}[ \t]*\]\]?")
_KEY = re.compile(rf"[ \t]*{_DOTTED}[ \t]*=")
_PART = re.compile(_NAME)
# All that can hide a line break, or hide a bracket: strings of four kinds and comments.
_TOKEN = re.compile(
    r""""{3}(?:\\.|[^\\])*?"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{}\n]""", re.DOTALL
)


def key_lines(text: str) -> dict[Path, int]:
    """Map each table and key of a TOML text to its line, counted from 1."""
    lines: dict[Path, int] = {(): 1}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in _logical_lines(text):
        header = _HEADER.match(line)
        if header:
            table = _open_table(header, counts)
            for size in range(1, len(table) + 1):
                lines.setdefault(table[:size], number)
            continue
        key = _KEY.match(line)
        if key:
            path = table
            for part in _PART.findall(key["name"]):
                path = (*path, _bare(part))
                lines.setdefault(path, number)
    return lines


def _open_table(header: re.Match[str], counts: dict[Path, int]) -> Path:
    """Follow a [header] or [[header]]; the parts that are arrays of tables mean their latest element."""
    parts = [_bare(part) for part in _PART.findall(header["name"])]
    path: Path = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if header[1] == "[[" and i == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _bare(part: str) -> str:
    return part[1:-1] if part[0] in "\"'" else part


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that does not go on inside a multi-line string or array."""
    start = number = depth = breaks = 0
    for token in _TOKEN.finditer(text + "\n"):
        sign = token[0]
        breaks += sign.count("\n")
        if sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        elif sign == "\n" and depth <= 0:
            yield number + 1, text[start : token.start()]
            start, number, depth = token.end(), breaks, 0
