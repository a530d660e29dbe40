from __future__ import annotations

import pytest
from still_air import StillAir
from still_street import Heard

from firmware_sim.checks import plantower_sum
from firmware_sim.device import NEVER_S, Nack
from firmware_sim.devices.plantower import (
    LAYOUTS,
    Pms3003,
    Pms5003,
    Pms5003s,
    Pms5003st,
    Pms5003t,
    Pmsa003i,
    encode,
)
from firmware_sim.street import Particles

PASSIVE, ACTIVE = bytes.fromhex("424de100000170"), bytes.fromhex("424de100010171")
READ, SLEEP, WAKE = bytes.fromhex("424de200000171"), bytes.fromhex("424de400000173"), bytes.fromhex("424de400010174")
# PyPMS tests/sensors/test_sensor.py
GOLDEN = "424d001c0005000d00160005000d001602fd00fc001d000f00060006970003c5"


@pytest.fixture
def still() -> StillAir:
    air = StillAir()
    air.pm = Particles(5.0, 13.0, 18.0, 22.0)
    return air


def masses(*words: int) -> dict[str, float]:
    names = ("pm1_0_cf1", "pm2_5_cf1", "pm10_cf1", "pm1_0", "pm2_5", "pm10")
    return dict(zip(names, map(float, words), strict=True))


def counts(*words: int) -> dict[str, float]:
    return {
        name: word / 100 for name, word in zip(("n0_3", "n0_5", "n1_0", "n2_5", "n5_0", "n10"), words, strict=False)
    }


def climate(degc: float, percent: float) -> dict[str, float]:
    return {"temperature": degc, "humidity": percent}


# captures: PyPMS tests/captured_data PMSx003 line 3, PMS5003T lines 1, 2 and 8, PMS3003 lines 1 and 5; the frames of
# PMS5003S, PMS5003ST and PMSA003I are made by hand, and PyPMS and adafruit-circuitpython-pm25 read the same from them
@pytest.mark.parametrize(
    ("part", "values", "frame"),
    [
        ("pms5003", masses(0, 7, 7, 0, 7, 7) | counts(189, 63, 42, 27, 0, 0),
         "424d001c00000007000700000007000700bd003f002a001b000000009700029f"),
        ("pms5003", masses(5, 13, 22, 5, 13, 22) | counts(765, 252, 29, 15, 6, 6), GOLDEN),
        ("pms5003t", masses(23, 39, 41, 22, 35, 41) | counts(4104, 1193, 278, 12) | climate(21.2, 22.4),
         "424d001c001700270029001600230029100804a90116000c00d400e09a0004aa"),
        ("pms5003t", masses(21, 36, 36, 20, 33, 36) | counts(3528, 1055, 228, 14) | climate(21.2, 22.4),
         "424d001c0015002400240014002100240dc8041f00e4000e00d400e09a000599"),
        ("pms5003t", masses(23, 37, 45, 22, 34, 45) | counts(3837, 1135, 292, 22) | climate(21.3, 22.2),
         "424d001c00170025002d00160022002d0efd046f0124001600d500de9a00057f"),
        ("pms3003", masses(1, 1, 1, 1, 1, 1), "424d001400010001000100010001000100000000005100fa"),
        ("pms3003", masses(0, 0, 0, 0, 0, 0), "424d001400000000000000000000000000000000005100f4"),
        ("pms5003s", masses(12, 34, 56, 11, 33, 55) | counts(2101, 640, 120, 14, 3, 1) | {"hcho": 27.0},
         "424d001c000c00220038000b00210037083502800078000e00030001001b02d8"),
        ("pms5003st", masses(12, 34, 56, 11, 33, 55) | counts(2101, 640, 120, 14, 3, 1)
         | {"hcho": 27.0} | climate(-3.5, 81.2),
         "424d0024000c00220038000b00210037083502800078000e00030001001bffdd032c00009100057c"),
        ("pmsa003i", masses(500, 999, 1000, 400, 700, 900) | counts(65535, 30000, 9000, 900, 90, 9),
         "424d001c01f403e703e8019002bc0384ffff753023280384005a0009970009ba"),
    ],
)  # fmt: skip
def test_frames_are_the_captured_ones(part: str, values: dict[str, float], frame: str) -> None:
    data, told = encode(LAYOUTS[part], values)
    assert data.hex() == frame
    assert told == values


def test_it_is_active_after_power_on(still: StillAir, heard: Heard) -> None:
    twin = Pms5003(still, heard)
    assert twin.update(100.0) == (b"", 102.3)
    assert twin.update(102.3) == (bytes.fromhex(GOLDEN), pytest.approx(104.6))
    assert heard.lines == [(102.3, masses(5, 13, 22, 5, 13, 22) | counts(765, 252, 29, 15, 6, 6))]


def test_changing_air_makes_it_faster(still: StillAir, heard: Heard) -> None:
    twin = Pms5003(still, heard)
    twin.update(0.0)
    twin.update(2.3)
    still.pm = Particles(10.0, 20.0, 25.0, 30.0)
    assert twin.update(4.7)[1] == pytest.approx(4.6 + 0.8)
    assert twin.update(5.5)[1] == pytest.approx(5.4 + 2.3)


