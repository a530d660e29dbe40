from __future__ import annotations

import struct

import pytest
from still_street import Heard, StillStreet

from firmware_sim.checks import benewake_sum
from firmware_sim.device import NEVER_S
from firmware_sim.devices.lidar_beam import FAR_M, NEAR_M, length_m
from firmware_sim.devices.tfmini import Tfmini
from firmware_sim.street import Vehicle

VERSION, RESTART, SAVE, FACTORY = (bytes.fromhex(h) for h in ("5a04015f", "5a040260", "5a04116f", "5a04106e"))
RATE_10, TRIGGERED, TRIGGER = (bytes.fromhex(h) for h in ("5a06030a006d", "5a0603000063", "5a040462"))
OFF, ON, MILLIMETRES, TEXT = (bytes.fromhex(h) for h in ("5a05070066", "5a05070167", "5a0505066a", "5a05050266"))


def listen(twin: Tfmini, from_s: float, to_s: float) -> bytes:
    said, t_s = b"", from_s
    while t_s <= to_s:
        piece, t_s = twin.update(t_s)
        said += piece
    return said


def distances(said: bytes) -> list[int]:
    assert len(said) % 9 == 0
    frames = [said[k : k + 9] for k in range(0, len(said), 9)]
    assert all(frame[:2] == b"YY" and benewake_sum(frame[:8]) == frame[8] for frame in frames)
    return [int.from_bytes(frame[2:4], "little") for frame in frames]


def test_the_golden_frame(still: StillStreet, heard: Heard) -> None:
    """TF-Luna manual A05 layout: 500 cm, strength 1200 (here 800), 25.0 degC."""
    still.air_degc = 13.0
    twin = Tfmini(still, heard, background_m=5.0)
    twin.update(0.0)
    body = struct.pack("<2sHHH", b"YY", 500, 800, 0x08C8)
    assert twin.update(0.011) == (body + bytes([benewake_sum(body)]), pytest.approx(0.02))
    assert heard.values == [{"distance": 5.0, "strength": 800.0, "temperature": 25.0}]


def test_a_hundred_frames_a_second(still: StillStreet, heard: Heard) -> None:
    assert distances(listen(Tfmini(still, heard), 0.0, 1.005)) == [790] * 100


@pytest.mark.parametrize(("speed_m_s", "side_m"), [(10.0, NEAR_M), (-20.0, FAR_M)])
def test_a_vehicle_is_nearer_than_the_kerb_while_it_passes(
    still: StillStreet, heard: Heard, speed_m_s: float, side_m: float
) -> None:
    still.traffic = [Vehicle(5.0, speed_m_s, 60.0)]
    seen = distances(listen(Tfmini(still, heard), 0.0, 10.0))
    hidden = [cm for cm in seen if cm < 700]
    assert set(hidden) == {round(100 * side_m)}
    assert len(hidden) == pytest.approx(4.4 / abs(speed_m_s) * 100, abs=1.5)


def test_louder_vehicles_are_longer() -> None:
    assert length_m(Vehicle(0.0, 10.0, 60.0)) == 4.4
    assert 4.4 < length_m(Vehicle(0.0, 10.0, 70.0)) < 12.0 == length_m(Vehicle(0.0, 10.0, 90.0))


def test_too_weak_is_no_distance(still: StillStreet, heard: Heard) -> None:
    assert distances(listen(Tfmini(still, heard, background_m=20.0), 0.0, 0.015)) == [0]
    assert heard.values[0]["distance"] is None
    assert heard.values[0]["strength"] == 50.0
    assert distances(listen(Tfmini(still, heard, model="tf_luna", background_m=10.0), 0.0, 0.015)) == [0]


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (VERSION, "5a07010306016c"),
        (RATE_10, "5a06030a006d"),
        (OFF, "5a05070066"),
        (MILLIMETRES, "5a0505066a"),
        (SAVE, "5a05110070"),
        (RESTART, "5a05020061"),
        (FACTORY, "5a0510006f"),
        (bytes.fromhex("5a0806002c0100") + b"\x95", ""),  # 76800 baud
        (bytes.fromhex("5a06033c00") + b"\x9f", ""),  # 60 frames a second
        (bytes.fromhex("5a05070065"), ""),  # wrong sum
        (bytes.fromhex("5a0577") + b"\x01\xd7", ""),
        (bytes.fromhex("5aff5a00"), ""),
    ],
)
def test_replies(still: StillStreet, heard: Heard, command: bytes, reply: str) -> None:
    assert Tfmini(still, heard).receive(command, 0.0) == bytes.fromhex(reply)


