from __future__ import annotations

import struct

import pytest
from still_street import Heard, StillStreet

from firmware_sim.devices.nsrt_mk4 import NsrtMk4
from firmware_sim.street import Street

# bytes as nsrt-mk3-dev 1.0.0 writes them
READ_LEVEL = bytes.fromhex("100000800000000004000000")
READ_LEQ = bytes.fromhex("110000800000000004000000")
READ_TAU = bytes.fromhex("220000800000000004000000")


def command(word: int, count: int, data: bytes = b"") -> bytes:
    return struct.pack("<3I", word, 0, count) + data


def test_level_and_leq_are_floats(still: StillStreet, heard: Heard) -> None:
    twin = NsrtMk4(still, heard)
    twin.update(0.0)
    assert twin.receive(READ_LEVEL, 1.0) == bytes.fromhex("00007542")  # 61.25 dB
    assert twin.receive(READ_LEQ, 1.0) == bytes.fromhex("00007542")
    assert heard.values == [{"level": 61.25}, {"laeq": 61.25}]


def test_reading_leq_starts_a_new_one() -> None:
    street, heard, t_s = Street(7), Heard(), 1767182400.0
    twin = NsrtMk4(street, heard)
    twin.update(t_s)
    for from_s, to_s in ((0.0, 1.0), (1.0, 2.0), (2.0, 17.0), (17.0, 17.5)):
        (leq,) = struct.unpack("<f", twin.receive(READ_LEQ, t_s + to_s))
        assert leq == pytest.approx(street.laeq_db(t_s + from_s, t_s + to_s), abs=1e-4)


def test_wake_ups_between_do_not_change_the_leq() -> None:
    t_s = 1767182400.0
    busy, idle = NsrtMk4(Street(7), Heard()), NsrtMk4(Street(7), Heard())
    busy.update(t_s)
    idle.update(t_s)
    for k in range(1, 30):
        busy.update(t_s + k)
    assert busy.receive(READ_LEQ, t_s + 30) == idle.receive(READ_LEQ, t_s + 30)


@pytest.mark.parametrize(
    ("word", "reply"),
    [
        (0x20, b"\x01"),
        (0x21, struct.pack("<H", 48000)),
        (0x22, struct.pack("<f", 1.0)),
        (0x31, b"NSRT_mk4_Dev".ljust(32, b"\0")),
        (0x34, struct.pack("<Q", 3786912000)),
    ],
)
def test_registers_from_the_factory(still: StillStreet, heard: Heard, word: int, reply: bytes) -> None:
    assert NsrtMk4(still, heard).receive(command(0x80000000 | word, len(reply)), 0.0) == reply


def test_born_on_the_day_that_it_says() -> None:
    from datetime import UTC, datetime, timedelta

    assert datetime(1904, 1, 1, tzinfo=UTC) + timedelta(seconds=3786912000) == datetime(2024, 1, 1, tzinfo=UTC)


# the second of each pair as nsrt-mk3-dev 1.0.0 sends it: count = 1 for more than one byte
@pytest.mark.parametrize("count", [4, 1])
def test_writes_are_acknowledged_and_kept(still: StillStreet, heard: Heard, count: int) -> None:
    twin = NsrtMk4(still, heard)
    assert twin.receive(command(0x22, count, struct.pack("<f", 0.125)), 0.0) == b"\x06"
    assert twin.receive(READ_TAU, 0.1) == struct.pack("<f", 0.125)
    assert twin.receive(command(0x36, 3, b"N1\0"), 0.2) == b"\x06"
    assert twin.receive(command(0x80000036, 32), 0.3) == b"N1".ljust(32, b"\0")


@pytest.mark.parametrize("tau_s", [float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 3e38])
def test_a_time_constant_that_is_none_stops_nobody(heard: Heard, tau_s: float) -> None:
    twin, t_s = NsrtMk4(Street(7), heard), 1767182400.0
    assert twin.receive(command(0x22, 4, struct.pack("<f", tau_s)), t_s) == b"\x06"
    (level,) = struct.unpack("<f", twin.receive(READ_LEVEL, t_s + 1.0))
    assert 30.0 < level < 110.0


def test_weighting_changes_what_is_measured(still: StillStreet, heard: Heard) -> None:
    twin = NsrtMk4(still, heard)
    assert twin.receive(command(0x20, 1, b"\0"), 0.0) == b"\x06"
    twin.receive(READ_LEQ, 1.0)
    assert heard.values == [{"lceq": 69.25}]


@pytest.mark.parametrize(
    "bad",
    [
        command(0x80000099, 4),
        command(0x80000011, 8),
        command(0x11, 4, bytes(4)),
        command(0x20, 1, b"\x07"),
        command(0x21, 2, b"\0\0"),
    ],
    ids=["unknown", "count", "read-only", "weighting", "sampling"],
)
def test_malformed_commands_get_no_answer_and_do_no_harm(still: StillStreet, heard: Heard, bad: bytes) -> None:
    twin = NsrtMk4(still, heard)
    assert twin.receive(bad, 0.0) == b""
    assert twin.receive(READ_LEQ, 0.1) == bytes.fromhex("00007542")


def test_half_a_command_is_forgotten_after_a_second(still: StillStreet, heard: Heard) -> None:
    twin = NsrtMk4(still, heard)
    assert twin.receive(READ_LEQ[:5], 0.0) == b""
    assert len(twin.receive(READ_LEQ[5:], 0.5)) == 4
    assert twin.receive(READ_LEQ[:5], 1.0) == b""
    assert len(twin.receive(READ_LEQ, 3.0)) == 4


def test_playback(still: StillStreet, heard: Heard) -> None:
    twin = NsrtMk4(still, heard, frames=["00007542", "0000c07f"])
    assert [twin.receive(READ_LEQ, t_s).hex() for t_s in (1.0, 2.0, 3.0)] == ["00007542", "0000c07f", "0000c07f"]
    assert twin.receive(READ_TAU, 4.0) == struct.pack("<f", 1.0)
