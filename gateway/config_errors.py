"""What can be said against a configuration: every problem with file, line, key and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from gateway import toml_lines


class Problem(NamedTuple):
    """One thing that is wrong, or at least odd (`warning`), in a configuration."""

    file: str
    line: int
    key: str
    what: str
    hint: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.what}\n    -> {self.hint}"


class ConfigError(Exception):
    """A configuration that cannot be used; carries every problem found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a configuration and the lines of their keys; the site's own file first."""

    files: tuple[tuple[str, dict[toml_lines.Path, int]], ...]

    def problem(self, path: toml_lines.Path, what: str, hint: str, *, warning: bool = False) -> Problem:
        """Say that something is wrong at a key."""
        file, line = self.place(path)
        return Problem(file, line, _dotted(path), what, hint, warning)

    def place(self, path: toml_lines.Path) -> tuple[str, int]:
        """Find file and line of a key, or of the table that should hold it."""
        best, depth = (self.files[0][0], 1), -1
        for file, lines in self.files:
            for size in range(len(path), 0, -1):
                if path[:size] in lines and size > depth:
                    best, depth = (file, lines[path[:size]]), size
        return best


def _dotted(path: toml_lines.Path) -> str:
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out or "file"
