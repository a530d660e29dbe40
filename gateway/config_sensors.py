"""The tables of its sensors: what is read, how it is judged, calibrated and counted, and what is made of several."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from drivers.base import OptionValue
from gateway.config_types import Name, NotNegative, Positive, Span


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
    step_km_h: Positive = 8.0  # radar: of one vehicle between two reports: 11 m/s2 for 0.2 s; more is another vehicle
    echo_ratio: Annotated[float, Interval(gt=1)] = 10.0  # radar: likewise; a fading echo (Swerling 1) does so 1 in 100
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
