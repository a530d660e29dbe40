"""Which part it is: asked before each setup, kept in the log with its context, and heard by calibration."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_bus import Part, Rig, part_driver, rig

from drivers import DRIVERS
from drivers.base import Command, Driver, Identity
from drivers.checks import word
from drivers.script import Reply
from gateway.acquire import NS
from gateway.block import Flag, Reason
from gateway.core import Core, Plan
from gateway.ingest import Reader
from gateway.pipeline.calibrate import Calibrate, Version, linear
from gateway.pipeline.windows import SensorSpec
from gateway.record import ClockRecord, Context, Record, RecordKind, Tick, encode
from gateway.talk import Way

ASK = b"\x36\x82"
IDENTITY = Identity((Command("serial", ASK, rx=3, wait_s=0.001),), lambda reply: reply.hex())
SETUP = (Command("start", b"\x00\x21", settle_s=0.05),)
WITH_NUMBER = replace(part_driver(setup=SETUP), identity=IDENTITY)


class Numbered(Part):
    """A part that has a number."""

    number = b"\x00\x0a\x17"

    def exchange(self, tx: bytes, rx: int, clock: Any) -> Reply:
        reply = super().exchange(tx, rx, clock)
        return self.number if rx == 3 and isinstance(reply, bytes) else reply


def serials(done: Rig, name: str = "part") -> list[tuple[bool, str]]:
    records = done.notes.of(name, RecordKind.CONTEXT)
    contexts = [msgspec.msgpack.decode(one.data, type=Context) for one in records]
    return [(one.start, one.serial) for one in contexts]


# -- on the bus ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", Way)
def test_a_part_is_asked_who_it_is_before_its_setup(way: Way) -> None:
    done = rig({"part": (Numbered(), WITH_NUMBER)}, way).run(10)
    assert serials(done) == [(True, "000a17")]
    assert [said for _, said in done.parts["part"].said if said][:3] == [ASK, b"\x00\x21", b"\x24\x00"]
    assert len(done.notes.frames("part")) >= 9


def test_a_part_that_has_no_number_is_not_asked() -> None:
    done = rig({"part": (Part(), part_driver(setup=SETUP))}).run(10)
    assert serials(done) == [(True, "")]
    assert done.parts["part"].times(ASK) == []


def test_a_part_that_does_not_tell_now_is_polled_all_the_same() -> None:
    done = rig({"part": (Numbered(not_ready=1), WITH_NUMBER)}).run(10)
    assert serials(done) == [(True, "")]
    assert len(done.notes.frames("part")) >= 9


def test_another_part_in_the_place_is_seen_when_the_place_is_set_up_anew() -> None:
    done = rig({"part": (Numbered(), WITH_NUMBER)})
    part = done.parts["part"]
    wait = done.clock.sleep

    def sleep(seconds: float) -> None:
        wait(seconds)
        now_s = (done.clock.now_ns - 1_000 * NS) / NS
        part.state = "dead" if 10 < now_s < 20 else "well"
        if now_s > 15:
            part.number = b"\x00\x0b\x18"  # type: ignore[attr-defined]

    done.clock.sleep = sleep  # type: ignore[method-assign]
    done.run(60)
    assert serials(done) == [(True, "000a17"), (True, "000b18")]


def test_a_part_that_holds_the_bus_holds_it_once() -> None:
    done = rig({"part": (Part(state="hung"), WITH_NUMBER)}).run(1.5)
    assert [said for _, said in done.parts["part"].said] == [ASK]


# -- what parts say --------------------------------------------------------------------------------------------------

ASKED: dict[str, Driver] = {name: driver for name, driver in DRIVERS.items() if driver.identity is not None}


def letters(text: str) -> bytes:
    padded = text.encode().ljust(32, b"\0")
    return b"".join(word(int.from_bytes(padded[i : i + 2], "big")) for i in range(0, 32, 2))


TOLD = {
    **dict.fromkeys(("sen55", "sen66", "sen63c", "sen65", "sen68"), (letters("3E6D881D480ACDC3"), "3E6D881D480ACDC3")),
    # Sensirion, datasheet SCD4x: example of get_serial_number
    **dict.fromkeys(("scd4x", "sgp40", "sgp41"), (bytes.fromhex("f896319f07c23bbe89"), "f8969f073bbe")),
    "sht4x": (word(0x0F1A) + word(0x00B2), "0f1a00b2"),
}


def test_every_part_that_is_asked_has_an_example() -> None:
    assert sorted(TOLD) == sorted(ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_a_number_is_read_and_a_damaged_one_is_none(name: str) -> None:
    identity, (reply, serial) = ASKED[name].identity, TOLD[name]
    assert identity is not None
    assert sum(command.rx for command in identity.script if isinstance(command.rx, int) and command.keep) == len(reply)
    assert identity.serial(reply) == serial
    for i in range(len(reply)):
        assert identity.serial(reply[:i] + bytes([reply[i] ^ 0x10]) + reply[i + 1 :]) == ""
    assert identity.serial(bytes(len(reply))) == ""


@pytest.mark.parametrize("name", ASKED)
@given(reply=st.binary(max_size=60))
def test_any_reply_is_read(name: str, reply: bytes) -> None:
    identity = ASKED[name].identity
    assert identity is not None
    assert identity.serial(reply).isascii()


# -- what becomes of it ----------------------------------------------------------------------------------------------

VERSIONS = (Version("000A17", partial(linear, offset=1.0, gain=2.0)),)
START = 1_767_225_600 * NS


def core(configured: str) -> Core:
    driver = part_driver()
    spec = SensorSpec("place", "weather", (*driver.channels, replace(driver.channels[0], name="temperature_raw")), NS)
    plan = Plan("p", Reader(driver, {}, NS), (Calibrate((0,), (VERSIONS,), configured),), spec)
    made = Core({"c": {"place": plan}}, 60, 2.0)
    made.begin("c")
    made.feed([Record(RecordKind.CLOCK, 0, "", encode(ClockRecord("boot", START, True, 0)))])
    return made


def minute(*said: tuple[float, str | None]) -> list[Record]:
    """Make records of a minute: (second, serial) a session that begins, (second, None) a frame."""
    kinds = {True: RecordKind.FRAME, False: RecordKind.CONTEXT}
    data = [b"\0\0" if serial is None else encode(Context(True, b"", serial)) for _, serial in said]
    records = [
        Record(kinds[serial is None], round(at_s * NS), "place", one)
        for (at_s, serial), one in zip(said, data, strict=True)
    ]
    return [*records, Record(RecordKind.TICK, 70 * NS, "", encode(Tick(70 * NS, [])))]


# (configured, what is said; values that are calibrated, readings that are doubtful)
TOLD_IN_TIME = {
    "the part says who it is": ("", [(0, "000a17"), (1, None), (2, None)], 1.0, 0),
    "the site says it": ("000A17", [(0, ""), (1, None), (2, None)], 1.0, 0),
    "nobody does": ("", [(0, ""), (1, None), (2, None)], 0.0, 2),
    "another part is there, whatever the site says": ("000A17", [(0, "000b18"), (1, None), (2, None)], 0.0, 2),
    "the part is changed in between": ("", [(0, "000a17"), (1, None), (2, "000b18"), (3, None), (4, None)], 1 / 3, 2),
    "it does not say so again": ("", [(0, "000a17"), (1, None), (2, ""), (3, None)], 1.0, 0),
}


@pytest.mark.parametrize("case", TOLD_IN_TIME, ids=str)
def test_calibration_hears_which_part_it_is(case: str) -> None:
    configured, said, mean, doubtful = TOLD_IN_TIME[case]
    (window,) = core(configured).feed(minute(*said))
    assert window.moments[:, 0].tolist() == pytest.approx([mean, 0.0])
    assert window.n_by_flag[:, 2].tolist() == [doubtful, 0]
    assert window.reasons[0, list(Reason).index(Reason.UNCALIBRATED)] == doubtful
    assert Flag.SUSPECT == 3


def test_a_gateway_that_stops_in_between_remembers_the_part() -> None:
    first = core("")
    records = minute((0, "000a17"), (1, None), (2, None), (3, None))
    first.feed(records[:2])
    assert first.parts == {"place": "000a17"}
    second = core("")
    assert second.restore(first.save(), "c") == []
    assert second.parts == {"place": "000a17"}
    (window,) = second.feed(records[2:])
    (whole,) = core("").feed(records)
    np.testing.assert_array_equal(window.moments, whole.moments)
    assert window.n_by_flag.tolist() == whole.n_by_flag.tolist()


def test_a_log_of_an_older_gateway_tells_no_number() -> None:
    old = msgspec.msgpack.encode([True, b"\x01"])
    assert msgspec.msgpack.decode(old, type=Context) == Context(start=True, data=b"\x01", serial="")
