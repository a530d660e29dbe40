from __future__ import annotations

from pathlib import Path

import pytest

from firmware_sim.devices import I2C_TWINS, UART_TWINS
from firmware_sim.faults import Fault
from firmware_sim.scenario import WORDS, Bus, Line, Part, Scenario, ScenarioError, load_scenario, option_types

ROOT = Path(__file__).parents[2]
UART = '[[uart]]\nname = "pm"\ndevice = "sds011"\n'
BUS = '[[bus]]\nname = "i2c-1"\n'
LINE = '[[line]]\nname = "rs485"\n'
UNIT = '[[line.device]]\nname = "east"\ndevice = "renke_noise"\nunit_id = 1\n'
FAULT = '[[fault]]\non = "pm"\nkind = "silent"\n'
TFMINI = '[[uart]]\nname = "a"\ndevice = "tfmini"\n'
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


def test_numbers_and_booleans_reach_the_part(tmp_path: Path) -> None:
    text = (
        '[[uart]]\nname = "co2"\ndevice = "mhz19"\noptions = { warm_up_s = 5 }\n'
        '[[uart]]\nname = "radar"\ndevice = "ld2451"\noptions = { silent_when_idle = true }\n'
        '[[uart]]\nname = "lidar"\ndevice = "tfmini"\noptions = { background_m = 9.5, model = "tf_luna" }\n'
    )
    assert [dict(part.options) for part in load(tmp_path, text).uarts] == [
        {"warm_up_s": 5},
        {"silent_when_idle": True},
        {"background_m": 9.5, "model": "tf_luna"},
    ]


def test_every_option_of_every_twin_can_be_written_in_a_file() -> None:
    for twins in (UART_TWINS, I2C_TWINS):
        for name, twin in twins.items():
            for option, annotation in option_types(twin).items():
                assert annotation in WORDS, f"{name}.{option}"


def test_units_share_a_line(tmp_path: Path) -> None:
    west = UNIT.replace("east", "west").replace("unit_id = 1", "unit_id = 7\noptions = { baud = 9600 }")
    assert load(tmp_path, LINE + UNIT + west).lines == (
        Line(
            "rs485",
            (
                Part("east", "renke_noise", {"unit_id": 1}),
                Part("west", "renke_noise", {"unit_id": 7, "baud": 9600}),
            ),
        ),
    )


def test_a_unit_may_have_a_port_of_its_own(tmp_path: Path) -> None:
    text = '[[uart]]\nname = "noise"\ndevice = "gemho_noise"\noptions = { unit_id = 3 }\n'
    assert load(tmp_path, text).uarts[0].options == {"unit_id": 3}


