"""Each sensor folder has the same files, the same headings, and a declaration that makes sense."""

from __future__ import annotations

import ast
import tomllib

import pytest
from driver_golden import ROOT, family, folder
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS, find, models
from drivers.base import Driver, I2c, Kind, Poll, Uart

SENSORS = pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.name)
HEADINGS = ["Sensor", "Wiring", "Channels", "Timing", "Faults", "Source", "Known limits"]
DOMAINS = {"air", "noise", "traffic", "weather"}
# https://ucum.org: units of the channels that are there; one more is one more line here
UCUM = {"ug/m3", "1/cm3", "um", "[ppm]", "[ppb]", "%", "Cel", "Pa", "Ohm", "V", "dB", "m", "m/s", "deg", "1"} | {
    "{detections}"
}
UNIT_OF_KIND = {Kind.LEVEL: {"dB"}, Kind.SPEED: {"m/s"}, Kind.ANGLE: {"deg"}, Kind.COUNT: {"{detections}"}}


def test_every_sensor_folder_is_in_the_catalogue() -> None:
    folders = {path.parent.name for domain in DOMAINS for path in (ROOT / domain).glob("*/driver.py")}
    assert folders == {driver.folder for driver in DRIVERS.values()}
    assert [driver.name for driver in DRIVERS.values()] == list(DRIVERS)


@SENSORS
def test_folder_has_its_files_and_the_driver_is_short(driver: Driver) -> None:
    files = {path.name for path in folder(driver).iterdir() if path.is_file()}
    assert files == {"__init__.py", "driver.py", "README.md", "sample.toml", "vectors.toml"}
    source = (folder(driver) / "driver.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) < 150
    module = ast.parse(source)
    last = [
        node.targets[0].id
        for node in module.body[-len(family(driver)) :]
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]
    assert [name.casefold() for name in last] == (
        ["driver"] if len(family(driver)) == 1 and not driver.family else family(driver)
    ), "the declarations come last"
    assert "Source:" in (ast.get_docstring(module) or "")
    init = ast.parse((folder(driver) / "__init__.py").read_text(encoding="utf-8"))
    assert "\n" not in (ast.get_docstring(init) or "\n")


@SENSORS
def test_readme_has_the_headings_and_names_every_channel_and_option(driver: Driver) -> None:
    text = (folder(driver) / "README.md").read_text(encoding="utf-8")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    sections = dict(zip(HEADINGS, text.split("\n## ")[1:], strict=True))
    assert all(len(section.strip().splitlines()) > 2 for section in sections.values())
    for channel in driver.channels:
        assert channel.name in sections["Channels"]
        assert channel.unit in sections["Channels"]
    for option in driver.options:
        assert f"`{option.name}`" in text
    if isinstance(driver.bus, I2c):
        assert all(f"{address:#04x}" in text for address in driver.bus.addresses)


@SENSORS
def test_sample_can_be_pasted(driver: Driver) -> None:
    blocks = tomllib.loads((folder(driver) / "sample.toml").read_text(encoding="utf-8"))["sensor"]
    assert [find(block["driver"]).name for block in blocks] == family(driver)
    (block,) = (block for block in blocks if find(block["driver"]) is driver)
    assert block["name"]
    place = {"port"} if isinstance(driver.bus, Uart) else {"bus", "address"}
    assert block.keys() - {"options", "inputs"} == {"name", "driver"} | place
    assert set(block.get("inputs", {})) <= {said.name for said in driver.inputs}
    if isinstance(driver.bus, Uart):
        assert block["port"].startswith("/dev/serial/by-id/")
    else:
        assert block["address"] == driver.bus.addresses[0]
        assert block["bus"] == "/dev/i2c-1"
    known = {option.name: option for option in driver.options}
    for name, value in block.get("options", {}).items():
        assert type(value) is known[name].type
        assert not known[name].choices or value in known[name].choices


@SENSORS
def test_declaration_makes_sense(driver: Driver) -> None:
    assert driver.domain in DOMAINS
    names = [channel.name for channel in driver.channels]
    assert len(names) == len(set(names)) > 0
    for channel in driver.channels:
        assert channel.name.isidentifier()
        assert channel.name == channel.name.lower()
        assert channel.unit in UCUM
        assert channel.unit in UNIT_OF_KIND.get(channel.kind, UCUM)
        assert (channel.unit == "dB") == (channel.kind is Kind.LEVEL), "a level is never averaged arithmetically"
        assert channel.lo < channel.hi
        assert channel.resolution >= 0.0
    assert all(name == command.name for name, command in driver.commands.items())
    for option in driver.options:
        assert type(option.default) is option.type
        assert not option.choices or option.default in option.choices
        assert option.help
    assert driver.source
    assert driver.identify is not None


@SENSORS
def test_periods_and_addresses_make_sense(driver: Driver) -> None:
    if isinstance(driver.access, Poll):
        assert 0 < driver.access.min_s <= driver.access.every_s
    else:
        assert driver.access.idle_s > 0
        assert driver.access.nominal_s < driver.access.idle_s
    if isinstance(driver.bus, I2c):
        assert all(0x08 <= address <= 0x77 for address in driver.bus.addresses)
    else:
        assert len(set(driver.bus.bauds)) == len(driver.bus.bauds) > 0


# What two folders share: `gateway check` refuses both on one bus, and `gateway scan` must tell them apart.
COLLISIONS = {
    0x44: {"sht3x", "sht4x"},
    0x45: {"sht3x", "sht4x"},
    0x48: {"ads1115", "pcb_artists"},
    0x62: {"scd4x", "lidar_lite"},
    0x69: {"sen55", "sps30"},
    0x76: {"bme280", "bme680"},
    0x77: {"bme280", "bme680"},
}


def test_addresses_that_two_folders_claim_are_known() -> None:
    claimed: dict[int, set[str]] = {}
    for driver in DRIVERS.values():
        for address in driver.bus.addresses if isinstance(driver.bus, I2c) else ():
            claimed.setdefault(address, set()).add(driver.folder)
    assert {address: folders for address, folders in claimed.items() if len(folders) > 1} == COLLISIONS


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("OPS243-A", "ops243"),
        ("ops 241a", "ops243"),
        ("NSRT_mk3", "nsrt_mk4"),
        ("nsrt-mk4-dev", "nsrt_mk4"),
        ("NSRTmk4", "nsrt_mk4"),
        ("SEN54", "sen55"),
        ("Sen 50", "sen55"),
        ("BMP280", "bme280"),
        ("SDS-011", "sds011"),
        ("sds018", "sds011"),
    ],
)
def test_find_takes_models_in_any_spelling(said: str, name: str) -> None:
    assert find(said) is DRIVERS[name]


def test_no_two_drivers_claim_one_model() -> None:
    claimed = [m for driver in DRIVERS.values() for m in {model.casefold() for model in models(driver)}]
    assert len(claimed) == len(set(claimed))


@pytest.mark.parametrize(("said", "hint"), [("sds01", "sds011"), ("bme28O", "bme280"), ("nsrt_mk5", "nsrt_mk4")])
def test_find_hints_at_what_was_meant(said: str, hint: str) -> None:
    with pytest.raises(KeyError, match=f"did you mean '{hint}'"):
        find(said)


@settings(deadline=None)
@given(st.text(max_size=12).filter(lambda said: not any(sign in said for sign in "0123456789")))
def test_find_lists_the_drivers_or_gives_a_hint_for_anything_else(said: str) -> None:
    with pytest.raises(KeyError, match="|".join(DRIVERS)):
        find(said)
