from __future__ import annotations

import struct

import pytest
from still_street import Heard, StillStreet

from firmware_sim.device import NEVER_S
from firmware_sim.devices.kld7 import FIRMWARE, RPST, Kld7
from firmware_sim.street import Vehicle

INIT = bytes.fromhex("494e49540400000000000000")  # data sheet 12/2020 Rev B, p. 19
RESPONSE = {k: bytes.fromhex("5245535001000000") + bytes([k]) for k in range(6)}
NO_TARGET = bytes.fromhex("5444415400000000")


def packet(name: str, value: int | bytes | None = None) -> bytes:
    payload = b"" if value is None else value if isinstance(value, bytes) else struct.pack("<i", value)
    return name.encode("ascii") + len(payload).to_bytes(4, "little") + payload


def connected(still: StillStreet, heard: Heard, t_s: float = 0.0) -> Kld7:
    """With the limits of a road: 100 km/h, 100 m, all of it."""
    twin = Kld7(still, heard)
    for command in (INIT, packet("RSPI", 3), packet("RRAI", 3), packet("MARA", 100)):
        assert twin.receive(command, t_s) == RESPONSE[0]
    return twin


def fetch(twin: Kld7, mask: int, t_s: float) -> bytes:
    assert twin.receive(packet("GNFD", mask), t_s) == RESPONSE[0]
    said, due_s = twin.update(t_s)
    assert said == b""
    assert due_s <= t_s + 0.0291
    return twin.update(due_s)[0]


def test_it_hears_nothing_before_init(still: StillStreet, heard: Heard) -> None:
    twin = Kld7(still, heard)
    assert twin.receive(packet("GNFD", 8), 0.0) == b""
    assert twin.receive(INIT, 1.0) == bytes.fromhex("524553500100000000")
    assert twin.update(1.0) == (b"", NEVER_S)


def test_no_target(still: StillStreet, heard: Heard) -> None:
    assert fetch(connected(still, heard), 8, 10.0) == NO_TARGET
    assert heard.values == []


@pytest.mark.parametrize(("speed_m_s", "sign"), [(10.0, -1), (-10.0, 1)])
def test_a_target(still: StillStreet, heard: Heard, speed_m_s: float, sign: int) -> None:
    still.traffic = [Vehicle(100.0, speed_m_s, 60.0)]
    twin = connected(still, heard, 90.0)
    said = fetch(twin, 8, 100.0 - 20.0 / speed_m_s)
    assert said[:8] == b"TDAT\x08\0\0\0"
    cm, centi_km_h, centi_deg, magnitude = struct.unpack("<HhhH", said[8:])
    assert 1900 < cm < 2200
    assert 3400 < sign * centi_km_h < 3600, "positive leaves"
    assert centi_deg < 0
    assert heard.values == [
        {
            "distance": cm / 100.0,
            "speed": pytest.approx(-centi_km_h / 360.0),
            "angle": centi_deg / 100.0,
            "magnitude": magnitude,
        }
    ]


def test_everything_in_the_order_of_the_mask(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(100.0, 10.0, 60.0), Vehicle(101.0, 10.0, 60.0)]
    said = fetch(connected(still, heard, 90.0), 0x3F, 98.0)
    names, at = [], 0
    while at < len(said):
        name, size = struct.unpack_from("<4sI", said, at)
        names.append((name.decode("ascii"), size))
        at += 8 + size
    assert names == [("RADC", 3072), ("RFFT", 1024), ("PDAT", 16), ("TDAT", 8), ("DDAT", 6), ("DONE", 4)]
    assert said[-18:-12] == bytes([1, 0, 0, 0, 0, 0])[:6]
    assert len(heard.values) == 1


def test_busy_while_a_frame_is_fetched(still: StillStreet, heard: Heard) -> None:
    twin = connected(still, heard)
    assert twin.receive(packet("GNFD", 8) * 2, 1.0) == RESPONSE[0] + RESPONSE[5]
    assert twin.update(1.1)[0] == NO_TARGET
    assert fetch(twin, 8, 1.2) == NO_TARGET


