"""Whatever is done to the clock: no reading is lost or counted twice, no window mixes two time lines unmarked."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_site import clock_record, new_core, site
from replay_street import BOOTED_S, START_S, mono_ns, record, street

from gateway.block import REASONS, Flag, Reason, Windows
from gateway.clock import NS
from gateway.config import Config
from gateway.config_sensors import FilterConfig, QualityConfig
from gateway.core import Core
from gateway.record import ClockRecord, Context, Record, RecordKind, encode

SECONDS = 150
CLOCK = REASONS.index(Reason.CLOCK)
LOOKS_AHEAD = QualityConfig(spike=0.3, hampel_k=3, hampel_floor=0.05, rate_per_s=0.5, gap_s=1.6)
TESTS = {"air": {"pm2_5": LOOKS_AHEAD}, "weather": {"temperature": LOOKS_AHEAD}, "noise": {"laeq": LOOKS_AHEAD}}
FILTERS = {"air": {"pm2_5": FilterConfig("hampel", k=3, floor=0.05)}, "noise": {"laeq": FilterConfig("ewma")}}


class Step(NamedTuple):
    """Behind which record the clock is set, by how much, and whether it is believed then."""

    place: int
    by_s: float
    good: bool = True


@cache
def records() -> tuple[Record, ...]:
    return tuple(street(SECONDS, seed=3))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    plain = site(tmp_path_factory.mktemp("site"))
    return replace(plain, quality=TESTS, filter=FILTERS)


def stepped(steps: Iterable[Step]) -> list[list[Record]]:
    """Put CLOCK records between the records, as the timekeeper makes them; the last one closes everything."""
    offset_ns, epoch, out, first = BOOTED_S * NS, 0, [], 0
    last = Step(len(records()), 86_400.0)
    for step in (*sorted(steps), last):
        part = list(records()[first : step.place])
        first = max(first, step.place)
        out.append(part)
        now_ns = records()[max(step.place - 1, 0)].mono_ns
        told_ns = next((one.mono_ns for one in reversed(records()[:first]) if one.kind is RecordKind.TICK), now_ns)
        if step.by_s and offset_ns + step.by_s * NS > 0:  # no clock goes back to before 1970
            offset_ns, epoch = offset_ns + round(step.by_s * NS), epoch + 1
        clock = ClockRecord("boot", offset_ns, step.good, epoch, min(told_ns, now_ns))
        part.append(Record(RecordKind.CLOCK, now_ns, "", encode(clock)))
    return out


def fed(config: Config, steps: Iterable[Step]) -> list[list[Windows]]:
    """Return what closes on each time line."""
    core = new_core(config)
    return [core.feed(part) for part in stepped(steps)]


class Sums(NamedTuple):
    """Good frames of each sensor, but of the radar, which speaks when it likes; values of each series, of any flag."""

    frames: dict[str, int]
    values: dict[tuple[str, str], int]


def sums(found: Iterable[Windows]) -> Sums:
    frames: Counter[str] = Counter()
    values: Counter[tuple[str, str]] = Counter()
    for one in found:
        frames.update(dict(zip(one.sensors, one.slots[:, [1, 4, 5]].sum(axis=1).tolist(), strict=True)))
        values.update(
            {key[1:3]: n for key, n in zip(one.series, one.n_by_flag.sum(axis=1).tolist(), strict=True)}
        )  # fmt: skip
    del frames["radar"]
    return Sums(dict(frames), dict(values))


steps_of_a_clock = st.lists(
    st.builds(
        Step,
        st.integers(0, 880),
        st.sampled_from([0.0, 3600.0, -3600.0, 86_400.0, -86_400.0, -1.7e9, 1.7e9, 61.0, -61.0, 0.7, -0.7, 13.0]),
        st.booleans(),
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def straight(config: Config) -> Sums:
    """What there is if nobody touches the clock."""
    return sums(one for line in fed(config, []) for one in line)


@given(steps=steps_of_a_clock)
@settings(max_examples=12, deadline=None, report_multiple_bugs=False)
def test_nothing_is_lost_doubled_or_mixed(config: Config, straight: Sums, steps: list[Step]) -> None:
    lines = fed(config, steps)
    assert sums(one for line in lines for one in line) == straight
    always_good = all(step.good for step in steps)
    for line in lines:
        starts = [one.start_ns for one in line]
        assert starts == sorted(set(starts)), "a window closes once on a line"
        for one in line:
            assert (one.slots[:, 0] == 60).all(), "the slots of a cut window are those of a whole one"
            assert (one.slots[:, 0] == one.slots[:, 1:4].sum(axis=1)).all()
            marked, n = one.reasons[:, CLOCK], one.n_by_flag.sum(axis=1)
            assert not always_good or (marked == n).all() or not marked.any(), "marked as a whole, or not at all"


def test_what_stages_hold_back_is_marked_as_well(config: Config) -> None:
    """The last three readings wait for their neighbours; they belong to the line that ends."""
    place = bisect_left(records(), mono_ns(START_S + 90), key=lambda one: one.mono_ns)
    (_, cut), *_ = fed(config, [Step(place, 3600.0)])
    held = {key[1:3] for key in cut.series if key[2] in ("pm2_5", "temperature", "laeq")}
    assert len(held) >= 4
    assert cut.reasons[:, CLOCK].tolist() == cut.n_by_flag.sum(axis=1).tolist()
    assert cut.n_by_flag[:, :2].sum() == 0
    frames_until = Counter(one.source for one in records()[:place] if one.kind is RecordKind.FRAME)
    (first, _), *_ = fed(config, [Step(place, 3600.0)])
    n = sums([first, cut]).values
    assert n["noise", "laeq"] <= frames_until["noise"] <= n["noise", "laeq"] + 10, (
        "no more than its bad frames are gone"
    )


def test_without_letting_go_they_would_be_lost(config: Config, straight: Sums, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of both tests above."""
    settle = Core._settle
    monkeypatch.setattr(Core, "_settle", lambda self, before_ns=0: settle(self))
    steps = [Step(500, 3600.0), Step(700, -7200.0)]
    assert sums(one for line in fed(config, steps) for one in line).values != straight.values


