from __future__ import annotations

import pytest
from still_air import StillAir
from still_street import Heard

from firmware_sim.device import Nack
from firmware_sim.devices.ads1115 import Ads1115

SINGLE_860 = 0x81E3  # single-shot, 860 samples a second, comparator off
MUX = {0: 0x4000, 1: 0x5000, 2: 0x6000, 3: 0x7000}
PGA = {6.144: 0, 2.048: 0x0400, 0.256: 0x0A00}


def register(twin: Ads1115, number: int, t_s: float) -> int:
    twin.write(bytes([number]), t_s)
    return int.from_bytes(twin.read(2, t_s), "big")


def configure(twin: Ads1115, value: int, t_s: float) -> None:
    twin.write(b"\x01" + value.to_bytes(2, "big"), t_s)


def convert(twin: Ads1115, pin: int, t_s: float, full_scale: float = 2.048) -> float:
    configure(twin, SINGLE_860 | MUX[pin] | PGA[full_scale], t_s)
    assert not register(twin, 1, t_s) & 0x8000, "busy"
    assert register(twin, 1, t_s + 0.0012) & 0x8000
    raw = register(twin, 0, t_s + 0.0012)
    return (raw - 0x10000 if raw & 0x8000 else raw) * full_scale / 32768.0


def test_registers_after_reset(heard: Heard) -> None:
    twin = Ads1115(StillAir(), heard)
    assert [register(twin, k, 0.0) for k in range(4)] == [0, 0x8583, 0x8000, 0x7FFF]
    twin.write(bytes.fromhex("021234"), 0.0)
    assert register(twin, 2, 0.0) == 0x1234
    twin.general_call(b"\x06", 0.0)
    assert register(twin, 2, 0.0) == 0x8000
    with pytest.raises(Nack):
        twin.write(b"\x01\x85", 0.0)


def test_volts_of_the_electrodes_give_the_gas_back(heard: Heard) -> None:
    """AAN 803-05, algorithm 1, with nT at 25 degC halfway between 0.6 (NO2-B43F) and 1.7 (OX-B431) and their next."""
    air = StillAir()
    twin = Ads1115(air, heard)
    v = [convert(twin, pin, 1.0 + pin) * 1000.0 for pin in range(4)]
    no2_ppb = ((v[0] - 225.0) - 0.5 * (v[1] - 230.0)) / 0.309
    assert no2_ppb == pytest.approx(air.no2, abs=0.25)
    ox_mv = (v[2] - 246.0) - 1.85 * (v[3] - 251.0)
    assert (ox_mv - 0.338 * no2_ppb) / 0.362 == pytest.approx(air.o3, abs=0.6)
    (values,) = heard.values
    assert [values[f"v{pin}"] for pin in range(4)] == pytest.approx([x / 1000.0 for x in v], abs=1e-12)


def test_warmth_moves_both_electrodes(heard: Heard) -> None:
    air = StillAir()
    twin = Ads1115(air, heard)
    cold = convert(twin, 1, 0.0)
    air.air_degc = 40.0
    assert convert(twin, 1, 1.0) - cold == pytest.approx(2e-3 * (2.2255 - 1.2214), abs=1e-4)


def test_full_scale_saturates(heard: Heard) -> None:
    air = StillAir()
    air.no2 = 2000.0
    twin = Ads1115(air, heard)
    assert convert(twin, 0, 0.0, 0.256) == pytest.approx(0.256, abs=1e-5)
    assert convert(twin, 0, 1.0, 6.144) == pytest.approx(0.8445, abs=2e-4)
    assert len(heard.values) == 1, "a channel that comes again begins a new row"


def test_continuous_mode_finishes_what_it_has_begun(heard: Heard) -> None:
    other = Ads1115(StillAir(), heard)
    no2, ox = (round(convert(other, pin, pin) / 2.048 * 32768.0) for pin in (0, 2))
    twin = Ads1115(StillAir(), heard)
    configure(twin, 0x0483 | MUX[0], 0.0)  # 128 samples a second
    assert register(twin, 0, 0.007) == 0
    assert register(twin, 0, 0.010) == no2
    configure(twin, 0x0483 | MUX[2], 0.012)
    assert register(twin, 0, 0.016) == no2, "the conversion that was under way is still of the old input"
    assert register(twin, 0, 0.024) == ox
    assert register(twin, 0, 3600.0) == ox


def test_playback(heard: Heard) -> None:
    twin = Ads1115(StillAir(), heard, frames=["8000", "ffff"])
    assert [convert(twin, 0, 0.0), convert(twin, 0, 1.0, 0.256)] == [-2.048, pytest.approx(-7.8125e-06)]
    assert heard.values == [{}, {}]
