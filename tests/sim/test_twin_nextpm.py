from __future__ import annotations

import pytest
from still_air import StillAir
from still_street import Heard

from firmware_sim.device import NEVER_S
from firmware_sim.devices.nextpm import NextPm, reply
from firmware_sim.street import Counts, Particles

# airrohr-firmware utils.cpp and Arduino_NextPM.h
SECONDS_10, SECONDS_60, SECONDS_900 = "81116e", "81126d", "81136c"
CLIMATE, TOGGLE, STATE, VERSION = "81146b", "81156a", "811669", "811768"
NOON_S = 1767182400.0


class RisingAir(StillAir):
    """PM that grows by 1 ug/m3 a second."""

    def particles(self, t_s: float) -> Particles:
        rise = t_s - NOON_S
        return Particles(rise, rise, rise, rise)


@pytest.fixture
def still() -> StillAir:
    air = StillAir()
    air.pm = Particles(8.4, 11.2, 12.0, 13.5)
    air.counts = Counts(1360.0, 500.0, 160.0, 10.0, 0.0, 0.0, 0.0)
    return air


def say(twin: NextPm, command: str, t_s: float) -> str:
    return twin.receive(bytes.fromhex(command), t_s).hex()


def test_reply_is_laid_out_as_airrohr_reads_it(still: StillAir, heard: Heard) -> None:
    twin = NextPm(still, heard)
    assert say(twin, SECONDS_10, NOON_S) == "81110004b005460550005400700087cf"
    assert heard.values == [{"n1_0": 1200.0, "n2_5": 1350.0, "n10": 1360.0, "pm1_0": 8.4, "pm2_5": 11.2, "pm10": 13.5}]
    assert twin.update(NOON_S) == (b"", NEVER_S)


@pytest.mark.parametrize(
    ("command", "t_s", "mean"), [(SECONDS_10, 100.5, 95.5), (SECONDS_60, 109.0, 75.0), (SECONDS_900, 1000.0, 540.0)]
)
def test_averages(heard: Heard, command: str, t_s: float, mean: float) -> None:
    say(NextPm(RisingAir(), heard), command, NOON_S + t_s)
    assert heard.values[0]["pm2_5"] == pytest.approx(mean)


def test_states() -> None:
    assert reply(0x16, 0x01).hex() == "81160168"
    assert reply(0x16, 0x08).hex() == "81160861"


def test_sleep_outlives_the_host_and_the_same_command_wakes_it(still: StillAir, heard: Heard) -> None:
    twin = NextPm(still, heard)
    assert say(twin, STATE, 0.0) == "81160069"
    assert say(twin, TOGGLE, 1.0) == "81150169"
    assert say(twin, STATE, 500.0) == "81160168"
    assert say(twin, SECONDS_10, 501.0) == "81160168", "instead of values"
    assert say(twin, TOGGLE, 600.0) == "81150466"
    assert say(twin, SECONDS_60, 601.0) == "81160465", "not ready"
    assert say(twin, STATE, 615.1) == "81160069"
    assert say(twin, SECONDS_60, 616.0)[:6] == "811200"
    assert len(heard.values) == 1


def test_only_samples_since_it_woke_up_count(heard: Heard) -> None:
    twin = NextPm(RisingAir(), heard)
    say(twin, TOGGLE, NOON_S)
    say(twin, TOGGLE, NOON_S + 70.0)
    say(twin, SECONDS_60, NOON_S + 91.0)
    assert heard.values[0]["pm10"] == pytest.approx(80.0)


def test_climate_inside_and_version(still: StillAir, heard: Heard) -> None:
    twin = NextPm(still, heard)
    climate = bytes.fromhex(say(twin, CLIMATE, 0.0))
    assert (len(climate), climate[:3].hex(), sum(climate) % 256) == (8, "811400", 0)
    # corrected as airrohr and Arduino_NextPM do
    assert 0.9754 * int.from_bytes(climate[3:5], "big") / 100 - 4.2488 == pytest.approx(25.0, abs=0.01)
    assert 1.1768 * int.from_bytes(climate[5:7], "big") / 100 - 4.727 == pytest.approx(37.0, abs=0.01)
    version = bytes.fromhex(say(twin, VERSION, 1.0))
    assert (version[:5].hex(), sum(version) % 256) == ("8117001047", 0)
    assert heard.values == []


def test_counts_stop_at_what_fits(still: StillAir, heard: Heard) -> None:
    still.counts = still.counts._replace(n0_3=1e5)
    say(NextPm(still, heard), SECONDS_10, NOON_S)
    assert heard.values[0]["n10"] == 65535.0


def test_bad_commands_are_ignored_and_half_ones_are_forgotten(still: StillAir, heard: Heard) -> None:
    twin = NextPm(still, heard)
    assert say(twin, "81116f" + "8120" + "5f" + "0011", 0.0) == ""
    replies = [twin.receive(bytes([byte]), 1.0) for byte in bytes.fromhex("81" + STATE)]
    assert [one.hex() for one in replies if one] == ["81160069"]
    assert say(twin, "8111", 2.0) == ""
    assert say(twin, STATE, 9.0) == "81160069"


def test_playback(still: StillAir, heard: Heard) -> None:
    twin = NextPm(still, heard, frames=["81110004b005460550005400700087cf", "81160465"])
    assert [say(twin, SECONDS_10, t_s) for t_s in (0.0, 1.0)] == ["81110004b005460550005400700087cf", "81160465"]
    assert heard.values == [{}, {}]
