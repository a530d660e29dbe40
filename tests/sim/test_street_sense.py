"""How parts see the street: late, noisily, ageing, wet; and perfectly where nothing is said."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from firmware_sim.devices import I2C_TWINS, UART_TWINS
from firmware_sim.scenario import Part, ScenarioError, load_scenario, make_twin
from firmware_sim.street import EPISODES, Episode, Sense, Street, StreetParameters, Vehicle, seen_by
from firmware_sim.street.sense import Seen

NOON_S = 1_768_212_000.0
DAY_S = 86_400.0
SCALARS = (
    "temperature_degc", "humidity_pct", "pressure_pa", "voc_index", "nox_index", "co2_ppm", "no_ppb", "no2_ppb",
    "o3_ppb", "co_ppm", "hcho_ppb",
)  # fmt: skip


def test_a_part_of_which_nothing_is_said_sees_the_street_itself() -> None:
    street = Street(5)
    assert seen_by(street, Sense(), "pm") is street


def test_every_quantity_passes_through_a_part_that_does_nothing_to_it() -> None:
    """A response so short that it is none: all methods of the street are there, and say the same."""
    street = Street(5)
    seen = seen_by(street, Sense(response_s=1e-6), "pm")
    for name in SCALARS:
        assert getattr(seen, name)(NOON_S) == pytest.approx(getattr(street, name)(NOON_S), rel=1e-5), name
    assert seen.particles(NOON_S) == pytest.approx(street.particles(NOON_S), rel=1e-5)
    assert seen.counts_per_cm3(NOON_S) == pytest.approx(street.counts_per_cm3(NOON_S), rel=1e-5)
    assert seen.vehicles(NOON_S, NOON_S + 60.0) == street.vehicles(NOON_S, NOON_S + 60.0)
    assert seen.laeq_db(NOON_S, NOON_S + 1.0) == street.laeq_db(NOON_S, NOON_S + 1.0)
    assert seen.wind(NOON_S) == street.wind(NOON_S)
    assert set(dir(Street)) <= set(dir(Seen))


def test_noise_is_as_large_as_said_seeded_and_another_for_each_part() -> None:
    street = Street(5)
    one, same, other = (seen_by(street, Sense(noise=0.05), name) for name in ("a", "a", "b"))
    times = (NOON_S + np.arange(2000.0)).tolist()
    ratio = np.array([one.co2_ppm(t) / street.co2_ppm(t) for t in times])
    assert ratio.mean() == pytest.approx(1.0, abs=0.005)
    assert ratio.std() == pytest.approx(0.05, rel=0.1)
    assert [one.co2_ppm(t) for t in times[:20]] == [same.co2_ppm(t) for t in reversed(times[:20])][::-1]
    assert one.co2_ppm(NOON_S) != other.co2_ppm(NOON_S)
    off = [one.temperature_degc(t) - street.temperature_degc(t) for t in times]
    assert np.std(off) == pytest.approx(0.5, rel=0.1)  # a share of 10 K


def test_a_part_ages_from_the_start_on() -> None:
    street = Street(5, start_s=NOON_S)
    old = seen_by(street, Sense(drift_per_day=0.01), "a")
    assert old.co2_ppm(NOON_S) == street.co2_ppm(NOON_S)
    assert old.co2_ppm(NOON_S + 5 * DAY_S) == pytest.approx(1.05 * street.co2_ppm(NOON_S + 5 * DAY_S))


def test_a_slow_part_is_late() -> None:
    class Step(Street):
        def co2_ppm(self, t_s: float) -> float:
            return 500.0 if t_s < NOON_S else 900.0

    slow = seen_by(Step(5), Sense(response_s=60.0), "a")
    assert slow.co2_ppm(NOON_S - 1.0) == pytest.approx(500.0)
    assert 500.0 < slow.co2_ppm(NOON_S + 20.0) < slow.co2_ppm(NOON_S + 150.0) < 900.0
    assert slow.co2_ppm(NOON_S + 1200.0) == pytest.approx(900.0)


def test_a_part_that_minds_humidity() -> None:
    damp = Street(5, StreetParameters(mean_humidity_pct=80.0))
    minds = seen_by(damp, Sense(cross_per_pct=0.01), "a")
    more = 0.01 * (damp.humidity_pct(NOON_S) - 50.0)
    assert minds.no2_ppb(NOON_S) == pytest.approx((1.0 + more) * damp.no2_ppb(NOON_S))
    assert minds.humidity_pct(NOON_S) == damp.humidity_pct(NOON_S)


def test_twins_get_their_view_and_others_do_not() -> None:
    foggy = Street(5, None, [Episode("fog", 0.0, 36_000.0)], NOON_S - 18_000.0)
    heard: dict[str, float] = {}
    for name, options in (("wet", {"humidity_swells": True}), ("dry", {})):
        part = Part(name, "sds011", options)

        def report(_t_s: float, values: object, name: str = name) -> None:
            heard[name] = values["pm2_5"]  # type: ignore[index]

        twin = make_twin(UART_TWINS, part, foggy, report)
        for k in range(3):
            twin.update(NOON_S + k)
    assert heard["wet"] > 3.0 * heard["dry"]


def test_no_twin_has_an_option_of_its_own_by_these_names() -> None:
    from firmware_sim.scenario import option_types
    from firmware_sim.scenario_street import SENSES

    for device, twin in {**UART_TWINS, **I2C_TWINS}.items():
        assert not option_types(twin).keys() & SENSES.keys(), device


def test_vehicles_of_old_have_no_length_and_look_as_long_as_they_sound() -> None:
    assert Vehicle(0.0, 10.0, 60.0).length_m == 0.0


HEAD = 'seed = 1\n[[uart]]\nname = "pm"\ndevice = "sds011"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("options = { noise = 2.0 }", "uart[0].options.noise: 2.0 is out of range; use 0 to 1"),
        ('options = { noise = "much" }', "uart[0].options.noise: 'much' is not understood; write a number"),
        ("options = { nose = 0.1 }", "uart[0].options.nose: unknown key; did you mean 'noise'?"),
        ("options = { humidity_swells = 1 }", "humidity_swells: 1 is not understood; write true or false"),
        ("[street]\nbusy_per_hour = 3", "street.busy_per_hour: unknown key; did you mean 'busy_per_h'?"),
        ("[street]\nkappa = true", "street.kappa: True is not a number"),
        ("[street]\nspeed_m_s = 90", "street.speed_m_s: 90.0 is out of range; use 5 to 25"),
        ("[street]\nquiet_per_h = 900", "street.quiet_per_h: is more than busy_per_h"),
        (
            '[[street.event]]\nkind = "frog"\nfor_s = 60',
            "street.event[0].kind: unknown event 'frog'; did you mean 'fog'?",
        ),
        ('[[street.event]]\nkind = "fog"', "street.event[0].for_s: is missing"),
        ('[[street.event]]\nkind = "fog"\nfor_s = -1', "street.event[0].for_s: -1.0 is not a time"),
        ('[[street.event]]\nkind = "fog"\nfor_s = 1\nstrength = 99', "street.event[0].strength: 99.0 is out of range"),
        ("[street]\nevent = 1", "street.event: must be an array of tables"),
        ("[[outage]]\nfrom_s = 5", 'outage: is a fault like all others now; write [[fault]] with on = "store"'),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "scene.toml"
    path.write_text(HEAD + text)
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert said in str(error.value)
    assert len(error.value.problems) == 1


def test_a_street_of_numbers_and_events(tmp_path: Path) -> None:
    path = tmp_path / "scene.toml"
    street = '[street]\nkappa = 0.4\nbusy_per_h = 1000\n[[street.event]]\nkind = "fog"\nfrom_s = 5\nfor_s = 60\n'
    path.write_text(f"{HEAD}options = {{ noise = 0.1, humidity_swells = true }}\n{street}")
    scene = load_scenario(path)
    assert scene.street == StreetParameters(kappa=0.4, busy_per_h=1000.0)
    assert scene.episodes == (Episode("fog", 5.0, 60.0),)
    assert scene.uarts[0].options == {"noise": 0.1, "humidity_swells": True}


def test_every_parameter_says_its_unit_and_where_it_comes_from() -> None:
    import firmware_sim.street.parameters as module

    text = Path(str(module.__file__)).read_text(encoding="utf-8").split("class StreetParameters")[1].split("LIMITS")[0]
    lines = [line for line in text.splitlines() if ": float = " in line]
    assert len(lines) == len(fields(StreetParameters))
    for line in lines:
        assert "  # " in line, line


def test_the_reference_names_every_number_and_every_event() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "scenario.md").read_text(encoding="utf-8")
    for one in fields(StreetParameters):
        assert f"| `{one.name}` | {getattr(StreetParameters(), one.name):.10g} |" in text, one.name
    for name in (*EPISODES, *(one.name for one in fields(Sense))):
        assert f"| `{name}` |" in text, name
