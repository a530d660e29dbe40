"""Local days and nights from records to messages, over the nights on which the clock changes in Romania."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from drivers.base import Channel, Command, Decoded, Driver, I2c, Kind, Mark, Options, Poll
from gateway import wire
from gateway.commit import Committer, Terms
from gateway.config import Config
from gateway.config_sensors import SensorConfig
from gateway.config_site import GatewayConfig, PercentilesConfig, SiteConfig, WindowsConfig
from gateway.core import Core
from gateway.outbox import Outbox
from gateway.pipeline.fields import Percentiles
from gateway.pipeline.longer import LOCAL, Running, Validity, local
from gateway.pipeline.windows import NS
from gateway.plans import plan
from gateway.record import ClockRecord, Record, RecordKind, Tick, encode

ZONE = "Europe/Bucharest"
BASE_S, EVERY_S = 600, 60
LEVELS, EXCEEDED = (10.0, 50.0, 90.0), Percentiles(scalar=(50.0,), level=(10.0, 50.0, 90.0))
CONFIG = Config(
    SiteConfig("post"), GatewayConfig("lp-1"), windows=WindowsConfig(percentiles=PercentilesConfig((50.0,), LEVELS))
)
PARTS = {"local_day": (0, 24), "day": (7, 19), "evening": (19, 23), "night": (23, 31), "den": (7, 31)}


def level_of(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:
    """Read one float64 for each channel."""
    values = np.frombuffer(b"".join(frames), "<f8").reshape(len(frames), 2).copy()
    n = len(frames)
    return Decoded(values, np.full((n, 2), Mark.OK, np.uint8), np.arange(n, dtype=np.int32), np.zeros(n, np.uint8))


MIC = Driver(
    "mic", "noise", "mic", Poll((Command("read", b"\x00", rx=16),), EVERY_S, EVERY_S),
    (Channel("laeq", "dB", Kind.LEVEL, resolution=0.1), Channel("temperature", "Cel", resolution=0.1)),
    "none", level_of, I2c((0x10,)),
)  # fmt: skip
PLAN = plan(CONFIG, SensorConfig("mic", "mic"), MIC)
TERMS = Terms(
    "post", "lp-1", (3600,), 0.75, 35.0, running=(Running(8 * 3600, 3600),),
    local=tuple(local(name, ZONE) for name in LOCAL), percentiles=EXCEEDED,
    validity={"8h": Validity(0.75, by_hours=True), "local_day": Validity(0.75, by_hours=True)},
)  # fmt: skip


def utc(text: str) -> int:
    """Return the s of a local time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp())


