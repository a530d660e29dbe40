from __future__ import annotations

import re

import pytest
from still_street import Heard, StillStreet

from firmware_sim.device import NEVER_S
from firmware_sim.devices.cem_dt8852 import CemDt8852

# what may follow A5, and how many bytes with it: libsigrok cem-dt-885x and dt8852 1.1.0 agree but for 0B, 1B and 1C
PAYLOADS = {0x06: 3, 0x0D: 2} | dict.fromkeys((2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 14, 15, 17, 25, 26, 27, 28, 31), 0)
PAYLOADS |= dict.fromkeys((0x30, 0x40, 0x4B, 0x4C), 0)


def blocks(twin: CemDt8852, from_s: float, count: int) -> list[bytes]:
    twin.update(from_s)
    return [twin.update(from_s + 0.05 * (k + 1) + 1e-6)[0] for k in range(count)]


def tokens(block: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(block):
        assert block[at] == 0xA5
        size = PAYLOADS[block[at + 1]]
        found[block[at + 1]] = block[at + 2 : at + 2 + size]
        at += 2 + size
    return found


def test_twenty_blocks_a_second_every_ninth_another(still: StillStreet, heard: Heard) -> None:
    twin = CemDt8852(still, heard)
    said = blocks(twin, 0.0, 18)
    assert [list(tokens(block)) for block in said[:8]] == [[0x40, 0x0E, 0x11, 0x0D, 0x0C, 0x1B, 0x06]] * 8
    assert list(tokens(said[8])) == [0x19, 0x02, 0x1F, 0x1A, 0x0D, 0x0B, 0x1B, 0x06]
    assert all(tokens(block)[0x0D] == bytes.fromhex("0612") for block in said)
    assert heard.values == [{"level": 61.2}] * 18


def test_the_golden_block(still: StillStreet, heard: Heard) -> None:
    """dt8852 1.1.0 on these bytes: 50-100 dB, live, in range, 63.4 dB(A), 15:45:12."""
    still.level_db = 63.4
    twin = CemDt8852(still, heard, range_db="50-100")
    (block,) = blocks(twin, 15 * 3600 + 45 * 60 + 12.0, 1)
    assert block == bytes.fromhex("a54ba50ea511a50d0634a50ca51ba506234512")
    assert heard.values == [{"level": 63.4}]


@pytest.mark.parametrize(("t_s", "time"), [(39930.0, "110530"), (0.0, "120000"), (43200.0, "320000")])
def test_clock_of_twelve_hours(still: StillStreet, heard: Heard, t_s: float, time: str) -> None:
    (block,) = blocks(CemDt8852(still, heard), t_s, 1)
    assert tokens(block)[0x06].hex() == time


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [(0x11, 0x0E, 0x04), (0x99, 0x1B, 0x1C), (0x77, 0x02, 0x03), (0x88, 0x40, 0x30), (0x55, 0x1A, 0x0A)],
)
def test_keys_are_toggles(still: StillStreet, heard: Heard, key: int, before: int, after: int) -> None:
    twin = CemDt8852(still, heard)
    said = tokens(b"".join(blocks(twin, 0.0, 9)))
    assert before in said
    assert after not in said
    assert twin.receive(bytes([key]), 1.0) == b""
    said = tokens(b"".join(blocks(twin, 1.0, 9)))
    assert after in said


def test_ranges_and_what_is_outside(still: StillStreet, heard: Heard) -> None:
    still.level_db = 85.0
    (over,) = blocks(CemDt8852(still, heard, range_db="30-80"), 0.0, 1)
    still.level_db = 25.0
    (under,) = blocks(CemDt8852(still, heard), 0.0, 1)
    assert 0x07 in tokens(over)
    assert 0x08 in tokens(under)
    still.level_db = 100.5
    twin = CemDt8852(still, heard, weighting="C", battery_low=True)
    said = tokens(b"".join(blocks(twin, 0.0, 9)))
    assert said[0x0D] == bytes.fromhex("1085")
    assert {0x1C, 0x0F} <= said.keys()


def test_maximum_is_held(still: StillStreet, heard: Heard) -> None:
    twin = CemDt8852(still, heard)
    blocks(twin, 0.0, 1)
    twin.receive(b"\x11", 0.1)
    still.level_db = 90.0
    twin.update(0.16)
    still.level_db = 50.0
    twin.update(0.21)
    assert heard.values[-1] == {"level": 90.0}


def test_it_goes_off(still: StillStreet, heard: Heard) -> None:
    twin = CemDt8852(still, heard, auto_off=True)
    twin.update(0.0)
    assert twin.update(1799.9)[0]
    assert twin.update(1800.1) == (b"", NEVER_S)
    twin.power_cycle(2000.0)
    assert twin.update(2000.06)[0]
    twin.receive(b"\x33", 2001.0)
    assert twin.update(2001.0) == (b"", NEVER_S)


def test_late_wake_up_does_not_bring_old_blocks(still: StillStreet, heard: Heard) -> None:
    twin = CemDt8852(still, heard)
    twin.update(0.0)
    assert twin.update(60.0)[0].count(b"\xa5\x0d") <= 10


def test_playback_and_options(still: StillStreet, heard: Heard) -> None:
    twin = CemDt8852(still, heard, frames=["a50d0523", "ff"])
    assert [block.hex() for block in blocks(twin, 0.0, 3)] == ["a50d0523", "ff", "ff"]
    assert heard.values == [{}, {}, {}]
    for options in ({"range_db": "20-90"}, {"weighting": "B"}):
        with pytest.raises(ValueError, match=re.escape(next(iter(options)))):
            CemDt8852(still, heard, **options)  # type: ignore[arg-type]
