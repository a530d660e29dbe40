"""Configuration: the frozen shapes, and what can be said against a file.

The shapes are plain dataclasses. `config_file.py` fills them from TOML through pydantic, in a process that ends soon;
the gateway takes them over as JSON (`to_json`, `from_json`), because pydantic would cost it 13 MB for years.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
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
Share = Annotated[float, Interval(ge=0, le=1)]
Percent = Annotated[float, Interval(gt=0, lt=100)]
Hour = Annotated[int, Interval(ge=0, le=23)]
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
    expiry_warn_days: NotNegative = 30.0  # how long before a certificate on this line ends it is told


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


@dataclass(frozen=True, slots=True)
class ClimateConfig:
    """What is usual at a time of the year, the week or the day, on UTC; all ends are included."""

    period: Literal["quarter", "month", "week", "dayofyear", "dayofweek", "hour"]
    between: tuple[int, int]  # in units of the period; days of the week from 0, Monday
    suspect: Span
    fail: Span | None = None


@dataclass(frozen=True, slots=True)
class QualityConfig:
    """Quality tests of one channel; what is not said is taken from the driver or switched off (0).

    See docs/reference/quality.md.
    """

    range: Span | None = None
    suspect_range: Span | None = None
    climatology: tuple[ClimateConfig, ...] = ()
    stuck_s: NotNegative = 0.0
    stuck_fail_s: NotNegative = 0.0
    tolerance: NotNegative = 0.0
    attenuated_s: NotNegative = 0.0  # length of the trailing window
    attenuated: NotNegative = 0.0  # below it SUSPECT
    attenuated_fail: NotNegative = 0.0
    attenuated_by: Literal["std", "range"] = "std"
    spike: NotNegative = 0.0
    spike_fail: NotNegative = 0.0
    spike_method: Literal["differential", "average"] = "differential"
    hampel_k: Annotated[int, Interval(ge=0, le=50)] = 0  # neighbours on either side
    hampel_sigmas: Positive = 3.0
    hampel_floor: NotNegative | None = None  # of sigma; without a value: the resolution of the channel
    rate_per_s: NotNegative = 0.0
    rate_fail_per_s: NotNegative = 0.0
    gap_s: NotNegative = 0.0
    gap_fail_s: NotNegative = 0.0
    humidity_above: NotNegative | None = None  # %: in more humid air an optical part counts droplets
    humidity_of: str = ""  # "sensor.channel"; without a value: the channel `humidity` of the same part
    origin: str = ""


@dataclass(frozen=True, slots=True)
class FilterConfig:
    """What is put beside a channel as `<channel>_filtered`."""

    kind: Literal["hampel", "median", "ewma"]
    k: Annotated[int, Interval(ge=1, le=50)] = 3  # hampel: neighbours on either side
    sigmas: Positive = 3.0  # hampel
    floor: NotNegative | None = None  # hampel: of sigma; without a value: the resolution of the channel
    n: Annotated[int, Interval(ge=3, le=101)] = 5  # median: of the last n values, an odd number
    tau_s: Positive = 60.0  # ewma: the time constant
    origin: str = ""


@dataclass(frozen=True, slots=True)
class NeighbourConfig:
    """Channels that should agree, because they hang side by side."""

    channels: tuple[str, ...]  # "sensor.channel", in one unit
    tolerance: Positive  # they agree if they differ by less than this
    relative: NotNegative = 0.0  # or by less than this share of what the others say
    origin: str = ""


@dataclass(frozen=True, slots=True)
class DutyConfig:
    """Measure `on_s` of every `period_s`, aligned to UTC; the part warms up before and sleeps after."""

    period_s: Annotated[int, Ge(60)]
    on_s: Annotated[int, Ge(5)]


@dataclass(frozen=True, slots=True)
class GasTuning:
    """What a site may tune on one gas index, in Sensirion's names and bounds; without a value: as Sensirion has it."""

    index_offset: Annotated[float, Interval(ge=1, le=250)] | None = None  # 100 for VOC, 1 for NOx
    learning_time_offset_hours: Annotated[float, Interval(ge=1, le=1000)] | None = None  # 12
    learning_time_gain_hours: Annotated[float, Interval(ge=1, le=1000)] | None = None  # 12
    gating_max_duration_min: Annotated[float, Interval(ge=0, le=3000)] | None = None  # 180 for VOC, 720 for NOx
    std_initial: Annotated[float, Interval(ge=10, le=5000)] | None = None  # 50
    gain_factor: Annotated[float, Interval(ge=1, le=1000)] | None = None  # 230
    origin: str = "Sensirion, gas-index-algorithm 3.2: defaults"


@dataclass(frozen=True, slots=True)
class GasIndexConfig:
    """Gas indices of a part that gives raw ticks; made unless a site switches them off."""

    enabled: bool = True
    forget_after_s: Positive = 600.0  # Sensirion, gas-index-algorithm 3.2: no use of states after more than 10 minutes
    voc: GasTuning = GasTuning()
    nox: GasTuning = GasTuning()


@dataclass(frozen=True, slots=True)
class TemperatureConfig:
    """What the temperature (Cel, measured by the same part) does to a value."""

    reference: float
    offset_per_K: float = 0.0  # noqa: N815 - the unit
    gain_per_K: float = 0.0  # noqa: N815 - the unit
    channel: str = "temperature"


