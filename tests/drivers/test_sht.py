"""SHT3x and SHT4x: two formulas, two ways to be asked, and one address at which neither may harm the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Driver, Fault, I2c, Mark, Miss, Poll, Script
from drivers.checks import word
from drivers.script import Answer, Reply, Step, run

SHT3X, SHT4X = DRIVERS["sht3x"], DRIVERS["sht4x"]
BOTH = pytest.mark.parametrize("driver", [SHT3X, SHT4X], ids=lambda driver: driver.name)
OF_ONE_BYTE = {0xFD, 0xF6, 0xE0, 0x89, 0x94, 0x39, 0x32, 0x2F, 0x24, 0x1E, 0x15}  # all that an SHT4x obeys
ROOM = bytes.fromhex("66669372b0dc")


def poll(driver: Driver) -> Script:
    assert isinstance(driver.access, Poll)
    return driver.access.script


def say(script: Script, answers: dict[str, Reply | list[Reply]], **options: object) -> tuple[Answer, list[Step]]:
    steps: list[Step] = []

    def transfer(step: Step) -> Reply:
        steps.append(step)
        if not step.tx and not step.rx:
            return b""
        replies = answers.get(step.tx.hex(), Miss.NACK)
        reply = replies.pop(0) if isinstance(replies, list) else replies
        return reply if step.rx or isinstance(reply, Miss) else b""

    return run(transfer, script, {}, options), steps


@settings(deadline=None)
@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_words_become_values(temperature: int, humidity: int) -> None:
    frame = word(temperature) + word(humidity)
    celsius = -45 + 175 * temperature / 65535
    expected = [celsius, 100 * humidity / 65535]
    assert SHT3X.decode([frame], b"", {}).values[0] == pytest.approx(expected, abs=1e-9)
    cropped = min(max(-6 + 125 * humidity / 65535, 0.0), 100.0)
    decoded = SHT4X.decode([frame], b"", {})
    assert decoded.values[0] == pytest.approx([celsius, cropped], abs=1e-9)
    assert decoded.mark[0].tolist() == [Mark.OK, Mark.OK], "cropped is not in doubt: the data sheet wants it"


@BOTH
def test_only_six_bytes_with_both_crcs_are_a_measurement(driver: Driver) -> None:
    frames = [ROOM, ROOM[:3], ROOM + b"\x00", b"", ROOM[:5] + b"\x00", bytes(6), ROOM]
    assert driver.decode(frames, b"", {}).fault.tolist() == [
        *(Fault.OK, Fault.LENGTH, Fault.LENGTH, Fault.LENGTH, Fault.CHECK, Fault.CHECK, Fault.OK)
    ]


@BOTH
def test_a_reading_that_is_not_over_is_asked_for_once_more(driver: Driver) -> None:
    said = {"sht3x": "2400", "sht4x": "fd"}[driver.name]
    answer, steps = say(poll(driver), {said: [Miss.NACK, ROOM]}, **driver.defaults())
    assert answer.frame == ROOM
    shortest = {"sht3x": 0.015, "sht4x": 0.0083}[driver.name]
    assert all(step.wait_s >= shortest for step in steps if step.tx)
    assert say(poll(driver), {})[0].miss is Miss.NACK


# --- SHT3x


@pytest.mark.parametrize("bit", range(16))
def test_only_the_heater_casts_doubt(bit: int) -> None:
    doubt = Mark.NOT_STABLE if bit == 13 else Mark.OK
    assert SHT3X.decode([ROOM], word(1 << bit), {}).mark[0].tolist() == [doubt, doubt]


@pytest.mark.parametrize("stopped", [b"", Miss.NACK], ids=["periodic", "idle"])
def test_sht3x_left_in_any_mode_is_idle_and_cool_after_its_setup(stopped: Reply) -> None:
    answer, steps = say(SHT3X.setup, {"3093": stopped, "3066": b"", "3041": b""})
    assert answer == Answer(b"", None, "", 0)
    assert [step.tx.hex() for step in steps if step.tx] == ["3093", "3066", "3041"]
    assert say(SHT3X.setup, {})[0].miss is Miss.NACK
    (status,) = SHT3X.chores
    assert status.every_s == 60.0
    assert say(status.script, {"f32d": bytes.fromhex("20005d")})[0].frame == bytes.fromhex("20005d")


@pytest.mark.parametrize("status", [0x0000, 0x8010, 0x2000, 0x0C03, 0x03C0])
def test_sht3x_is_known_by_its_status(status: int) -> None:
    """Bits 9 to 6 may be set: sensirion-i2c-sht3x calls them new data."""
    assert SHT3X.identify is not None
    assert SHT3X.identify.match(say(SHT3X.identify.script, {"f32d": word(status)})[0].frame)


# --- SHT4x


@pytest.mark.parametrize(
    ("repeatability", "said"), [("high", "fd"), ("medium", "f6"), ("low", "e0"), ("?", "fd"), (np.nan, "fd")]
)
def test_sht4x_is_asked_as_the_site_wants(repeatability: object, said: str) -> None:
    (command,) = poll(SHT4X)
    assert callable(command.tx)
    assert command.tx({}, {"repeatability": repeatability}).hex() == said


def test_sht4x_is_never_heated_by_the_gateway() -> None:
    scripts = (*SHT4X.setup, *SHT4X.shutdown, *(command for chore in SHT4X.chores for command in chore.script))
    assert [command.tx for command in scripts] == [b"\x94"]
    assert {name for name in SHT4X.commands if name.startswith("heat_")} == {
        *("heat_200mw_1s", "heat_200mw_100ms", "heat_110mw_1s", "heat_110mw_100ms", "heat_20mw_1s", "heat_20mw_100ms")
    }


# --- at one address


def test_neither_is_taken_for_the_other() -> None:
    """An SHT3x does not acknowledge one byte, an SHT4x not two."""
    assert isinstance(SHT3X.bus, I2c)
    assert isinstance(SHT4X.bus, I2c)
    assert set(SHT3X.bus.addresses) < set(SHT4X.bus.addresses)
    assert SHT3X.identify is not None
    assert SHT4X.identify is not None
    answers = {SHT3X.name: {"f32d": word(0x8010)}, SHT4X.name: {"89": word(0x0F12) + word(0x3456)}}
    for part in (SHT3X, SHT4X):
        for driver in (SHT3X, SHT4X):
            assert driver.identify is not None
            answer, _ = say(driver.identify.script, answers[part.name])
            assert (answer.miss is None and driver.identify.match(answer.frame)) is (driver is part)
    for junk in (b"", bytes(3), bytes(6), b"\xff" * 3, b"\xff" * 6, word(0x5000), word(0x000C)):
        assert not SHT3X.identify.match(junk)
        assert not SHT4X.identify.match(junk + bytes(6 - len(junk)))


def test_the_question_to_an_sht3x_begins_with_no_byte_that_an_sht4x_obeys() -> None:
    """2400, its measurement, would heat an SHT4x: so the scan asks for the status."""
    assert SHT3X.identify is not None
    assert all(bytes(command.tx)[0] not in OF_ONE_BYTE for command in SHT3X.identify.script if command.tx)
    assert 0x24 in OF_ONE_BYTE
