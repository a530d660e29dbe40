"""Score: what arrived in a store against what truly happened on the street.

Windows that lie wholly within the truth are compared, one with one: hourly ones, or minutes where there is no whole
hour. Levels are compared as energies, vehicles as counts, speeds as means and v85 of the same window.

No store tells when a window arrived in it. The gateway does: with each receipt, which it gets when the store has
written, it notes how long that was after the window's end, and keeps the last day of it in its database.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway import accounts
from gateway.last_day import Delay, LastDay
from gateway.outlook import FACT
from gateway.store.base import Store
from gateway.wire import Point

NS = 1_000_000_000
MINUTE_S = 60
KM_H = 3.6
PERIODS_S: Final = (3600, 60)  # the first of which there are whole windows
LEVELS, COUNTS, SPEEDS = ("laeq",), ("vehicles",), ("vehicle_speed",)
RELATIVE: Final = ("voc_index", "nox_index")  # to the last day of the part: no two agree
UNUSABLE = (4.0, 9.0)  # flags of windows that nobody should believe
SHARE_V85 = 0.85


class ScoreError(Exception):
    """There is nothing to compare; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One line of the truth; speed in m/s without its sign."""

    t_s: float
    speed_m_s: float


@dataclass(slots=True)
class Truth:
    """What the truth file says of the street: minutes by their start, vehicles in order."""

    minutes: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    vehicles: list[Vehicle] = field(default_factory=list)
    _pass_s: list[float] = field(default_factory=list)

    def sort(self) -> None:
        """Put the vehicles in order, before they are asked for."""
        self.vehicles.sort(key=lambda one: one.t_s)
        self._pass_s = [one.t_s for one in self.vehicles]

    def between(self, start_s: int, end_s: int) -> list[Vehicle]:
        """Return the vehicles of a window."""
        return self.vehicles[bisect_left(self._pass_s, start_s) : bisect_left(self._pass_s, end_s)]

    def knows(self, start_s: int, end_s: int) -> bool:
        """Tell whether every minute of a window is known."""
        return all(minute in self.minutes for minute in range(start_s, end_s, MINUTE_S))

    def mean(self, name: str, start_s: int, end_s: int) -> float | None:
        """Return the mean of a quantity of the air over a window; None where it is not told."""
        values = [self.minutes[m]["values"].get(name) for m in range(start_s, end_s, MINUTE_S)]
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if len(known) == len(values) else None

    def laeq(self, start_s: int, end_s: int) -> float:
        """Return the energy mean of the level over a window."""
        energies = [10.0 ** (self.minutes[m]["laeq"] / 10.0) for m in range(start_s, end_s, MINUTE_S)]
        return 10.0 * math.log10(math.fsum(energies) / len(energies))


@dataclass(frozen=True, slots=True)
class Error:
    """How far one quantity of one sensor was off, in its unit, or in per cent of the truth (`vehicles`)."""

    sensor: str
    what: str
    unit: str
    bias: float
    rmse: float
    most: float  # of one window, without its sign
    n: int


@dataclass(frozen=True, slots=True)
class Score:
    """All errors, and how much arrived; capture is valid slots of all that were expected, 0 to 1."""

    period_s: int
    errors: tuple[Error, ...]
    capture: Mapping[str, float]
    behind_s: float  # from the end of the newest window in the store to the end of the truth
    windows: int  # of the ledger
    delivery: Delay | None = None  # from the end of a window to the receipt; None: nobody was asked, or knows

    @property
    def whole(self) -> float:
        """Capture of all sensors together, each counting alike."""
        return math.fsum(self.capture.values()) / len(self.capture) if self.capture else 0.0


def read_truth(path: Path) -> Truth:
    """Read the street's lines of a truth file; raise ScoreError when there are none, OSError when it cannot be read."""
    truth, decode = Truth(), msgspec.json.Decoder().decode
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if b'"street"' not in text:
                continue
            try:
                line = decode(text)
            except msgspec.DecodeError as error:
                raise ScoreError(f"{path}:{number}: {error}; is the simulator still writing?") from None
            if line.get("street") == "vehicle":
                truth.vehicles.append(Vehicle(line["t_ns"] / NS, abs(line["speed"])))
            elif line.get("street") == "minute":
                truth.minutes[round(line["t_ns"] / NS)] = line
    if not truth.minutes:
        raise ScoreError(f"{path} says nothing of the street; run the simulator with --truth-detail minute")
    truth.sort()
    return truth