@dataclass(frozen=True, slots=True)
class HumidityConfig:
    """What the relative humidity (%, measured by the same part) does to a value."""

    reference: float
    offset_per_pct: float = 0.0
    gain_per_pct: float = 0.0
    channel: str = "humidity"


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """One calibration of one channel of one part, and where it comes from; it holds in [valid_from, valid_until)."""

    channel: str
    serial: str
    kind: Literal["linear", "polynomial", "table"]
    valid_from: datetime
    origin: str
    valid_until: datetime | None = None
    offset: float = 0.0  # linear: in the unit of the channel
    gain: float = 1.0
    coefficients: tuple[float, ...] = ()  # polynomial: the constant first
    x: tuple[float, ...] = ()  # table: as measured, rising
    y: tuple[float, ...] = ()  # table: as it should be
    span: Span | None = None  # of what is measured: beyond it the calibration is doubtful; of a table: its ends
    temperature: TemperatureConfig | None = None
    humidity: HumidityConfig | None = None
    certificate: str = ""
    operator: str = ""
    calibrated_on: date | None = None


@dataclass(frozen=True, slots=True)
class MaintenanceConfig:
    """A time in which somebody works on a sensor: [begin, end)."""

    begin: datetime
    end: datetime
    reason: str
    flag: Literal["suspect", "fail"] = "fail"


@dataclass(frozen=True, slots=True)
class PassagesConfig:
    """How detections of a radar, or distances of a lidar, become vehicles; see docs/reference/passages.md."""

    gap_s: Positive = 0.5  # radar: five missed reports of a part that makes ten a second end a passage
    min_reports: Annotated[int, Ge(1)] = 2  # radar: a single report may be a leaf, or rain
    min_speed_km_h: NotNegative = 8.0  # radar: faster than people walk
    speed: Literal["median", "max"] = "median"  # radar: of the reports of a vehicle
    azimuth_deg: Annotated[float, Interval(ge=-89, le=89)] = 0.0  # radar: between beam and road, seen from above
    elevation_deg: Annotated[float, Interval(ge=-89, le=89)] = 0.0  # radar: between beam and road, seen from the side
    classes_km_h: tuple[Annotated[int, Ge(1)], ...] = ()  # radar: bounds of the classes of speed
    trigger_samples: Annotated[int, Ge(1)] = 3  # lidar: so many in a row below the trigger (jbeale1/tf02pro)
    min_samples: Annotated[int, Ge(1)] = 5  # lidar: 2 m at 130 km/h and 100 Hz
    sigma: Positive = 6.0  # lidar: the trigger is so many standard deviations below the baseline (jbeale1/tf02pro)
    depth_m: Positive = 0.5  # lidar: and at least so much
    rearm_share: Annotated[float, Interval(gt=0, lt=1)] = 0.5  # lidar: the band that ends a passage, of the trigger's
    rearm_s: NotNegative = 0.2  # lidar: within that band for so long (jbeale1/tf02pro)
    learn_s: Annotated[float, Interval(gt=0, le=60)] = 4.0  # lidar: how long the baseline is learnt (jbeale1/tf02pro)
    follow_s: Positive = 10.0  # lidar: time constant of the baseline (jbeale1/tf02pro)
    open_m: Positive | None = None  # lidar: without an echo nothing is there, as if it were at this distance
    max_s: Positive = 20.0  # a bus of 18 m at walking pace takes 13 s
    origin: str = ""


@dataclass(frozen=True, slots=True)
class EventsConfig:
    """When a level counts as a noise event; see docs/reference/noise.md."""

    threshold_dB: Annotated[float, Interval(ge=0, le=194)]  # noqa: N815 - the unit
    origin: str
    min_s: NotNegative = 0.0  # shorter events are not told
    gap_s: NotNegative = 3.0  # a pause up to this length does not end an event


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
    filter: dict[str, FilterConfig] = field(default_factory=dict)
    gas_index: GasIndexConfig | None = None
    serial: str = ""  # of the part that is in the place now: what is calibrated is a part, not a place
    calibration: tuple[CalibrationConfig, ...] = ()
    maintenance: tuple[MaintenanceConfig, ...] = ()
    passages: PassagesConfig | None = None
    events: dict[str, EventsConfig] = field(default_factory=dict)  # noise events: channel -> when
    percentiles: tuple[str, ...] | None = None  # of which channels; without it of all

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
    health: HealthConfig = HealthConfig()
    quality: dict[str, dict[str, QualityConfig]] = field(default_factory=dict)
    filter: dict[str, dict[str, FilterConfig]] = field(default_factory=dict)
    neighbour: tuple[NeighbourConfig, ...] = ()
    sensor: tuple[SensorConfig, ...] = ()
    derived: tuple[DerivedConfig, ...] = ()

    @property
    def hash(self) -> str:
        """Name this configuration: the same values give the same hash."""
        return hashlib.sha256(to_json(self)).hexdigest()[:12]

    def quality_of(self, sensor: SensorConfig, domain: str, channel: str) -> QualityConfig:
        """Return the tests of a channel: the sensor's own, else the site's for the domain, else none."""
        return sensor.quality.get(channel) or self.quality.get(domain, {}).get(channel) or QualityConfig()

    def filter_of(self, sensor: SensorConfig, domain: str, channel: str) -> FilterConfig | None:
        """Return the filter of a channel: the sensor's own, else the site's for the domain, else none."""
        return sensor.filter.get(channel) or self.filter.get(domain, {}).get(channel)


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
