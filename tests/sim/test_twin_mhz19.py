from __future__ import annotations

import pytest
from still_air import StillAir
from still_street import Heard

from firmware_sim.device import NEVER_S
from firmware_sim.devices.mhz19 import Mhz19

READ = bytes.fromhex("ff0186000000000079")  # MH-Z19B manual V1.0
ZERO, ABC_OFF = bytes.fromhex("ff0187000000000078"), bytes.fromhex("ff0179000000000086")
RANGE_2000 = bytes.fromhex("ff01990000000007d08f")[:9]
RESET = bytes.fromhex("ff018d000000000072")  # arendst/Tasmota xsns_15_mhz19.ino


def warm(heard: Heard, co2: float = 544.0, degc: float = -43.0) -> tuple[StillAir, Mhz19]:
    """A part that has warmed up, in an air whose temperature byte is 0."""
    air = StillAir()
    air.co2, air.air_degc = co2, degc
    return air, Mhz19(air, heard, warm_up_s=0.0)


# the first three words of each: datasheet p. 7; Tasmota rules; a check sum that is zero
@pytest.mark.parametrize(
    ("co2", "degc", "reply"),
    [(1200.0, 26.0, "ff8604b04540000041"), (544.0, 26.0, "ff86022045400000d3"), (632.0, 26.0, "ff860278454000007b")],
)
def test_reply_to_a_read(heard: Heard, co2: float, degc: float, reply: str) -> None:
    _air, twin = warm(heard, co2, degc)
    assert twin.receive(READ, 1.0) == bytes.fromhex(reply)
    assert heard.values == [{"co2": co2}]
    assert twin.update(2.0) == (b"", NEVER_S), "it never speaks by itself"


@pytest.mark.parametrize(("version", "reply"), [("B", "ff86019a45003a98c8"), ("A", "ff86019a4501000099")])
def test_three_minutes_of_a_constant_that_is_flagged(heard: Heard, version: str, reply: str) -> None:
    air = StillAir()
    air.air_degc = 26.0
    twin = Mhz19(air, heard, version=version)
    twin.update(100.0)
    assert twin.receive(READ, 279.0) == bytes.fromhex(reply)
    assert twin.receive(READ, 280.0)[2:4] == (500).to_bytes(2, "big")
    assert heard.values == [{"co2": None}, {"co2": 500.0}]


def test_range_is_taken_from_the_last_bytes(heard: Heard) -> None:
    air, twin = warm(heard)
    as_the_manual_says = bytes.fromhex("ff019907d000000090")
    assert twin.receive(as_the_manual_says, 0.0) == b""
    air.co2 = 4000.0
    assert twin.receive(READ, 1.0)[2:4] == (4000).to_bytes(2, "big")
    body = bytes.fromhex("0199000000") + (2000).to_bytes(2, "big")
    twin.receive(b"\xff" + body + bytes([-sum(body) & 0xFF]), 2.0)
    assert twin.receive(READ, 3.0)[2:4] == (2000).to_bytes(2, "big")
    twin.power_cycle(4.0)
    assert twin.receive(READ, 5.0)[2:4] == (2000).to_bytes(2, "big"), "it is kept"


def test_zero_makes_this_air_400_ppm(heard: Heard) -> None:
    air, twin = warm(heard, co2=450.0)
    assert twin.receive(ZERO + ABC_OFF, 0.0) == b""
    assert not twin.self_calibrates
    assert twin.receive(READ, 1.0)[2:4] == (400).to_bytes(2, "big")
    air.co2 = 950.0
    assert twin.receive(READ, 2.0)[2:4] == (900).to_bytes(2, "big")
    twin.power_cycle(3.0)
    assert twin.self_calibrates


def test_reset_warms_up_again(heard: Heard) -> None:
    twin = Mhz19(StillAir(), heard, warm_up_s=60.0)
    twin.update(0.0)
    twin.receive(RESET, 100.0)
    twin.receive(READ, 159.0)
    twin.receive(READ, 160.0)
    assert heard.values == [{"co2": None}, {"co2": 500.0}]


def test_wrong_sums_and_other_addresses_are_not_heard(heard: Heard) -> None:
    _air, twin = warm(heard)
    assert twin.receive(READ[:-1] + b"\x78", 0.0) == b""
    assert twin.receive(b"\xff\x02" + READ[2:-1] + b"\x78", 0.0) == b""
    replies = [twin.receive(bytes([byte]), 1.0) for byte in b"\xff\xff" + READ]
    assert [len(reply) for reply in replies if reply] == [9]


def test_playback(heard: Heard) -> None:
    twin = Mhz19(StillAir(), heard, frames=["ff86027c42000000ba"])  # PyPMS, MH-Z19B capture
    assert twin.receive(READ, 0.0) == bytes.fromhex("ff86027c42000000ba")
    assert heard.values == [{}]


@pytest.mark.parametrize("options", [{"version": "C"}, {"warm_up_s": -1.0}, {"frames": ["00"]}])
def test_options_that_make_no_sense(heard: Heard, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"version|warm_up_s|has 1 bytes"):
        Mhz19(StillAir(), heard, **options)  # type: ignore[arg-type]
