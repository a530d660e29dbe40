from __future__ import annotations

import pytest
from still_street import Heard, StillStreet

from firmware_sim.device import NEVER_S
from firmware_sim.devices.ld2451 import Ld2451
from firmware_sim.street import Vehicle

IDLE = bytes.fromhex("f4f3f2f10000f8f7f6f5")
# Madproforg/HLK_LD2451; the last one has 05 for its six bytes, as some scripts do
ENABLE, END = bytes.fromhex("fdfcfbfa0400ff00010004030201"), bytes.fromhex("fdfcfbfa0200fe0004030201")
SET, READ = bytes.fromhex("fdfcfbfa060002006401050204030201"), bytes.fromhex("fdfcfbfa0200120004030201")
SENSITIVITY = bytes.fromhex("fdfcfbfa060003000404000004030201")
WRONG_LENGTH = bytes.fromhex("fdfcfbfa050002006401050204030201")
BAUD_9600, RESTART = bytes.fromhex("fdfcfbfa0400a100010004030201"), bytes.fromhex("fdfcfbfa0200a30004030201")
FACTORY, FIRMWARE = bytes.fromhex("fdfcfbfa0200a20004030201"), bytes.fromhex("fdfcfbfa0200a00004030201")


def frames(twin: Ld2451, from_s: float, count: int) -> list[bytes]:
    twin.update(from_s)
    return [twin.update(from_s + 0.1 * (k + 1) + 1e-6)[0] for k in range(count)]


def ack(text: str) -> bytes:
    body = bytes.fromhex(text)
    return bytes.fromhex("fdfcfbfa") + len(body).to_bytes(2, "little") + body + bytes.fromhex("04030201")


def test_ten_idle_frames_a_second(still: StillStreet, heard: Heard) -> None:
    assert frames(Ld2451(still, heard), 0.0, 5) == [IDLE] * 5
    assert heard.values == []


def test_the_firmware_that_falls_silent(still: StillStreet, heard: Heard) -> None:
    twin = Ld2451(still, heard, silent_when_idle=True)
    assert frames(twin, 0.0, 5) == [b""] * 5
    still.traffic = [Vehicle(3.0, 10.0, 60.0)]
    assert all(frame.startswith(IDLE[:4]) for frame in frames(twin, 1.0, 5))


@pytest.mark.parametrize(("speed_m_s", "direction"), [(10.0, 1), (-10.0, 0)])
def test_a_vehicle(still: StillStreet, heard: Heard, speed_m_s: float, direction: int) -> None:
    """20 m along the road and 3 m or 6.5 m aside."""
    still.traffic = [Vehicle(100.0, speed_m_s, 60.0)]
    twin = Ld2451(still, heard)
    twin.update(100.0 - 20.0 / speed_m_s - 0.1)
    (frame,) = [twin.update(100.0 - 20.0 / speed_m_s)[0]]
    angle, km_h = (-9, 36) if direction else (-18, 34)
    distance = 20 if direction else 21
    payload = bytes([1, direction, angle + 0x80, distance, direction, km_h])
    assert frame[6:12] == payload
    assert frame[4:6] == b"\x07\x00"
    (values,) = heard.values
    sign = 1.0 if direction else -1.0
    assert (values["angle"], values["distance"]) == (angle, distance)
    assert values["speed"] == pytest.approx(sign * km_h / 3.6)
    assert values["signal_to_noise"] == frame[12]


def test_two_vehicles_are_two_targets_the_nearest_first(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(100.0, 10.0, 60.0), Vehicle(101.0, 10.0, 60.0)]
    (frame,) = frames(Ld2451(still, heard), 97.9, 1)
    assert frame[6] == 2
    assert frame[9] < frame[14]
    assert [values["distance"] for values in heard.values] == [frame[9], frame[14]]


