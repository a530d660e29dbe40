"""Reading a configuration: every error at once, with file:line, key and what to do.

A site file may `extends = "base.toml"`: tables are merged, the site wins, lists are replaced.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gateway import config, config_sensors, config_site, toml_lines
from gateway.config import Config
from gateway.config_errors import ConfigError, Problem, Sources
from gateway.config_sensors import DerivedConfig
from gateway.joins import joins
from gateway.mistakes import explain, mend
from gateway.rules import cross_check
from gateway.rules_servers import unprintable, written_secrets
from gateway.rules_windows import windows

ROOMS = (config, config_site, config_sensors)  # where the shapes are
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
MENDINGS = 4  # a wrong value is taken out, then it is missing, then it is made up, then the rest is read


def load(path: Path) -> Config:
    """Load a site file and everything it extends; raise ConfigError with all problems at once."""
    config, problems = examine(path)
    errors = [problem for problem in problems if not problem.warning]
    if errors or config is None:
        raise ConfigError(errors)
    return config


def examine(path: Path) -> tuple[Config | None, list[Problem]]:
    """Load a site file; return what could be made of it, and all errors and warnings."""
    try:
        raw, sources = _read(path, ())
    except ConfigError as error:
        return None, list(error.problems)
    unfit = [*written_secrets(raw, path.parent, sources), *unprintable(raw, sources)]
    raw = _with_keys(_with_paths(raw, path.parent))
    adapter = _adapter()
    found: dict[str, Problem] = {problem.key: problem for problem in unfit}
    config: Config | None = None
    for _ in range(MENDINGS):
        try:
            config = adapter.validate_python(raw)
            break
        except ValidationError as error:
            for detail in error.errors():
                problem = explain(detail, sources)
                found.setdefault(problem.key, problem)
                mend(raw, detail)
    # Mended only to look on: a table with a mistake in it is not judged any further.
    tables = {key.rpartition(".")[0] or key for key in found}
    rules = (cross_check, joins, windows)
    rest = [problem for rule in rules for problem in rule(config, sources)] if config is not None else []
    judged = [p for p in rest if not any(p.key == table or p.key.startswith(f"{table}.") for table in tables)]
    return None if found else config, [*found.values(), *judged]


def _read(path: Path, seen: tuple[Path, ...]) -> tuple[dict[str, Any], Sources]:
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), 1, "file", "there is no such file", "check the name")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), 1, "file", str(error), "check that it can be read")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax(path, error)]) from None
    sources = Sources(((str(path), toml_lines.key_lines(text)),))
    base_name = raw.pop("extends", None)
    if base_name is None:
        return raw, sources
    base = path.parent / str(base_name).replace("\0", "")  # which no file name can have
    if base.resolve() in {one.resolve() for one in (*seen, path)}:
        problem = sources.problem(("extends",), f"{base_name} extends itself", "take `extends` out of one of the files")
        raise ConfigError([problem])
    if not base.is_file():
        raise ConfigError([sources.problem(("extends",), f"there is no file {base}", "correct the name")])
    base_raw, base_sources = _read(base, (*seen, path))
    return _merge(base_raw, raw), Sources(sources.files + base_sources.files)


def _syntax(path: Path, error: tomllib.TOMLDecodeError) -> Problem:
    text = str(error)
    line = int(text.rpartition("at line ")[2].split(",")[0]) if "at line " in text else 1
    return Problem(str(path), line, "syntax", text.partition(" (at")[0], "correct this line: it is not TOML")


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merge(out[key], value) if both else value
    return out


def _with_paths(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Read relative file names as relative to the site file, so that a site can be copied as a folder."""
    for table in raw.values():
        if not isinstance(table, dict):
            continue
        for key, value in table.items():
            is_path = key.endswith(("_file", "_dir")) or key == "path"
            if is_path and isinstance(value, str) and not Path(value).is_absolute():
                table[key] = str((folder / value).resolve())
    return raw


def _with_keys(raw: dict[str, Any]) -> dict[str, Any]:
    """Put the keys of each [[derived]] that depend on its kind into a table of their own."""
    own = {one.name for one in fields(DerivedConfig)} - {"keys"}
    tables = raw.get("derived")
    for table in tables if isinstance(tables, list) else []:
        if isinstance(table, dict):
            table["keys"] = {key: table.pop(key) for key in [*table] if key not in own}
    return raw


@cache
def _adapter() -> TypeAdapter[Config]:
    """Make pydantic's reader of the shapes: keys that are not known are refused, numbers are finite."""
    for shape in [shape for room in ROOMS for shape in vars(room).values()]:
        if isinstance(shape, type) and is_dataclass(shape):
            shape.__pydantic_config__ = STRICT  # type: ignore[attr-defined]
    return TypeAdapter(Config)
