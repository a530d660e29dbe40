from __future__ import annotations

import pytest
from still_air import StillAir, ask
from still_street import Heard

from firmware_sim.checks import with_crcs
from firmware_sim.device import Nack
from firmware_sim.devices.scd4x import Scd4x

SAMPLE = "01f4336667a25eb93c"  # SCD4x datasheet, read_measurement: 500 ppm, 25 degC, 37 %
READY, NOT_READY = with_crcs(b"\x80\x06").hex(), "8000a2"


@pytest.fixture
def still() -> StillAir:
    air = StillAir()
    air.air_degc, air.humidity = -45.0 + 175.0 * 0x6667 / 65535, 100.0 * 0x5EB9 / 65535
    return air


def started(still: StillAir, heard: Heard, command: str = "21b1") -> Scd4x:
    twin = Scd4x(still, heard)
    twin.write(bytes.fromhex(command), 0.0)
    return twin


def test_sample_is_the_datasheets_and_the_buffer_is_empty_after_it(still: StillAir, heard: Heard) -> None:
    twin = started(still, heard)
    assert ask(twin, "e4b8", 3, 5.1, 0.001) == READY
    assert ask(twin, "ec05", 9, 5.2, 0.001) == SAMPLE
    assert heard.values == [
        {"co2": 500.0, "temperature": pytest.approx(25.0, abs=0.003), "humidity": pytest.approx(37.0, abs=0.002)}
    ]
    assert ask(twin, "e4b8", 3, 5.3, 0.001) == NOT_READY
    twin.write(bytes.fromhex("ec05"), 5.4)
    with pytest.raises(Nack):
        twin.read(9, 5.5)
    assert ask(twin, "ec05", 9, 10.1, 0.001) == SAMPLE


def test_it_can_be_asked_right_after_the_start(still: StillAir, heard: Heard) -> None:
    twin = Scd4x(still, heard)
    twin.write(bytes.fromhex("21b1"), 0.0)
    assert ask(twin, "e4b8", 3, 0.0002, 0.001) == NOT_READY  # the adafruit driver asks at once


@pytest.mark.parametrize(("command", "period_s"), [("21b1", 5.0), ("21ac", 30.0)])
def test_samples_come_every_5_or_30_s(still: StillAir, heard: Heard, command: str, period_s: float) -> None:
    twin = started(still, heard, command)
    assert ask(twin, "e4b8", 3, period_s - 0.1, 0.001) == NOT_READY
    assert ask(twin, "e4b8", 3, period_s + 0.1, 0.001) == READY


def test_a_host_that_comes_back_finds_it_measuring(still: StillAir, heard: Heard) -> None:
    twin = started(still, heard)
    for refused in ("21b1", "3682", "2416000181", "36e0", "3646"):
        with pytest.raises(Nack):
            twin.write(bytes.fromhex(refused), 100.0)
    twin.write(bytes.fromhex("e000") + with_crcs((1005).to_bytes(2, "big")), 100.5)
    assert ask(twin, "e000", 3, 100.6, 0.001) == with_crcs((1005).to_bytes(2, "big")).hex()
    twin.write(bytes.fromhex("3f86"), 101.0)
    with pytest.raises(Nack):
        twin.write(b"", 101.49)
    twin.write(bytes.fromhex("21b1"), 101.51)
    assert ask(twin, "e4b8", 3, 103.0, 0.001) == NOT_READY


def test_stop_is_fine_when_idle(still: StillAir, heard: Heard) -> None:
    Scd4x(still, heard).write(bytes.fromhex("3f86"), 0.0)


def test_identity(still: StillAir, heard: Heard) -> None:
    twin = Scd4x(still, heard)
    assert ask(twin, "3682", 9, 0.0, 0.001) == "f896319f07c23bbe89"  # SCD4x datasheet, get_serial_number
    assert ask(twin, "202f", 3, 0.1, 0.001)[:1] == "1"
    assert ask(Scd4x(still, heard, variant="scd40"), "202f", 3, 0.0, 0.001)[:1] == "0"
    assert ask(twin, "3639", 3, 1.0, 10.0) == "000081"
    with pytest.raises(ValueError, match="scd40 or scd41"):
        Scd4x(still, heard, variant="scd30")