def test_configuration_ends_the_reports_until_it_is_left(still: StillStreet, heard: Heard) -> None:
    twin = Ld2451(still, heard)
    assert twin.receive(READ, 0.0) == b"", "not in config mode"
    assert twin.receive(ENABLE, 0.0) == ack("ff01 0000 0100 4000")
    assert twin.update(10.0) == (b"", NEVER_S)
    assert twin.receive(READ, 10.0) == ack("1201 0000 64020001")
    assert twin.receive(WRONG_LENGTH, 10.0) == b""
    assert twin.receive(SET + SENSITIVITY, 11.0) == ack("0201 0000") + ack("0301 0000")
    assert twin.receive(READ, 11.0) == ack("1201 0000 64010502")
    assert twin.receive(FIRMWARE, 11.0) == ack("a001 0000 5124 0101 10150524")
    assert twin.receive(END, 12.0) == bytes.fromhex("fdfcfbfa0400fe01000004030201")
    assert frames(twin, 12.0, 1) == [IDLE]


def test_filters(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(100.0, 10.0, 60.0), Vehicle(96.0, -10.0, 60.0)]
    for detection, ways in (
        ("64020000", [0, 1]),
        ("64010000", [1]),
        ("64000000", [0]),
        ("64020000", [0, 1]),
        ("0a020000", []),
    ):
        twin = Ld2451(still, heard)
        setting = bytes.fromhex("fdfcfbfa06000200" + detection + "04030201")
        twin.receive(ENABLE + setting + END, 97.0)
        (frame,) = frames(twin, 97.9, 1)
        assert sorted(frame[10 + 5 * k] for k in range(frame[6] if len(frame) > 10 else 0)) == ways
    twin.receive(ENABLE + bytes.fromhex("fdfcfbfa060002006402280004030201") + END, 98.0)
    assert frames(twin, 98.1, 1) == [IDLE], "both are slower than 40 km/h"


def test_speed_settings_and_restart(still: StillStreet, heard: Heard) -> None:
    twin = Ld2451(still, heard)
    twin.receive(ENABLE + SET, 0.0)
    assert twin.receive(BAUD_9600, 0.0) == ack("a101 0000")
    assert twin.baud == 115200
    assert twin.receive(RESTART, 1.0) == ack("a301 0000")
    assert twin.baud == 9600
    assert twin.receive(ENABLE, 1.5) == b"", "it is starting"
    assert twin.receive(ENABLE + READ, 2.1).endswith(ack("1201 0000 64010502"))
    assert twin.receive(FACTORY + READ + RESTART, 3.0).count(bytes.fromhex("04030201")) == 3
    assert twin.baud == 115200


@pytest.mark.parametrize("bad", ["0200 6403 0502", "0300 04020000", "a100 0900", "7700"])
def test_what_cannot_be_is_refused(still: StillStreet, heard: Heard, bad: str) -> None:
    body = bytes.fromhex(bad)
    command = bytes.fromhex("fdfcfbfa") + len(body).to_bytes(2, "little") + body + bytes.fromhex("04030201")
    twin = Ld2451(still, heard)
    twin.receive(ENABLE, 0.0)
    assert twin.receive(command, 0.0)[8:10] == b"\1\0"


def test_commands_may_come_byte_by_byte_behind_noise(still: StillStreet, heard: Heard) -> None:
    twin = Ld2451(still, heard)
    noise = bytes.fromhex("fdfcfbfdfd00ff")
    replies = [twin.receive(bytes([byte]), 0.0) for byte in noise + ENABLE + END]
    assert len([reply for reply in replies if reply]) == 2
    assert twin.receive(bytes.fromhex("fdfcfbfaffff") + bytes(20) + ENABLE, 1.0) == ack("ff01 0000 0100 4000")


def test_playback(still: StillStreet, heard: Heard) -> None:
    # a log of hardware by beale; and a payload that imitates the footer
    captured = ["f4f3f2f107000101800d01037bf8f7f6f5", "f4f3f2f10700010180f801f7f6f8f7f6f5"]
    twin = Ld2451(still, heard, frames=captured)
    assert [frame.hex() for frame in frames(twin, 0.0, 3)] == [*captured, captured[1]]
    assert heard.values == [{}, {}, {}]
