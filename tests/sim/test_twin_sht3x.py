from __future__ import annotations

import pytest
from still_air import StillAir, ask
from still_street import Heard

from firmware_sim.checks import with_crcs
from firmware_sim.device import Nack
from firmware_sim.devices.sht3x import Sht3x


@pytest.fixture
def still() -> StillAir:
    return StillAir()


# T = -45 + 175 S / 65535, RH = 100 S / 65535; as pamoja-sensors 0.2.0 and adafruit-circuitpython-sht31d read them
@pytest.mark.parametrize(
    ("degc", "percent", "reply"),
    [(-1.2521, 15.0, "3fff0626661a"), (19.7534, 70.251, "5eb93cb3d7ae"), (130.0, 100.0, "ffffacffffac")],
)
def test_single_shot_is_the_published_one(
    still: StillAir, heard: Heard, degc: float, percent: float, reply: str
) -> None:
    still.air_degc, still.humidity = degc, percent
    assert ask(Sht3x(still, heard), "2400", 6, 0.0, 0.015) == reply
    assert heard.values[0] == {
        "temperature": pytest.approx(degc, abs=0.0014),
        "humidity": pytest.approx(percent, abs=0.0008),
    }


@pytest.mark.parametrize(("command", "takes_s"), [("2400", 0.015), ("240b", 0.006), ("2416", 0.004)])
def test_reading_before_it_is_ready_is_not_acknowledged(
    still: StillAir, heard: Heard, command: str, takes_s: float
) -> None:
    twin = Sht3x(still, heard)
    twin.write(bytes.fromhex(command), 0.0)
    with pytest.raises(Nack):
        twin.read(6, takes_s - 0.001)
    assert len(twin.read(6, takes_s + 0.001)) == 6
    with pytest.raises(Nack):
        twin.read(6, 1.0)


def test_periodic_samples_come_once_each(still: StillAir, heard: Heard) -> None:
    twin = Sht3x(still, heard)
    twin.write(bytes.fromhex("2236"), 0.0)  # twice a second
    twin.write(bytes.fromhex("e000"), 0.3)
    with pytest.raises(Nack):
        twin.read(6, 0.31)
    assert ask(twin, "e000", 6, 0.6, 0.001)
    twin.write(bytes.fromhex("e000"), 0.7)
    with pytest.raises(Nack):
        twin.read(6, 0.71)
    assert ask(twin, "e000", 6, 1.1, 0.001)


def test_a_host_that_comes_back_must_stop_the_periodic_mode_first(still: StillAir, heard: Heard) -> None:
    twin = Sht3x(still, heard)
    twin.write(bytes.fromhex("2130"), 0.0)
    for refused in ("2400", "2130", "30a2"):
        with pytest.raises(Nack):
            twin.write(bytes.fromhex(refused), 5.0)
    assert ask(twin, "f32d", 3, 5.1, 0.0) == with_crcs(bytes.fromhex("8012")).hex(), "the last command failed"
    twin.write(bytes.fromhex("3093"), 6.0)
    assert ask(twin, "2400", 6, 6.1, 0.015)


def test_status_heater_and_reset(still: StillAir, heard: Heard) -> None:
    twin = Sht3x(still, heard)
    assert ask(twin, "f32d", 3, 0.0, 0.0) == "8010e1", "as after power-on"
    twin.write(bytes.fromhex("3041"), 1.0)
    assert ask(twin, "f32d", 3, 1.1, 0.0) == "000081"
    twin.write(bytes.fromhex("306d"), 2.0)
    assert ask(twin, "f32d", 3, 2.1, 0.0) == "20005d"
    ask(twin, "2400", 6, 3.0, 0.015)
    twin.write(bytes.fromhex("3066"), 4.0)
    ask(twin, "2400", 6, 5.0, 0.015)
    warm, cool = (values["temperature"] for values in heard.values)
    assert warm == pytest.approx((cool or 0.0) + 3.0, abs=0.01)
    twin.write(bytes.fromhex("306d"), 6.0)
    twin.write(bytes.fromhex("30a2"), 7.0)
    with pytest.raises(Nack):
        twin.write(b"", 7.001)
    assert ask(twin, "f32d", 3, 8.0, 0.0) == "8010e1"


def test_serial_number_and_clock_stretching(still: StillAir, heard: Heard) -> None:
    twin = Sht3x(still, heard, serial="0a0b0c0d")
    assert ask(twin, "3682", 6, 0.0, 0.0) == ask(twin, "3780", 6, 0.1, 0.0)
    assert len(ask(twin, "2c06", 6, 1.0, 0.0)) == 12
    with pytest.raises(ValueError, match="4 bytes"):
        Sht3x(still, heard, serial="")


def test_unknown_commands_are_remembered_in_the_status(still: StillAir, heard: Heard) -> None:
    twin = Sht3x(still, heard)
    twin.write(bytes.fromhex("3041"), 0.0)
    for bad in ("fd", "beef", "2400000081"):
        with pytest.raises(Nack):
            twin.write(bytes.fromhex(bad), 1.0)
    assert ask(twin, "f32d", 3, 2.0, 0.0) == with_crcs(b"\x00\x02").hex()


def test_playback(still: StillAir, heard: Heard) -> None:
    twin = Sht3x(still, heard, frames=["3fff0626661a"])
    assert ask(twin, "2400", 6, 0.0, 0.015) == "3fff0626661a"
    assert heard.values == [{}]
