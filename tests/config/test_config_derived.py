"""Derived channels of air in a site file: what is refused, what is warned of, and the page that describes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config_errors import Problem
from gateway.config_file import examine, load
from gateway.pipeline.air_index import EAQI, SCHEMES
from gateway.pipeline.air_limits import EU_2008, EU_2024, Law
from gateway.pipeline.derivations import DERIVATIONS
from gateway.pipeline.pm_correction import barkjohn_2021
from gateway.plans import derived, plans
from gateway.status import describe

SITE = """
[site]
name = "post"
[gateway]
name = "lp-1"
[[sensor]]
name = "pm-plantower"
driver = "pms5003"
port = "/dev/ttyUSB0"
[[sensor]]
name = "pm-north"
driver = "sds011"
port = "/dev/ttyUSB1"
[[sensor]]
name = "o3-street"
driver = "ze25_o3"
port = "/dev/ttyUSB2"
[[sensor]]
name = "co-street"
driver = "ze07_co"
port = "/dev/ttyUSB3"
[[sensor]]
name = "weather-1"
driver = "sht4x"
bus = "/dev/i2c-1"
[[sensor]]
name = "isb-1"
driver = "ads1115"
bus = "/dev/i2c-1"
[[derived]]
name = "no2-west"
kind = "b4_cell"
cell = "NO2-B43F"
working = "isb-1.v0"
auxiliary = "isb-1.v1"
temperature = "weather-1.temperature"
we_electronic_zero_mV = 225.0
ae_electronic_zero_mV = 230.0
sensitivity_mV_per_ppb = 0.309
origin = "certificate"
"""
DRY = {
    "name": "dry", "kind": "pm_correction", "method": "kappa_koehler", "pm2_5": "pm-north.pm2_5",
    "humidity": "weather-1.humidity", "kappa": 0.35, "origin": "collocation of 2026-03",
}  # fmt: skip
EPA = {
    "name": "epa", "kind": "pm_correction", "method": "barkjohn_2021", "pm2_5": "pm-plantower.pm2_5_cf1",
    "humidity": "weather-1.humidity",
}  # fmt: skip
MASS = {"name": "mass", "kind": "mass_concentration", "mole_fraction": "o3-street.o3", "gas": "o3"}
DEW = {
    "name": "dew", "kind": "dew_point", "temperature": "weather-1.temperature", "humidity": "weather-1.humidity"
}  # fmt: skip
INDEX = {
    "name": "index", "kind": "air_index", "station": "background", "pm2_5": "pm-north.pm2_5", "pm10": "pm-north.pm10",
    "no2": "no2-west.no2", "o3": "o3-street.o3",
}  # fmt: skip
Table = dict[str, str | float]


def but(table: Table, **changes: str | float | None) -> Table:
    """Return a table with some keys changed; None takes a key out."""
    return {key: value for key, value in (table | changes).items() if value is not None}


def examined(folder: Path, *tables: Table, head: str = SITE) -> list[Problem]:
    text = head
    for table in tables:
        text += "[[derived]]\n" + "".join(f"{key} = {value!r}\n" for key, value in table.items())
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return list(examine(path)[1])


def errors(folder: Path, *tables: Table, head: str = SITE) -> list[Problem]:
    return [one for one in examined(folder, *tables, head=head) if not one.warning]


RIGHT = [
    [DRY], [EPA], [but(EPA, method="epa_fire_smoke_map", pm2_5="pm-plantower.pm2_5")], [MASS], [DEW],
    [but(DRY, pm2_5="pm-plantower.pm2_5", humidity_cap=85)], [but(DEW, kind="absolute_humidity")],
    [but(MASS, mole_fraction="co-street.co", gas="co")], [INDEX], [but(INDEX, o3=None, station="traffic")],
    [but(INDEX, pm2_5=None)], [MASS, but(INDEX, o3="mass.o3")], [DRY, but(INDEX, pm2_5="dry.pm2_5")],
    [but(INDEX, scheme="eaqi_2017")], [but(INDEX, scheme="us_aqi_2024", station=None, co="co-street.co")],
    [{"name": "pm", "kind": "air_index", "station": "specific", "pm10": "pm-north.pm10"}],
]  # fmt: skip


@pytest.mark.parametrize("tables", RIGHT, ids=lambda tables: tables[-1]["kind"])
def test_what_is_right(tables: list[Table], tmp_path: Path) -> None:
    assert errors(tmp_path, *tables) == []
    config = load(tmp_path / "site.toml")
    made = derived(config)
    assert [one.sensor for one in made] == ["no2-west", *(str(table["name"]) for table in tables)]
    assert made[-1].ledger_of in {sensor.name for sensor in config.sensor}
    assert set(plans(config)) == {sensor.name for sensor in config.sensor}


# (tables; key, what, hint)
WRONG = {
    "a correction for another counter": (
        [but(EPA, pm2_5="pm-north.pm2_5")], "method", "barkjohn_2021 is for Plantower counters", "use kappa_koehler"
    ),
    "the wrong channel of the right counter": (
        [but(EPA, pm2_5="pm-plantower.pm2_5")], "pm2_5", "was fitted to 'pm2_5_cf1', not to 'pm2_5'", "name the channel"
    ),
    "the map on CF=1": (
        [but(EPA, method="epa_fire_smoke_map")], "pm2_5", "was fitted to 'pm2_5', not to 'pm2_5_cf1'", "name the"
    ),
    "no method": ([but(DRY, method=None)], "method", "this key is missing", "one of barkjohn_2021, epa_fire_smoke_map"),
    "a method that is none": ([but(DRY, method="wet")], "method", "'wet' is not one of", "which correction"),
    "no kappa": ([but(DRY, kappa=None)], "kappa", "this key is missing", "it depends on the place"),
    "a kappa that is none": ([but(DRY, kappa=35.0)], "kappa", "35.0 is no hygroscopicity", "0.3 to 0.4"),
    "a cap at which drops have no limit": ([but(DRY, humidity_cap=100.0)], "humidity_cap", "100.0 is no cap", "85"),
    "kappa for a formula without it": ([but(EPA, kappa=0.3)], "kappa", "means nothing here", "kappa_koehler only"),
    "no humidity": ([but(DRY, humidity=None)], "humidity", "this key is missing", 'as "sensor.channel" in %'),
    "another gas than that of the channel": ([but(MASS, gas="no2")], "gas", "'no2' is not what", "name the gas"),
    "a mass of a mass": (
        [but(MASS, mole_fraction="pm-north.pm10")], "mole_fraction", "is in ug/m3, not in [ppb] or [ppm]", "o3-street"
    ),
    "a reference in Celsius": ([but(MASS, reference_K=20.0)], "reference_K", "20.0 is no state of the air", "293.15 K"),
    "no station": ([but(INDEX, station=None)], "station", "this key is missing", "traffic, background, specific"),
    "a background station without ozone": ([but(INDEX, o3=None)], "o3", "this key is missing", "ozone"),
    "a station without particles": (
        [but(INDEX, pm2_5=None, pm10=None)], "station", "a background station needs particles", "add pm2_5 or pm10"
    ),
    "a specific index of two": (
        [but(INDEX, station="specific")], "station", "a specific index is that of one", "for others add tables"
    ),
    "a US index of nothing": (
        [{"name": "us", "kind": "air_index", "scheme": "us_aqi_2024"}], "scheme", "an index needs a pollutant", "pm2_5"
    ),
    "a station of the US": (
        [but(INDEX, scheme="us_aqi_2024")], "station", "means nothing here", "the US AQI takes the pollutants"
    ),
    "carbon monoxide in Europe": ([but(INDEX, co="co-street.co")], "co", "means nothing here", "US AQI only"),
    "an index of an index": (
        [INDEX, but(INDEX, name="second", pm10="index.eaqi_2025")], "pm10", "nothing more is derived", "pm-north.pm10"
    ),
    "a share that is none": ([but(INDEX, min_capture=75.0)], "min_capture", "75.0 is no share", "0.75"),
    "an index of 2020": ([but(INDEX, scheme="eaqi_2020")], "scheme", "'eaqi_2020' is not one of", "which index"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    tables, key, what, hint = WRONG[case]
    (found,) = errors(tmp_path, *tables)
    assert found.key == f"derived[{len(tables)}].{key}"
    assert what in found.what
    assert hint in found.hint


def test_an_index_wants_hours(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, INDEX, head=f"{SITE}\n[windows]\nlong_s = [900]\n")
    assert found.key == "derived[1].kind"
    assert found.what == "air_index is made of windows of 3600 s, and there are none"


def test_a_number_has_an_origin(tmp_path: Path) -> None:
    found = [one for one in examined(tmp_path, but(DRY, origin=None)) if "derived" in one.key]
    assert [(one.key, one.warning) for one in found] == [("derived[1].kappa", True)]
    assert "nobody will know where" in found[0].what
    assert [one for one in examined(tmp_path, DRY, MASS, DEW, INDEX) if "derived" in one.key] == []


def test_what_is_warned_of_may_be_a_part(tmp_path: Path) -> None:
    assert errors(tmp_path, but(DRY, origin=None), but(INDEX, pm2_5="dry.pm2_5")) == []


def test_meta_says_how_a_channel_is_made(tmp_path: Path) -> None:
    assert errors(tmp_path, DRY, INDEX) == []
    config = load(tmp_path / "site.toml")
    cell, dry, index = describe(config, plans(config))["derived"]
    assert cell["method"]["version"] == "AAN 803-05"
    assert (dry["method"]["name"], dry["options"]["kappa"], dry["origin"]) == (
        "kappa_koehler", 0.35, "collocation of 2026-03",
    )  # fmt: skip
    assert (index["channels"], index["method"]["version"]) == ({"eaqi_2025": "1"}, "2025")
    assert index["method"]["constants"]["pm2_5"] == (5.0, 15.0, 50.0, 90.0, 140.0)


# -- the page ------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "air.md").read_text(encoding="utf-8")
SECTIONS = {
    "pm_correction": "## `pm_correction`", "mass_concentration": "## `mass_concentration`",
    "air_index": "## `air_index`",
    "dew_point": "## `dew_point`", "absolute_humidity": "## `dew_point`",
}  # fmt: skip


def section(title: str) -> str:
    return PAGE.partition(title)[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]


@pytest.mark.parametrize("kind", SECTIONS)
def test_every_key_of_a_kind_is_described_and_no_other(kind: str) -> None:
    table = section(SECTIONS[kind]).partition("| key |")[2].partition("\n\n")[0]
    derivation = DERIVATIONS[kind]
    described = {cells[0].strip("`"): cells[1] for cells in rows(table)}
    assert set(described) == {one.name for one in (*derivation.parts, *derivation.options)}
    for part in derivation.parts:
        assert re.split(r", | or ", described[part.name]) == list(part.units)


def test_every_kind_has_a_place_on_a_page() -> None:
    kinds = section("[sensors together]").partition("| kind |")[2]
    assert {re.findall(r"`(\w+)`", cells[0])[0] for cells in rows(kinds.replace("| [`", "| `"))} == set(DERIVATIONS)


def test_the_examples_are_right(tmp_path: Path) -> None:
    blocks = re.findall(r"(?ms)^```toml\n(.*?)^```", PAGE)
    assert len(blocks) == 4
    assert errors(tmp_path, head=SITE + "".join(blocks)) == []


@pytest.mark.parametrize("scheme", EAQI)
def test_the_bands_are_those_of_the_programs(scheme: str) -> None:
    table = PAGE.partition(f"**`{scheme}`**")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert {cells[0].strip("`"): tuple(map(float, cells[1:6])) for cells in rows(table)} == dict(EAQI[scheme].bands)
    assert set(re.findall(r"\*\*`(\w+)`\*\*", PAGE)) == set(SCHEMES)


@pytest.mark.parametrize(("law", "column"), [(EU_2008, 2), (EU_2024, 3)])
def test_the_limits_are_those_of_the_programs(law: Law, column: int) -> None:
    table = section("## Limits and thresholds").partition("| over | until")[2].partition("\n\n")[0]
    said = {}
    for cells in rows(table):
        numbers = [float(number) for number in re.findall(r"[\d.]+", cells[column])]
        if numbers:
            said[cells[0].strip("`"), cells[1]] = (numbers[0], int(numbers[1]) if len(numbers) > 1 else None)
    assert said == {(one.pollutant, one.averaging): (one.level_ugm3, one.allowed) for one in law.limits}


def test_the_thresholds_are_those_of_the_programs() -> None:
    table = section("## Limits and thresholds").partition("| over | information")[2].partition("\n\n")[0]
    for cells in rows(table):
        pollutant = cells[0].strip("`")
        (new,) = [one for one in EU_2024.thresholds if one.pollutant == pollutant]
        assert (float(cells[2]), float(cells[3])) == (new.information_ugm3, new.alert_ugm3)
        old = [one.alert_ugm3 for one in EU_2008.thresholds if one.pollutant == pollutant]
        assert [float(number) for number in re.findall(r"\d+", cells[4])] == old
        assert ("in a row" in cells[1]) == (new.in_a_row == 3)


def test_the_formula_of_the_page() -> None:
    slope, humidity, offset = map(float, re.findall(r"\| ([\d.]+) x - ([\d.]+) RH \+ ([\d.]+) \|", PAGE)[0])
    assert barkjohn_2021(20.0, 60.0) == pytest.approx(slope * 20 - humidity * 60 + offset)