def test_the_warm_up_is_as_long_as_ever(config: Config) -> None:
    """An hour back, ten seconds after a part was switched on: its readings are not young for an hour."""
    begun = record(RecordKind.CONTEXT, START_S + 50, "pm", encode(Context(True, b"")))
    warm = REASONS.index(Reason.WARM_UP)

    def young(by_s: float) -> int:
        core, parts = new_core(config), stepped([Step(300, by_s)])
        at = bisect_left(parts[0], begun.mono_ns, key=lambda one: one.mono_ns)
        parts[0].insert(at, begun)
        return sum(int(one.reasons[:, warm].sum()) for part in parts for one in core.feed(part))

    assert young(-3600.0) == young(0.0) == young(3600.0) > 0


def test_what_others_are_told_is_as_old_as_it_is(config: Config) -> None:
    """After a step back nobody takes an hour-old value for fresh, nor a fresh one for old after a step forward."""
    for by_s in (-3600.0, 3600.0):
        core = new_core(config)
        core.newest = {("weather", "humidity"): (core.offset_ns + mono_ns(START_S), 55.0)}
        core.feed(stepped([Step(300, by_s)])[0])
        at = {key: (t_ns - core.offset_ns, value) for key, (t_ns, value) in core.newest.items()}
        assert at["weather", "humidity"] == (mono_ns(START_S), 55.0)


def test_a_state_in_the_middle_of_a_doubtful_time_is_kept(config: Config) -> None:
    parts = stepped([Step(400, 20.0, good=False), Step(700, 0.0, good=True)])
    straight, core, again = new_core(config), new_core(config), []
    whole = [[one.moments.tobytes(), one.reasons.tolist()] for part in parts for one in straight.feed(part)]
    for part in parts:
        for i in range(0, len(part), 50):
            again += core.feed(part[i : i + 50])
            saved, core = core.save(), new_core(config)
            assert core.restore(saved, config.hash) == []
    assert [[one.moments.tobytes(), one.reasons.tolist()] for one in again] == whole


@pytest.mark.parametrize("by_s", [-3600.0, 3600.0, 86_400.0])
def test_a_device_never_moves_time(config: Config, by_s: float) -> None:
    """What a part says of the time is data; the stamp is that of the record, and only ticks move the watermark."""
    core = new_core(config)
    strange = f'{{"magnitude":"90","speed":"9.1","time":"{START_S + by_s:.0f}","t_ns":{(START_S + 86_400) * NS}}}\r\n'
    core.feed([record(RecordKind.CHUNK, START_S + 5, "radar", strange.encode())] * 3)
    assert core.watermark_ns == 0
    last = core.counts["radar"].last_t_ns
    assert last in (0, (START_S + 5) * NS)
    ahead = record(RecordKind.FRAME, START_S + 3600, "noise", np.array([55.0], "<f4").tobytes())
    assert core.feed([ahead]) == [], "nor does a record that claims to be of later"
    assert core.watermark_ns == 0


def test_no_driver_can_say_when_something_was() -> None:
    """What a decoder returns has no place for a time of the device."""
    from drivers.base import Decoded

    assert set(Decoded.__dataclass_fields__) == {"values", "mark", "frame", "fault", "dur_s"}


def test_an_old_state_without_an_epoch_of_its_own_is_read(config: Config) -> None:
    """A data directory of before opens: its clock has four numbers, and nothing is said of doubt."""
    import zlib

    core = new_core(config)
    core.feed(records()[:300])
    whole = msgspec.msgpack.decode(zlib.decompress(core.save()))
    whole["clock"] = whole["clock"][:4]
    for new in ("sure_ns", "begin_ns", "last_ns"):
        del whole[new]
    old = new_core(config)
    assert old.restore(zlib.compress(msgspec.msgpack.encode(whole)), config.hash) == []
    assert old.feed([*records()[300:]])[0].n_by_flag.tolist() == core.feed([*records()[300:]])[0].n_by_flag.tolist()


def test_what_is_late_on_a_new_line_is_counted(config: Config, tmp_path: Path) -> None:
    """The ticks promise that it does not happen; if it does, the ledger says so."""
    del tmp_path
    core = new_core(config)
    core.feed([one for part in stepped([Step(600, 3600.0)])[:1] for one in part])
    late = [one for one in records()[:100] if one.source == "noise" and one.kind is RecordKind.FRAME]
    rest = [*records()[600:], clock_record(epoch=9)]
    found: Sequence[Windows] = core.feed([*late, *rest])
    assert sum(int(one.slots[:, 5].sum()) for one in found) == len(late) > 5
    assert not any((one.n_by_flag[:, Flag.SUSPECT - 1] < 0).any() for one in found)
