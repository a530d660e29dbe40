from __future__ import annotations

import struct

import pytest
from still_street import Heard, StillStreet

from firmware_sim.checks import with_crcs, without_crcs
from firmware_sim.devices.dnms import Dnms
from firmware_sim.street import Street

VERSION, CALCULATE, READY, READ, RESET = (struct.pack(">H", k) for k in (2, 3, 4, 5, 1))
NOON_S = 1767182400.0


def ask(twin: Dnms, command: bytes, n: int, t_s: float) -> bytes:
    twin.write(command, t_s)
    return twin.read(n, t_s)


def levels(twin: Dnms, t_s: float, command: bytes = READ) -> tuple[float, ...]:
    words = without_crcs(ask(twin, command, 18, t_s))
    assert words is not None
    return struct.unpack(">3f", words)


def test_version(still: StillStreet, heard: Heard) -> None:
    twin = Dnms(still, heard)
    text = without_crcs(ask(twin, VERSION, 27, 0.0))
    assert text is not None
    assert text.startswith(b"DNMS")
    assert len(text) == 18


def test_an_interval_is_ready_after_a_while_and_can_be_read_once(still: StillStreet, heard: Heard) -> None:
    twin = Dnms(still, heard)
    twin.write(b"", 0.0)
    twin.write(CALCULATE, 10.0)
    assert ask(twin, READY, 3, 10.002) == with_crcs(b"\0\0")
    assert ask(twin, READY, 3, 10.014) == with_crcs(b"\0\1")
    assert levels(twin, 10.02) == (61.25, 61.25, 61.25)
    assert ask(twin, READY, 3, 10.03) == with_crcs(b"\0\0")
    assert levels(twin, 10.04) == (0.0, 0.0, 0.0)
    assert heard.values == [
        {"laeq": 61.25, "la_min": 61.25, "la_max": 61.25},
        dict.fromkeys(("laeq", "la_min", "la_max")),
    ]


def test_the_golden_bytes(still: StillStreet, heard: Heard) -> None:
    """Float words as airrohr's dnms_i2c reads them: 43.1875 dB."""
    still.level_db = 43.1875
    twin = Dnms(still, heard)
    twin.write(b"", 0.0)
    twin.write(CALCULATE, 150.0)
    assert ask(twin, READ, 18, 150.1)[:6] == bytes.fromhex("422c2ac0002b")


def test_levels_are_those_since_the_last_end(heard: Heard) -> None:
    street = Street(7)
    twin = Dnms(street, heard)
    twin.write(b"", NOON_S)
    for k in range(1, 4):
        twin.write(CALCULATE, NOON_S + 20.0 * k)
        laeq, low, high = levels(twin, NOON_S + 20.0 * k + 0.1)
        assert laeq == pytest.approx(street.laeq_db(NOON_S + 20.0 * (k - 1), NOON_S + 20.0 * k), abs=0.05)
        assert low < laeq < high


def test_the_second_interval_is_its_own(heard: Heard) -> None:
    street = Street(7)
    twin = Dnms(street, heard)
    twin.write(b"", NOON_S)
    twin.write(CALCULATE, NOON_S + 10.0)
    twin.write(b"\x00\x0a", NOON_S + 20.0)
    long, short = levels(twin, NOON_S + 20.1, b"\x00\x0c"), levels(twin, NOON_S + 20.2)
    assert long[0] == pytest.approx(street.laeq_db(NOON_S, NOON_S + 20.0), abs=0.05)
    assert short[0] == pytest.approx(street.laeq_db(NOON_S, NOON_S + 10.0), abs=0.05)


def test_too_soon_and_unknown(still: StillStreet, heard: Heard) -> None:
    twin = Dnms(still, heard)
    twin.write(CALCULATE, 0.0)
    assert levels(twin, 0.1) == (0.0, 0.0, 0.0), "not even one block"
    assert ask(twin, b"\x12\x34", 3, 1.0) == b"\xff\xff\xff"
    assert twin.read(3, 1.0) == b"\xff\xff\xff", "it acknowledges and has nothing to say"
    twin.write(RESET, 2.0)
    twin.write(CALCULATE, 12.0)
    assert levels(twin, 12.1)[0] == 61.25


def test_playback(still: StillStreet, heard: Heard) -> None:
    frame = "42b59b8000a241f4ba00008142ec6d8000a2"  # what airrohr's dnms_i2c takes for 90.75, 30.5 and 118.25 dB
    twin = Dnms(still, heard, frames=[frame])
    assert ask(twin, READ, 18, 0.0).hex() == frame
    assert heard.values == [{}]
