from __future__ import annotations

import struct

import pytest
from still_street import Heard, StillStreet

from firmware_sim.device import Nack
from firmware_sim.devices.lidar_beam import NEAR_M
from firmware_sim.devices.tfluna_i2c import TflunaI2c
from firmware_sim.street import Vehicle


def read(twin: TflunaI2c, register: int, n: int, t_s: float) -> bytes:
    twin.write(bytes([register]), t_s)
    return twin.read(n, t_s)


def test_a_block_of_data(still: StillStreet, heard: Heard) -> None:
    still.air_degc = 13.12
    twin = TflunaI2c(still, heard, background_m=5.0)
    twin.write(b"", 100.0)
    assert struct.unpack("<5H", read(twin, 0x00, 10, 100.779)) == (500, 320, 2512, 770, 0)
    assert heard.values == [{"distance": 5.0, "strength": 320.0, "temperature": 25.12}]


def test_what_is_read_is_what_is_told(still: StillStreet, heard: Heard) -> None:
    twin = TflunaI2c(still, heard)
    read(twin, 0x00, 2, 0.0)
    read(twin, 0x00, 4, 1.0)
    read(twin, 0x02, 2, 2.0)
    assert [set(values) for values in heard.values] == [{"distance"}, {"distance", "strength"}]


def test_a_vehicle_passes(still: StillStreet, heard: Heard) -> None:
    still.traffic = [Vehicle(5.0, 10.0, 60.0)]
    twin = TflunaI2c(still, heard)
    assert [int.from_bytes(read(twin, 0, 2, t_s), "little") for t_s in (4.0, 5.0, 6.0)] == [
        790,
        round(100 * NEAR_M),
        790,
    ]


def test_too_weak_or_too_far_gives_the_dummy(still: StillStreet, heard: Heard) -> None:
    twin = TflunaI2c(still, heard, background_m=9.0)
    assert read(twin, 0, 2, 0.0) == b"\0\0"
    assert heard.values == [{"distance": None}]
    twin.write(b"\x2c\x20\x03\x20", 1.0)  # 800 cm
    twin.write(b"\x20\x01", 1.0)
    twin.write(b"\x21\x02", 1.0)
    assert read(twin, 0, 2, 3.1) == b"\x20\x03"


def test_settings_take_effect_when_saved_and_restarted(still: StillStreet, heard: Heard) -> None:
    twin = TflunaI2c(still, heard)
    assert read(twin, 0x26, 2, 0.0) == b"\x64\x00"
    twin.write(b"\x23\x01", 0.0)
    assert read(twin, 0x23, 1, 0.1) == b"\x01"
    still.traffic = [Vehicle(1.0, 10.0, 60.0)]
    assert read(twin, 0, 2, 1.0) != read(twin, 0, 2, 2.0), "it still measures by itself"
    twin.write(b"\x20\x01", 3.0)
    twin.write(b"\x21\x02", 3.0)
    with pytest.raises(Nack):
        twin.write(b"\x00", 4.0)
    assert read(twin, 0, 2, 5.1) == b"\0\0"
    twin.write(b"\x24\x01", 6.0)
    assert read(twin, 0, 2, 7.0) == (790).to_bytes(2, "little")
    twin.write(b"\x29\x01", 8.0)
    twin.power_cycle(9.0)
    assert read(twin, 0x23, 1, 11.1) == b"\0"


def test_unsaved_settings_are_lost(still: StillStreet, heard: Heard) -> None:
    twin = TflunaI2c(still, heard)
    twin.write(b"\x26\x0a\x00", 0.0)
    twin.power_cycle(1.0)
    assert read(twin, 0x26, 2, 3.1) == b"\x64\x00"


def test_identity(still: StillStreet, heard: Heard) -> None:
    twin = TflunaI2c(still, heard)
    assert read(twin, 0x0A, 3, 0.0) == bytes([0, 3, 3])
    assert read(twin, 0x10, 14, 0.0).isalnum()
    assert read(twin, 0x3C, 4, 0.0) == b"LUNA"  # AnesBenmerzoug/embedded-tfluna
    twin.write(b"\x0a\x07", 0.0)
    assert read(twin, 0x0A, 1, 0.0) == b"\0", "read only"


def test_playback_and_options(still: StillStreet, heard: Heard) -> None:
    twin = TflunaI2c(still, heard, frames=["20035a00a00f09030000"])  # ideocentric/tflunai2c: too weak
    assert read(twin, 0, 10, 0.0).hex() == "20035a00a00f09030000"
    assert heard.values == [{}]
    with pytest.raises(ValueError, match="background_m"):
        TflunaI2c(still, heard, background_m=0.0)