def test_faster_than_the_limit_is_seen_as_another_speed(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(100.0, 10.0, 60.0)]
    twin = connected(still, heard, 90.0)
    twin.receive(packet("RSPI", 1), 90.0)  # up to 25 km/h
    twin.receive(packet("GNFD", 8), 98.0)
    said = twin.update(98.2)[0]
    (centi_km_h,) = struct.unpack("<h", said[10:12])
    assert 1400 < centi_km_h < 1600, "35 km/h nearer reads as 15 km/h away"


def test_speed_changes_after_the_response_and_outlives_the_host(still: StillStreet, heard: Heard) -> None:
    twin = Kld7(still, heard)
    assert twin.receive(packet("INIT", 4), 0.0) == RESPONSE[0]
    assert twin.baud == 3_000_000
    twin.update(3600.0)
    assert twin.baud == 3_000_000
    assert twin.receive(packet("GBYE"), 3601.0) == RESPONSE[0]
    assert twin.baud == 115200
    assert twin.receive(packet("GRPS"), 3602.0) == b""
    twin.receive(packet("INIT", 1), 3603.0)
    twin.power_cycle(3604.0)
    assert twin.baud == 115200


def test_parameters(still: StillStreet, heard: Heard) -> None:
    twin = connected(still, heard)
    said = twin.receive(packet("GRPS"), 0.0)
    assert said[:17] == RESPONSE[0] + b"RPST\x2a\0\0\0"
    values = RPST.unpack(said[17:])
    assert values[:4] == (FIRMWARE, 0, 3, 3)
    assert values[9:11] == (-90, 90)
    assert twin.receive(packet("MIAN", -30) + packet("HOLD", 600), 0.0) == RESPONSE[0] * 2
    changed = RPST.unpack(twin.receive(packet("GRPS"), 0.0)[17:])
    assert (changed[9], changed[20]) == (-30, 600)
    assert twin.receive(packet("SRPS", RPST.pack(*values)), 0.0) == RESPONSE[0]
    assert RPST.unpack(twin.receive(packet("GRPS"), 0.0)[17:]) == values
    assert twin.receive(packet("SRPS", b"X" + RPST.pack(*values)[1:]), 0.0) == RESPONSE[3]
    assert twin.receive(packet("RFSE"), 0.0) == RESPONSE[0]
    assert RPST.unpack(twin.receive(packet("GRPS"), 0.0)[17:])[2] == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (packet("ABCD"), 1),
        (packet("INIT", 5), 2),
        (packet("INIT"), 2),
        (packet("GNFD", 0), 2),
        (packet("GNFD", 64), 2),
        (packet("THOF", 9), 2),
        (packet("SRPS", b"\0"), 2),
    ],
)
def test_refusals(still: StillStreet, heard: Heard, command: bytes, code: int) -> None:
    assert connected(still, heard).receive(command, 0.0) == RESPONSE[code]


def test_filters(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(100.0, 10.0, 60.0)]
    for name, value in (("DEDI", 1), ("MISP", 50), ("MASP", 10), ("MIRA", 50), ("MIAN", 0)):
        twin = connected(still, heard, 90.0)
        assert fetch(twin, 8, 98.0) != NO_TARGET
        twin.receive(packet(name, value), 98.05)
        assert fetch(twin, 8, 98.06) == NO_TARGET, name


def test_half_a_packet_is_forgotten_and_noise_is_skipped(still: StillStreet, heard: Heard) -> None:
    twin = connected(still, heard)
    assert twin.receive(packet("GNFD", 8)[:7], 1.0) == b""
    replies = [twin.receive(bytes([byte]), 2.0) for byte in b"\x00\xffxx" + INIT]
    assert [reply for reply in replies if reply] == [RESPONSE[0]]


def test_playback(still: StillStreet, heard: Heard) -> None:
    golden = "5444415408000000500097ff2f071518"  # data sheet, p. 19: 0.8 m, -1.05 km/h, 18.39 deg
    twin = Kld7(still, heard, frames=[golden])
    twin.receive(INIT, 0.0)
    twin.receive(packet("GNFD", 8), 0.0)
    assert twin.update(1.0)[0].hex() == golden
    assert heard.values == [{}]
