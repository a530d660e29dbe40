"""The owner of a bus: who is asked when, and what a slow, dead or hung neighbour costs the others."""

from __future__ import annotations

import pytest
from virtual_bus import MEASURE, START_NS, Part, Rig, part_driver, rig

from drivers.base import Chore, Command, Duty, Script
from gateway.acquire import NS
from gateway.pipeline.windows import DutyTimes
from gateway.record import RecordKind
from gateway.talk import Way

STATUS = b"\xd2\x06"
STOP = b"\x01\x04"
WAKE, SLEEP = b"\x11\x03", b"\x10\x01"
SLOW_STOP: Script = (Command("stop", STOP, settle_s=1.4), Command("start", b"\x00\x21", settle_s=0.05))


def status(wait_s: float) -> Script:
    return (Command("status", STATUS, rx=3, wait_s=wait_s),)


def all_slots_once(done: Rig, name: str) -> None:
    slots = done.notes.slots(name)
    assert slots == list(range(slots[0], slots[0] + len(slots)))


# -- a full bus --------------------------------------------------------------------------------------------------


def test_two_dozen_parts_on_two_buses_fit_into_every_second() -> None:
    for bus in range(2):
        waits = {f"part-{i}": 0.010 + 0.040 * ((7 * i + bus) % 12) / 11 for i in range(12)}
        done = rig({name: (Part(s * 0.99), part_driver(s)) for name, s in waits.items()}).run(600)
        for name, wait_s in waits.items():
            assert len(done.notes.frames(name)) >= 599
            assert done.notes.misses(name) == {}
            all_slots_once(done, name)
            assert done.notes.late_s(name) < wait_s + 0.025  # hardly more than its own conversion
        assert done.bus.busy_ns < 600 * NS * 0.05


def test_conversions_that_are_longer_than_a_slot_together_run_beside_each_other() -> None:
    done = rig({f"part-{i}": (Part(0.35), part_driver(0.36)) for i in range(12)}).run(120)
    for name in done.parts:
        assert len(done.notes.frames(name)) >= 119
        assert done.notes.misses(name) == {}
        assert done.notes.late_s(name) < 0.4


def test_a_bus_with_too_much_to_do_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    done = rig({f"part-{i}": (Part(), part_driver(script=(Command("slow", MEASURE, rx=4000),))) for i in range(6)})
    done.run(600)  # 0.36 s each on the wire, and six of them
    lost = sum(done.notes.misses(name).get("overrun", 0) for name in done.parts)
    assert 1000 < lost < 2000
    for name in done.parts:
        all_slots_once(done, name)
        assert len(done.notes.frames(name)) > 200  # nobody is left out
    assert len(caplog.records) == len(done.parts)


