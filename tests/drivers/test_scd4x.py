"""SCD4x: when a reading waits, what the words mean, and what is said before it measures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Fault, Mark, Miss, Poll, Script
from drivers.checks import word
from drivers.script import Answer, Reply, Step, run

SCD4X = DRIVERS["scd4x"]
EXAMPLE = bytes.fromhex("01f4336667a25eb93c")
SERIAL = bytes.fromhex("f896319f07c23bbe89")  # pimoroni/scd4x-python, SCD4x datasheet


def say(
    script: Script, answers: dict[str, Reply | list[Reply]], inputs: dict[str, float] | None = None, **options: object
) -> tuple[Answer, list[Step]]:
    steps: list[Step] = []

    def transfer(step: Step) -> Reply:
        steps.append(step)
        if not step.tx and not step.rx:
            return b""
        replies = answers.get(step.tx.hex(), Miss.NACK)
        reply = replies.pop(0) if isinstance(replies, list) else replies
        return reply if step.rx or isinstance(reply, Miss) else b""

    return run(transfer, script, inputs or {}, SCD4X.defaults() | options), steps


def poll() -> Script:
    assert isinstance(SCD4X.access, Poll)
    return SCD4X.access.script


@settings(deadline=None)
@given(st.integers(1, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_words_become_values(co2: int, temperature: int, humidity: int) -> None:
    """sensirion-i2c-scd4x divides by 65535, older data sheets by 65536."""
    decoded = SCD4X.decode([word(co2) + word(temperature) + word(humidity)], b"", {})
    assert decoded.values[0] == pytest.approx([co2, -45 + 175 * temperature / 65535, 100 * humidity / 65535], abs=1e-9)
    assert decoded.mark[0].tolist() == [Mark.SATURATED if co2 >= 40_000 else Mark.OK, Mark.OK, Mark.OK]


def test_no_co2_is_in_doubt_and_out_of_range() -> None:
    decoded = SCD4X.decode([word(0) + EXAMPLE[3:]], b"", {})
    assert decoded.mark[0].tolist() == [Mark.NOT_STABLE, Mark.OK, Mark.OK]
    assert SCD4X.channels[0].lo > 0, "a reading of 0 must not enter a mean"


@pytest.mark.parametrize(
    ("ready", "waits"),
    [("8000a2", False), ("000081", False), ("07ff83", True), (word(0x8006).hex(), True), (word(1).hex(), True)]
    + [(word(1 << bit).hex(), bit < 11) for bit in range(16)],
)
def test_a_reading_waits_where_one_of_the_lower_eleven_bits_is_set(ready: str, waits: bool) -> None:
    answer, _ = say(poll(), {"e4b8": bytes.fromhex(ready), "ec05": EXAMPLE})
    assert (answer.frame == EXAMPLE) == waits
    assert waits or answer.miss is Miss.NOT_READY


def test_a_reading_that_is_late_is_waited_for_a_while() -> None:
    answer, steps = say(poll(), {"e4b8": [word(0x8000), word(0x8000), word(0x8006)], "ec05": EXAMPLE})
    assert answer.frame == EXAMPLE
    assert all(step.wait_s > 0 for step in steps if step.tx), "write, stop, wait, read"
    empty, _ = say(poll(), {"e4b8": word(0x8006), "ec05": Miss.NACK})
    assert empty.miss is Miss.NACK, "somebody else has read it: the buffer is empty"


@pytest.mark.parametrize("woken", [b"", Miss.NACK])
@pytest.mark.parametrize("stopped", [b"", Miss.NACK])
def test_it_is_woken_stopped_told_and_started(woken: Reply, stopped: Reply) -> None:
    told = {"2416000081": b"", "241d" + word(1498).hex(): b"", "2427000081": b"", "21b1": b""}
    answer, steps = say(SCD4X.setup, {"36f6": woken, "3f86": stopped} | told)
    assert answer == Answer(b"", None, "", 0)
    written = [step.tx.hex() for step in steps if step.tx]
    assert written == ["36f6", "3f86", *told], "settings are taken by an idle part alone"
    assert next(step.settle_s for step in steps if step.tx.hex() == "3f86") == 0.5
    assert all(not step.tx.startswith(b"\x36\x15") for step in steps), "its memory bears 2000 writes"


@pytest.mark.parametrize(
    ("pressure_pa", "said"),
    [(98_700.0, "e000" + word(987).hex()), (101_325.0, "e00003f5db"), (None, ""), (0.0, "")],
)
def test_it_is_told_the_pressure_of_the_day_in_hpa(pressure_pa: float | None, said: str) -> None:
    (command,) = SCD4X.chores[0].script
    assert callable(command.tx)
    inputs = {} if pressure_pa is None else {"pressure": pressure_pa}
    assert command.tx(inputs, {}).hex() == said
    (pressure,) = SCD4X.inputs
    assert (pressure.name, pressure.unit, pressure.lo, pressure.hi) == ("pressure", "Pa", 70_000.0, 120_000.0)


def test_it_does_not_calibrate_itself_unless_it_is_asked_to() -> None:
    assert SCD4X.defaults()["asc"] is False


@pytest.mark.parametrize("absurd", ["x", np.inf, -1e9, 1e9])
def test_absurd_options_are_said_within_a_word(absurd: object) -> None:
    for name, option in (("altitude", "altitude_m"), ("temperature_offset", "temperature_offset_K")):
        command = SCD4X.commands[name]
        assert callable(command.tx)
        if absurd == np.inf:
            continue  # no site file can say that
        assert len(command.tx({}, {option: absurd})) == 5


def test_it_is_recognised_in_any_mode_and_a_lidar_is_not() -> None:
    assert SCD4X.identify is not None
    answer, steps = say(SCD4X.identify.script, {"e4b8": word(0x8006)})
    assert SCD4X.identify.match(answer.frame)
    assert SCD4X.identify.match(SERIAL)
    assert [step.tx.hex() for step in steps] == ["e4b8"], "nothing that starts, stops or sets anything"
    for other in (b"", b"\x01\xf4", bytes(3), b"\xff" * 3, b"\xff" * 9, SERIAL[:-1] + b"\x00"):
        assert not SCD4X.identify.match(other)


def test_it_is_stopped_when_the_gateway_stops() -> None:
    assert say(SCD4X.shutdown, {"3f86": b""})[0].miss is None
    assert SCD4X.decode([SERIAL[:3], EXAMPLE[:6]], b"", {}).fault.tolist() == [Fault.LENGTH] * 2
