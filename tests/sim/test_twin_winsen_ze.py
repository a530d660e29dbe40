from __future__ import annotations

import pytest
from still_air import StillAir
from still_street import Heard

from firmware_sim.device import NEVER_S
from firmware_sim.devices.winsen_ze import WinsenZe, Ze07Ch2o, Ze07Co, Ze08Ch2o, Ze25O3

ASK = bytes.fromhex("ff0186000000000079")
TO_QUESTIONS, TO_ACTIVE = bytes.fromhex("ff0178410000000046"), bytes.fromhex("ff0178400000000047")


# ZE08-CH2O manual; winsen-sensors-lib ZE25.cpp; ZE07-CO manual with the check sum that its own rule gives
@pytest.mark.parametrize(
    ("twin", "gas", "value", "frame", "channel"),
    [
        (Ze08Ch2o, "hcho", 37.0, "ff1704000025138825", "hcho"),
        (Ze07Ch2o, "hcho", 37.4, "ff1704000025138825", "hcho"),
        (Ze25O3, "o3", 1234.0, "ff2a040004d22710c5", "o3"),
        (Ze25O3, "o3", 9999.0, "ff2a0400270f271065", "o3"),
        (Ze25O3, "o3", 36.0, "ff2a04000024271077", "o3"),
        (Ze07Co, "co", 3.7, "ff0403010025138838", "co"),
    ],
)
def test_active_frames(heard: Heard, twin: type[WinsenZe], gas: str, value: float, frame: str, channel: str) -> None:
    air = StillAir()
    setattr(air, gas, value)
    part = twin(air, heard)
    assert part.update(100.0) == (b"", 101.0)
    assert part.update(101.0) == (bytes.fromhex(frame), 102.0)
    assert heard.lines == [(101.0, {channel: pytest.approx(round(value, 1 if gas == "co" else 0))})]


@pytest.mark.parametrize(
    ("twin", "gas", "value", "reply"),
    [
        (Ze07Ch2o, "hcho", 32.0, "ff86002a0000002030"),  # ZE07-CH2O manual, table 8
        (Ze07Co, "co", 3.7, "ff86002500000000" + "55"),
    ],
)
def test_questions(heard: Heard, twin: type[WinsenZe], gas: str, value: float, reply: str) -> None:
    air = StillAir()
    setattr(air, gas, value)
    part = twin(air, heard)
    assert part.receive(ASK, 0.0) == b"", "in active mode it is not asked"
    assert part.receive(TO_QUESTIONS, 1.0) == b""
    assert part.update(10.0) == (b"", NEVER_S)
    assert part.receive(ASK, 11.0) == bytes.fromhex(reply)
    assert part.receive(TO_ACTIVE, 12.0) == b""
    assert part.update(12.0) == (b"", 13.0)
    assert len(part.update(13.0)[0]) == 9


def test_full_range_is_the_end(heard: Heard) -> None:
    air = StillAir()
    air.co = 9999.0
    part = Ze07Co(air, heard)
    part.update(0.0)
    assert part.update(1.0)[0][4:8] == bytes.fromhex("13881388")
    assert heard.values == [{"co": 500.0}]


def test_late_wake_up_does_not_bring_old_frames(heard: Heard) -> None:
    part = Ze25O3(StillAir(), heard)
    part.update(0.0)
    said, again_s = part.update(60.5)
    assert (len(said), again_s) == (18, 61.0)


def test_playback(heard: Heard) -> None:
    part = Ze25O3(StillAir(), heard, frames=["ff2a04000024271076"])  # a flipped bit
    part.update(0.0)
    assert part.update(1.0)[0] == bytes.fromhex("ff2a04000024271076")
    assert heard.values == [{}]