@pytest.mark.parametrize(
    ("kind", "size", "channels"),
    [
        (Pms3003, 24, set(masses(*range(6)))),
        (Pms5003, 32, set(masses(*range(6)) | counts(*range(6)))),
        (Pms5003s, 32, set(masses(*range(6)) | counts(*range(6))) | {"hcho"}),
        (Pms5003t, 32, set(masses(*range(6)) | counts(*range(4))) | {"temperature", "humidity"}),
        (Pms5003st, 40, set(masses(*range(6)) | counts(*range(6))) | {"hcho", "temperature", "humidity"}),
    ],
)
def test_variants(still: StillAir, heard: Heard, kind: type[Pms3003], size: int, channels: set[str]) -> None:
    twin = kind(still, heard)
    twin.update(0.0)
    said, _ = twin.update(2.3)
    assert len(said) == size
    assert int.from_bytes(said[2:4], "big") == size - 4
    assert plantower_sum(said[:-2]) == int.from_bytes(said[-2:], "big")
    assert set(heard.values[0]) == channels
    assert heard.values[0].get("temperature", 25.0) == 25.0
    assert heard.values[0].get("hcho", 23.0) == 23.0, "18.7 ppb, in ug/m3"


def test_factory_values_part_from_the_atmospheric_ones_above_30(still: StillAir, heard: Heard) -> None:
    still.pm = Particles(20.0, 50.0, 300.0, 900.0)
    twin = Pms5003(still, heard)
    twin.receive(PASSIVE, 0.0)
    twin.receive(READ, 1.0)
    told = heard.values[0]
    assert (told["pm1_0_cf1"], told["pm2_5_cf1"], told["pm10_cf1"]) == (20.0, 60.0, 1000.0)


def test_passive_mode_answers_when_asked(still: StillAir, heard: Heard) -> None:
    twin = Pms5003(still, heard)
    assert twin.receive(READ, 0.0) == b"", "active"
    assert twin.receive(PASSIVE, 1.0).hex() == "424d0004e1000174"
    assert twin.update(50.0) == (b"", NEVER_S)
    assert twin.receive(READ, 60.0).hex() == GOLDEN
    assert twin.receive(ACTIVE, 61.0).hex() == "424d0004e1010175"
    assert twin.update(61.0) == (b"", 63.3)


def test_sleep_outlives_the_host_and_waking_up_makes_it_active(still: StillAir, heard: Heard) -> None:
    twin = Pms5003(still, heard)
    twin.receive(PASSIVE, 0.0)
    assert twin.receive(SLEEP, 1.0).hex() == "424d0004e4000177"
    assert twin.receive(WAKE, 1.5) == b""
    assert twin.update(50.0) == (b"", NEVER_S), "the wake-up came too soon"
    assert twin.receive(READ + PASSIVE + SLEEP, 60.0) == b""
    assert twin.receive(WAKE, 61.0) == b"", "never acknowledged"
    assert twin.receive(PASSIVE, 61.5) == b"", "it does not hear yet"
    assert twin.update(61.5) == (b"", 63.8)
    assert twin.receive(PASSIVE, 62.1) != b""


def test_after_waking_up_zeros_and_then_low_readings(still: StillAir, heard: Heard) -> None:
    twin = Pms5003(still, heard)
    twin.receive(SLEEP, 0.0)
    twin.receive(WAKE, 10.0)
    twin.receive(PASSIVE, 11.1)
    for t_s in (12.0, 25.0, 41.0):
        twin.receive(READ, t_s)
    zero, low, settled = (values["pm2_5"] for values in heard.values)
    assert zero == 0.0
    assert low == 6.0
    assert settled == 13.0


def test_a_pms3003_does_not_listen(still: StillAir, heard: Heard) -> None:
    twin = Pms3003(still, heard)
    assert twin.receive(PASSIVE + SLEEP, 0.0) == b""
    assert twin.update(0.0) == (b"", 2.3)


def test_bad_commands_are_ignored_and_the_next_good_one_is_heard(still: StillAir, heard: Heard) -> None:
    twin = Pms5003(still, heard)
    unknown, out_of_range = (b"\x42\x4d" + bytes(body) for body in ((0xE3, 0, 0, 1, 0x72), (0xE1, 0, 2, 1, 0x72)))
    assert twin.receive(PASSIVE[:-1] + b"\0" + unknown + out_of_range + b"\x42\x42", 0.0) == b""
    assert twin.receive(PASSIVE[1:], 0.1).hex() == "424d0004e1000174", "the second 42 was its head"


def test_commands_may_come_byte_by_byte(still: StillAir, heard: Heard) -> None:
    twin = Pms5003(still, heard)
    replies = [twin.receive(bytes([byte]), 0.0) for byte in b"\x42" + PASSIVE + READ]
    assert [len(reply) for reply in replies if reply] == [8, 32]


def test_late_wake_up_does_not_bring_old_frames(still: StillAir, heard: Heard) -> None:
    twin = Pms5003(still, heard)
    twin.update(0.0)
    assert len(twin.update(600.0)[0]) == 32


def test_on_i2c_it_is_read_without_a_register(still: StillAir, heard: Heard) -> None:
    twin = Pmsa003i(still, heard)
    twin.write(b"", 0.0)
    assert twin.read(32, 0.0).hex() == GOLDEN
    assert twin.read(34, 1.0).hex() == GOLDEN + "ffff"
    assert len(heard.values) == 2
    with pytest.raises(Nack):
        twin.write(PASSIVE, 2.0)


def test_playback(still: StillAir, heard: Heard) -> None:
    # forums.pimoroni.com/t/15841: two bytes were lost on the way
    lossy = "424d001c0004000500050004000500037e00e20017000200000000970002424d"
    twin = Pms5003(still, heard, frames=[lossy, GOLDEN])
    twin.receive(PASSIVE, 0.0)
    assert [twin.receive(READ, t_s).hex() for t_s in (1.0, 2.0, 3.0)] == [lossy, GOLDEN, GOLDEN]
    assert Pmsa003i(still, heard, frames=[GOLDEN]).read(32, 0.0).hex() == GOLDEN
    assert heard.values == 4 * [{}]
