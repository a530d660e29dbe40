"""Configuration: the frozen shapes, and what can be said against a file.

The shapes are plain dataclasses. `config_file.py` fills them from TOML through pydantic, in a process that ends soon;
the gateway takes them over as JSON (`to_json`, `from_json`), because pydantic would cost it 13 MB for years.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from annotated_types import Ge, Gt, Interval

from drivers.base import OptionValue
from gateway import toml_lines


class Pattern:
    """A regular expression that pydantic checks; said here without importing it."""

    def __init__(self, expression: str) -> None:
        self._expression = expression

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Add the expression to the schema of a string (pydantic's protocol for annotations)."""
        return {**handler(source), "pattern": self._expression}


Name = Annotated[str, Pattern(r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """Where the gateway stands; coordinates go into the retained `meta` message only."""

    name: Name
    timezone: str = "Europe/Bucharest"
    latitude: Annotated[float, Interval(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Interval(ge=-180, le=180)] | None = None
    operator: str = ""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The process itself."""

    name: Name
    data_dir: Path = Path("/var/lib/lamppost")
    run_dir: Path = Path("/run/lamppost")
    batch_s: Positive = 10.0
    lateness_s: NotNegative = 2.0
    history_days: Positive = 35.0
    back_off_max_s: Positive = 60.0


@dataclass(frozen=True, slots=True)
class RawLogConfig:
    """The record of every byte read."""

    segment_mb: Positive = 16.0
    keep_mb: Positive = 256.0
    sync_s: Positive = 10.0


@dataclass(frozen=True, slots=True)
class WindowsConfig:
    """Periods and validity of aggregates."""

    base_s: Annotated[int, Ge(1)] = 60
    long_s: tuple[Annotated[int, Ge(1)], ...] = (3600,)
    min_capture: Annotated[float, Interval(ge=0, le=1)] = 0.75
    origin: str = ""


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """The broker; the gateway's name is its user name there."""

    host: str = "localhost"
    port: Annotated[int, Interval(ge=1, le=65535)] = 1883
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    password_file: Path | None = None
    keepalive_s: Annotated[int, Ge(5)] = 60
    inflight: Annotated[int, Interval(ge=1, le=100)] = 10
    confirm: Literal["receipt", "puback"] = "receipt"
    resend_s: Positive = 600.0
    resend_max_s: Positive = 21600.0


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """The process that carries messages from the broker into the store."""

    user: str = "bridge"
    client_id: str = "lamppost-bridge"
    password_file: Path | None = None
    data_dir: Path = Path("/var/lib/lamppost-bridge")
    batch_messages: Annotated[int, Ge(1)] = 100
    batch_bytes: Annotated[int, Ge(1)] = 1_000_000
    batch_s: Positive = 0.2
    retry_max_s: Positive = 60.0


@dataclass(frozen=True, slots=True)
class StoreConfig:
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


@dataclass(frozen=True, slots=True)
class QualityConfig:
    """Quality tests of one channel; what is not said is taken from the driver or switched off."""

    range: Span | None = None
    suspect_range: Span | None = None
    stuck_s: NotNegative = 0.0
    stuck_fail_s: NotNegative = 0.0
    tolerance: NotNegative = 0.0
    origin: str = ""


@dataclass(frozen=True, slots=True)
class DutyConfig:
    """Measure `on_s` of every `period_s`, aligned to UTC; the part warms up before and sleeps after."""

    period_s: Annotated[int, Ge(60)]
    on_s: Annotated[int, Ge(5)]


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """One sensor; its name is its place, never its serial number."""

    name: Name
    driver: str
    port: str = ""
    bus: str = ""
    address: Annotated[int, Interval(ge=0x08, le=0x77)] | None = None
    baud: int | None = None
    every_s: Positive | None = None
    duty: DutyConfig | None = None
    options: dict[str, OptionValue] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)  # what it is told of others: name -> "sensor.channel"
    quality: dict[str, QualityConfig] = field(default_factory=dict)

    @property
    def link(self) -> str:
        """Name the link: the port, or the bus."""
        return self.port or self.bus


@dataclass(frozen=True, slots=True)
class DerivedConfig:
    """A channel made of others at the end of each window; `keys` are the parts and options of its kind.

    In the file they stand beside `kind`: config_file.py puts them together, for what is allowed depends on the kind.
    """

    name: Name
    kind: str
    serial: str = ""
    origin: str = ""
    keys: dict[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole site file."""

    site: SiteConfig
    gateway: GatewayConfig
    rawlog: RawLogConfig = RawLogConfig()
    windows: WindowsConfig = WindowsConfig()
    mqtt: MqttConfig = MqttConfig()
    bridge: BridgeConfig = BridgeConfig()
    store: StoreConfig = StoreConfig()
    quality: dict[str, dict[str, QualityConfig]] = field(default_factory=dict)
    sensor: tuple[SensorConfig, ...] = ()
    derived: tuple[DerivedConfig, ...] = ()

    @property
    def hash(self) -> str:
        """Name this configuration: the same values give the same hash."""
        return hashlib.sha256(to_json(self)).hexdigest()[:12]

    def quality_of(self, sensor: SensorConfig, domain: str, channel: str) -> QualityConfig:
        """Return the tests of a channel: the sensor's own, else the site's for the domain, else none."""
        return sensor.quality.get(channel) or self.quality.get(domain, {}).get(channel) or QualityConfig()


def to_json(shape: Any) -> bytes:
    """Write a configuration, or a part of one, as JSON."""
    return msgspec.json.encode(shape, enc_hook=str)


def from_json(text: bytes) -> Config:
    """Take over a configuration that was checked elsewhere; raise msgspec.DecodeError when it is none."""
    return msgspec.json.decode(text, type=Config, dec_hook=lambda kind, value: kind(value))


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