def delivery(data_dir: Path) -> Delay | None:
    """Return how long windows took from their end into the store, in the last day of a gateway; raise BooksError."""
    with accounts.opened(data_dir) as db:
        row = db.execute("SELECT value FROM meta WHERE key = ?", (FACT,)).fetchone()
    return LastDay(str(row[0])).delay() if row else None


def score(truth: Truth, store: Store, gateway: str = "") -> Score:
    """Compare; raise ScoreError when there is no window to compare, StoreError when the store cannot be read."""
    first_s, last_s = min(truth.minutes), max(truth.minutes) + MINUTE_S
    points = list(store.read(first_s * NS, last_s * NS, gateway))
    for period_s in PERIODS_S:
        rows = [_row(point) for point in points if _is_whole(point, period_s, truth)]
        errors = tuple(_errors(rows, truth, period_s))
        if errors:
            ends = [point.start_ns // NS + MINUTE_S for point in points if _tag(point, "period") == "60s"]
            capture, windows = _capture(points)
            return Score(period_s, errors, capture, last_s - max(ends, default=first_s), windows)
    raise ScoreError("the store has no whole window of this truth; was it the same run, and is the bridge done?")


def limits(found: Score, allowed: Mapping[str, float], left_out: Collection[str] = ()) -> list[str]:
    """Say which limits were passed: `count` in %, `speed` and `v85` in km/h, `laeq` in dB, `pm` in ug/m3, `capture`.

    And `latency` in s. The worst window counts for speeds and levels, the bias for counts, the root mean square for
    particles, and 95 of 100 windows for latency. What is `left_out`, as `sensor.what`, may be as far off as it likes: a
    radar without magnitudes, which sees a platoon as one vehicle.
    """
    measures: dict[str, tuple[str, Callable[[Error], float]]] = {
        "count": ("vehicles", lambda one: abs(one.bias)),
        "speed": ("speed", lambda one: one.most),
        "v85": ("v85", lambda one: one.most),
        "laeq": ("laeq", lambda one: one.most),
        "pm": ("pm2_5", lambda one: one.rmse),
    }
    out = []
    for name, (what, of) in measures.items():
        if (most := allowed.get(name)) is None:
            continue
        mine = [one for one in found.errors if one.what == what and f"{one.sensor}.{what}" not in left_out]
        out += [f"{one.sensor} {what}: {of(one):.2f} {one.unit}, more than {most:g}" for one in mine if of(one) > most]
        if not mine:
            out.append(f"no sensor tells {what}")
    if (least := allowed.get("capture")) is not None:
        poor = [(name, share) for name, share in found.capture.items() if share < least]
        out += [f"{name} capture: {share:.4f}, less than {least:g}" for name, share in poor]
    if (longest_s := allowed.get("latency")) is not None:
        if found.delivery is None:
            out.append("no gateway tells when windows arrived")
        elif found.delivery.p95_s > longest_s:
            out.append(f"latency: {found.delivery.p95_s:.1f} s, more than {longest_s:g}")
    return out


def table(found: Score) -> Iterator[str]:
    """Write it for a narrow screen: at most 60 columns."""
    yield f"windows of {found.period_s} s against the truth"
    yield f"{'sensor':<12}{'what':<12}{'bias':>9}{'rmse':>8}{'max':>8}{'n':>4}"
    for one in found.errors:
        numbers = f"{_short(one.bias, sign=True):>9}{_short(one.rmse):>8}{_short(one.most):>8}{one.n:>4}"
        yield f"{one.sensor[:11]:<12}{one.what[:11]:<12}{numbers} {one.unit}".rstrip()
    yield ""
    worst = sorted(found.capture.items(), key=lambda item: item[1])[:3]
    yield f"capture {found.whole:.4f}, least: " + ", ".join(f"{name} {share:.3f}" for name, share in worst)
    yield f"newest window ends {found.behind_s:.0f} s before the truth"
    yield from _arrival(found.delivery)


def _arrival(delay: Delay | None) -> Iterator[str]:
    if delay is None:
        yield "when a window arrived, no store tells: give --data-dir"
        return
    yield f"from the end of a window into the store, of {delay.n}:"
    yield f"  p50 {delay.median_s:.1f} s, p95 {delay.p95_s:.1f} s, longest {delay.longest_s:.1f} s"


def as_dict(found: Score) -> dict[str, Any]:
    """Return it for `--json`."""
    told = None if found.delivery is None else found.delivery._asdict()
    return {**msgspec.to_builtins(found), "capture_mean": found.whole, "delivery": told}


Row = tuple[str, str, str, int, Mapping[str, float]]  # sensor, channel, unit, start in seconds, fields


def _row(point: Point) -> Row:
    tags = dict(point.tags)
    return tags["sensor"], tags["channel"], tags.get("unit", ""), point.start_ns // NS, point.fields


def _is_whole(point: Point, period_s: int, truth: Truth) -> bool:
    if point.measurement in ("ledger", "health") or _tag(point, "period") != f"{period_s}s":
        return False
    start_s = point.start_ns // NS
    return point.fields.get("flag") not in UNUSABLE and truth.knows(start_s, start_s + period_s)


def _tag(point: Point, name: str) -> str:
    return dict(point.tags).get(name, "")


def _errors(rows: Sequence[Row], truth: Truth, period_s: int) -> Iterator[Error]:
    series: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for sensor, channel, unit, start_s, fields in rows:
        for what, shown, found, true in _pairs(channel, unit, fields, truth, start_s, start_s + period_s):
            series.setdefault((sensor, what, shown), []).append((found, true))
    for (sensor, what, unit), pairs in sorted(series.items()):
        off = [found - true for found, true in pairs]
        if what == "vehicles":  # in per cent: of all for the bias, of each window for the rest
            whole = math.fsum(true for _, true in pairs)
            if not whole:
                continue
            shares = [100.0 * (found - true) / true for found, true in pairs if true]
            yield _error(sensor, what, unit, 100.0 * math.fsum(off) / whole, shares)
        else:
            yield _error(sensor, what, unit, math.fsum(off) / len(off), off)


def _error(sensor: str, what: str, unit: str, bias: float, off: Sequence[float]) -> Error:
    rmse = math.sqrt(math.fsum(x * x for x in off) / len(off))
    return Error(sensor, what, unit, bias, rmse, max(abs(x) for x in off), len(off))


def _pairs(
    channel: str, unit: str, fields: Mapping[str, float], truth: Truth, start_s: int, end_s: int
) -> Iterator[tuple[str, str, float, float]]:
    """Yield (what, unit, found, true) for a window of one channel."""
    if channel in LEVELS and "leq" in fields:
        yield "laeq", "dB", fields["leq"], truth.laeq(start_s, end_s)
    elif channel in COUNTS and "sum" in fields:
        yield "vehicles", "%", fields["sum"], float(len(truth.between(start_s, end_s)))
    elif channel in SPEEDS and "mean" in fields:
        speeds = sorted(vehicle.speed_m_s for vehicle in truth.between(start_s, end_s))
        if speeds:
            yield "speed", "km/h", KM_H * fields["mean"], KM_H * math.fsum(speeds) / len(speeds)
            if "v85" in fields:
                rank = max(math.trunc(SHARE_V85 * len(speeds)) - 1, 0)
                yield "v85", "km/h", KM_H * fields["v85"], KM_H * speeds[rank]
    elif channel not in RELATIVE and "mean" in fields and (true := truth.mean(channel, start_s, end_s)) is not None:
        yield channel, unit, fields["mean"], true


def _capture(points: Iterable[Point]) -> tuple[dict[str, float], int]:
    """Return the capture of each sensor over the shortest windows, and how many windows of the ledger there were."""
    sums: dict[str, tuple[float, float]] = {}
    starts = set()
    for point in points:
        if point.measurement == "ledger" and _tag(point, "period") == "60s":
            sensor = _tag(point, "sensor")
            valid, expected = sums.get(sensor, (0.0, 0.0))
            sums[sensor] = valid + point.fields.get("valid", 0.0), expected + point.fields.get("expected", 0.0)
            starts.add(point.start_ns)
    return {name: valid / expected for name, (valid, expected) in sums.items() if expected}, len(starts)


def _short(value: float, *, sign: bool = False) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 0.095 else 4
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
