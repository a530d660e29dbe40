from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from still_air import StillAir, ask
from still_street import Heard

from firmware_sim.checks import shdlc_content, shdlc_frame, with_crcs
from firmware_sim.device import NEVER_S, Nack
from firmware_sim.devices.sps30 import CHANNELS, Sps30, Sps30I2c
from firmware_sim.street import Counts, Particles

# real captures: PyPMS tests/captured_data/SPS30.hexdump lines 1, 2 and 3 with 7D31 and 7D5E, 7 with 7D5D
CAPTURES = [
    "7e0003002840a78320411777bb414a5f8341548ddd41d2833e427d33fc85422617224229a4d9422a29bc3f55b7e79e7e",
    "7e0003002840df03da417d3162ae41279e32412c107d5e42307d5ed34255c04c425e0908425fa28a425fe4433f40fa1fff7e",
    "7e000300284106b1474126097d5d41392419413cf637425b61d64282857742862dad4286e0ca4286ff033f3d19e55b7e",
]
# the payload of line 2, in words with CRCs
I2C_SAMPLE = (
    "40b93fc67fa74103af6c8bf0411ea04ae245412329aa92cb420cac5b7cf9422e48fdbabd"
    "4238adcab329423acfb2c906423acffde9903f4a4c10259c"
)
START, STOP, READ = "7e0000020103f97e", "7e000100fe7e", "7e000300fc7e"
OK = "7e00{}0000{}7e"


@pytest.fixture
def still() -> StillAir:
    return StillAir()


def floats(still: StillAir, values: tuple[float, ...]) -> None:
    """Make the street such that the sensor measures these values (all but the typical size)."""
    still.pm = Particles(*values[:4])
    n0_5, n1_0, n2_5, n4_0, n10 = values[4:9]
    still.counts = Counts(n10, n10 - n0_5, n10 - n1_0, n10 - n2_5, n10 - n4_0, 0.0, 0.0)


def say(twin: Sps30, frame: str, t_s: float) -> str:
    return twin.receive(bytes.fromhex(frame), t_s).hex()


def refused(command: int, state: int) -> str:
    return shdlc_frame(bytes([0, command, state, 0])).hex()


def plain(capture: str) -> bytes:
    """A captured frame without stuffing, flags and check sum."""
    frame = bytes.fromhex(capture)
    for escaped, byte in (
        (b"\x7d\x31", b"\x11"),
        (b"\x7d\x33", b"\x13"),
        (b"\x7d\x5e", b"\x7e"),
        (b"\x7d\x5d", b"\x7d"),
    ):
        frame = frame.replace(escaped, byte)
    assert len(frame) == 47
    return frame[1:-2]


@pytest.mark.parametrize("capture", CAPTURES)
def test_shdlc_frames_are_the_captured_ones(capture: str) -> None:
    assert shdlc_frame(plain(capture)).hex() == capture


