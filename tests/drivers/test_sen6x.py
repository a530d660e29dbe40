"""SEN6x: one family, four layouts, and what is said to each of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Driver, Fault, Mark, Miss, Poll
from drivers.checks import word
from drivers.script import Answer, Reply, Step, run

FAMILY = [DRIVERS[name] for name in ("sen66", "sen63c", "sen65", "sen68")]
WITH_CO2 = FAMILY[:2]
BY_NAME = pytest.mark.parametrize("driver", FAMILY, ids=lambda driver: driver.name)
READ = {"sen66": "0300", "sen63c": "0471", "sen65": "0446", "sen68": "0467"}
UNSIGNED = {"pm1_0", "pm2_5", "pm4_0", "pm10", "hcho"}
SCALE = {"humidity": 100.0, "temperature": 200.0, "co2": 1.0}


def unsigned(driver: Driver) -> list[bool]:
    return [c.name in UNSIGNED or (driver.name, c.name) == ("sen66", "co2") for c in driver.channels]


def frame(raw: list[int]) -> bytes:
    return b"".join(word(value & 0xFFFF) for value in raw)


def say(script: tuple, answers: dict[str, Reply], **options: object) -> tuple[Answer, list[Step]]:
    steps: list[Step] = []

    def transfer(step: Step) -> Reply:
        steps.append(step)
        if not step.tx and not step.rx:
            return b""
        reply = answers.get(step.tx.hex(), Miss.NACK)
        return reply if step.rx or isinstance(reply, Miss) else b""

    return run(transfer, script, {}, options), steps


@BY_NAME
@settings(deadline=None)
@given(data=st.data())
def test_every_word_is_read_with_its_own_sign_scale_and_sentinel(driver: Driver, data: st.DataObject) -> None:
    raw = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=len(driver.channels), max_size=len(driver.channels)))
    decoded = driver.decode([frame(raw)], b"", {})
    for i, (channel, plain) in enumerate(zip(driver.channels, unsigned(driver), strict=True)):
        number = raw[i] if plain or raw[i] < 0x8000 else raw[i] - 0x10000
        if raw[i] == (0xFFFF if plain else 0x7FFF):
            assert np.isnan(decoded.values[0, i])
            assert decoded.mark[0, i] == Mark.MISSING
        else:
            assert decoded.values[0, i] == pytest.approx(number / SCALE.get(channel.name, 10.0), abs=1e-9)


@BY_NAME
def test_only_the_model_s_own_length_is_a_measurement(driver: Driver) -> None:
    frames = [frame([1] * n) for n in range(12)]
    decoded = driver.decode(frames, b"", {})
    good = len(driver.channels)
    assert [i for i, fault in enumerate(decoded.fault) if fault == Fault.OK] == [good]
    assert all(fault == Fault.LENGTH for i, fault in enumerate(decoded.fault) if i != good)


@BY_NAME
@pytest.mark.parametrize("bit", range(32))
def test_each_bit_of_the_status_touches_its_channels_only(driver: Driver, bit: int) -> None:
    touched = {
        4: {"pm1_0", "pm2_5", "pm4_0", "pm10"},
        11: {"pm1_0", "pm2_5", "pm4_0", "pm10"},
        21: {"pm1_0", "pm2_5", "pm4_0", "pm10"},
        6: {"humidity", "temperature"},
        7: {"voc_index", "nox_index"},
        9: {"co2"} if driver.name == "sen66" else set(),
        12: {"co2"} if driver.name == "sen63c" else set(),
        10: {"hcho"},
    }.get(bit, set())
    status = frame([(1 << bit) >> 16, (1 << bit) & 0xFFFF])
    marks = driver.decode([frame([100] * len(driver.channels))], status, {}).mark[0]
    doubted = {c.name for c, mark in zip(driver.channels, marks, strict=True) if mark == Mark.NOT_STABLE}
    assert doubted == touched & {channel.name for channel in driver.channels}


@BY_NAME
@pytest.mark.parametrize("stopped", [b"", Miss.NACK], ids=["measuring", "idle"])
@pytest.mark.parametrize("others", [b"", Miss.NACK], ids=["knows all", "knows the least"])
def test_it_is_stopped_for_long_enough_and_started(driver: Driver, stopped: Reply, others: Reply) -> None:
    cleared = bytes(6) if others == b"" else Miss.NACK
    answer, steps = say(
        driver.setup, {"0104": stopped, "d210": cleared, "67110001b0": others, "6736000081": others, "0021": b""}
    )
    assert answer == Answer(b"", None, "", 0)
    written = [step.tx.hex() for step in steps if step.tx]
    assert written == ["0104", "d210", *(["67110001b0", "6736000081"] if driver in WITH_CO2 else []), "0021"]
    assert steps[0].settle_s == 1.4
    assert say(driver.setup, {})[0].command == "start", "one that is not there fails its setup"


@BY_NAME
def test_it_is_read_by_its_own_command_when_it_is_ready(driver: Driver) -> None:
    assert isinstance(driver.access, Poll)
    values = frame([100] * len(driver.channels))
    answer, steps = say(driver.access.script, {"0202": word(1), READ[driver.name]: values})
    assert answer.frame == values
    assert all(step.wait_s == 0.02 for step in steps if step.tx)
    answer, steps = say(driver.access.script, {"0202": word(0)})
    assert answer.miss is Miss.NOT_READY
    assert len([step for step in steps if step.tx]) == 3


@pytest.mark.parametrize("driver", WITH_CO2, ids=lambda driver: driver.name)
def test_self_calibration_can_be_switched_off(driver: Driver) -> None:
    setup = [command for command in driver.setup if command.name == "set_asc"]
    assert [c.tx({}, {"asc": False}).hex() for c in setup if callable(c.tx)] == ["6711000081"]


@pytest.mark.parametrize("driver", WITH_CO2, ids=lambda driver: driver.name)
@pytest.mark.parametrize(
    ("pressure_pa", "hpa"),
    [(98_765.0, 988), (101_325.0, 1013), (60_000.0, 700), (130_000.0, 1200), (0.0, None), (None, None), (np.nan, None)],
)
def test_it_is_told_the_pressure_where_somebody_measures_it(
    driver: Driver, pressure_pa: float | None, hpa: int | None
) -> None:
    (command,) = driver.chores[1].script
    assert callable(command.tx)
    said = command.tx({} if pressure_pa is None else {"pressure": pressure_pa}, driver.defaults())
    assert said == (b"\x67\x20" + word(hpa) if hpa else b"")


@pytest.mark.parametrize(("altitude_m", "said"), [(0, 0), (500, 500), (-5, 0), (10**9, 3000), ("x", 0), (np.nan, 0)])
def test_and_its_altitude_for_the_time_when_nobody_does(altitude_m: object, said: int) -> None:
    command = DRIVERS["sen66"].commands["set_altitude"]
    assert callable(command.tx)
    assert command.tx({}, {"altitude_m": altitude_m}) == b"\x67\x36" + word(said)


def test_only_those_with_co2_are_told_anything() -> None:
    for driver in FAMILY:
        has_co2 = "co2" in {channel.name for channel in driver.channels}
        assert (
            (driver in WITH_CO2) == has_co2 == bool(driver.inputs) == bool(driver.options) == (len(driver.chores) == 2)
        )


@BY_NAME
def test_it_is_known_by_its_name(driver: Driver) -> None:
    def named(name: bytes) -> bytes:
        padded = name.ljust(32, b"\0")
        return frame([int.from_bytes(padded[i : i + 2], "big") for i in range(0, 32, 2)])

    assert driver.identify is not None
    own = driver.name.upper().encode()
    answer, _ = say(driver.identify.script, {"d014": named(own)})
    assert driver.identify.match(answer.frame)
    for other in (b"", b"SEN60", b"SEN62", b"SEN69C", b"SEN55", own + b"X", own[:-1]):
        assert not driver.identify.match(named(other))
    for other in FAMILY:
        assert driver.identify.match(named(other.name.upper().encode())) is (other is driver)
    for junk in (b"", bytes(48), b"\xff" * 48, named(own)[:-1] + b"\x00", named(own) + bytes(3)):
        assert not driver.identify.match(junk)


def test_it_is_cleaned_by_hand_only_and_long_enough() -> None:
    for driver in FAMILY:
        assert driver.commands["clean"].settle_s == 10.0
        assert all(command.name != "clean" for chore in driver.chores for command in chore.script)