def test_faults(tmp_path: Path) -> None:
    text = UART + BUS + WEATHER + FAULT + "from_s = 60\nevery_s = 300\nfor_s = 2.5\n"
    text += '[[fault]]\non = "*"\nkind = "bit_flip"\nprobability = 0.01\n'
    text += '[[fault]]\non = "i2c-1"\nkind = "unplug"\nmean_every_s = 600\nfor_s = 5\n'
    assert load(tmp_path, text).faults == (
        Fault("pm", "silent", 0, from_s=60.0, every_s=300.0, for_s=2.5),
        Fault("*", "bit_flip", 1, probability=0.01),
        Fault("i2c-1", "unplug", 2, mean_every_s=600.0, for_s=5.0),
    )


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
        ("seed = 1\n", "uart", ["nothing to simulate", "[[line]]"]),
        (TFMINI + "options = { background_m = true }\n", "uart[0].options.background_m", ["True", "a number"]),
        (TFMINI + "options = { background_m = 0 }\n", "uart[0].options", ["background_m 0 must be"]),
        (TFMINI + "options = { model = 3 }\n", "uart[0].options.model", ["a string"]),
        (
            TFMINI.replace("tfmini", "ld2451") + "options = { silent_when_idle = 1 }\n",
            "uart[0].options.silent_when_idle",
            ["true or false"],
        ),
        (
            TFMINI.replace("tfmini", "gemho_noise") + "options = { unit_id = 1.5 }\n",
            "uart[0].options.unit_id",
            ["whole number"],
        ),
        (
            TFMINI.replace("tfmini", "gemho_noise") + "options = { unit_id = true }\n",
            "uart[0].options.unit_id",
            ["whole number"],
        ),
        (LINE + UNIT.replace("unit_id = 1\n", ""), "line[0].device[0].unit_id", ["is missing", "unit_id = 1"]),
        (LINE + UNIT.replace("unit_id = 1", "unit_id = 248"), "line[0].device[0].unit_id", ["248", "1 to 247"]),
        (LINE + UNIT + UNIT.replace("east", "west"), "line[0].device[1].unit_id", ["1 is already used by east"]),
        (LINE + UNIT + "options = { unit_id = 2 }\n", "line[0].device[0].options.unit_id", ["does not belong here"]),
        (LINE + UNIT.replace("renke_noise", "sds011"), "line[0].device[0].device", ["sds011", "[[uart]]"]),
        (LINE + UNIT.replace("renke_noise", "bme280"), "line[0].device[0].device", ["[[bus.device]]"]),
        (LINE + UNIT.replace("renke_noise", "renke_nois"), "line[0].device[0].device", ["did you mean 'renke_noise'"]),
        (LINE + UNIT.replace("east", "rs485"), "line[0].device[0].name", ["already used by line[0]"]),
        ("line = 3\n", "line", ["[[line]]"]),
        ('[[line]]\nname = "x"\ndevice = 3\n', "line[0].device", ["[[line.device]]"]),
        (UART + FAULT.replace("pm", "pn"), "fault[0].on", ["no 'pn'", "known here: pm, *"]),
        (UART + FAULT.replace("silent", "silence"), "fault[0].kind", ["unknown fault", "did you mean 'silent'"]),
        (UART + FAULT.replace("silent", "nack"), "fault[0].kind", ["acknowledge", "kind = 'silent'"]),
        (LINE + UNIT + FAULT.replace("pm", "east").replace("silent", "nack"), "fault[0].kind", ["acknowledge"]),
        (UART + FAULT + 'for_s = "long"\n', "fault[0].for_s", ["'long' is not a number"]),
        (UART + FAULT + "for_s = -1\n", "fault[0].for_s", ["-1.0 is not a time"]),
        (UART + FAULT + "until_s = 1\n", "fault[0].until_s", ["unknown key"]),
        (UART + FAULT + "every_s = 5\nprobability = 0.5\n", "fault[0].probability", ["add for_s"]),
        (UART + '[[fault]]\nkind = "silent"\n', "fault[0].on", ["is missing"]),
        (UART + FAULT.replace("silent", "kill"), "fault[0].on", ["kill does not happen to 'pm'", "gateway or bridge"]),
        (UART + FAULT.replace("pm", "store"), "fault[0].on", ["no 'store'"]),
        (BUS + WEATHER + FAULT.replace("pm", "weather").replace("silent", "babble"), "fault[0].kind", ["serial port"]),
        (UART + FAULT.replace("silent", "drift") + "per_h = 1\n", "fault[0].quantity", ["is missing"]),
        (UART + FAULT.replace("silent", "wrong_device") + 'device = "sds01"\n', "fault[0].device", ["'sds011'"]),
        (UART + FAULT.replace("silent", "wrong_device") + "device = 3\n", "fault[0].device", ["is not a name"]),
        (
            BUS + WEATHER + FAULT.replace("pm", "weather").replace("silent", "wrong_device") + 'device = "sht3x"\n',
            "fault[0].device",
            ["in the place of weather", "bme680"],
        ),
        (
            BUS + WEATHER + FAULT.replace("pm", "i2c-1").replace("silent", "wrong_device") + 'device = "sht3x"\n',
            "fault[0].on",
            ["no single part"],
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, key: str, words: list[str]) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, text)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'scene.toml'}: {key}: ")
    assert all(word in problem for word in words), problem
    assert ";" in problem, "a hint follows"


def test_faults_outside_the_sensors(tmp_path: Path) -> None:
    text = UART + FAULT.replace("pm", "clock").replace("silent", "step") + "by_s = -3600\nfrom_s = 60\n"
    text += FAULT + FAULT.replace("pm", "gateway").replace("silent", "kill") + "every_s = 300\n"
    scenario = load(tmp_path, text)
    assert scenario.faults == (Fault("pm", "silent", 1),)
    assert scenario.outside == (
        Fault("clock", "step", 0, from_s=60.0, by_s=-3600.0),
        Fault("gateway", "kill", 2, every_s=300.0),
    )


def test_an_outage_of_old_says_what_it_is_now(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match='on = "store", kind = "down"'):
        load(tmp_path, UART + "[[outage]]\nfrom_s = 1\n")


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
