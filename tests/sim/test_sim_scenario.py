from __future__ import annotations

from pathlib import Path

import pytest

from firmware_sim.scenario import Bus, Part, Scenario, ScenarioError, load_scenario

ROOT = Path(__file__).parents[2]
UART = '[[uart]]\nname = "pm"\ndevice = "sds011"\n'
BUS = '[[bus]]\nname = "i2c-1"\n'
WEATHER = '[[bus.device]]\nname = "weather"\ndevice = "bme280"\naddress = 0x76\n'


def load(tmp_path: Path, text: str) -> Scenario:
    file = tmp_path / "scene.toml"
    file.write_text(text)
    return load_scenario(file)


def test_the_street_of_the_demo() -> None:
    scenario = load_scenario(ROOT / "configs" / "sim" / "street.toml")
    assert [(part.name, part.device) for part in scenario.uarts] == [
        ("pm-north", "sds011"),
        ("noise", "nsrt_mk4"),
        ("radar", "ops243"),
    ]
    assert scenario.buses == (Bus("i2c-1", (Part("air", "sen55", {}, 0x69), Part("weather", "bme280", {}, 0x76))),)
    assert scenario.seed == 7


def test_options_reach_the_part(tmp_path: Path) -> None:
    scenario = load(tmp_path, UART + 'options = { frames = ["aac0"], device_id = "58d9" }\n')
    assert scenario.uarts[0].options == {"frames": ["aac0"], "device_id": "58d9"}


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("sed = 1\n" + UART, "sed", ["unknown key", "did you mean 'seed'"]),
        (UART + "baud = 9600\n", "uart[0].baud", ["unknown key", "name, device, options"]),
        (UART + "address = 1\n", "uart[0].address", ["unknown key"]),
        ('[[uart]]\nname = "a"\ndevice = "sds01"\n', "uart[0].device", ["unknown device 'sds01'", "'sds011'"]),
        ('[[uart]]\nname = "a"\ndevice = "bme280"\n', "uart[0].device", ["[[bus.device]]"]),
        (BUS + WEATHER.replace("bme280", "sds011"), "bus[0].device[0].device", ["[[uart]]"]),
        (UART + UART, "uart[1].name", ["'pm' is already used by uart[0]"]),
        (UART + BUS.replace("i2c-1", "pm"), "bus[0].name", ["already used"]),
        (BUS + WEATHER + WEATHER.replace("weather", "roof"), "bus[0].device[1].address", ["0x76", "weather"]),
        (BUS + WEATHER.replace("0x76", "0x40"), "bus[0].device[0].address", ["0x40", "0x76 or 0x77"]),
        (BUS + WEATHER.replace("address = 0x76", ""), "bus[0].device[0].address", ["is missing"]),
        (BUS + WEATHER.replace("0x76", '"0x76"'), "bus[0].device[0].address", ["not a whole number"]),
        ('[[uart]]\ndevice = "sds011"\n', "uart[0].name", ["is missing"]),
        ('[[uart]]\nname = "../x"\ndevice = "sds011"\n', "uart[0].name", ["cannot be a file name"]),
        (UART + 'options = { frame = ["00"] }\n', "uart[0].options.frame", ["did you mean 'frames'"]),
        (UART + 'options = { frames = "00" }\n', "uart[0].options.frames", ["list of strings"]),
        (UART + 'options = { frames = ["zz"] }\n', "uart[0].options", ["hex"]),
        (UART + "options = 3\n", "uart[0].options", ["must be a table"]),
        (BUS + WEATHER + 'options = { calibration = "00" }\n', "bus[0].device[0].options", ["26 + 7"]),
        ('uart = "pm"\n', "uart", ["array of tables", "[[uart]]"]),
        ("seed = -1\n" + UART, "seed", ["out of range"]),
        ("seed = true\n" + UART, "seed", ["not a whole number"]),
        ("seed = 1\n", "uart", ["nothing to simulate"]),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, key: str, words: list[str]) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, text)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'scene.toml'}: {key}: ")
    assert all(word in problem for word in words), problem
    assert ";" in problem, "a hint follows"


def test_all_problems_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, "sed = 1\n" + UART + UART + BUS + WEATHER.replace("0x76", "0x11"))
    assert len(caught.value.problems) == 3


def test_the_same_address_on_two_buses_is_fine(tmp_path: Path) -> None:
    second = (BUS + WEATHER).replace("i2c-1", "i2c-2").replace("weather", "roof")
    assert [bus.name for bus in load(tmp_path, BUS + WEATHER + second).buses] == ["i2c-1", "i2c-2"]


def test_broken_toml_names_the_file_and_the_place(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"scene\.toml: not TOML: .*line 2"):
        load(tmp_path, "seed = 1\n[[uart]\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"gone\.toml: cannot be read"):
        load_scenario(tmp_path / "gone.toml")