def test_settings_are_lost_unless_they_are_saved(still: StillStreet, heard: Heard) -> None:
    twin = Tfmini(still, heard)
    twin.receive(RATE_10 + MILLIMETRES, 0.0)
    assert distances(listen(twin, 0.0, 1.05)) == [7900] * 10
    twin.power_cycle(2.0)
    assert len(distances(listen(twin, 2.0, 3.505))) == 100, "half a second to start"
    twin.receive(RATE_10 + SAVE, 4.0)
    twin.receive(RESTART, 5.0)
    assert twin.receive(VERSION, 5.1) == b"", "it is starting"
    assert len(distances(listen(twin, 5.2, 6.55))) == 10
    twin.receive(FACTORY, 7.0)
    twin.power_cycle(8.0)
    assert len(distances(listen(twin, 8.0, 9.505))) == 100


def test_trigger_and_output(still: StillStreet, heard: Heard) -> None:
    twin = Tfmini(still, heard)
    assert twin.receive(TRIGGER, 0.0) == b"", "not while it streams"
    twin.receive(TRIGGERED, 0.0)
    assert twin.update(1.0) == (b"", NEVER_S)
    assert distances(twin.receive(TRIGGER, 1.0)) == [790]
    twin.receive(OFF, 2.0)
    assert twin.receive(TRIGGER, 2.0) == b""
    twin.receive(ON + RATE_10, 3.0)
    assert twin.update(3.0) == (b"", pytest.approx(3.1))


def test_text(still: StillStreet, heard: Heard) -> None:
    twin = Tfmini(still, heard)
    twin.receive(TEXT, 0.0)
    assert listen(twin, 0.0, 0.025) == b"7.90\r\n7.90\r\n"
    assert heard.values == [{"distance": 7.9}] * 2


def test_speed(still: StillStreet, heard: Heard) -> None:
    twin = Tfmini(still, heard)
    body = bytes.fromhex("5a080600960000")
    assert twin.receive(body + bytes([benewake_sum(body)]), 0.0)[:3] == body[:3]
    assert twin.baud == 38400


def test_a_luna_takes_any_sum(still: StillStreet, heard: Heard) -> None:
    twin = Tfmini(still, heard, model="tf_luna")
    assert twin.receive(bytes.fromhex("5a05070000"), 0.0) == bytes.fromhex("5a05070066")


def test_commands_may_come_byte_by_byte(still: StillStreet, heard: Heard) -> None:
    twin = Tfmini(still, heard)
    replies = [twin.receive(bytes([byte]), 0.0) for byte in b"\x00\x5a" + VERSION]
    assert b"".join(replies).endswith(bytes.fromhex("5a07010306016c"))


def test_late_wake_up_does_not_bring_old_frames(still: StillStreet, heard: Heard) -> None:
    twin = Tfmini(still, heard)
    twin.update(0.0)
    assert len(twin.update(60.0)[0]) <= 50 * 9


def test_playback_and_options(still: StillStreet, heard: Heard) -> None:
    twin = Tfmini(still, heard, frames=["59590000ffffc80880"])  # overexposed
    twin.update(0.0)
    assert twin.update(0.011)[0].hex() == "59590000ffffc80880"
    assert heard.values == [{}]
    for options in ({"model": "tfmini"}, {"background_m": 0.0}):
        with pytest.raises(ValueError, match=r"model|background_m"):
            Tfmini(still, heard, **options)  # type: ignore[arg-type]
