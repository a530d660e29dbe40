from __future__ import annotations

import pytest
from still_street import Heard, StillStreet

from firmware_sim.checks import with_crcs
from firmware_sim.device import Nack
from firmware_sim.devices.sen55 import Sen55

START, STOP, READY, READ = b"\x00\x21", b"\x01\x04", b"\x02\x02", b"\x03\xc4"
# SEN5x datasheet: everything is unknown before the first sample
UNKNOWN = "ffffacffffacffffacffffac7fff8f7fff8f7fff8f7fff8f"
# verified with sensirion-i2c-sen5x 0.1.1; raw temperature FFFF is -0.005 degC and valid
SAMPLE = "003e5b0051ce005a24005fd11c9062ffffac03e8d4000a5a"


def ask(twin: Sen55, command: bytes, n: int, t_s: float) -> bytes:
    twin.write(command, t_s)
    return twin.read(n, t_s + 0.0201)


def test_unknown_before_the_first_sample(still: StillStreet, heard: Heard) -> None:
    twin = Sen55(still, heard)
    assert ask(twin, READ, 24, 0.0).hex() == UNKNOWN
    twin.write(START, 1.0)
    assert ask(twin, READY, 3, 1.1) == with_crcs(b"\0\0")
    assert ask(twin, READ, 24, 1.2).hex() == UNKNOWN
    assert set(heard.values[0].values()) == {None}


def test_one_sample_a_second_and_reading_clears_the_flag(still: StillStreet, heard: Heard) -> None:
    twin = Sen55(still, heard)
    twin.write(START, 0.0)
    assert ask(twin, READY, 3, 1.1) == with_crcs(b"\0\1")
    ask(twin, READ, 24, 1.2)
    assert ask(twin, READY, 3, 1.3) == with_crcs(b"\0\0")
    assert ask(twin, READY, 3, 2.1) == with_crcs(b"\0\1")


def test_sample_is_the_golden_one_and_nox_comes_after_10_s(still: StillStreet, heard: Heard) -> None:
    twin = Sen55(still, heard)
    twin.write(START, 0.0)
    assert ask(twin, READ, 24, 5.0).hex() == SAMPLE[:-6] + "7fff8f"
    assert ask(twin, READ, 24, 12.0).hex() == SAMPLE
    assert heard.values[0]["nox_index"] is None
    assert heard.values[1] == {
        "pm1_0": 6.2,
        "pm2_5": 8.1,
        "pm4_0": 9.0,
        "pm10": 9.5,
        "humidity": 73.12,
        "temperature": -0.005,
        "voc_index": 100.0,
        "nox_index": 1.0,
    }


def test_gas_only_leaves_the_particles_unknown(still: StillStreet, heard: Heard) -> None:
    twin = Sen55(still, heard)
    twin.write(b"\x00\x37", 0.0)
    assert ask(twin, READ, 24, 12.0).hex() == UNKNOWN[:24] + SAMPLE[24:]


@pytest.mark.parametrize(
    ("command", "execution_s"), [("0021", 0.05), ("0104", 0.16), ("d304", 0.1), ("0202", 0.02), ("5607", 0.02)]
)
def test_busy_while_a_command_is_carried_out(
    still: StillStreet, heard: Heard, command: str, execution_s: float
) -> None:
    twin = Sen55(still, heard)
    twin.write(bytes.fromhex(command), 0.0)
    for touch in (lambda t_s: twin.read(3, t_s), lambda t_s: twin.write(READY, t_s), lambda t_s: twin.write(b"", t_s)):
        with pytest.raises(Nack):
            touch(execution_s - 0.001)
    twin.write(READY, execution_s + 0.001)


def test_identity(still: StillStreet, heard: Heard) -> None:
    twin = Sen55(still, heard)
    assert ask(twin, b"\xd0\x14", 48, 0.0) == with_crcs(b"SEN55".ljust(32, b"\0"))
    assert ask(twin, b"\xd0\x33", 48, 1.0) == with_crcs(b"3E6D881D480ACDC3".ljust(32, b"\0"))
    assert ask(twin, b"\xd1\x00", 12, 2.0) == with_crcs(bytes([2, 0, 0, 4, 0, 1, 0, 0]))
    assert ask(twin, b"\xd2\x06", 6, 3.0) == with_crcs(bytes(4))


def test_cleaning_shows_in_the_status_and_holds_the_samples(still: StillStreet, heard: Heard) -> None:
    twin = Sen55(still, heard)
    twin.write(START, 0.0)
    twin.write(b"\x56\x07", 3.5)
    ask(twin, READ, 24, 4.0)
    assert ask(twin, b"\xd2\x06", 6, 5.0) == with_crcs((1 << 19).to_bytes(4, "big"))
    assert ask(twin, READY, 3, 13.0) == with_crcs(b"\0\0")
    assert ask(twin, READY, 3, 14.1) == with_crcs(b"\0\1")
    assert ask(twin, b"\xd2\x10", 6, 15.0) == with_crcs(bytes(4))


def test_stop_and_reset_end_the_measurement(still: StillStreet, heard: Heard) -> None:
    twin = Sen55(still, heard)
    for command in (STOP, b"\xd3\x04"):
        twin.write(START, 0.0)
        twin.write(command, 2.0)
        assert ask(twin, READ, 24, 3.0).hex() == UNKNOWN
        twin = Sen55(still, heard)


def test_parameters_are_kept_until_reset(still: StillStreet, heard: Heard) -> None:
    twin = Sen55(still, heard)
    state = with_crcs(bytes.fromhex("0102030405060708"))
    assert ask(twin, b"\x80\x04", 6, 0.0) == with_crcs((604800).to_bytes(4, "big"))
    twin.write(b"\x61\x81" + state, 1.0)
    assert ask(twin, b"\x61\x81", 12, 2.0) == state
    twin.write(b"\xd3\x04", 3.0)
    assert ask(twin, b"\x61\x81", 12, 4.0) == with_crcs(bytes(8))


@pytest.mark.parametrize("bad", ["00", "1234", "beef", "002100", "6181000000", "618100008100", "0021000081"])
def test_what_makes_no_sense_is_not_acknowledged(still: StillStreet, heard: Heard, bad: str) -> None:
    twin = Sen55(still, heard)
    with pytest.raises(Nack):
        twin.write(bytes.fromhex(bad), 0.0)


def test_a_reply_is_read_once(still: StillStreet, heard: Heard) -> None:
    twin = Sen55(still, heard)
    assert ask(twin, READY, 5, 0.0) == with_crcs(b"\0\0") + b"\xff\xff"
    with pytest.raises(Nack):
        twin.read(3, 1.0)


def test_playback(still: StillStreet, heard: Heard) -> None:
    # words of a real SEN55 with saturated PM (esphome/issues 6864), CRCs recomputed
    saturated = "fffe9dfffe9dfffe9dfffe9d121c0812f80d01cc4f000a5a"
    twin = Sen55(still, heard, frames=[UNKNOWN, saturated])
    twin.write(START, 0.0)
    assert [ask(twin, READ, 24, t_s).hex() for t_s in (1.5, 2.5, 3.5)] == [UNKNOWN, saturated, saturated]
    with pytest.raises(ValueError, match="24"):
        Sen55(still, heard, frames=["00"])
