from __future__ import annotations

import pytest
from still_air import StillAir, ask
from still_street import Heard

from firmware_sim.device import Nack
from firmware_sim.devices.sgp4x import Sgp40, Sgp41

AT_50_PCT_25_DEGC = "8000a2666693"  # SGP40 datasheet, tables 9 and 10
LATER_S = 300.0


@pytest.fixture
def still() -> StillAir:
    air = StillAir()
    air.humidity = 100.0 * 0x8000 / 0xFFFF
    return air


def test_sgp41_gives_the_words_of_both_pixels(still: StillAir, heard: Heard) -> None:
    twin = Sgp41(still, heard)
    ask(twin, "2619" + AT_50_PCT_25_DEGC, 6, 0.0, 0.05)
    # as sensirion-i2c-sgp4x 0.1.0 reads them: 30123 and 15987
    assert ask(twin, "2619" + AT_50_PCT_25_DEGC, 6, LATER_S, 0.05) == "75abdb3e73f5"
    assert heard.values[-1] == {"voc_raw": 30123.0, "nox_raw": 15987.0}


def test_conditioning_and_the_sgp40_give_voc_only(still: StillAir, heard: Heard) -> None:
    still.voc_raw = 29876.0
    for twin, command, takes_s in ((Sgp41(still, heard), "2612", 0.05), (Sgp40(still, heard), "260f", 0.03)):
        ask(twin, command + AT_50_PCT_25_DEGC, 3, 0.0, takes_s)
        assert ask(twin, command + AT_50_PCT_25_DEGC, 3, LATER_S, takes_s) == "74b442"
        assert heard.values[-1] == {"voc_raw": 29876.0}


def test_pixels_start_cold_and_the_heater_can_be_switched_off(still: StillAir, heard: Heard) -> None:
    twin = Sgp40(still, heard)
    for t_s in (0.0, 10.0, LATER_S):
        ask(twin, "260f" + AT_50_PCT_25_DEGC, 3, t_s, 0.03)
    twin.write(bytes.fromhex("3615"), LATER_S + 1.0)
    ask(twin, "260f" + AT_50_PCT_25_DEGC, 3, LATER_S + 2.0, 0.03)
    first, second, settled, cold = (values["voc_raw"] or 0.0 for values in heard.values)
    assert first < second < settled == 30123.0
    assert cold == first


def test_a_wrong_humidity_makes_a_wrong_signal(still: StillAir, heard: Heard) -> None:
    twin = Sgp40(still, heard)
    ask(twin, "260f" + AT_50_PCT_25_DEGC, 3, 0.0, 0.03)
    ask(twin, "260fd2af4e75c2e8", 3, LATER_S, 0.03)  # 82.3 %, 35.5 degC
    assert heard.values[-1]["voc_raw"] == pytest.approx(30123.0 + 12.0 * 32.3, abs=1.0)


@pytest.mark.parametrize(
    ("kind", "command", "n", "takes_s"),
    [
        (Sgp40, "260f" + AT_50_PCT_25_DEGC, 3, 0.03),
        (Sgp40, "280e", 3, 0.25),
        (Sgp41, "2619" + AT_50_PCT_25_DEGC, 6, 0.05),
        (Sgp41, "280e", 3, 0.32),
    ],
)
def test_execution_times(
    still: StillAir, heard: Heard, kind: type[Sgp40], command: str, n: int, takes_s: float
) -> None:
    twin = kind(still, heard)
    twin.write(bytes.fromhex(command), 0.0)
    with pytest.raises(Nack):
        twin.read(n, takes_s - 0.001)
    assert len(twin.read(n, takes_s + 0.001)) == n


def test_self_test_passes_and_the_serial_number_is_told(still: StillAir, heard: Heard) -> None:
    assert ask(Sgp40(still, heard), "280e", 3, 0.0, 0.25) == "d400c6"  # SGP40 datasheet, table 13
    assert len(ask(Sgp41(still, heard), "3682", 9, 0.0, 0.001)) == 18
    with pytest.raises(ValueError, match="6 bytes"):
        Sgp41(still, heard, serial="00")


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (Sgp40, "260f"),
        (Sgp40, "260f8000a3666693"),
        (Sgp40, "2619" + AT_50_PCT_25_DEGC),
        (Sgp41, "260f" + AT_50_PCT_25_DEGC),
        (Sgp41, "280e" + AT_50_PCT_25_DEGC),
        (Sgp41, "beef"),
    ],
)
def test_what_the_part_does_not_know(still: StillAir, heard: Heard, kind: type[Sgp40], bad: str) -> None:
    with pytest.raises(Nack):
        kind(still, heard).write(bytes.fromhex(bad), 0.0)


def test_playback(still: StillAir, heard: Heard) -> None:
    twin = Sgp41(still, heard, frames=["000081ffffac"])
    assert ask(twin, "2619" + AT_50_PCT_25_DEGC, 6, 0.0, 0.05) == "000081ffffac"
    assert heard.values == [{}]
