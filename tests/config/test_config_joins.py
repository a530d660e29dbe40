"""Inputs and derived channels: what is named must be there and of the right unit, and what is needed must be named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from config_parts import parts, sensors  # noqa: F401 - a fixture

from gateway.board import CLAMPED, NOT_NAMED, NOT_YET, TOO_OLD
from gateway.config_errors import Problem
from gateway.config_file import examine, load
from gateway.pipeline.derive import B4_CELL

HEAD = '[site]\nname = "post"\n[gateway]\nname = "lp-1"\n'
SENSORS = sensors(
    "gas gas /dev/i2c-1", "weather-1 at-48 /dev/i2c-1", "isb-1 adc /dev/i2c-1", "isb-2 adc-2 /dev/i2c-1",
    "t thermometer /dev/i2c-1", "lost no-such-driver /dev/i2c-1",
)  # fmt: skip
NO2 = {
    "name": '"no2-1"', "kind": '"b4_cell"', "cell": '"NO2-B43F"', "working": '"isb-1.v0"', "auxiliary": '"isb-2.v1"',
    "temperature": '"t.temperature"', "we_electronic_zero_mV": "225.0", "ae_electronic_zero_mV": "230",
    "sensitivity_mV_per_ppb": "0.309", "serial": '"202742057"', "origin": '"certificate of 2025-03-04"',
}  # fmt: skip
OX = NO2 | {
    "name": '"o3-1"', "cell": '"OX-B431"', "no2": '"no2-1.no2"', "no2_sensitivity_mV_per_ppb": "0.4"
}  # fmt: skip


def derived(*tables: dict[str, str]) -> str:
    return "".join("[[derived]]\n" + "".join(f"{key} = {value}\n" for key, value in one.items()) for one in tables)


def errors(folder: Path, text: str) -> list[Problem]:
    path = folder / "site.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    found = [one for one in examine(path)[1] if not one.warning and "no-such-driver" not in one.what]
    lines = path.read_text(encoding="utf-8").splitlines()
    for one in found:
        key = one.key.rpartition(".")[2]
        assert key in lines[one.line - 1] or lines[one.line - 1].startswith("["), (one, lines[one.line - 1])
        assert one.hint
    return found


def told(**inputs: str) -> str:
    """Write [sensor.inputs] of the gas sensor, which stands first."""
    first, rest = SENSORS.split("[[sensor]]", 2)[1:]
    lines = "".join(f"{name} = {value}\n" for name, value in inputs.items())
    return f"[[sensor]]{first}[sensor.inputs]\n{lines}[[sensor]]{rest}"


# (inputs of `gas`; key, what, hint)
INPUTS = {
    "a name that the part does not know": (
        {"pressure": '"weather-1.humidity"'}, "pressure", "gas wants to be told no 'pressure'", "humidity, temperature"
    ),
    "a sensor that is not there": (
        {"humidity": '"weather.humidity"'}, "humidity", "there is no sensor 'weather'", "in %: gas.humidity, weather-1"
    ),
    "a channel that it has not": (
        {"humidity": '"weather-1.rh"'}, "humidity", "'weather-1' has no channel 'rh'", "weather-1.humidity"
    ),
    "a unit that is not meant": (
        {"temperature": '"weather-1.humidity"'}, "temperature", "weather-1.humidity is in %, not in Cel", "in Cel: t.t"
    ),
    "itself": ({"humidity": '"gas.humidity"'}, "humidity", "'gas' would be told of itself", "another sensor"),
    "no channel": ({"humidity": '"weather-1"'}, "humidity", "'weather-1' is not sensor.channel", "weather-1.humidity"),
    "a number": ({"humidity": "50"}, "humidity", "50 is no text", "quotes"),
}  # fmt: skip


@pytest.mark.parametrize("case", INPUTS, ids=str)
def test_inputs_refused(case: str, tmp_path: Path) -> None:
    inputs, key, what, hint = INPUTS[case]
    (found,) = errors(tmp_path, told(**inputs))
    assert found.key == f"sensor[0].inputs.{key}"
    assert what in found.what
    assert hint in found.hint


def test_a_part_is_told_of_no_derived_channel(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, told(humidity='"no2-1.no2"') + derived(NO2))
    assert found.what == "'no2-1' is made at the end of a window: too late to be told"


def test_a_part_without_inputs_takes_none(tmp_path: Path) -> None:
    text = sensors("a fast /dev/i2c-1 inputs.humidity = 'b.humidity'", "b at-48 /dev/i2c-1")
    (found,) = errors(tmp_path, text)
    assert (found.key, found.hint) == ("sensor[0].inputs.humidity", "take this key out")


def test_what_is_told_is_in_the_configuration(tmp_path: Path) -> None:
    text = told(humidity='"weather-1.humidity"', temperature='"t.temperature"').partition('[[sensor]]\nname = "lost"')[
        0
    ]
    assert errors(tmp_path, text) == []
    gas = load(tmp_path / "site.toml").sensor[0]
    assert gas.inputs == {"humidity": "weather-1.humidity", "temperature": "t.temperature"}


def test_of_a_sensor_with_a_mistake_nothing_more_is_said(tmp_path: Path) -> None:
    assert errors(tmp_path, told(humidity='"lost.humidity"')) == []


def but(table: dict[str, str], **changes: str) -> dict[str, str]:
    """Return a table with some keys changed; an empty value takes a key out."""
    return {key: value for key, value in (table | changes).items() if value}


# (tables; key, what, hint)
DERIVED = {
    "an unknown kind": ([but(NO2, kind='"b5_cell"')], "[0].kind", "there is no kind 'b5_cell'", "b4_cell"),
    "no kind": ([but(NO2, kind="")], "[0].kind", "missing", "add it"),
    "an unknown key": ([but(NO2, wroking='"isb-1.v0"')], "[0].wroking", "unknown key", "did you mean `working`?"),
    "a part of another unit": (
        [but(NO2, working='"t.temperature"')], "[0].working", "t.temperature is in Cel, not in V", "isb-1.v0, isb-2.v1"
    ),
    "a missing part": ([but(NO2, auxiliary="")], "[0].auxiliary", "missing", 'algorithm 4, as "sensor.channel"'),
    "a missing number": ([but(NO2, sensitivity_mV_per_ppb="")], "[0].sensitivity_mV_per_ppb", "missing", "certificate"),
    "a missing cell": ([but(NO2, cell="")], "[0].cell", "missing", "one of NO2-B43F, OX-B431, CO-B4"),
    "a cell that is not known": ([but(NO2, cell='"NO2-A43F"')], "[0].cell", "is not one of NO2-B43F", "printed"),
    "a sensitivity of 0": ([but(NO2, sensitivity_mV_per_ppb="0")], "[0].sensitivity_mV_per_ppb", "is 0", "certificate"),
    "a text for a number": (
        [but(NO2, sensitivity_mV_per_ppb='"0.3"')], "[0].sensitivity_mV_per_ppb", "is no number", "certificate"
    ),
    "a list": ([but(NO2, algorithm="[1]")], "[0].algorithm", "neither a number, a text nor true", "correct"),
    "algorithm 3 without its zeros": (
        [but(NO2, algorithm="3", we_sensor_zero_mV="5")], "[0].ae_sensor_zero_mV", "missing", "AE sensor zero"
    ),
    "algorithm 2 with a zero of 0": (
        [but(NO2, algorithm="2", we_sensor_zero_mV="5", ae_sensor_zero_mV="0.0")],
        "[0].ae_sensor_zero_mV", "is divided by", "certificate",
    ),
    "algorithm 4 with an electrode that it does not use": (
        [but(NO2, algorithm="4", we_sensor_zero_mV="5")], "[0].auxiliary", "means nothing here", "take this key out"
    ),
    "nitrogen dioxide for a cell that sees only that": (
        [but(NO2, no2='"isb-1.v0"')], "[0].no2", "means nothing here", "take this key out: OX-B431 only"
    ),
    "an OX cell without a cell beside it": ([but(OX, no2="")], "[0].no2", "missing", "nitrogen dioxide"),
    "a derived channel that stands below": (
        [OX, NO2], "[0].no2", "'no2-1' stands below, or is not right itself", "no sensor here measures in [ppb]"
    ),
    "a name that a sensor has": ([but(NO2, name='"gas"')], "[0].name", "'gas' is used twice", "name of its own"),
    "the gateway's own name": ([but(NO2, name='"board"')], "[0].name", "'board' is used twice", "name of its own"),
    "a name that is none": ([but(NO2, name='"NO2 west"')], "[0].name", "is no name", "small letters"),
}  # fmt: skip


@pytest.mark.parametrize("case", DERIVED, ids=str)
def test_derived_refused(case: str, tmp_path: Path) -> None:
    tables, key, what, hint = DERIVED[case]
    found = errors(tmp_path, SENSORS + derived(*tables))
    mine = [one for one in found if one.key == f"derived{key}"]
    assert found == mine
    assert len(mine) == 1
    assert what in mine[0].what
    assert hint in mine[0].hint


@pytest.mark.parametrize(
    "table",
    [
        NO2,
        but(NO2, algorithm="2", we_sensor_zero_mV="-3.1", ae_sensor_zero_mV="2.0"),
        but(NO2, algorithm="4", we_sensor_zero_mV="5", auxiliary="", ae_electronic_zero_mV=""),
        but(NO2, cell='"CO-B4"', name='"co-1"'),
    ],
)
def test_a_cell_that_is_right(table: dict[str, str], tmp_path: Path) -> None:
    assert errors(tmp_path, SENSORS + derived(table)) == []


def test_ozone_may_be_made_of_a_derived_or_a_measured_channel(tmp_path: Path) -> None:
    assert errors(tmp_path, SENSORS + derived(NO2, OX)) == []
    text = SENSORS + sensors("no2-2 no2-meter /dev/i2c-1") + derived(but(OX, no2='"no2-2.no2"'))
    assert errors(tmp_path, text) == []


def test_what_is_derived_is_in_the_configuration(tmp_path: Path) -> None:
    errors(tmp_path, SENSORS.partition('[[sensor]]\nname = "lost"')[0] + derived(NO2))
    config = load(tmp_path / "site.toml")
    (one,) = config.derived
    assert (one.name, one.kind, one.serial, one.origin) == (
        "no2-1", "b4_cell", "202742057", "certificate of 2025-03-04",
    )  # fmt: skip
    assert one.keys["working"] == "isb-1.v0"
    assert one.keys["sensitivity_mV_per_ppb"] == 0.309
    assert "name" not in one.keys


# -- the page that describes it ----------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "sensors-together.md").read_text(encoding="utf-8")


def test_every_key_of_a_kind_is_described_and_no_other() -> None:
    section = PAGE.partition("### `b4_cell`")[2].partition('"When" names')[0]
    described = re.findall(r"(?m)^\| `(\w+)` \|", section)
    assert sorted(described) == sorted([one.name for one in (*B4_CELL.parts, *B4_CELL.options)])
    for part in B4_CELL.parts:
        assert re.search(rf"(?m)^\| `{part.name}` \| {re.escape(part.unit)} \|", section)


def test_the_examples_of_cells_are_right(tmp_path: Path) -> None:
    blocks = [block for block in re.findall(r"(?ms)^```toml\n(.*?)^```", PAGE) if "[[derived]]" in block]
    assert len(blocks) == 2
    text = "".join(blocks)
    text = re.sub(r'"isb-\d\.v0"', '"isb-1.v0"', text)
    text = re.sub(r'"isb-\d\.v1"', '"isb-2.v1"', text)
    assert errors(tmp_path, SENSORS + text.replace("weather-1.temperature", "t.temperature")) == []


def test_the_reasons_for_what_a_part_is_told_are_described() -> None:
    for reason in (NOT_NAMED, NOT_YET, TOO_OLD, CLAMPED):
        assert f"`{reason}`" in PAGE