def level(t_s: float) -> float:
    """Every hour of UTC has another level, and every minute a little more."""
    return round(50.0 + 2.0 * (t_s // 3600 % 12) + 0.1 * (t_s // 60 % 10), 1)


def records(first_s: int, last_s: int, there: Callable[[int], bool] = lambda t_s: True) -> Iterator[Record]:
    yield Record(RecordKind.CLOCK, 0, "", encode(ClockRecord("boot", 0, True, 0)))
    for t_s in range(first_s, last_s, EVERY_S):
        if there(t_s):
            frame = np.array([level(t_s), 20.0], "<f8").tobytes()
            yield Record(RecordKind.FRAME, t_s * NS + NS // 2, "mic", frame)
        yield Record(RecordKind.TICK, (t_s + EVERY_S) * NS, "", encode(Tick((t_s + EVERY_S) * NS, [])))
    yield Record(RecordKind.TICK, (last_s + 5) * NS, "", encode(Tick((last_s + 5) * NS, [])))


def committed(folder: Path, stream: Iterator[Record], *, restarts: int = 0) -> dict[tuple[str, int], dict[str, Any]]:
    """Feed a core and commit what it closes; return the messages: period and start (s) -> message."""
    said, blocks = list(stream), restarts + 1
    edges = [round(i * len(said) / blocks) for i in range(blocks + 1)]
    saved = b""
    for first, last in pairwise(edges):
        core = Core({"c": {"mic": PLAN}}, BASE_S, 2.0, 3600.0)
        if saved:
            core.restore(saved, "c")
        else:
            core.begin("c")
        with closing(Outbox(folder / "gateway.db")) as outbox:
            outbox.db.execute("PRAGMA synchronous = OFF")
            committer = Committer(outbox, TERMS)
            for i in range(first, last, 30):
                if closed := core.feed(said[i : min(i + 30, last)]):
                    committer.commit(closed, core, 1, 0)
            saved = core.save()
            rows = outbox.db.execute("SELECT payload FROM message ORDER BY seq").fetchall()
    out = {}
    for (payload,) in rows:
        message = wire.unpack_windows(payload)
        (ledger,) = [point for point in wire.points(message) if point.measurement == "ledger"]
        tag = dict(ledger.tags)["period"]
        fields = {name: column[0] for name, column in message.fields.items()}
        out[tag, message.start_ns // NS] = fields | {"length_s": message.period_s, "rev": message.rev}
    return out


def of_minutes(first_s: int, last_s: int) -> list[float]:
    return [level(t_s) for t_s in range(first_s, last_s, EVERY_S)]


def leq(levels: Sequence[float]) -> float:
    return 10 * math.log10(sum(10 ** (one / 10) for one in levels) / len(levels))


def bounds(day: str, name: str) -> tuple[int, int]:
    """Return start and end of a part of a local day, by the wall: an independent reading of the calendar."""
    from_h, to_h = PARTS[name]
    midnight = datetime.fromisoformat(day)
    edges = [midnight.replace(hour=h % 24, day=midnight.day + h // 24) for h in (from_h, to_h)]
    first, last = (round(edge.replace(tzinfo=ZoneInfo(ZONE)).astimezone(UTC).timestamp()) for edge in edges)
    return first, last


@pytest.fixture(scope="module", params=[("2026-03-28", 7, 23), ("2026-10-24", 9, 25), ("2026-07-11", 8, 24)])
def nights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """Two days around a night of 7, 9 and 8 hours."""
    day, night_h, day_h = request.param
    first = utc(f"{day}T00:00")
    folder = tmp_path_factory.mktemp("nights")
    return day, night_h, day_h, committed(folder, records(first, first + 50 * 3600), restarts=7)


def test_every_part_has_its_real_length(nights: tuple[Any, ...]) -> None:
    day, night_h, day_h, windows = nights
    lengths = {name: windows[name, bounds(day, name)[0]]["length_s"] / 3600 for name in PARTS}
    assert lengths == {"local_day": 24, "day": 12, "evening": 4, "night": night_h, "den": day_h}
    next_day = day[:-2] + f"{int(day[-2:]) + 1}"
    assert windows["local_day", bounds(next_day, "local_day")[0]]["length_s"] == day_h * 3600


@pytest.mark.parametrize("name", PARTS)
def test_levels_are_those_of_the_minutes_between_its_ends(nights: tuple[Any, ...], name: str) -> None:
    day, _, _, windows = nights
    first, last = bounds(day, name)
    found, minutes = windows[name, first], of_minutes(first, last)
    assert (found["n"], found["expected"], found["capture"]) == (len(minutes), len(minutes), 1.0)
    assert found["expected"] == (last - first) / EVERY_S
    assert found["leq"] == pytest.approx(leq(minutes), abs=1e-9)
    own = np.percentile(minutes, [90, 50, 10])
    assert [found["l10"], found["l50"], found["l90"]] == pytest.approx(own.tolist(), abs=1e-9)
    assert (found["flag"], found["rev"]) == (1.0, 0)
    assert found.get("valid_hours") == ((last - first) / 3600 if name == "local_day" else None)


def test_the_level_of_the_day_has_its_night_behind_it(nights: tuple[Any, ...]) -> None:
    day, _, _, windows = nights
    lday, levening, lnight = (leq(of_minutes(*bounds(day, name))) for name in ("day", "evening", "night"))
    weighed = 12 * 10 ** (lday / 10) + 4 * 10 ** ((levening + 5) / 10) + 8 * 10 ** ((lnight + 10) / 10)
    assert windows["den", bounds(day, "den")[0]]["lden"] == pytest.approx(10 * math.log10(weighed / 24), abs=1e-9)


def test_running_means_begin_every_hour(nights: tuple[Any, ...]) -> None:
    _, _, _, windows = nights
    starts = sorted(start for tag, start in windows if tag == "8h")
    whole = [start for start in starts if windows["8h", start]["capture"] == 1.0]
    assert {b - a for a, b in pairwise(starts)} == {3600}
    assert len(whole) == 50 - 8 + 1
    for start in whole[::9]:
        assert windows["8h", start]["leq"] == pytest.approx(leq(of_minutes(start, start + 8 * 3600)), abs=1e-9)
        assert windows["8h", start]["valid_hours"] == 8


def test_an_hour_that_is_missing_is_missing_in_the_night(tmp_path: Path) -> None:
    """The night of 9 hours, of which the hour that comes twice was lost the second time."""
    first, last = bounds("2026-10-24", "night")
    lost = utc("2026-10-25T04:00") - 3600
    there = committed(tmp_path, records(first, last, lambda t_s: not lost <= t_s < lost + 3600))
    night = there["night", first]
    assert (night["n"], night["expected"]) == (480.0, 540.0)
    assert night["capture"] == pytest.approx(8 / 9)
    kept = [level(t_s) for t_s in range(first, last, EVERY_S) if not lost <= t_s < lost + 3600]
    assert night["leq"] == pytest.approx(leq(kept), abs=1e-9)


def test_fixed_hours_would_be_wrong(tmp_path: Path) -> None:
    """The control: eight hours from 23:00 are not the night, neither in March nor in October."""
    for day in ("2026-03-28", "2026-10-24"):
        first, last = bounds(day, "night")
        assert leq(of_minutes(first, last)) != pytest.approx(leq(of_minutes(first, first + 8 * 3600)), abs=0.05)


def test_a_late_reading_amends_the_night_too(tmp_path: Path) -> None:
    first, last = bounds("2026-07-11", "night")
    said = list(records(first, last + 3600))
    late = next(one for one in said if one.kind is RecordKind.FRAME and one.mono_ns > (last - 1200) * NS)
    without = [one for one in said if one is not late]
    at = next(i for i, one in enumerate(without) if one.mono_ns > (last + 1500) * NS)
    mine = committed(tmp_path, iter([*without[:at], late, *without[at:]]), restarts=3)
    (tmp_path / "whole").mkdir()
    its = committed(tmp_path / "whole", iter(said))
    night, whole = mine["night", first], its["night", first]
    assert (night["rev"], whole["rev"]) == (1, 0)
    assert (night["n"], night["l50"]) == (whole["n"], whole["l50"])
    assert night["leq"] == pytest.approx(whole["leq"], abs=1e-9)
