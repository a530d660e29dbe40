from __future__ import annotations

import struct

import pytest
from still_air import StillAir, ask
from still_street import Heard

from firmware_sim.checks import with_crcs
from firmware_sim.device import Nack
from firmware_sim.devices.scd30 import Scd30

START = "0010000081"  # SCD30 Interface Description: no pressure compensation
SAMPLE = "43dbcb8c2e8f41d970e7fff54243bf3a1b74"  # the same, read measurement: 439.09 ppm, 27.24 degC, 48.81 %
READY, NOT_READY = with_crcs(b"\0\1").hex(), "000081"


@pytest.fixture
def still() -> StillAir:
    air = StillAir()
    air.co2, air.air_degc, air.humidity = struct.unpack(">3f", bytes.fromhex("43db8c2e41d9e7ff42433a1b"))
    return air


def started(still: StillAir, heard: Heard) -> Scd30:
    twin = Scd30(still, heard)
    twin.write(bytes.fromhex(START), 0.0)
    return twin


def test_sample_is_the_one_of_the_interface_description(still: StillAir, heard: Heard) -> None:
    twin = started(still, heard)
    assert ask(twin, "0202", 3, 1.0, 0.003) == NOT_READY
    assert ask(twin, "0202", 3, 2.1, 0.003) == READY
    assert ask(twin, "0300", 18, 2.2, 0.003) == SAMPLE
    assert heard.values == [
        {
            "co2": pytest.approx(439.09, abs=0.01),
            "temperature": pytest.approx(27.24, abs=0.01),
            "humidity": pytest.approx(48.81, abs=0.01),
        }
    ]
    assert ask(twin, "0202", 3, 2.3, 0.003) == NOT_READY


def test_an_empty_buffer_reads_ff_with_good_crcs(still: StillAir, heard: Heard) -> None:
    # github.com/Sensirion/embedded-scd/issues/43
    assert ask(started(still, heard), "0300", 18, 0.5, 0.003) == 6 * "ffffac"
    assert set(heard.values[0].values()) == {None}


def test_no_repeated_start_and_3_ms_before_the_read(still: StillAir, heard: Heard) -> None:
    twin = Scd30(still, heard)
    twin.write(bytes.fromhex("d100"), 0.0)
    for early_s in (0.0, 0.0029):
        with pytest.raises(Nack):
            twin.read(3, early_s)
    assert twin.read(3, 0.0031).hex() == with_crcs(b"\x03\x42").hex()


def test_it_goes_on_after_a_reset_and_has_no_co2_at_first(still: StillAir, heard: Heard) -> None:
    twin = started(still, heard)
    twin.write(bytes.fromhex("d304"), 10.0)
    with pytest.raises(Nack):
        twin.write(b"", 11.9)
    assert ask(twin, "0202", 3, 13.9, 0.003) == NOT_READY
    assert ask(twin, "0300", 18, 14.1, 0.003) == "000081000081" + SAMPLE[12:]
    assert heard.values[0]["co2"] is None
    assert ask(twin, "0300", 18, 16.1, 0.003) == SAMPLE


def test_a_start_while_it_measures_only_tells_the_pressure(still: StillAir, heard: Heard) -> None:
    twin = started(still, heard)
    twin.write(bytes.fromhex("001003f5db"), 1.5)  # 1013 mbar
    assert ask(twin, "0202", 3, 2.1, 0.003) == READY
    twin.write(bytes.fromhex("0104"), 3.0)
    assert ask(twin, "0202", 3, 60.0, 0.003) == NOT_READY


def test_settings_are_kept_and_checked(still: StillAir, heard: Heard) -> None:
    twin = started(still, heard)
    assert ask(twin, "4600", 3, 0.1, 0.003) == with_crcs(b"\0\2").hex()
    twin.write(bytes.fromhex("4600") + with_crcs(b"\0\x0a"), 1.0)
    assert ask(twin, "0202", 3, 10.9, 0.003) == NOT_READY
    assert ask(twin, "0202", 3, 11.1, 0.003) == READY
    twin.write(bytes.fromhex("53060001b0"), 12.0)
    twin.write(bytes.fromhex("540301f433"), 13.0)  # 5.00 degC
    ask(twin, "0300", 18, 21.5, 0.003)
    assert heard.values[0]["temperature"] == pytest.approx(22.24, abs=0.01)
    twin.write(bytes.fromhex("d304"), 30.0)
    assert ask(twin, "5306", 3, 33.0, 0.003) == with_crcs(b"\0\1").hex()


@pytest.mark.parametrize(
    "bad", ["0010", "00100000", "0010" + with_crcs(b"\x02\xbb").hex(), "4600" + with_crcs(b"\0\1").hex(), "beef"]
)
def test_what_makes_no_sense_is_not_acknowledged(still: StillAir, heard: Heard, bad: str) -> None:
    with pytest.raises(Nack):
        Scd30(still, heard).write(bytes.fromhex(bad), 0.0)


def test_serial_number(still: StillAir, heard: Heard) -> None:
    twin = Scd30(still, heard, serial="215051R")
    assert ask(twin, "d033", 6, 0.0, 0.003) == with_crcs(b"2150").hex()
    with pytest.raises(ValueError, match="32"):
        Scd30(still, heard, serial=33 * "x")


def test_playback(still: StillAir, heard: Heard) -> None:
    twin = Scd30(still, heard, frames=["00008100008141ac7d00008142191a000081"])
    twin.write(bytes.fromhex(START), 0.0)
    assert ask(twin, "0300", 18, 2.5, 0.003) == "00008100008141ac7d00008142191a000081"
    assert heard.values == [{}]
