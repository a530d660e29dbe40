"""SGP40 and SGP41: ticks rounded, one conditioning of the NOx pixel and never more, one question a second."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Driver, Fault, Mark, Miss, Poll, Script
from drivers.checks import word
from drivers.opcodes import recognise
from drivers.script import Answer, Reply, Step, run

SGP40, SGP41 = DRIVERS["sgp40"], DRIVERS["sgp41"]
BOTH = pytest.mark.parametrize("driver", [SGP40, SGP41], ids=lambda driver: driver.name)
DEFAULT = "8000a2666693"  # 50 %, 25 Cel
SERIAL = word(0x0000) + word(0x1234) + word(0x5678)
OFF, TEST, CONDITION = "3615", "280e", "2612" + DEFAULT


def poll(driver: Driver) -> Script:
    assert isinstance(driver.access, Poll)
    return driver.access.script


def say(script: Script, answers: dict[str, Reply], inputs: dict[str, float] | None = None) -> tuple[Answer, list[Step]]:
    steps: list[Step] = []

    def transfer(step: Step) -> Reply:
        steps.append(step)
        if not step.tx and not step.rx:
            return b""
        reply = answers.get(step.tx.hex(), Miss.NACK)
        return reply if step.rx or isinstance(reply, Miss) else b""

    return run(transfer, script, inputs or {}, {}), steps


def told(driver: Driver, humidity: float, temperature: float) -> str:
    (command,) = poll(driver)
    assert callable(command.tx)
    return command.tx({"humidity": humidity, "temperature": temperature}, {}).hex()


@pytest.mark.parametrize(
    ("humidity", "temperature", "said"),
    [
        (50.0, 25.0, "8000a2666693"),  # SGP40 datasheet, tables 9 and 10
        (82.3, 35.5, "d2af4e75c2e8"),  # adafruit_sgp40 1.3.24
        (
            30.0,
            10.0,
            "4ccdb7" + word(20597).hex(),
        ),  # 20596.7 ticks: adafruit_sgp40 and ESPHome cut off what is behind the dot
        (0.0, -45.0, "000081000081"),
        (100.0, 130.0, "ffffacffffac"),
        (-3.0, -60.0, "000081000081"),
        (119.0, 400.0, "ffffacffffac"),
        (math.nan, math.nan, "000081000081"),
    ],
)
def test_ticks_are_rounded_and_stay_within_a_word(humidity: float, temperature: float, said: str) -> None:
    assert told(SGP40, humidity, temperature) == "260f" + said
    assert told(SGP41, humidity, temperature) == "2619" + said


@settings(deadline=None)
@given(st.floats(0.0, 100.0), st.floats(-45.0, 130.0))
def test_no_tick_is_off_by_more_than_a_half(humidity: float, temperature: float) -> None:
    said = bytes.fromhex(told(SGP40, humidity, temperature))
    assert abs(int.from_bytes(said[2:4], "big") - humidity * 655.35) <= 0.5 + 1e-9
    assert abs(int.from_bytes(said[5:7], "big") - (temperature + 45.0) * 65535 / 175) <= 0.5 + 1e-9


@BOTH
def test_without_anybody_to_ask_it_is_told_the_usual_air(driver: Driver) -> None:
    (command,) = poll(driver)
    assert callable(command.tx)
    assert command.tx({}, {}).hex().endswith(DEFAULT)
    assert command.tx(driver.default_inputs(), {}).hex().endswith(DEFAULT)
    assert {(one.name, one.unit) for one in driver.inputs} == {("humidity", "%"), ("temperature", "Cel")}


@BOTH
def test_it_is_asked_once_a_second_and_at_no_other_pace(driver: Driver) -> None:
    assert isinstance(driver.access, Poll)
    assert driver.access.every_s == driver.access.min_s == 1.0
    assert [command.tries for command in poll(driver)] == [1]
    assert "condition" not in {command.name for command in poll(driver)}
    assert driver.chores == ()


def test_the_nox_pixel_is_conditioned_once_at_each_start_and_for_less_than_ten_seconds() -> None:
    answer, steps = say(SGP41.setup, {OFF: b"", TEST: word(0xD400), CONDITION: word(29876)})
    assert answer == Answer(word(0xD400), None, "", 0)
    assert [step.tx.hex() for step in steps if step.tx] == [OFF, TEST, CONDITION]
    since = steps[[step.tx.hex() for step in steps].index(CONDITION) :]
    assert sum(step.wait_s + step.settle_s for step in since) < 2.0, "a gateway that stops ends what takes 2 s at most"
    assert all(command.tries == 1 for command in SGP41.setup)
    failed, steps = say(SGP41.setup, {OFF: b"", TEST: Miss.NACK, CONDITION: Miss.NACK})
    assert (failed.miss, failed.command) == (Miss.NACK, "condition")
    assert "condition" not in {command.name for command in SGP40.setup}


@BOTH
def test_the_heater_goes_off_with_the_gateway_and_no_general_call_is_ever_sent(driver: Driver) -> None:
    assert say(driver.shutdown, {OFF: b""})[1][0].tx.hex() == OFF
    scripts = (driver.setup, driver.shutdown, poll(driver), tuple(driver.commands.values()))
    for command in (one for script in scripts for one in script):
        said = command.tx({}, {}) if callable(command.tx) else command.tx
        assert not said.startswith(b"\x00\x06")


@pytest.mark.parametrize(
    ("verdict", "sgp40", "sgp41"),
    [
        (word(0xD400), Mark.OK, Mark.OK),
        (word(0x4B00), Mark.NOT_STABLE, Mark.OK),  # on an SGP41 the high byte means nothing
        (word(0xD401), Mark.OK, Mark.NOT_STABLE),
        (word(0xD408), Mark.OK, Mark.NOT_STABLE),
        (word(0xD4F0), Mark.OK, Mark.OK),
        (b"", Mark.OK, Mark.OK),
        (b"\x4b\x00\x13", Mark.OK, Mark.OK),
        (word(0x4B0F) + b"\x00", Mark.OK, Mark.OK),
    ],
)
def test_a_failed_self_test_casts_doubt(verdict: bytes, sgp40: Mark, sgp41: Mark) -> None:
    assert set(SGP40.decode([word(30123)], verdict, {}).mark.ravel().tolist()) == {sgp40}
    assert set(SGP41.decode([word(30123) + word(15987)], verdict, {}).mark.ravel().tolist()) == {sgp41}


def test_what_the_conditioning_says_is_no_measurement_of_both() -> None:
    assert SGP41.decode([word(29876)], b"", {}).fault.tolist() == [Fault.LENGTH]


def test_they_are_told_apart_by_the_question_that_they_answer() -> None:
    voc, both = "260f" + DEFAULT, "2619" + DEFAULT
    for driver, answers, is_it in (
        (SGP40, {OFF: b"", "3682": SERIAL, voc: word(30123)}, True),
        (SGP40, {OFF: b"", "3682": SERIAL, both: word(1) + word(2)}, False),
        (SGP41, {OFF: b"", "3682": SERIAL, both: word(1) + word(2)}, True),
        (SGP41, {OFF: b"", "3682": SERIAL, voc: word(30123)}, False),
    ):
        assert driver.identify is not None
        answer, steps = say(driver.identify.script, answers)
        assert (answer.miss is None and driver.identify.match(answer.frame)) is is_it
        if is_it:
            assert steps[-1].tx.hex() == OFF, "a part that was only asked who it is does not go on heating"
    for driver in (SGP40, SGP41):
        assert driver.identify is not None
        for other in (b"", bytes(12), bytes(15), b"\xff" * 12, SERIAL):
            assert not driver.identify.match(other)


@pytest.mark.parametrize("said", ["260f4ccdb750745a", "260fd2af4e75c2e8", "260f8000a2666693"])
def test_a_question_is_known_whatever_the_weather(said: str) -> None:
    assert recognise(SGP40, bytes.fromhex(said)) == "read"
    assert recognise(SGP41, b"\x26\x19" + bytes.fromhex(said)[2:]) == "read"
