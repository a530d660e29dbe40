"""The unit files as systemd reads them, and the promises in their comments."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
SERVICES = ("gateway.service", "gateway-bridge.service", "firmware-sim.service")
EXPOSURE_LIMIT = 2.5
EXISTING_PROGRAM = "/bin/sleep"  # stands for the venv's commands, which a test machine does not have
UDEV_RULE = re.compile(r'([A-Z_]+(?:\{[\w/]+\})?) ?(==|!=|\+=|:=|=) ?"([^"]*)"')
UDEV_MATCHES = {"SUBSYSTEM", "SUBSYSTEMS", "KERNEL", "KERNELS", "ATTRS"}
UDEV_ASSIGNS = {"GROUP", "MODE", "SYMLINK", "ENV"}

Unit = dict[str, list[str]]


def read(name: str) -> Unit:
    """Read a unit as "Section.Key" -> values in their order."""
    unit: Unit = {}
    section = ""
    for line in (SYSTEMD / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            unit.setdefault(f"{section}.{key}", []).append(value)
    return unit


def seconds(text: str) -> float:
    """Read a time span of the one form used in these files."""
    return float(text.removesuffix("h")) * 3600 if text.endswith("h") else float(text)


@pytest.fixture(scope="module")
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("PYTEST_REQUIRE_SERVERS") == "1":
            pytest.fail("systemd-analyze is not installed")
        pytest.skip("systemd-analyze is not installed")
    return program


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Return a folder with all units, their programs replaced by one that exists here."""
    for path in SYSTEMD.iterdir():
        if path.suffix in {".service", ".timer"}:
            text = re.sub(r"(?m)^ExecStart=/opt/lamppost/bin/\S+", f"ExecStart={EXISTING_PROGRAM}", path.read_text())
            (tmp_path / path.name).write_text(text)
    return tmp_path


def verify(analyze: str, folder: Path, name: str) -> tuple[int, str]:
    done = subprocess.run(
        [analyze, "verify", "--man=no", name], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def exposure(analyze: str, path: Path) -> tuple[float, int]:
    """Return the overall exposure (0 safe .. 10 unsafe) and the exit status under the limit."""
    command = [analyze, "security", "--offline=yes", f"--threshold={EXPOSURE_LIMIT * 10:.0f}", f"./{path.name}"]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1]), done.returncode


@pytest.mark.parametrize("name", [*SERVICES, "gateway-retry.timer"])
def test_systemd_reads_the_unit_without_a_word(analyze: str, copies: Path, name: str) -> None:
    code, said = verify(analyze, copies, f"./{name}")
    assert (code, said.strip()) == (0, "")


def test_verify_would_object_to_a_misspelt_directive(analyze: str, copies: Path) -> None:
    path = copies / "gateway.service"
    path.write_text(path.read_text().replace("WatchdogSec=60", "WatchdogSecs=60"))
    _, said = verify(analyze, copies, "./gateway.service")
    assert "WatchdogSecs" in said


