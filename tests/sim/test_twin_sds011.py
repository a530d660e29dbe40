from __future__ import annotations

import pytest
from still_street import Heard, StillStreet

from firmware_sim.device import NEVER_S
from firmware_sim.devices.sds011 import WAKE_JUNK, Sds011
from firmware_sim.street import Particles


def command(what: int, is_set: int = 0, value: int = 0, target: str = "ffff", new_id: str = "0000") -> bytes:
    """A command as protocol V1.3 draws it."""
    body = bytes([what, is_set, value]) + bytes(8) + bytes(2)
    body = body[:11] + bytes.fromhex(new_id) + bytes.fromhex(target)
    return b"\xaa\xb4" + body + bytes([sum(body) % 256, 0xAB])


ACTIVE, QUERY_MODE, QUERY = command(2, 1, 0), command(2, 1, 1), command(4)
SLEEP = command(6, 1, 0)
WORK = bytes.fromhex("aab406010100000000000000000000ffff06ab")  # airrohr-firmware utils.cpp, protocol V1.3
CONTINUOUS = bytes.fromhex("aab408010000000000000000000000ffff07ab")


def test_the_commands_of_this_test_are_those_of_the_protocol() -> None:
    assert command(6, 1, 1) == WORK
    assert command(8, 1, 0) == CONTINUOUS


# captures: PyPMS tests/captured_data/SDS01x.hexdump lines 1 and 2; community.particle.io/t/24221; protocol V1.3
@pytest.mark.parametrize(
    ("pm2_5", "pm10", "device_id", "frame"),
    [
        (0.6, 0.6, "58d9", "aac00600060058d93dab"),
        (0.9, 0.9, "58d9", "aac00900090058d943ab"),
        (14.0, 14.8, "bcf9", "aac08c009400bcf9d5ab"),
        (123.6, 261.8, "a160", "aac0d4043a0aa1601dab"),
    ],
)
def test_active_mode_sends_the_captured_frames(
    still: StillStreet, heard: Heard, pm2_5: float, pm10: float, device_id: str, frame: str
) -> None:
    still.pm = Particles(0.0, pm2_5, pm2_5, pm10)
    twin = Sds011(still, heard, device_id=device_id)
    assert twin.update(100.0) == (b"", 101.0)
    assert twin.update(101.0) == (bytes.fromhex(frame), 102.0)
    assert heard.lines == [(101.0, {"pm2_5": pm2_5, "pm10": pm10})]


def test_values_stop_at_999_9(still: StillStreet, heard: Heard) -> None:
    still.pm = Particles(0.0, 1500.0, 1500.0, 4000.0)
    assert Sds011(still, heard).receive(QUERY, 0.0)[2:6] == (9999).to_bytes(2, "little") * 2


def test_query_mode_is_silent_until_asked(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard, device_id="ece1")
    assert twin.receive(QUERY_MODE, 0.0) == bytes.fromhex("aac502010100ece1d1ab")
    assert twin.update(10.0) == (b"", NEVER_S)
    assert twin.receive(QUERY, 11.0)[:2] == b"\xaa\xc0"
    assert len(heard.lines) == 1


def test_reply_to_work_is_the_captured_one(still: StillStreet, heard: Heard) -> None:
    assert Sds011(still, heard, device_id="ece1").receive(WORK, 0.0) == bytes.fromhex("aac506010100ece1d5ab")


def test_asleep_it_hears_only_the_second_wake(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard)
    assert twin.receive(QUERY_MODE + SLEEP, 0.0).endswith(bytes.fromhex("aac506010000a16008ab"))
    assert twin.receive(QUERY + command(7) + command(6), 1.0) == b""
    # captured: github.com/lewapek/sds-dust-sensors-arduino-library/issues/6
    assert twin.receive(WORK, 2.0) == WAKE_JUNK == bytes.fromhex("ad50105edd")
    assert twin.receive(QUERY, 2.1) == b""
    assert twin.receive(WORK, 2.2) == bytes.fromhex("aac506010100a16009ab")
    assert twin.update(5.0) == (b"", NEVER_S), "the report mode outlives sleep"
    assert twin.receive(QUERY, 6.0)[:2] == b"\xaa\xc0"


def test_firmware_period_and_id(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard)
    assert twin.receive(command(7), 0.0) == bytes.fromhex("aac5070f070aa16028ab")
    assert twin.receive(CONTINUOUS, 0.0) == bytes.fromhex("aac508010000a1600aab")
    assert twin.receive(command(8, 1, 31), 0.0) == b""
    assert twin.receive(command(8, 1, 3), 0.0)[2:5] == bytes([8, 1, 3])
    assert twin.receive(command(8), 0.0)[2:5] == bytes([8, 0, 3])
    assert twin.receive(command(5, new_id="a001"), 0.0) == bytes.fromhex("aac505000000a001a6ab")
    assert twin.receive(command(7, target="a160"), 0.0) == b"", "meant for another sensor"
    assert twin.receive(command(7, target="a001"), 0.0)[6:8] == bytes.fromhex("a001")


def test_working_period_gives_one_frame_after_30_s_of_work(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard)
    twin.receive(command(8, 1, 2), 0.0)
    assert twin.update(0.0) == (b"", 30.0)
    said, again_s = twin.update(30.0)
    assert (len(said), again_s) == (10, 150.0)


def test_bad_commands_are_ignored_and_the_next_good_one_is_heard(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard)
    wrong_sum, wrong_tail = bytearray(QUERY), bytearray(QUERY)
    wrong_sum[17] ^= 1
    wrong_tail[18] = 0
    assert twin.receive(bytes(wrong_sum) + bytes(wrong_tail) + b"\xaa\x00\xb4", 0.0) == b""
    assert len(twin.receive(QUERY, 0.1)) == 10


def test_commands_may_come_byte_by_byte(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard)
    replies = [twin.receive(bytes([byte]), 0.0) for byte in b"\xaa" + QUERY + WORK]
    assert [len(reply) for reply in replies if reply] == [10, 10]


def test_late_wake_up_does_not_bring_old_frames(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard)
    twin.update(0.0)
    said, again_s = twin.update(60.5)
    assert (len(said), again_s) == (20, 61.0)


def test_playback_ends_with_the_last_frame(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard, frames=["aac00600060058d93dab", "00ff"])
    twin.update(0.0)
    assert [twin.update(t_s)[0].hex() for t_s in (1.0, 2.0, 3.0)] == ["aac00600060058d93dab", "00ff", "00ff"]
    assert heard.values == [{}, {}, {}]


def test_what_it_keeps_without_power(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard)
    twin.receive(command(5, new_id="beef"), 0.0)
    twin.receive(QUERY_MODE, 0.0)
    twin.receive(QUERY[:7], 0.0)
    twin.power_cycle(5.0)
    assert twin.update(6.0) == (b"", NEVER_S)
    assert twin.receive(QUERY, 7.0)[6:8] == bytes.fromhex("beef"), "and half a command is gone"
    twin.receive(SLEEP, 8.0)
    twin.receive(WORK, 9.0)
    twin.power_cycle(10.0)
    assert twin.receive(WORK, 11.0) == WAKE_JUNK, "asleep again: the first waking is lost once more"
    assert twin.receive(WORK, 12.0)[:3] == bytes.fromhex("aac506")


def test_without_power_it_loses_no_second_twice(still: StillStreet, heard: Heard) -> None:
    twin = Sds011(still, heard)
    assert twin.update(0.0) == (b"", 1.0)
    twin.power_cycle(3.4)
    assert twin.update(3.4) == (b"", 4.4)