@given(st.binary(min_size=3, max_size=60), st.integers(0, 1000))
def test_stuffing_comes_off_as_it_went_on_and_a_flipped_bit_is_seen(content: bytes, bit: int) -> None:
    stuffed = bytearray(shdlc_frame(content)[1:-1])
    assert not {0x11, 0x13, 0x7E} & set(stuffed)
    assert shdlc_content(bytes(stuffed)) == content
    stuffed[bit // 8 % len(stuffed)] ^= 1 << bit % 8
    assert shdlc_content(bytes(stuffed)) != content


@pytest.mark.parametrize("capture", CAPTURES)
def test_a_sample_is_written_as_in_the_capture(still: StillAir, heard: Heard, capture: str) -> None:
    values = struct.unpack(">10f", plain(capture)[4:])
    floats(still, values)
    twin = Sps30(still, heard)
    assert say(twin, START, 0.0) == OK.format("00", "ff")
    reply = plain(say(twin, READ, 60.5))
    assert reply[:20] == plain(capture)[:20], "head and the four masses are the same to the bit"
    told = heard.values[-1]
    assert [told[name] for name in CHANNELS[:9]] == [pytest.approx(x, rel=1e-6) for x in values[:9]]
    assert list(told.values()) == list(struct.unpack(">10f", reply[4:]))
    assert told["typical_size"] == pytest.approx(values[9], abs=0.4)


def test_a_sample_over_i2c_is_the_same_in_words(still: StillAir, heard: Heard) -> None:
    words = bytes.fromhex(I2C_SAMPLE)
    payload = b"".join(words[i : i + 2] for i in range(0, len(words), 3))
    floats(still, struct.unpack(">10f", payload))
    twin = Sps30I2c(still, heard)
    twin.write(bytes.fromhex("00100300ac"), 0.0)
    assert ask(twin, "0300", 60, 60.5, 0.001)[:24] == I2C_SAMPLE[:24]
    assert with_crcs(payload).hex() == I2C_SAMPLE


def test_every_sample_is_read_once(still: StillAir, heard: Heard) -> None:
    twin = Sps30(still, heard)
    say(twin, START, 0.0)
    assert say(twin, READ, 0.5) == "7e00030000fc7e", "no data yet is not an error"
    assert len(say(twin, READ, 1.5)) > 90
    assert say(twin, READ, 1.6) == "7e00030000fc7e"
    assert len(heard.lines) == 1


@pytest.mark.parametrize(("density", "start_up_s"), [(500.0, 8.0), (150.0, 16.0), (20.0, 30.0)])
def test_readings_are_too_low_until_it_has_started_up(
    still: StillAir, heard: Heard, density: float, start_up_s: float
) -> None:
    still.counts = still.counts._replace(n0_3=density)
    twin = Sps30(still, heard)
    say(twin, START, 0.0)
    for t_s in (start_up_s - 1.0, start_up_s + 0.5, start_up_s + 5.0):
        say(twin, READ, t_s)
    early, settled, later = (values["pm2_5"] for values in heard.values)
    assert early is not None
    assert early < 8.0
    assert settled == later == pytest.approx(8.1)


def test_integers_tell_the_size_in_nm(still: StillAir, heard: Heard) -> None:
    twin = Sps30(still, heard)
    assert say(twin, shdlc_frame(bytes([0, 0, 2, 1, 5])).hex(), 0.0) == OK.format("00", "ff")
    reply = bytes.fromhex(say(twin, READ, 60.5))
    assert reply[4] == 20
    assert struct.unpack(">10H", reply[5:25])[:4] == (6, 8, 9, 10)
    assert heard.values[0]["typical_size"] == struct.unpack(">H", reply[23:25])[0] / 1000.0
    over_i2c = Sps30I2c(still, heard)
    over_i2c.write(bytes.fromhex("00100500f6"), 0.0)
    assert len(ask(over_i2c, "0300", 30, 60.5, 0.001)) == 60
    assert heard.values[1] == heard.values[0]


def test_states_that_refuse(still: StillAir, heard: Heard) -> None:
    twin = Sps30(still, heard)
    assert say(twin, "7e007d3100ee7e", 0.0) == "7e007d314300ab7e", "captured: awake already"
    for command in (0x01, 0x03, 0x56):
        assert say(twin, shdlc_frame(bytes([0, command, 0])).hex(), 1.0) == refused(command, 0x43)
    say(twin, START, 2.0)
    assert say(twin, START, 3.0) == "7e00004300bc7e"
    assert say(twin, shdlc_frame(bytes([0, 0x10, 0])).hex(), 4.0) == refused(0x10, 0x43)
    assert say(twin, STOP, 5.0) == refused(0x01, 0x00)
    assert say(twin, shdlc_frame(bytes([0, 0x77, 0])).hex(), 6.0) == refused(0x77, 0x02)
    assert say(twin, shdlc_frame(bytes([0, 0, 2, 1, 4])).hex(), 6.0) == refused(0x00, 0x04)
    assert say(twin, shdlc_frame(bytes([0, 0, 1, 1])).hex(), 6.0) == refused(0x00, 0x01)
    assert say(twin, shdlc_frame(bytes([0, 1, 7])).hex(), 6.0) == refused(0x01, 0x01)


def test_asleep_it_needs_a_pulse_and_then_the_wake_up(still: StillAir, heard: Heard) -> None:
    twin, wake, information = Sps30(still, heard), "7e007d3100ee7e", shdlc_frame(bytes([0, 0xD0, 1, 3])).hex()
    awake = "7e007d310000ee7e"
    assert say(twin, shdlc_frame(bytes([0, 0x10, 0])).hex(), 0.0) == refused(0x10, 0x00)
    assert say(twin, information, 1.0) == ""
    assert say(twin, wake, 2.0) == "", "it opened the interface, and was lost"
    assert say(twin, wake, 2.2) == "", "too late: this one opened it again"
    assert say(twin, wake, 2.25) == awake
    assert say(twin, information, 3.0) != ""
    say(twin, shdlc_frame(bytes([0, 0x10, 0])).hex(), 4.0)
    assert say(twin, "ff" + wake, 5.0) == awake


def test_frames_may_be_cut_anywhere_and_garbage_does_not_matter(still: StillAir, heard: Heard) -> None:
    twin = Sps30(still, heard)
    said = [say(twin, f"{byte:02x}", 0.0) for byte in bytes.fromhex("00ff7e01" + START + "42" + READ)]
    assert [reply for reply in said if reply] == [OK.format("00", "ff"), "7e00030000fc7e"]
    assert say(twin, "7e000300fd7e", 1.0) == "", "wrong check sum"
    assert say(twin, shdlc_frame(bytes([1, 3, 0])).hex(), 1.0) == "", "another address"
    assert twin.update(5.0) == (b"", NEVER_S)


def test_information(still: StillAir, heard: Heard) -> None:
    twin = Sps30(still, heard, serial="ABC")
    assert bytes.fromhex(say(twin, shdlc_frame(bytes([0, 0xD0, 1, 3])).hex(), 0.0))[4:9] == b"\4ABC\0"
    assert bytes.fromhex(say(twin, shdlc_frame(bytes([0, 0xD0, 1, 0])).hex(), 0.0))[5:-2] == b"00080000\0"
    assert bytes.fromhex(say(twin, shdlc_frame(bytes([0, 0xD1, 0])).hex(), 0.0))[4:8] == bytes([7, 2, 2, 0])
    assert (
        say(twin, shdlc_frame(bytes([0, 0xD2, 1, 0])).hex(), 0.0)
        == shdlc_frame(bytes([0, 0xD2, 0, 5]) + bytes(5)).hex()
    )
    with pytest.raises(ValueError, match="31"):
        Sps30(still, heard, serial=32 * "x")
    assert ask(Sps30I2c(still, heard, serial="ABC"), "d033", 6, 0.0, 0.001) == with_crcs(b"ABC\0").hex()


def test_cleaning_freezes_the_samples_and_comes_every_week(still: StillAir, heard: Heard) -> None:
    twin = Sps30(still, heard)
    say(twin, START, 0.0)
    assert say(twin, "7e005600a97e", 20.5) == refused(0x56, 0x00)
    assert len(say(twin, READ, 20.6)) > 90
    assert say(twin, READ, 30.4) == "7e00030000fc7e"
    assert len(say(twin, READ, 30.6)) > 90
    week_s = 604_800.0
    interval = bytes.fromhex(say(twin, shdlc_frame(bytes([0, 0x80, 1, 0])).hex(), 40.0))
    assert interval[5:9] == (604_800).to_bytes(4, "big")
    assert len(say(twin, READ, week_s + 1.0)) > 90
    assert say(twin, READ, week_s + 9.0) == "7e00030000fc7e"
    assert say(twin, shdlc_frame(bytes([0, 0x80, 5, 0]) + bytes(4)).hex(), week_s + 9.1) == refused(0x80, 0x00)
    assert len(say(twin, READ, week_s + 9.2)) > 90, "without automatic cleaning"


def test_reset_stops_it_and_takes_100_ms(still: StillAir, heard: Heard) -> None:
    twin = Sps30(still, heard)
    say(twin, START, 0.0)
    assert say(twin, shdlc_frame(bytes([0, 0xD3, 0])).hex(), 5.0) == refused(0xD3, 0x00)
    assert say(twin, READ, 5.05) == ""
    assert say(twin, READ, 5.2) == refused(0x03, 0x43)


def test_i2c_goes_on_when_the_host_is_gone_and_refuses_to_start_again(still: StillAir, heard: Heard) -> None:
    twin = Sps30I2c(still, heard)
    for idle in ("0300", "5607"):
        with pytest.raises(Nack):
            twin.write(bytes.fromhex(idle), 0.0)
    twin.write(bytes.fromhex("00100300ac"), 1.0)
    with pytest.raises(Nack):
        twin.write(b"", 1.019)
    assert ask(twin, "0202", 3, 1.5, 0.001) == "000081"
    assert ask(twin, "0202", 3, 2.1, 0.001) == with_crcs(b"\0\1").hex()
    first = ask(twin, "0300", 60, 2.2, 0.001)
    assert ask(twin, "0300", 60, 2.3, 0.001) == first, "the last sample again"
    assert ask(twin, "0202", 3, 2.4, 0.001) == "000081"
    for refused_now in ("00100300ac", "1001"):
        with pytest.raises(Nack):
            twin.write(bytes.fromhex(refused_now), 10.0)
    twin.write(bytes.fromhex("0104"), 11.0)
    twin.write(bytes.fromhex("00100300ac"), 12.0)


def test_i2c_sleep_wake_and_settings(still: StillAir, heard: Heard) -> None:
    twin = Sps30I2c(still, heard)
    twin.write(bytes.fromhex("8004") + with_crcs((86_400).to_bytes(4, "big")), 0.0)
    assert ask(twin, "8004", 6, 0.1, 0.005) == with_crcs((86_400).to_bytes(4, "big")).hex()
    assert ask(twin, "d206", 6, 0.2, 0.001) == with_crcs(bytes(4)).hex()
    twin.write(bytes.fromhex("1001"), 1.0)
    with pytest.raises(Nack):
        twin.write(bytes.fromhex("1103"), 2.0)
    with pytest.raises(Nack):
        twin.write(bytes.fromhex("d033"), 2.05)
    twin.write(bytes.fromhex("1103"), 2.08)
    assert ask(twin, "d100", 3, 2.2, 0.001) == with_crcs(b"\2\2").hex()
    twin.write(bytes.fromhex("d304"), 3.0)
    with pytest.raises(Nack):
        twin.write(b"", 3.09)


@pytest.mark.parametrize("bad", ["00", "beef", "0010", "00100400c7", "001003000000", "0104000081"])
def test_what_makes_no_sense_is_not_acknowledged(still: StillAir, heard: Heard, bad: str) -> None:
    with pytest.raises(Nack):
        Sps30I2c(still, heard).write(bytes.fromhex(bad), 0.0)


def test_playback(still: StillAir, heard: Heard) -> None:
    twin = Sps30(still, heard, frames=CAPTURES[:2])
    assert say(twin, READ, 0.0) == refused(0x03, 0x43)
    say(twin, START, 1.0)
    assert [say(twin, READ, t_s) for t_s in (2.0, 3.0, 4.0)] == [CAPTURES[0], CAPTURES[1], CAPTURES[1]]
    assert heard.values == [{}, {}, {}]
    over_i2c = Sps30I2c(still, heard, frames=[I2C_SAMPLE])
    over_i2c.write(bytes.fromhex("00100300ac"), 0.0)
    assert ask(over_i2c, "0300", 60, 2.0, 0.001) == I2C_SAMPLE
