from __future__ import annotations

import pytest
from still_air import StillAir, ask
from still_street import Heard

from firmware_sim.checks import with_crcs
from firmware_sim.device import Nack
from firmware_sim.devices.sht4x import Sht4x


@pytest.fixture
def still() -> StillAir:
    return StillAir()


# T = -45 + 175 S / 65535, RH = -6 + 125 S / 65535; the second and third as adafruit-circuitpython-sht4x reads them
@pytest.mark.parametrize(
    ("degc", "percent", "reply"),
    [(25.0, 50.0007, "66669372b0dc"), (-24.4925, 56.501, "1e00828000a2"), (25.0, 119.0, "666693ffffac")],
)
def test_measurement_is_the_published_one(
    still: StillAir, heard: Heard, degc: float, percent: float, reply: str
) -> None:
    still.air_degc, still.humidity = degc, percent
    assert ask(Sht4x(still, heard), "fd", 6, 0.0, 0.0083) == reply
    assert heard.values[0]["temperature"] == pytest.approx(degc, abs=0.0014)
    assert heard.values[0]["humidity"] == pytest.approx(min(percent, 100.0), abs=0.001), "what leaves 0..100 is cropped"


@pytest.mark.parametrize(("command", "takes_s"), [("fd", 0.0083), ("f6", 0.0045), ("e0", 0.0016), ("15", 0.11)])
def test_reading_before_it_is_ready_is_not_acknowledged(
    still: StillAir, heard: Heard, command: str, takes_s: float
) -> None:
    twin = Sht4x(still, heard)
    twin.write(bytes.fromhex(command), 0.0)
    with pytest.raises(Nack):
        twin.read(6, takes_s - 0.0001)
    with pytest.raises(Nack):
        twin.write(b"\xfd", takes_s - 0.0001)
    assert heard.lines == []
    assert len(twin.read(6, takes_s + 0.0001)) == 6
    with pytest.raises(Nack):
        twin.read(6, 1.0)


def test_the_heater_warms_and_dries_what_is_measured_with_it(still: StillAir, heard: Heard) -> None:
    twin = Sht4x(still, heard)
    ask(twin, "fd", 6, 0.0, 0.01)
    ask(twin, "39", 6, 1.0, 1.1)
    plain, heated = heard.values
    assert (heated["temperature"] or 0.0) > (plain["temperature"] or 0.0) + 50.0
    assert (heated["humidity"] or 0.0) < (plain["humidity"] or 0.0)


def test_serial_number_and_reset(still: StillAir, heard: Heard) -> None:
    twin = Sht4x(still, heard, serial="01020304")
    assert ask(twin, "89", 6, 0.0, 0.0) == with_crcs(bytes.fromhex("01020304")).hex()
    twin.write(b"\x94", 1.0)
    with pytest.raises(Nack):
        twin.write(b"", 1.0005)
    with pytest.raises(ValueError, match="4 bytes"):
        Sht4x(still, heard, serial="01")


@pytest.mark.parametrize("bad", ["00", "2400", "fdbeef92"])
def test_unknown_commands(still: StillAir, heard: Heard, bad: str) -> None:
    with pytest.raises(Nack):
        Sht4x(still, heard).write(bytes.fromhex(bad), 0.0)


def test_playback(still: StillAir, heard: Heard) -> None:
    twin = Sht4x(still, heard, frames=["66669372b0dc", "000081000081"])
    assert [ask(twin, "fd", 6, t_s, 0.01) for t_s in (0.0, 1.0, 2.0)] == ["66669372b0dc"] + 2 * ["000081000081"]
    assert heard.values == [{}, {}, {}]