def test_on_a_serial_line_nobody_speaks_into_a_conversation() -> None:
    two = (Command("ask", MEASURE, rx=6, wait_s=0.1), Command("again", MEASURE, rx=6, wait_s=0.1, settle_s=0.05))
    done = rig({f"unit-{i}": (Part(0.1), part_driver(script=two, line=True)) for i in range(3)}, Way.WHOLE).run(60)
    talks = done.bus.talks[: len(done.bus.talks) // 2 * 2]
    assert talks[::2] == talks[1::2]
    assert all(done.notes.misses(name) == {} for name in done.parts)


# -- bad neighbours ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["dead", "hung"])
def test_a_bad_neighbour_costs_its_own_slots_only(state: str) -> None:
    members = {
        "well": (Part(0.02), part_driver(0.02, chores=(Chore(status(0.01), 10.0),))),
        "ill": (Part(0.02, state), part_driver(0.02, setup=(Command("reset", STOP, tries=3),))),
        "also-well": (Part(0.05), part_driver(0.05)),
    }
    done = rig(members).run(600)
    for name in ("well", "also-well"):
        assert len(done.notes.frames(name)) >= 599
        assert done.notes.misses(name) == {}
        all_slots_once(done, name)
    assert done.notes.frames("ill") == []
    all_slots_once(done, "ill")  # each of its slots has a reason
    assert len(done.parts["ill"].said) < 60  # it is asked ever more rarely
    assert done.notes.misses("ill")["back_off"] > 500


def test_a_dead_and_a_hung_part_together_leave_a_neighbour_all_its_slots() -> None:
    members = {
        "dead": (Part(0.0, "dead"), part_driver()),
        "hung": (Part(0.0, "hung"), part_driver(script=(Command("poll", MEASURE, rx=2, tries=20, until=(0, 1, 1)),))),
        "well": (Part(0.03), part_driver(0.03)),
    }
    done = rig(members).run(300)
    assert len(done.notes.frames("well")) >= 299
    assert done.notes.misses("well") == {}
    # what the kernel takes to give the bus back can't be avoided, but it is paid once for a script
    assert done.notes.late_s("well") < 1.1


def test_a_part_without_setup_that_is_dead_is_asked_ever_more_rarely() -> None:
    done = rig({"dead": (Part(0.0, "dead"), part_driver()), "well": (Part(), part_driver())}).run(600)
    assert len(done.parts["dead"].said) < 3 * 20
    assert len(done.notes.frames("well")) >= 599


def test_a_part_that_comes_back_is_set_up_and_heard() -> None:
    part = Part(0.01)
    driver = part_driver(0.01, setup=(Command("start", b"\x00\x21"),))
    it = rig({"it": (part, driver), "other": (Part(), part_driver())})
    down, up = START_NS + 20 * NS, START_NS + 40 * NS
    plain = part.exchange

    def with_a_gap(tx: bytes, rx: int, clock: object) -> object:
        part.state = "dead" if down <= it.clock.now_ns < up else "well"
        return plain(tx, rx, it.clock)

    part.exchange = with_a_gap  # type: ignore[method-assign,assignment]
    it.run(120)
    heard = [one.mono_ns for one in it.notes.frames("it")]
    assert min(at for at in heard if at > down) < up + 32 * NS
    assert len(part.times(b"\x00\x21")) >= 2
    assert len(it.notes.of("it", RecordKind.CONTEXT)) == 2  # a new session begins: its warm-up counts anew


def test_the_first_reading_after_a_setup_may_be_missing() -> None:
    part = Part(0.0)
    driver = part_driver(setup=(Command("start", b"\x00\x21"),))
    it = rig({"it": (part, driver)})
    plain = part.exchange

    def not_at_once(tx: bytes, rx: int, clock: object) -> object:
        if tx == b"\x00\x21":
            part.not_ready = 2
        return plain(tx, rx, it.clock)

    part.exchange = not_at_once  # type: ignore[method-assign,assignment]
    part.not_ready = 4
    it.run(30)
    assert len(it.notes.frames("it")) > 20
    assert len(part.times(b"\x00\x21")) == 1


def test_a_lost_bus_gives_every_slot_a_reason_and_comes_back() -> None:
    ill, well = Part(0.3), Part(0.3)
    it = rig({"ill": (ill, part_driver(0.3)), "well": (well, part_driver(0.3))})
    plain = ill.exchange

    def unplugged(tx: bytes, rx: int, clock: object) -> object:
        ill.state = "gone" if START_NS + 10 * NS < it.clock.now_ns < START_NS + 15 * NS else "well"
        return plain(tx, rx, it.clock)

    ill.exchange = unplugged  # type: ignore[method-assign,assignment]
    it.run(60)
    for name in ("ill", "well"):
        all_slots_once(it, name)
        assert set(it.notes.misses(name)) == {"link_down"}
        assert len(it.notes.frames(name)) > 45


# -- setups and chores ------------------------------------------------------------------------------------------


def test_a_long_setup_costs_the_neighbours_nothing() -> None:
    members = {
        "slow": (Part(0.02), part_driver(0.02, setup=SLOW_STOP)),
        **{f"quick-{i}": (Part(0.02), part_driver(0.02)) for i in range(6)},
    }
    done = rig(members).run(60)
    for i in range(6):
        assert done.notes.misses(f"quick-{i}") == {}
        assert done.notes.late_s(f"quick-{i}") < 0.06
    all_slots_once(done, "slow")
    assert done.notes.misses("slow") == {"not_ready": 1}  # 1.45 s: the slot in which it began is gone
    assert done.notes.late_s("slow") < 1.0  # no frame is stamped with a slot that had passed


def test_a_setup_of_many_slots_leaves_each_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    heating: Script = tuple(Command(f"heat-{i}", STOP, settle_s=1.0) for i in range(10))
    done = rig({"it": (Part(), part_driver(setup=heating)), "other": (Part(), part_driver())}).run(60)
    all_slots_once(done, "it")
    assert done.notes.misses("it") == {"not_ready": 10}
    assert done.notes.misses("other") == {}
    assert done.notes.of("it", RecordKind.CONTEXT)[0].mono_ns <= done.notes.frames("it")[0].mono_ns
    assert caplog.records == []  # it is no news that a setup takes its time


def test_chores_delay_no_neighbour_on_an_i2c_bus() -> None:
    chore = Chore(status(0.6), 10.0, phase_s=2.0)
    members = {f"part-{i}": (Part(0.03), part_driver(0.03, chores=(chore,))) for i in range(8)}
    done = rig(members).run(300)
    for name, part in done.parts.items():
        assert done.notes.misses(name) == {}
        assert done.notes.late_s(name) < 0.08
        assert len(part.times(STATUS)) == pytest.approx(30, abs=1)


def test_a_chore_waits_for_room_on_a_serial_line() -> None:
    chore = Chore(status(0.5), 20.0)
    units = {f"unit-{i}": (Part(0.05), part_driver(0.05, chores=(chore,), line=True)) for i in range(4)}
    done = rig(units, Way.WHOLE).run(300)
    for name, part in done.parts.items():
        assert done.notes.misses(name) == {}
        assert done.notes.late_s(name) < 0.3  # it waited for the others' readings, never for a chore
        assert len(part.times(STATUS)) == pytest.approx(15, abs=1)


@pytest.mark.parametrize("way", list(Way))
def test_a_chore_that_never_fits_is_done_all_the_same(way: Way) -> None:
    chore = Chore(status(1.2), 60.0)
    line = way is Way.WHOLE
    members = {
        "it": (Part(0.05), part_driver(0.05, chores=(chore,), line=line)),
        "other": (Part(0.05), part_driver(0.05, line=line)),
    }
    done = rig(members, way).run(600)
    assert 8 <= len(done.parts["it"].times(STATUS)) <= 10  # each a little later, while it waits for room
    lost = done.notes.misses("other").get("overrun", 0)
    assert lost <= (10 if line else 0)
    assert len(done.notes.frames("it")) >= 580


def test_a_chore_that_failed_keeps_the_context() -> None:
    part = Part(0.0)
    done = rig({"it": (part, part_driver(chores=(Chore(status(0.0), 5.0),)))}).run(30)
    contexts = done.notes.of("it", RecordKind.CONTEXT)
    assert len(contexts) == 2  # the setup, and the first status; it never changed
    assert len(part.times(STATUS)) >= 5


# -- duty, the end, the floor -----------------------------------------------------------------------------------


def test_a_polled_part_sleeps_wakes_and_is_asked_when_it_is_warm() -> None:
    duty = Duty((Command("wake", WAKE),), (Command("sleep", SLEEP),), warm_up_s=5.0)
    times = DutyTimes(60 * NS, 5 * NS, 15 * NS)
    driver = part_driver(0.01, setup=(Command("start", b"\x00\x21"),), duty=duty, chores=(Chore(status(0.0), 1.0),))
    done = rig({"pm": (Part(0.01), driver)}, duty=times).run(300)
    seconds = {one.mono_ns // NS % 60 for one in done.notes.frames("pm")}
    assert seconds == set(range(5, 15))
    assert done.notes.misses("pm") == {}
    part = done.parts["pm"]
    assert {at // NS % 60 for at in part.times(SLEEP)[1:]} == {15}
    assert {at // NS % 60 for at in part.times(WAKE)} == {0}
    asleep = [at for at, tx in part.said if at // NS % 60 >= 16 and at > START_NS + 60 * NS]
    assert asleep == []


def test_the_end_finishes_what_is_in_hand_and_lets_parts_rest() -> None:
    part = Part(0.5)
    done = rig({"it": (part, part_driver(0.5, shutdown=(Command("stop", STOP),)))}).run(10.2)
    assert part.said[-1][1] == STOP
    assert len(done.notes.frames("it")) == 11  # the last one was begun before the end
    assert done.notes.misses("it") == {}


def test_no_record_is_ever_older_than_the_floor_of_its_owner() -> None:
    members = {f"part-{i}": (Part(0.2), part_driver(0.2, setup=SLOW_STOP if i % 2 else ())) for i in range(6)}
    members["hung"] = (Part(0.0, "hung"), part_driver())
    it = rig(members)
    floors: list[tuple[int, int]] = []  # (records put before, floor)
    plain = it.bus.transfer

    def watched(address: int, step: object) -> object:
        floor = it.owner.floor_ns()
        if floor is not None:
            floors.append((len(it.notes.all), min(floor, it.clock.now_ns)))
        return plain(address, step)  # type: ignore[arg-type]

    it.bus.transfer = watched  # type: ignore[method-assign,assignment]
    it.run(60)
    assert len(floors) > 500
    slots = (RecordKind.FRAME, RecordKind.MISS)
    for before, floor in floors:
        later = (one for one in it.notes.all[before : before + 30] if one.kind in slots)
        assert all(one.mono_ns >= floor for one in later)
