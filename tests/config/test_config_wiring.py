"""Addresses, shared lines and buses: what cannot work together is refused, what may not is warned of."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_parts import parts, sensors  # noqa: F401 - a fixture

import gateway.wiring
from gateway.config_errors import Problem
from gateway.config_file import examine

HEAD = '[site]\nname = "post"\n[gateway]\nname = "lp-1"\n'
LINE = "/dev/serial/by-id/rs485"


@pytest.fixture(autouse=True)
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the machine no I2C adapter, until a test makes one."""
    folder = tmp_path / "adapters"
    monkeypatch.setattr(gateway.wiring, "ADAPTERS", folder)
    return folder


def problems(folder: Path, *rows: str, warning: bool = False) -> list[Problem]:
    path = folder / "site.toml"
    path.write_text(HEAD + sensors(*rows), encoding="utf-8")
    found = [one for one in examine(path)[1] if one.warning == warning]
    return [one for one in found if "not there now" not in one.what]


def said(found: list[Problem]) -> list[tuple[str, str]]:
    return [(one.key, one.what) for one in found]


# (sensors; key and what of the errors; a word of the hint)
REFUSED = {
    "two parts that are only at 0x62": (
        ("co2 at-62 /dev/i2c-1", "road also-at-62 /dev/i2c-1"),
        [("sensor[1].address", "address 0x62 of /dev/i2c-1 is taken by sensor 'co2'")],
        "also-at-62 has no other address: move one of them to another bus",
    ),
    "one of them could be elsewhere": (
        ("a at-48 /dev/i2c-1", "b at-48 /dev/i2c-1 address = 0x48"),
        [("sensor[1].address", "address 0x48 of /dev/i2c-1 is taken by sensor 'a'")],
        "set the part to 0x49, or move",
    ),
    "two talkers on a port": (
        (f"a talker {LINE}", f"b talker {LINE}"),
        [("sensor[1].port", f"{LINE} is taken by sensor 'a'")],
        "one port takes one sensor",
    ),
    "a part that cannot share beside one that can": (
        (f"a unit {LINE}", f"b alone {LINE}"),
        [("sensor[1].port", f"{LINE} is taken by sensor 'a'")],
        "alone needs a port of its own",
    ),
    "and the other way round": (
        (f"a talker {LINE}", f"b unit {LINE}"),
        [("sensor[1].port", f"{LINE} is taken by sensor 'a'")],
        "talker needs a port of its own",
    ),
    "two units with one number": (
        (f"a unit {LINE}", f"b unit {LINE} options.unit_id = 2", f"c unit {LINE} options.unit_id = 2"),
        [("sensor[2].options.unit_id", f"unit 2 of {LINE} is taken by sensor 'b'")],
        "[sensor.options] unit_id",
    ),
    "the number that nobody has set": (
        (f"a unit {LINE}", f"b unit {LINE}"),
        [("sensor[1].options.unit_id", f"unit 1 of {LINE} is taken by sensor 'a'")],
        "maker's tool",
    ),
    "two speeds": (
        (f"a unit {LINE}", f"b unit {LINE} baud = 9600; options.unit_id = 2"),
        [("sensor[1].baud", f"9600 Bd 8N1 on {LINE}, where sensor 'a' has 4800 Bd 8N1")],
        "same speed and format",
    ),
    "two formats": (
        (f"a unit {LINE}", f"b unit-8e1 {LINE} options.unit_id = 2"),
        [("sensor[1].baud", f"4800 Bd 8E1 on {LINE}, where sensor 'a' has 4800 Bd 8N1")],
        "same speed and format",
    ),
    "a number that is none": (
        (f"a unit {LINE} options.unit_id = 300",),
        [("sensor[0].options.unit_id", "300 is no address of a unit")],
        "use 1 to 247",
    ),
    "an address where a number is meant": (
        (f"a unit {LINE} address = 0x10",),
        [("sensor[0].address", "a serial port has no address")],
        "set unit_id in [sensor.options] instead",
    ),
    "the name of the gateway's own measurements": (
        ("board fast /dev/i2c-1",),
        [("sensor[0].name", "'board' is the gateway's own")],
        "another",
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refused(case: str, tmp_path: Path) -> None:
    rows, wanted, hint = REFUSED[case]
    found = problems(tmp_path, *rows)
    assert said(found) == wanted
    assert hint in found[0].hint
    lines = (tmp_path / "site.toml").read_text(encoding="utf-8").splitlines()
    key = found[0].key.rpartition(".")[2]
    assert key in lines[found[0].line - 1] or "[[sensor]]" in lines[found[0].line - 1]


def test_what_may_be_together(tmp_path: Path) -> None:
    rows = (
        "a at-62 /dev/i2c-1", "b also-at-62 /dev/i2c-3", "c at-48 /dev/i2c-1", "d at-48 /dev/i2c-1 address = 0x49",
        f"e unit {LINE} options.unit_id = 1", f"f unit {LINE} options.unit_id = 2", f"g unit {LINE}-2",
        f"h unit {LINE}-3 baud = 9600", f"i unit {LINE}-3 baud = 9600; options.unit_id = 9",
    )  # fmt: skip
    assert problems(tmp_path, *rows) == []


def test_one_device_under_two_names_is_found(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "ttyUSB0")
    one, other = tmp_path / "ttyUSB0", tmp_path / "by-id"
    found = problems(tmp_path, f"a alone {one}", f"b alone {other}")
    assert said(found) == [("sensor[1].port", f"{other} is taken by sensor 'a'")]
    found = problems(tmp_path, f"a unit {one}", f"b unit {other} options.unit_id = 2")
    assert said(found) == [("sensor[1].port", f"{other} is the same as {one} of sensor 'a'")]


# -- buses that do not suit their parts ------------------------------------------------------------------------


def adapter(folder: Path, bus: str, name: str, hz: int | None = None) -> None:
    (folder / bus / "of_node").mkdir(parents=True)
    (folder / bus / "name").write_text(name + "\n")
    if hz is not None:
        (folder / bus / "of_node" / "clock-frequency").write_bytes(hz.to_bytes(4, "big"))


STRETCHES = "slow holds the clock for up to 150 ms, which the controller of a Raspberry Pi breaks"


def test_a_part_that_holds_the_clock_is_warned_of_on_a_pi(tmp_path: Path, adapters: Path) -> None:
    adapter(adapters, "i2c-1", "bcm2835 (i2c@7e804000)", 10_000)
    found = problems(tmp_path, "co2 slow /dev/i2c-1", warning=True)
    assert said(found) == [("sensor[0].bus", STRETCHES)]
    assert "dtoverlay=i2c-gpio" in found[0].hint
    assert found[0].line == 8
    adapter(adapters, "i2c-3", "i2c-gpio3", 50_000)
    assert problems(tmp_path, "co2 slow /dev/i2c-3", warning=True) == []


def test_where_the_bus_is_not_there_it_is_taken_for_that_of_a_pi(tmp_path: Path) -> None:
    found = problems(tmp_path, "co2 slow /dev/i2c-1", "p fast /dev/i2c-1", warning=True)
    speed = "slow takes at most 50 kHz, and /dev/i2c-1 runs at 100 kHz unless it is told otherwise"
    assert said(found) == [("sensor[0].bus", STRETCHES), ("sensor[0].bus", speed)]
    assert "dtparam=i2c_arm_baudrate=50000" in found[1].hint
    assert problems(tmp_path, "co2 slow unix:/no/i2c.sock", warning=True) == []


def test_a_bus_that_says_its_speed_is_believed(tmp_path: Path, adapters: Path) -> None:
    adapter(adapters, "i2c-7", "Synopsys DesignWare I2C adapter", 400_000)
    found = problems(tmp_path, "co2 slow /dev/i2c-7", "a at-48 /dev/i2c-7", "p fast /dev/i2c-7", warning=True)
    assert said(found) == [
        ("sensor[0].bus", "slow takes at most 50 kHz, and /dev/i2c-7 runs at 400 kHz"),
        ("sensor[1].bus", "at-48 takes at most 100 kHz, and /dev/i2c-7 runs at 400 kHz"),
    ]
