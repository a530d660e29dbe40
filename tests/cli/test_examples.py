"""The examples of the documentation do what they say."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Driver, Fault, Mark, Poll
from drivers.script import Reply, Step, run
from firmware_sim.device import Nack
from firmware_sim.street import Street

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to" / "add-a-sensor.md"
FENCE = re.compile(r"^```(?:python|toml) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = dict(FENCE.findall(HOW_TO.read_text(encoding="utf-8")))


@pytest.fixture
def street(tmp_path: Path) -> Iterator[dict[str, str]]:
    command = [sys.executable, "-m", "firmware_sim", "run", "configs/sim/street.toml", "--dir", str(tmp_path), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["ports"]
    process.kill()
    process.communicate()


def test_two_sensors_are_read_without_the_gateway(street: dict[str, str]) -> None:
    command = [sys.executable, "docs/examples/without_the_gateway.py", f"unix:{street['i2c-1']}", street["pm-north"]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert done.stderr == ""
    readings = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    assert [set(reading) for reading in readings] == [{"temperature", "pressure", "humidity"}] * 5 + [
        {"pm2_5", "pm10"}
    ] * 5
    assert all(90_000 < reading["pressure"] < 110_000 for reading in readings[:5])
    assert all(0 < reading["pm2_5"] <= reading["pm10"] for reading in readings[5:])


def test_it_needs_nothing_of_the_gateway() -> None:
    tree = ast.parse((ROOT / "docs" / "examples" / "without_the_gateway.py").read_text(encoding="utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if module.startswith(("gateway", "firmware_sim"))]
    code = (
        "import sys; sys.path.insert(0, 'docs/examples'); import without_the_gateway; print('gateway' in sys.modules)"
    )
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    assert done.stdout == "False\n"


def made(name: str) -> dict[str, Any]:
    """Run a block of the how-to as a module."""
    space: dict[str, Any] = {"__name__": name}
    exec(compile(BLOCKS[f"{name}.py"], f"{HOW_TO}:{name}", "exec"), space)
    return space


def test_the_how_to_has_the_blocks_that_it_speaks_of() -> None:
    assert set(BLOCKS) == {"driver.py", "vectors.toml", "sample.toml", "twin.py"}
    code = sum(text.count("\n") for name, text in BLOCKS.items() if name.endswith(".py"))
    assert code < 150
    assert tomllib.loads(BLOCKS["sample.toml"])["sensor"][0]["driver"] == "tmp117"


def test_the_driver_of_the_how_to_decodes_its_vectors() -> None:
    driver: Driver = made("driver")["DRIVER"]
    for vector in tomllib.loads(BLOCKS["vectors.toml"])["vector"]:
        data = bytes.fromhex(vector["hex"])
        if "command" in vector:
            assert driver.commands[vector["command"]].tx == data
            continue
        decoded = driver.decode([data], b"", {})
        assert Fault(int(decoded.fault[0])).name == vector.get("fault", "ok").upper()
        rows = [
            {"temperature": "missing" if mark == Mark.MISSING else value}
            for (value,), (mark,) in zip(decoded.values.tolist(), decoded.mark.tolist(), strict=True)
        ]
        assert rows == vector.get("rows", [])
    assert driver.decode([], b"", {}).values.shape == (0, 1)


def test_the_driver_of_the_how_to_reads_what_its_twin_says() -> None:
    driver: Driver = made("driver")["DRIVER"]
    told: list[Any] = []
    twin = made("twin")["Tmp117"](Street(7), lambda t_s, values: told.append(values))
    now_s = 1_767_182_400.0

    def transfer(step: Step) -> Reply:
        nonlocal now_s
        twin.write(step.tx, now_s)
        reply: bytes = twin.read(step.rx, now_s) if step.rx else b""
        now_s += step.settle_s
        return reply

    assert driver.identify is not None
    assert driver.identify.match(run(transfer, driver.identify.script, {}, {}).frame)
    assert isinstance(driver.access, Poll)
    early = run(transfer, driver.access.script, {}, {}).frame
    assert driver.decode([early], b"", {}).mark.tolist() == [[Mark.MISSING]]
    assert run(transfer, driver.setup, {}, {}).miss is None
    frame = run(transfer, driver.access.script, {}, {}).frame
    assert driver.decode([frame], b"", {}).values.tolist() == [[told[-1]["temperature"]]]
    with pytest.raises(Nack):
        twin.write(b"\x01\x02", now_s)
