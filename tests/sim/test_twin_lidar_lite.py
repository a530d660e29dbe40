from __future__ import annotations

import pytest
from still_street import Heard, StillStreet

from firmware_sim.device import Nack
from firmware_sim.devices.lidar_beam import FAR_M
from firmware_sim.devices.lidar_lite import LidarLite
from firmware_sim.street import Vehicle


def read(twin: LidarLite, register: int, n: int, t_s: float) -> bytes:
    twin.write(bytes([register]), t_s)
    return twin.read(n, t_s)


def measure(twin: LidarLite, t_s: float) -> bytes:
    twin.write(b"\x00\x04", t_s)
    assert read(twin, 0x01, 1, t_s + 0.001) == b"\x21", "busy, and well"
    status = read(twin, 0x01, 1, t_s + 0.025)
    return status + read(twin, 0x8F, 2, t_s + 0.026)


@pytest.mark.parametrize(("background_m", "said"), [(5.0, "2001f4"), (1.23, "20007b"), (40.0, "200fa0")])
def test_distance(still: StillStreet, heard: Heard, background_m: float, said: str) -> None:
    assert measure(LidarLite(still, heard, background_m=background_m), 1.0).hex() == said
    assert heard.values == [{"distance": background_m}]


def test_no_echo_is_invalid(still: StillStreet, heard: Heard) -> None:
    assert measure(LidarLite(still, heard, background_m=60.0), 1.0).hex() == "280000"
    assert heard.values == [{"distance": None}]


def test_a_vehicle_passes(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(5.0, -10.0, 60.0)]
    twin = LidarLite(still, heard)
    for t_s in (4.0, 5.0, 6.0):
        measure(twin, t_s)
    assert [values["distance"] for values in heard.values] == [9.5, round(FAR_M, 2), 9.5]


def test_busy_keeps_what_was_there_and_tells_nothing(still: StillStreet, heard: Heard) -> None:
    twin = LidarLite(still, heard)
    assert read(twin, 0x8F, 2, 0.0) == b"\0\0"
    first = measure(twin, 1.0)
    twin.write(b"\x00\x04", 2.0)
    assert read(twin, 0x8F, 2, 2.001) == first[1:]
    assert len(heard.values) == 1


def test_without_bias_correction_it_is_quicker(still: StillStreet, heard: Heard) -> None:
    twin = LidarLite(still, heard)
    twin.write(b"\x00\x03", 0.0)
    assert read(twin, 0x01, 1, 0.0205) == b"\x20"
    twin.write(b"\x02\x40", 1.0)
    twin.write(b"\x00\x03", 1.0)
    assert read(twin, 0x01, 1, 1.0105) == b"\x20"


def test_registers_move_along_only_when_told_to(still: StillStreet, heard: Heard) -> None:
    twin = LidarLite(still, heard)
    unit_id = read(twin, 0x96, 2, 0.0)
    assert read(twin, 0x16, 2, 0.0) == unit_id[:1] * 2
    assert read(twin, 0x02, 1, 0.0) == b"\x80"
    assert read(twin, 0x65, 1, 0.0) == b"\x80"


def test_reset_takes_22_ms(still: StillStreet, heard: Heard) -> None:
    twin = LidarLite(still, heard)
    twin.write(b"\x02\x20", 0.0)
    twin.write(b"\x00\x00", 1.0)
    with pytest.raises(Nack):
        twin.write(b"\x01", 1.02)
    assert read(twin, 0x02, 1, 1.03) == b"\x80"


def test_playback_and_options(still: StillStreet, heard: Heard) -> None:
    twin = LidarLite(still, heard, frames=["280000"])
    assert measure(twin, 1.0).hex() == "280000"
    assert heard.values == [{}]
    with pytest.raises(ValueError, match="background_m"):
        LidarLite(still, heard, background_m=0.0)