@pytest.mark.parametrize("name", SERVICES)
def test_exposure_is_small(
    analyze: str, copies: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    level, code = exposure(analyze, copies / name)
    record_property("exposure", level)
    assert code == 0
    assert level <= EXPOSURE_LIMIT, f"{name}: exposure {level}"


def test_a_unit_without_hardening_exceeds_the_limit(analyze: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare.service"
    bare.write_text(f"[Service]\nExecStart={EXISTING_PROGRAM} 1\n")
    level, code = exposure(analyze, bare)
    assert level > EXPOSURE_LIMIT
    assert code != 0


@pytest.mark.parametrize("name", ["gateway.service", "gateway-bridge.service"])
def test_notify_and_watchdog(name: str) -> None:
    unit = read(name)
    assert unit["Service.Type"] == ["notify"]
    assert unit["Service.NotifyAccess"] == ["main"]
    assert unit["Service.WatchdogSec"] == ["60"]


def test_only_the_gateway_reloads() -> None:
    assert read("gateway.service")["Service.ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert "Service.ExecReload" not in read("gateway-bridge.service"), "SIGHUP would end the bridge"


def test_the_simulator_does_not_promise_to_notify() -> None:
    unit = read("firmware-sim.service")
    assert unit["Service.Type"] == ["simple"]
    assert "Service.WatchdogSec" not in unit


@pytest.mark.parametrize("name", SERVICES)
def test_a_crash_loop_ends_and_a_wrong_configuration_is_not_retried(name: str) -> None:
    unit = read(name)
    assert unit["Service.Restart"] == ["on-failure"]
    assert unit["Service.RestartPreventExitStatus"] == ["2"]
    burst, interval_s = int(unit["Unit.StartLimitBurst"][0]), seconds(unit["Unit.StartLimitIntervalSec"][0])
    start_s = 10.0  # a slow board importing numpy
    assert burst * (seconds(unit["Service.RestartSec"][0]) + start_s) < interval_s, "the limit would never be reached"
    assert burst > 3, "the gateway needs a third start to set a bad batch aside"


def test_a_pole_comes_back_after_a_crash_loop() -> None:
    gateway, timer = read("gateway.service"), read("gateway-retry.timer")
    assert "gateway-retry.timer" in gateway["Unit.Wants"]
    assert timer["Timer.Unit"] == ["gateway.service"]
    assert timer["Unit.PartOf"] == ["gateway.service"], "a stop by hand must hold"
    again_s = seconds(timer["Timer.OnUnitInactiveSec"][0])
    assert again_s > seconds(gateway["Unit.StartLimitIntervalSec"][0]), "the start limit would refuse the retry"


def test_gateway_opens_sensors_and_nothing_else() -> None:
    unit = read("gateway.service")
    assert unit["Service.DevicePolicy"] == ["closed"]
    assert set(unit["Service.DeviceAllow"]) == {
        f"char-{kind} rw" for kind in ("ttyUSB", "ttyACM", "ttyAMA", "ttyS", "i2c")
    }
    assert "Service.PrivateDevices" not in unit
    assert unit["Service.SupplementaryGroups"] == ["dialout i2c"]
    modules = " ".join(unit["Unit.After"])
    for module in ("usbserial", "cdc_acm", "i2c_dev"):  # else the class is unknown when the list is made
        assert f"modprobe@{module}.service" in modules


@pytest.mark.parametrize("name", ["gateway-bridge.service", "firmware-sim.service"])
def test_the_others_open_no_hardware(name: str) -> None:
    unit = read(name)
    assert unit["Service.PrivateDevices"] == ["yes"]
    assert "Service.DeviceAllow" not in unit


def test_gateway_can_ask_whether_the_clock_is_synchronised() -> None:
    unit = read("gateway.service")
    assert "Service.ProtectClock" not in unit
    assert "Service.ProcSubset" not in unit, "it would hide the boot id"
    allowed = ["adjtimex", "clock_adjtime", "clock_adjtime64"]
    assert unit["Service.SystemCallFilter"][-1].split() == allowed, "later lines win"
    order = [*unit["Unit.After"], *unit.get("Unit.Wants", []), *unit.get("Unit.Requires", [])]
    assert not any("time-sync" in one or "network-online" in one for one in order), "measuring waits for neither"
    assert unit["Service.CapabilityBoundingSet"] == [""], "reading is allowed, setting is not"


@pytest.mark.parametrize("name", SERVICES)
def test_a_missing_credential_does_not_stop_the_unit(name: str) -> None:
    for value in read(name).get("Service.LoadCredential", []):
        _, _, source = value.partition(":")
        assert re.fullmatch(r"[\w.-]+", source), f"{value}: an absolute path must exist, a name need not"


def test_each_process_has_a_configuration_of_its_own() -> None:
    files = [re.findall(r"/etc/lamppost/\S+", read(name)["Service.ExecStart"][0])[0] for name in SERVICES]
    assert files == ["/etc/lamppost/site.toml", "/etc/lamppost/bridge.toml", "/etc/lamppost/street.toml"]


def test_gateway_and_simulator_share_a_user_and_the_bridge_does_not() -> None:
    users = {name: read(name)["Service.User"] for name in SERVICES}
    assert users["gateway.service"] == users["firmware-sim.service"] != users["gateway-bridge.service"]
    folders = {name: read(name).get("Service.StateDirectory") for name in SERVICES}
    assert folders["gateway.service"] != folders["gateway-bridge.service"]


def udev_rules(text: str) -> list[list[tuple[str, str, str]]]:
    """Read rules as (key, operator, value) triples; raise ValueError on what is none."""
    rules = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        parts = [part.strip() for part in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', line)]
        found = [UDEV_RULE.fullmatch(part) for part in parts]
        if not all(found):
            raise ValueError(f"not a rule: {line}")
        rules.append([(match[1], match[2], match[3]) for match in found if match])
    return rules


def udev_text(*, examples: bool = False) -> str:
    text = (SYSTEMD / "60-lamppost.rules").read_text()
    return text.replace("\n#SUBSYSTEM", "\nSUBSYSTEM") if examples else text


@pytest.mark.parametrize("examples", [False, True])
def test_udev_rules_match_first_and_then_assign(examples: bool) -> None:
    rules = udev_rules(udev_text(examples=examples))
    assert len(rules) == (9 if examples else 7)
    for rule in rules:
        for key, operator, _ in rule:
            name = key.partition("{")[0]
            assert (name in UDEV_MATCHES) if operator == "==" else (name in UDEV_ASSIGNS), rule
        assert rule[0][:2] == ("SUBSYSTEM", "=="), "a rule without it would touch every device"
        assert rule[-1][1] != "=="


def test_udev_reader_refuses_a_missing_quote() -> None:
    with pytest.raises(ValueError, match="not a rule"):
        udev_rules('SUBSYSTEM=="tty", GROUP="dialout')


def test_udevadm_accepts_the_rules(tmp_path: Path) -> None:
    udevadm = shutil.which("udevadm")
    if udevadm is None:
        pytest.skip("udevadm is not installed")
    path = tmp_path / "60-lamppost.rules"
    path.write_text(udev_text(examples=True))
    command = [udevadm, "verify", "--resolve-names=never", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "nknown" in done.stderr and "verify" in done.stderr:
        pytest.skip("udevadm verify came with systemd 254")
    assert done.returncode == 0, done.stdout + done.stderr
