from __future__ import annotations

import pytest
from still_air import StillAir
from still_street import Heard

from firmware_sim.device import NEVER_S
from firmware_sim.devices.hpma115 import Hpma115c0, Hpma115s0
from firmware_sim.street import Particles

START, STOP, READ = bytes.fromhex("68010196"), bytes.fromhex("68010295"), bytes.fromhex("68010493")
STOP_AUTO, AUTO = bytes.fromhex("68012077"), bytes.fromhex("68014057")
ACK, NACK = b"\xa5\xa5", b"\x96\x96"


@pytest.fixture
def still() -> StillAir:
    air = StillAir()
    air.pm = Particles(48.0, 49.0, 50.0, 51.0)
    return air


# Honeywell 32322550, tables 4 and 6; PyPMS tests/captured_data/HPMA115C0.hexdump lines 1, 4 and 7
@pytest.mark.parametrize(
    ("kind", "values", "reply"),
    [
        (Hpma115s0, (48, 49), "4005040030003156"),
        (Hpma115c0, (48, 49, 50, 51), "400d04003000310032003300000000e9"),
        (Hpma115c0, (4, 7, 9, 23), "400d0400040007000900170000000084"),
        (Hpma115c0, (5, 6, 6, 7), "400d0400050006000600070000000097"),
        (Hpma115c0, (5, 7, 7, 8), "400d0400050007000700080000000094"),
    ],
)
def test_replies_are_the_captured_ones(kind: type[Hpma115s0], values: tuple[int, ...], reply: str) -> None:
    assert kind.reply(4, kind.words(values)).hex() == reply


def test_auto_frame_is_the_captured_one() -> None:
    # forum.arduino.cc/t/471975
    assert Hpma115s0.auto((1, 2)).hex() == "424d001c000000010002" + 18 * "00" + "510000ff"


@pytest.mark.parametrize(("kind", "words"), [(Hpma115s0, (0, 49, 51, 0)), (Hpma115c0, (48, 49, 50, 51))])
def test_it_sends_by_itself_after_power_on(
    still: StillAir, heard: Heard, kind: type[Hpma115s0], words: tuple[int, ...]
) -> None:
    twin = kind(still, heard)
    assert twin.update(10.0) == (b"", 11.0)
    said, again_s = twin.update(11.0)
    assert (len(said), said[:4].hex(), again_s) == (32, "424d001c", 12.0)
    assert tuple(int.from_bytes(said[i : i + 2], "big") for i in range(4, 12, 2)) == words
    assert sum(said[:30]) == int.from_bytes(said[30:], "big")
    assert heard.lines == [(11.0, dict(zip(kind.CHANNELS, (float(x) for x in words if x), strict=True)))]


def test_reading_when_asked(still: StillAir, heard: Heard) -> None:
    twin = Hpma115c0(still, heard)
    assert twin.receive(STOP_AUTO, 0.0) == ACK
    assert twin.update(60.0) == (b"", NEVER_S), "the host may be gone: it stays silent"
    assert twin.receive(READ, 61.0).hex() == "400d04003000310032003300000000e9"
    assert heard.values == [{"pm1_0": 48.0, "pm2_5": 49.0, "pm4_0": 50.0, "pm10": 51.0}]
    assert twin.receive(AUTO, 62.0) == ACK
    assert twin.update(62.0) == (b"", 63.0)


def test_stopped_it_refuses_to_read_and_starts_slowly(still: StillAir, heard: Heard) -> None:
    twin = Hpma115s0(still, heard)
    assert twin.receive(STOP, 0.0) == ACK
    assert twin.receive(READ, 1.0) == NACK
    assert twin.update(5.0) == (b"", NEVER_S)
    assert twin.receive(START, 10.0) == ACK
    assert twin.receive(READ, 13.0)[:3].hex() == "400504"
    assert twin.receive(READ, 16.0)[:3].hex() == "400504"
    assert [values["pm10"] for values in heard.values] == [26.0, 51.0]
    assert twin.update(16.0) == (b"", 17.0)


def test_coefficient(still: StillAir, heard: Heard) -> None:
    twin = Hpma115s0(still, heard)
    assert twin.receive(bytes.fromhex("68011087"), 0.0).hex() == "400210644a"  # table 4
    assert twin.receive(bytes.fromhex("680208c8c6"), 0.1) == ACK  # 200
    twin.receive(READ, 0.2)
    assert heard.values[0]["pm2_5"] == 98.0
    assert twin.receive(bytes.fromhex("6802081d71"), 0.3) == NACK, "29 is too little"
    assert twin.receive(bytes.fromhex("6802082d61"), 0.4) == ACK


def test_values_stop_at_1000(still: StillAir, heard: Heard) -> None:
    still.pm = Particles(1.0, 999.4, 2000.0, 3000.0)
    Hpma115s0(still, heard).receive(READ, 0.0)
    assert heard.values == [{"pm2_5": 999.0, "pm10": 1000.0}]


@pytest.mark.parametrize("bad", ["68010494", "68013067", "6802040092", "68010887"])
def test_wrong_sums_and_unknown_commands_are_refused(still: StillAir, heard: Heard, bad: str) -> None:
    assert Hpma115s0(still, heard).receive(bytes.fromhex(bad), 0.0) == NACK


def test_commands_may_come_byte_by_byte_and_half_ones_are_forgotten(still: StillAir, heard: Heard) -> None:
    twin = Hpma115s0(still, heard)
    replies = [twin.receive(bytes([byte]), 0.0) for byte in b"\x00\x68\xff" + STOP_AUTO]
    assert [reply for reply in replies if reply] == [ACK]
    assert twin.receive(AUTO[:2], 1.0) == b""
    assert twin.receive(READ, 5.0)[:1] == b"\x40"


def test_playback(still: StillAir, heard: Heard) -> None:
    twin = Hpma115c0(still, heard, frames=["400d0400040007000900170000000084"])
    assert twin.receive(READ, 0.0).hex() == "400d0400040007000900170000000084"
    assert heard.values == [{}]
