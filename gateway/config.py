"""Configuration: TOML files to frozen models; every error at once, with file:line, key and what to do.

A site file may `extends = "base.toml"`: tables are merged, the site wins, lists are replaced.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drivers.base import OptionValue
from gateway import toml_lines

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Span = tuple[float, float]


MENDINGS = 4  # a wrong value is taken out, then it is missing, then it is made up, then the rest is read


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SiteConfig(_Model):
    """Where the gateway stands; coordinates go into the retained `meta` message only."""

    name: Name
    timezone: str = "Europe/Bucharest"
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    operator: str = ""


class GatewayConfig(_Model):
    """The process itself."""

    name: Name
    data_dir: Path = Path("/var/lib/lamppost")
    run_dir: Path = Path("/run/lamppost")
    batch_s: Positive = 10.0
    lateness_s: NotNegative = 2.0
    history_days: Positive = 35.0
    back_off_max_s: Positive = 60.0


class RawLogConfig(_Model):
    """The record of every byte read."""

    segment_mb: Positive = 16.0
    keep_mb: Positive = 256.0
    sync_s: Positive = 10.0


class WindowsConfig(_Model):
    """Periods and validity of aggregates."""

    base_s: Annotated[int, Field(ge=1)] = 60
    long_s: tuple[Annotated[int, Field(ge=1)], ...] = (3600,)
    min_capture: Annotated[float, Field(ge=0, le=1)] = 0.75
    origin: str = ""


class MqttConfig(_Model):
    """The broker; the gateway's name is its user name there."""

    host: str = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    password_file: Path | None = None
    keepalive_s: Annotated[int, Field(ge=5)] = 60
    inflight: Annotated[int, Field(ge=1, le=100)] = 10
    confirm: Literal["receipt", "puback"] = "receipt"
    resend_s: Positive = 600.0
    resend_max_s: Positive = 21600.0


class BridgeConfig(_Model):
    """The process that carries messages from the broker into the store."""

    user: str = "bridge"
    client_id: str = "lamppost-bridge"
    password_file: Path | None = None
    data_dir: Path = Path("/var/lib/lamppost-bridge")
    batch_messages: Annotated[int, Field(ge=1)] = 100
    batch_bytes: Annotated[int, Field(ge=1)] = 1_000_000
    batch_s: Positive = 0.2
    retry_max_s: Positive = 60.0


class StoreConfig(_Model):
    """Where windows end up."""

    kind: Literal["sqlite", "influxdb"] = "sqlite"
    path: Path | None = None
    api: Literal["v1", "v2"] = "v2"
    url: str = "http://localhost:8086"
    org: str = ""
    bucket: str = "lamppost"
    database: str = "lamppost"
    user: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    dialect: Literal["influxdb", "victoriametrics"] = "influxdb"


class QualityConfig(_Model):
    """Quality tests of one channel; what is not said is taken from the driver or switched off."""

    range: Span | None = None
    suspect_range: Span | None = None
    stuck_s: NotNegative = 0.0
    stuck_fail_s: NotNegative = 0.0
    tolerance: NotNegative = 0.0
    origin: str = ""


class DutyConfig(_Model):
    """Measure `on_s` of every `period_s`, aligned to UTC; the part warms up before and sleeps after."""

    period_s: Annotated[int, Field(ge=60)]
    on_s: Annotated[int, Field(ge=5)]


class SensorConfig(_Model):
    """One sensor; its name is its place, never its serial number."""

    name: Name
    driver: str
    port: str = ""
    bus: str = ""
    address: Annotated[int, Field(ge=0x08, le=0x77)] | None = None
    baud: int | None = None
    every_s: Positive | None = None
    duty: DutyConfig | None = None
    options: dict[str, OptionValue] = {}
    quality: dict[str, QualityConfig] = {}

    @property
    def link(self) -> str:
        """Name the link: the port, or the bus."""
        return self.port or self.bus


class Config(_Model):
    """A whole site file."""

    site: SiteConfig
    gateway: GatewayConfig
    rawlog: RawLogConfig = RawLogConfig()
    windows: WindowsConfig = WindowsConfig()
    mqtt: MqttConfig = MqttConfig()
    bridge: BridgeConfig = BridgeConfig()
    store: StoreConfig = StoreConfig()
    quality: dict[str, dict[str, QualityConfig]] = {}
    sensor: tuple[SensorConfig, ...] = ()

    @property
    def hash(self) -> str:
        """Name this configuration: the same values give the same hash."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def quality_of(self, sensor: SensorConfig, domain: str, channel: str) -> QualityConfig:
        """Return the tests of a channel: the sensor's own, else the site's for the domain, else none."""
        return sensor.quality.get(channel) or self.quality.get(domain, {}).get(channel) or QualityConfig()


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


def load(path: Path) -> Config:
    """Load a site file and everything it extends; raise ConfigError with all problems at once."""
    config, problems = examine(path)
    errors = [problem for problem in problems if not problem.warning]
    if errors or config is None:
        raise ConfigError(errors)
    return config


def examine(path: Path) -> tuple[Config | None, list[Problem]]:
    """Load a site file; return what could be made of it, and all errors and warnings."""
    from gateway.mistakes import explain, mend
    from gateway.rules import cross_check

    try:
        raw, sources = _read(path, ())
    except ConfigError as error:
        return None, list(error.problems)
    raw = _with_paths(raw, path.parent)
    found: dict[str, Problem] = {}
    config: Config | None = None
    for _ in range(MENDINGS):
        try:
            config = Config.model_validate(raw)
            break
        except ValidationError as error:
            for detail in error.errors():
                problem = explain(detail, sources)
                found.setdefault(problem.key, problem)
                mend(raw, detail)
    # Mended only to look on: a table with a mistake in it is not judged any further.
    tables = {key.rpartition(".")[0] or key for key in found}
    rest = cross_check(config, sources) if config is not None else []
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
    base = path.parent / str(base_name)
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


def _dotted(path: toml_lines.Path) -> str:
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out or "file"
