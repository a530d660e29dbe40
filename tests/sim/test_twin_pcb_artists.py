from __future__ import annotations

import pytest
from still_street import Heard, StillStreet

from firmware_sim.device import Nack
from firmware_sim.devices.pcb_artists import PcbArtists
from firmware_sim.street import Street


def read(twin: PcbArtists, register: int, n: int, t_s: float) -> bytes:
    twin.write(bytes([register]), t_s)
    return twin.read(n, t_s)


# EngJay/pa-spl docs/vendor/programming-manual.md
@pytest.mark.parametrize(
    ("register", "reply"), [(0x00, "31"), (0x05, "aa"), (0x06, "02"), (0x07, "03e8"), (0x0D, "2d55"), (0x0F, "12")]
)
def test_registers_after_power_on(still: StillStreet, heard: Heard, register: int, reply: str) -> None:
    assert read(PcbArtists(still, heard), register, len(reply) // 2, 0.0).hex() == reply


def test_versions(still: StillStreet, heard: Heard) -> None:
    assert read(PcbArtists(still, heard, version=0x81), 0, 1, 0.0) == b"\x81"
    with pytest.raises(ValueError, match="0x33"):
        PcbArtists(still, heard, version=0x11)


def test_zero_until_it_has_settled(still: StillStreet, heard: Heard) -> None:
    twin = PcbArtists(still, heard)
    assert read(twin, 0x0A, 1, 0.0) == b"\0"
    assert read(twin, 0x0A, 1, 0.9) == b"\0"
    assert read(twin, 0x0A, 1, 1.1) == b"\x3d"
    assert heard.values == [{"level": None}, {"level": None}, {"level": 61.0}]


def test_min_max_and_history(still: StillStreet, heard: Heard) -> None:
    twin = PcbArtists(still, heard)
    twin.write(b"", 0.0)
    levels = [58.2, 44.4, 71.0, 58.0]
    for k, level in enumerate(levels):
        still.level_db = level
        read(twin, 0x00, 1, 1.0 + k)
    assert read(twin, 0x0A, 3, 4.5) == bytes.fromhex("3a2c47")
    assert heard.values == [{"level": 58.0, "la_min": 44.0, "la_max": 71.0}]
    assert read(twin, 0x14, 5, 4.5) == bytes([58, 71, 44, 58, 0])
    twin.write(b"\x09\x06", 4.6)
    assert read(twin, 0x0B, 2, 4.7) == b"\0\0"
    assert read(twin, 0x14, 2, 4.7) == b"\0\0"


def test_a_level_is_the_leq_of_one_averaging_time(heard: Heard) -> None:
    street, t_s = Street(7), 1767182400.0
    twin = PcbArtists(street, heard)
    twin.write(b"\x07\x00", t_s)
    assert read(twin, 0x07, 2, t_s) == b"\x00\xe8"
    twin.write(b"\x08\x7d", t_s)  # with the low byte, 125 ms take effect
    for k in range(1, 20):
        (level,) = read(twin, 0x0A, 1, t_s + 1.0 + 0.125 * k)
        assert level == round(street.laeq_db(t_s + 1.0 + 0.125 * (k - 1), t_s + 1.0 + 0.125 * k))


def test_weighting(still: StillStreet, heard: Heard) -> None:
    twin = PcbArtists(still, heard)
    twin.write(b"\x06\x04", 0.0)
    assert read(twin, 0x0A, 1, 1.5) == bytes([69])


def test_asleep_it_hears_only_a_reset(still: StillStreet, heard: Heard) -> None:
    twin = PcbArtists(still, heard)
    twin.write(b"", 0.0)
    assert read(twin, 0x0A, 1, 2.0) == b"\x3d"
    twin.write(b"\x06\x03", 2.5)
    still.level_db = 80.0
    twin.write(b"\x06\x02", 3.0)
    assert read(twin, 0x0A, 1, 9.0) == b"\x3d", "the last level stays"
    twin.write(b"\x09\x08", 10.0)
    with pytest.raises(Nack):
        twin.write(b"\x0a", 10.004)
    assert read(twin, 0x0A, 1, 11.5) == bytes([80])


def test_a_long_silence_of_the_host_costs_little(heard: Heard) -> None:
    twin = PcbArtists(Street(7), heard)
    read(twin, 0x0A, 1, 1767182400.0)
    history = read(twin, 0x14, 100, 1767182400.0 + 86400.0)
    assert min(history) >= 30


def test_playback(still: StillStreet, heard: Heard) -> None:
    twin = PcbArtists(still, heard, frames=["3a2c47"])
    assert read(twin, 0x0A, 3, 5.0).hex() == "3a2c47"
    assert heard.values == [{}]
