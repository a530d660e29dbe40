"""Runs in the guest, as root: simulated parts on true nodes, and smbus2, pyserial, other drivers, a gateway on them."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "third_party")]

PLACE = Path("/dev/shm/sim")
SCENE = """
seed = 7

[[uart]]
name = "pm"
device = "sds011"

[[uart]]
name = "kld7"
device = "kld7"

[[bus]]
name = "sps30_i2c"

[[bus.device]]
name = "sps30_i2c.part"
device = "sps30_i2c"
address = 0x69

[[bus]]
name = "i2c-post"

[[bus.device]]
name = "weather"
device = "bme280"
address = 0x76

[[bus.device]]
name = "co2"
device = "scd4x"
address = 0x62
"""
SITE = """
extends = {base}

[site]
name = "guest"
timezone = "UTC"

[gateway]
name = "guest"
data_dir = "/dev/shm/gateway"
run_dir = "/dev/shm/run"
batch_s = 1
back_off_max_s = 2.0

[[sensor]]
name = "pm"
driver = "sds011"
port = "/dev/shm/sim/pm"

[[sensor]]
name = "weather"
driver = "bme280"
bus = "/dev/shm/sim/i2c-post"
address = 0x76
"""
DEADLINE_S = 60.0
NOON = "1767182400:1"  # of a day of many vehicles


def wait(until: Callable[[], Any], what: str, within_s: float = DEADLINE_S) -> Any:
    """Wait until something is true; return it."""
    end_s = time.monotonic() + within_s
    while not (found := until()):
        assert time.monotonic() < end_s, f"{what} did not happen within {within_s:g} s"
        time.sleep(0.1)
    return found


def ctl(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "firmware_sim", "ctl", *words, "--dir", str(PLACE), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply


def node(name: str) -> Path:
    return (PLACE / name).readlink()


# -- steps: each returns what is worth keeping -------------------------------------------------------------------------


def nodes() -> dict[str, Any]:
    names = {name: str(node(name)) for name in ("pm", "kld7", "sps30_i2c", "i2c-post")}
    assert all(Path(path).is_char_device() for path in names.values())
    return {"kernel": platform.release(), "nodes": names}


def smbus2_on_a_node() -> dict[str, Any]:
    from smbus2 import SMBus, i2c_msg

    with SMBus(str(node("i2c-post"))) as bus:
        assert bus.read_byte_data(0x76, 0xD0) == 0x60
        bus.write_byte_data(0x76, 0xF4, 0x27)
        assert bus.read_i2c_block_data(0x76, 0xF4, 1) == [0x27]
        write, read = i2c_msg.write(0x76, [0xD0]), i2c_msg.read(0x76, 1)
        bus.i2c_rdwr(write, read)  # a repeated start
        assert bytes(read) == b"\x60"
        bus.i2c_rdwr(i2c_msg.write(0x62, [0x36, 0x82]))
        time.sleep(0.01)
        read = i2c_msg.read(0x62, 9)
        bus.i2c_rdwr(read)
        assert bytes(read).hex() == "f896319f07c23bbe89", "the serial number of the SCD4x datasheet"
        try:
            bus.read_byte_data(0x50, 0)
        except OSError as error:
            nobody = error.errno
        assert nobody == errno.ENXIO
        begin_s, reads = time.monotonic(), 0
        while time.monotonic() - begin_s < 2.0:
            bus.read_byte_data(0x76, 0xD0)
            reads += 1
    return {"reads_per_s": round(reads / 2), "nobody": errno.errorcode[nobody]}


def pyserial_on_a_node() -> dict[str, Any]:
    import serial
    from serial.tools import list_ports

    (found,) = [port for port in list_ports.comports() if port.serial_number == "SIM-pm"]
    with serial.Serial(str(node("pm")), 9600, timeout=5, exclusive=True) as port:
        data = port.read(30)
        at = data.index(b"\xaa\xc0")
        frame = data[at : at + 10]
        assert sum(frame[2:8]) & 0xFF == frame[8]
        port.write(bytes.fromhex("aab407000000000000000000000000ffff05ab"))  # the firmware's date
        heard = port.read(40)
        assert b"\xaa\xc5\x07" in heard, heard.hex()
    return {"vendor": found.vid, "product": found.pid, "name": found.product, "frame": frame.hex()}


def other_drivers_on_nodes() -> dict[str, Any]:
    from cases import CASES, agree
    from third_party_rig import PYTHON, read, truth_of, versions

    if not PYTHON.exists():
        return {"skipped": f"{PYTHON} is missing: make test-third-party sets it up"}
    known, rows = versions(), {}
    for case in CASES:
        if case.only_on_nodes:
            path = str(node(case.reader))
            readings = read(case, path.removeprefix("/dev/i2c-"))
            truth = agree(case, readings, truth_of(PLACE, case))
            rows[case.package] = {"version": known[case.package], "node": path, "read": readings, "truth": truth}
    return rows


def unplugged_while_open() -> dict[str, Any]:
    import serial
    from smbus2 import SMBus

    seen: dict[str, str] = {}
    bus = SMBus(str(node("i2c-post")))
    port = serial.Serial(str(node("pm")), 9600, timeout=3, exclusive=True)
    assert port.read(10)
    ctl("unplug", "*")
    for what, use in {"i2c": lambda: bus.read_byte_data(0x76, 0xD0), "serial": lambda: port.read(200)}.items():
        try:
            use()
        except (OSError, serial.SerialException) as error:
            seen[what] = f"{type(error).__name__}: {error}"
    bus.close()
    port.close()
    assert set(seen) == {"i2c", "serial"}
    assert not any((PLACE / name).exists() for name in ("pm", "i2c-post"))
    ctl("clear")
    wait(lambda: (PLACE / "pm").exists() and (PLACE / "i2c-post").exists(), "the return of the nodes")
    return seen


def gateway_survives_the_plug() -> dict[str, Any]:
    site = Path("/dev/shm/site.toml")
    site.write_text(SITE.format(base=json.dumps(str(ROOT / "configs" / "base.toml"))), encoding="utf-8")
    env = {**os.environ, "WATCHDOG_USEC": "2000000"}
    log = Path("/dev/shm/gateway.log")
    Path("/dev/shm/run").mkdir()
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", str(site)], cwd=ROOT, env=env, stdout=out, stderr=out
        )
    status = Path("/dev/shm/run/status.json")

    def now() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(status.read_bytes()) if status.exists() else {}
        return found

    def up() -> list[bool]:
        return [row["up"] for row in now().get("links", [])]

    def frames() -> dict[str, int]:
        return {row["name"]: row["frames"] for row in now().get("sensors", [])}

    try:
        wait(lambda: up() == [True, True] and min(frames().values()) > 0, "the first frames of both")
        before = frames()
        ctl("unplug", "pm")
        ctl("unplug", "i2c-post")
        wait(lambda: up() == [False, False], "the loss of both links")
        lost = {row["name"]: row["error"] for row in now()["links"]}
        during = frames()
        ctl("plug", "pm")
        ctl("plug", "i2c-post")
        wait(lambda: up() == [True, True], "their return")
        wait(lambda: all(frames()[name] >= during[name] + 3 for name in during), "new frames of both")
        assert child.poll() is None
        return {"before": before, "lost": lost, "after": frames(), "log": log.read_text().splitlines()[-8:]}
    except AssertionError as error:
        raise AssertionError(f"{error}; {now()}; {log.read_text()[-2000:]}") from None
    finally:
        child.terminate()
        child.wait(20)


STEPS = (
    nodes,
    smbus2_on_a_node,
    pyserial_on_a_node,
    other_drivers_on_nodes,
    unplugged_while_open,
    gateway_survives_the_plug,
)


def main() -> None:
    """Start the simulator and go through the steps."""
    os.environ["GATEWAY_CLOCK"] = NOON
    PLACE.mkdir(parents=True)
    (PLACE / "scene.toml").write_text(SCENE, encoding="utf-8")
    command = [sys.executable, "-m", "firmware_sim", "run", str(PLACE / "scene.toml"), "--kernel", "--dir", str(PLACE)]
    begin_s = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    while (line := child.stdout.readline()) != "ready\n":
        if not line:
            report("start", {"ok": False, "why": "the simulator ended before it was ready"})
            return
        print(line, end="")
    report("start", {"ok": True, "ready_s": round(time.monotonic() - begin_s, 2)})
    for step in STEPS:
        begin_s = time.monotonic()
        try:
            row = {"ok": True, **step()}
        except Exception:  # noqa: BLE001 - the machine is switched off after this: say it, and go on
            row = {"ok": False, "why": traceback.format_exc()}
        report(step.__name__, row | {"took_s": round(time.monotonic() - begin_s, 2)})
        if not row["ok"]:  # what failed shall not fail the next one
            subprocess.run([sys.executable, "-m", "firmware_sim", "ctl", "clear", "--dir", str(PLACE)], check=False)
    child.terminate()
    child.wait(10)


def report(step: str, row: dict[str, Any]) -> None:
    print("RESULT " + json.dumps({"step": step, **row}), flush=True)


main()
