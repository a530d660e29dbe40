"""The tables of a site: where it stands, its windows, and where they are sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from gateway.config_types import Hour, Name, NotNegative, Percent, Positive, Share


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
    unsynced_hold_s: NotNegative = 7200.0  # so long readings wait for a clock that can be believed
    history_days: Positive = 35.0
    back_off_max_s: Positive = 60.0


@dataclass(frozen=True, slots=True)
class KeepConfig:
    """What the long record keeps of the sources whose name matches; see docs/reference/raw-log.md."""

    source: str  # a name, or a pattern with * and ?
    keep: Literal["none", "faults", "all"]


@dataclass(frozen=True, slots=True)
class RawLogConfig:
    """The record of every byte read."""

    segment_mb: Annotated[float, Ge(0.25)] = 4.0
    keep_mb: Positive = 256.0
    sync_s: Positive = 10.0
    recent_mb: Annotated[float, Ge(1)] = 8.0  # for sources of which not all is kept: what a start may have to replay
    keep: tuple[KeepConfig, ...] = ()  # the first that matches


@dataclass(frozen=True, slots=True)
class DayHoursConfig:
    """When day, evening and night begin, in local hours."""

    day: Hour = 7
    evening: Hour = 19
    night: Hour = 23
    origin: str = "Directive 2002/49/EC, Annex I: 07-19, 19-23, 23-07 local time"


@dataclass(frozen=True, slots=True)
class ValidityConfig:
    """When the windows of one period are valid: this share of their slots, or of their hours, has values."""

    min_capture: Share = 0.75
    by: Literal["slots", "hours"] = "slots"
    hour_min_capture: Share = 0.75  # by hours: this share of its slots makes an hour valid
    origin: str = ""


@dataclass(frozen=True, slots=True)
class PercentilesConfig:
    """Which percentiles are published, by the kind of channel; those of levels are exceeded so much of the time."""

    scalar: tuple[Percent, ...] = ()
    level: tuple[Percent, ...] = ()
    speed: tuple[Percent, ...] = ()
    least_speeds: Annotated[int, Ge(1)] = 100  # with fewer there is no percentile of speeds
    origin: str = ""


@dataclass(frozen=True, slots=True)
class WindowsConfig:
    """Periods and validity of aggregates."""

    base_s: Annotated[int, Ge(1)] = 60
    long_s: tuple[Annotated[int, Ge(1)], ...] = (3600,)
    running_s: tuple[tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]], ...] = ()  # length, step
    local: tuple[Literal["day", "evening", "night", "local_day", "den"], ...] = ()
    hours: DayHoursConfig = DayHoursConfig()
    min_capture: Share = 0.75
    origin: str = ""
    validity: dict[str, ValidityConfig] = field(default_factory=dict)  # by period, where it is not min_capture
    allowed_lateness_s: NotNegative = 3600.0
    percentiles: PercentilesConfig = PercentilesConfig()


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
    backlog_messages_per_s: Positive = 5.0  # what waited longer than three base windows
    backlog_bundle: Annotated[int, Interval(ge=1, le=100)] = 10  # so many of it in one PUBLISH
    expiry_warn_days: NotNegative = 30.0  # how long before a certificate on this line ends it is told


@dataclass(frozen=True, slots=True)
class OutboxConfig:
    """How much may wait on disk for its receipt, and what stays free; docs/reference/outbox.md. 0: no limit."""

    max_mb: NotNegative = 1000.0
    max_records: Annotated[int, Ge(0)] = 100_000
    max_age_days: Annotated[float, Interval(ge=0, le=36500)] = 365.0
    free_floor_mb: NotNegative = 64.0
    ballast_mb: NotNegative = 8.0


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
    max_messages_per_s: Positive = 100.0  # of one gateway; what comes faster waits
    burst: Annotated[int, Ge(1)] = 10_000  # so many of one gateway at once: a week of minutes
    max_series: Annotated[int, Ge(1)] = 10_000  # of one gateway; names beyond are a fault, and a store dies of them
    spool_mb: NotNegative = 64.0  # on disk, for what comes while the store is away; 0: it stays in the broker
    spool_after_s: NotNegative = 30.0  # so long a store may be away before anything goes there


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
    ca_file: Path | None = None  # of https: whose certificates are believed; without it those this machine believes
    cert_file: Path | None = None  # of https: who we are, where the server asks for it
    key_file: Path | None = None
    expiry_warn_days: NotNegative = 30.0
    dialect: Literal["influxdb", "victoriametrics"] = "influxdb"


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """What is assumed of the machine itself."""

    card_endurance_tb: Positive | None = None  # what may be written to the card in its life, 10^12 bytes
    origin: str = ""  # who says so: the datasheet of the card
