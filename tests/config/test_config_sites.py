"""Good site files: the pilot's, every driver's sample, what a site takes from its base; and warnings that only warn."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import drivers
from drivers import DRIVERS
from gateway.__main__ import app
from gateway.config_errors import Problem
from gateway.config_file import examine, load

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = '[site]\nname = "post"\n[gateway]\nname = "lp-1"\n'


def write(folder: Path, text: str, name: str = "site.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def checked(path: Path) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["check", "--json", str(path)])
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = msgspec.json.decode(result.stdout)
    assert said["ok"] is True
    return said


def warnings(path: Path) -> list[Problem]:
    config, problems = examine(path)
    assert config is not None
    assert all(problem.warning for problem in problems), problems
    return problems


def test_the_site_of_the_pilot_is_good() -> None:
    result = CliRunner().invoke(app, ["check", str(CONFIGS / "timisoara-pilot.toml")])
    assert result.exit_code == 0
    assert "timisoara-pilot.toml: ok: 5 sensors" in result.output
    config = load(CONFIGS / "timisoara-pilot.toml")
    assert {sensor.driver for sensor in config.sensor} <= set(DRIVERS)
    assert config.site.timezone == "Europe/Bucharest"


@pytest.mark.parametrize("folder", sorted({f"{driver.domain}/{driver.folder}" for driver in DRIVERS.values()}))
def test_each_sample_of_a_driver_can_be_pasted_into_a_site(folder: str, tmp_path: Path) -> None:
    text = (Path(drivers.__file__).parent / folder / "sample.toml").read_text(encoding="utf-8")
    family = {driver.name for driver in DRIVERS.values() if f"{driver.domain}/{driver.folder}" == folder}
    for sample in text.split("[[sensor]]")[1:]:
        (block,) = tomllib.loads(f"[[sensor]]{sample}")["sensor"]
        others = {source.partition(".")[0] for source in block.get("inputs", {}).values()}
        weather = [f'[[sensor]]\nname = "{one}"\ndriver = "bme280"\nbus = "/dev/i2c-9"\n' for one in sorted(others)]
        path = write(tmp_path, f"{MINIMAL}[[sensor]]{sample}\n{''.join(weather)}")
        keys = {row["key"].partition(".")[2] for row in checked(path)["problems"]}
        assert keys <= {"port", "bus"}  # it is not plugged in here
        family.discard(load(path).sensor[0].driver)
    assert family == set()


@pytest.mark.parametrize(
    ("text", "key", "word"),
    [
        ('[[sensor]]\nname = "pm"\ndriver = "sds011"\nport = "/dev/no-such-port"\n', "sensor[0].port", "not there now"),
        ('[[sensor]]\nname = "w"\ndriver = "bme280"\nbus = "/dev/i2c-77"\n', "sensor[0].bus", "not there now"),
        ('[[sensor]]\nname = "w"\ndriver = "bme280"\nbus = "unix:/no/such.sock"\n', "sensor[0].bus", "not there now"),
        ('[[sensor]]\nname = "pm"\ndriver = "sds011"\nport = "/dev/ttyUSB0"\n', "sensor[0].port", "another device"),
        ('[mqtt]\nconfirm = "puback"\n', "mqtt.confirm", "loses"),
        ('[mqtt]\nhost = "broker.example"\n', "mqtt.tls", "not encrypted"),
        ("[windows]\nbase_s = 10\nlong_s = [60]\n", "windows.base_s", "wears the card"),
        ('[[sensor]]\nname = "w"\ndriver = "bme280"\nbus = "/dev/null"\nevery_s = 90\n', "sensor[0].every_s", "slower"),
    ],
)  # fmt: skip
def test_what_is_only_odd_is_a_warning(text: str, key: str, word: str, tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + text)
    found = [problem for problem in warnings(path) if problem.key == key and word in problem.what]
    assert len(found) == 1
    assert found[0].hint
    lines = path.read_text(encoding="utf-8").splitlines()
    assert key.rpartition(".")[2] in lines[found[0].line - 1] or key == "mqtt.tls"
    said = checked(path)
    assert found[0]._asdict() in said["problems"]
    assert load(path).hash
    text = CliRunner().invoke(app, ["check", str(path)]).output
    assert f"warning {path}:{found[0].line}: {key}:" in text
    assert ": ok: " in text
    assert text.rstrip().endswith(f"{len(said['problems'])} warnings")


def test_a_secret_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    secret = write(tmp_path, "open sesame", "password")
    secret.chmod(0o644)
    path = write(tmp_path, MINIMAL + '[mqtt]\npassword_file = "password"\n')
    (odd,) = warnings(path)
    assert (odd.key, odd.hint) == ("mqtt.password_file", f"chmod 600 {secret}")
    secret.chmod(0o600)
    assert warnings(path) == []


def test_a_site_without_sensors_is_a_beginning(tmp_path: Path) -> None:
    assert checked(write(tmp_path, MINIMAL))["problems"] == []


def test_a_site_wins_over_its_base_table_by_table(tmp_path: Path) -> None:
    write(tmp_path, "[gateway]\nbatch_s = 3.0\nlateness_s = 1.0\n[windows]\nlong_s = [600, 1200]\n", "base.toml")
    path = write(tmp_path, 'extends = "base.toml"\n' + MINIMAL + "lateness_s = 4.0\n[windows]\nlong_s = [300]\n")
    config = load(path)
    assert (config.gateway.batch_s, config.gateway.lateness_s, config.windows.long_s) == (3.0, 4.0, (300,))


def test_files_are_named_from_the_folder_of_the_site(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + 'data_dir = "data"\nrun_dir = "/run/elsewhere"\n[store]\npath = "store/db"\n')
    config = load(path)
    assert config.gateway.data_dir == tmp_path / "data"
    assert config.gateway.run_dir == Path("/run/elsewhere")
    assert config.store.path == tmp_path / "store" / "db"


def test_the_hash_names_the_values_and_nothing_else(tmp_path: Path) -> None:
    one = load(write(tmp_path, MINIMAL, "one.toml"))
    spaced = load(write(tmp_path, "# a comment\n" + MINIMAL.replace(" = ", "   = "), "two.toml"))
    other = load(write(tmp_path, MINIMAL + "batch_s = 5.5\n", "three.toml"))
    assert one.hash == spaced.hash != other.hash


def test_a_sensors_own_tests_come_before_the_sites() -> None:
    config = load(CONFIGS / "timisoara-pilot.toml")
    pm = config.sensor[0]
    assert config.quality_of(pm, "air", "pm2_5").stuck_s == 3600.0
    assert config.quality_of(pm, "air", "no2").stuck_s == 0.0
    own = replace(config.quality["air"]["pm2_5"], stuck_s=5.0)
    assert config.quality_of(replace(pm, quality={"pm2_5": own}), "air", "pm2_5").stuck_s == 5.0