def test_asleep_it_hears_only_the_wake_up_and_acknowledges_nothing(still: StillAir, heard: Heard) -> None:
    twin = Scd4x(still, heard)
    twin.write(bytes.fromhex("36e0"), 0.0)
    for deaf in ("", "3682", "36f6"):
        with pytest.raises(Nack):
            twin.write(bytes.fromhex(deaf), 1.0)
    with pytest.raises(Nack):
        twin.write(b"", 1.02)
    assert ask(twin, "3682", 9, 1.04, 0.001)


def test_single_shots(still: StillAir, heard: Heard) -> None:
    twin = Scd4x(still, heard)
    twin.write(bytes.fromhex("219d"), 0.0)
    with pytest.raises(Nack):
        twin.write(bytes.fromhex("e4b8"), 4.9)
    assert ask(twin, "ec05", 9, 5.1, 0.001) == SAMPLE
    twin.write(bytes.fromhex("2196"), 6.0)
    assert ask(twin, "ec05", 9, 6.1, 0.001) == "000081" + SAMPLE[6:]
    assert heard.values[1]["co2"] is None
    with pytest.raises(Nack):
        Scd4x(still, heard, variant="scd40").write(bytes.fromhex("219d"), 0.0)


def test_settings_are_lost_unless_they_are_stored(still: StillAir, heard: Heard) -> None:
    twin = Scd4x(still, heard)
    assert ask(twin, "2313", 3, 0.0, 0.001) == with_crcs(b"\0\1").hex()
    twin.write(bytes.fromhex("2416000081"), 1.0)
    twin.write(bytes.fromhex("3646"), 2.0)
    assert ask(twin, "2313", 3, 3.0, 0.001) == with_crcs(b"\0\1").hex()
    twin.write(bytes.fromhex("2416000081"), 4.0)
    twin.write(bytes.fromhex("3615"), 5.0)
    twin.write(bytes.fromhex("3646"), 6.0)
    assert ask(twin, "2313", 3, 7.0, 0.001) == "000081"
    twin.write(bytes.fromhex("3632"), 8.0)
    assert ask(twin, "2313", 3, 9.3, 0.001) == with_crcs(b"\0\1").hex()


def test_temperature_offset_is_taken_off(still: StillAir, heard: Heard) -> None:
    twin = Scd4x(still, heard)
    twin.write(bytes.fromhex("241d") + with_crcs(round(6.0 * 65535 / 175).to_bytes(2, "big")), 0.0)
    twin.write(bytes.fromhex("21b1"), 1.0)
    ask(twin, "ec05", 9, 7.0, 0.001)
    assert heard.values[0]["temperature"] == pytest.approx(23.0, abs=0.005)


def test_forced_recalibration_needs_three_minutes_of_measurement(still: StillAir, heard: Heard) -> None:
    force = "362f" + with_crcs((480).to_bytes(2, "big")).hex()
    twin = Scd4x(still, heard)
    assert ask(twin, force, 3, 0.0, 0.4) == "ffffac"
    twin.write(bytes.fromhex("21b1"), 1.0)
    twin.write(bytes.fromhex("3f86"), 200.0)
    assert ask(twin, force, 3, 201.0, 0.4) == with_crcs((0x8000 - 20).to_bytes(2, "big")).hex()
    twin.write(bytes.fromhex("21b1"), 202.0)
    ask(twin, "ec05", 9, 210.0, 0.001)
    assert heard.values[0]["co2"] == 480.0


@pytest.mark.parametrize("bad", ["00", "beef", "2416", "2416000181", "ec05000081", "362f"])
def test_what_makes_no_sense_is_not_acknowledged(still: StillAir, heard: Heard, bad: str) -> None:
    with pytest.raises(Nack):
        Scd4x(still, heard).write(bytes.fromhex(bad), 0.0)


def test_playback(still: StillAir, heard: Heard) -> None:
    twin = Scd4x(still, heard, frames=["ffffac000081000081"])
    twin.write(bytes.fromhex("21b1"), 0.0)
    assert ask(twin, "ec05", 9, 6.0, 0.001) == "ffffac000081000081"
    assert heard.values == [{}]
    with pytest.raises(ValueError, match="9"):
        Scd4x(still, heard, frames=["00"])
