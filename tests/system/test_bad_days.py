"""A missing port, a broker that is away, a decoder of ours that raises: said clearly, counted, and the rest goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from compare import in_store
from rig import Rig

from gateway.demo import Demo, Settings, configs
from gateway.store.base import StoreError

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MISSING = """
[[sensor]]
name = "pm-south"
driver = "sds011"
port = "/nowhere/serial"

[[sensor]]
name = "cold"
driver = "bme280"
bus = "i2c-1"
address = 0x77
"""

# A gateway whose decoder for the BME280 fails on every frame: a bug of ours, planted.
PLANTED = """
import dataclasses, os, pathlib, sys, types
import drivers
def broken(frames, context, options):
    raise ZeroDivisionError("planted")
table = dict(drivers.DRIVERS)
table["bme280"] = dataclasses.replace(table["bme280"], decode=broken)
drivers.DRIVERS = types.MappingProxyType(table)
from gateway.config import to_json
from gateway.config_file import load
from gateway.service import main
handed = os.memfd_create("config")
os.write(handed, to_json(load(pathlib.Path(sys.argv[2]))))
sys.exit(main([*sys.argv[1:], str(handed)]))
"""


def test_missing_port_silent_part_and_broker_away(tmp_path: Path) -> None:
    sensors = tmp_path / "sensors.toml"
    sensors.write_text((configs() / "demo.toml").read_text() + MISSING)
    rig = Rig(tmp_path / "demo", None, Settings(base_s=5, long_s=(20,), sensors=sensors))
    rig.start()
    rig.kill_part("broker")
    away = ("pm-south", "cold")
    try:
        rig.wait_for_windows(2)
        rig.wait_for_frames(5, without=away)
        rig.wait(lambda: "broker" in rig.alarms(), "an alarm")
        said = subprocess.run(
            [sys.executable, "-m", "gateway", "status", str(rig.run_dir)], capture_output=True, text=True, check=True
        ).stdout
        down = {link["name"]: link for link in rig.said("links") if not link["up"]}
        assert list(down) == ["/nowhere/serial"]
        assert "by-id" in down["/nowhere/serial"]["hint"]
        assert "DOWN  /nowhere/serial" in said
        assert "NOT connected" in said
        assert all(rig.frames()[name] == 0 for name in away)
        rig.start_part("broker")
        books = rig.settle()
    finally:
        rig.stop()
    assert not books.troubles(), books.troubles()
    ledgers = {dict(tags)["sensor"]: fields for (what, tags, _), fields in books.stored.items() if what == "ledger"}
    assert ledgers["cold"]["missing"] == ledgers["cold"]["expected"]
    assert ledgers["pm-south"]["missing"] == ledgers["pm-south"]["expected"]
    assert ledgers["weather"]["valid"] > 0


def test_planted_bug_in_a_decoder_ends_in_rejected_slots_and_an_alarm(tmp_path: Path) -> None:
    """Twice it brings the process down, as a bug must; then its batch is set aside and everything else goes on."""
    demo = Demo(tmp_path / "demo", None, Settings(base_s=5, long_s=(20,)))

    def start() -> None:
        with (demo.folder / "gateway.log").open("ab") as log:
            command = [sys.executable, "-c", PLANTED, "run", str(demo.site)]
            demo._processes["gateway"] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    demo.start_gateway = start  # type: ignore[method-assign]
    demo.start()
    try:
        deaths = 0
        until_s = time.monotonic() + 120.0
        while time.monotonic() < until_s:
            time.sleep(0.5)
            if demo._processes["gateway"].poll() is not None:
                deaths += 1
                start()
            status = demo.status()
            if deaths >= 2 and status is not None and status["ledger"]["rejected"] >= 5:
                break
        assert status is not None
        assert deaths == 2
        assert any("weather" in alarm and "our own code" in alarm for alarm in status["alarms"])
    finally:
        demo.stop()
    assert list((demo.folder / "gateway" / "quarantine").glob("batch-*.raw"))
    assert "ZeroDivisionError: planted" in (demo.folder / "gateway.log").read_text()
    ledger = [(dict(tags)["sensor"], f) for (what, tags, _), f in in_store(demo.store).items() if what == "ledger"]
    assert sum(fields.get("rejected_bug", 0.0) for sensor, fields in ledger if sensor == "weather") >= 5
    assert sum(fields["valid"] for sensor, fields in ledger if sensor == "noise") >= 5
    assert not any(fields.get("rejected_bug") for sensor, fields in ledger if sensor != "weather")


def test_a_configuration_that_is_wrong_is_refused_with_its_line(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[site]\nname = "x"\n\n[gateway]\nname = "g"\nbatchs = 3\n')
    for verb in ("run", "bridge", "check"):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", verb, str(site)], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 2
        assert f"{site}:6: gateway.batchs: unknown key" in done.stdout + done.stderr
        assert "did you mean `batch_s`?" in done.stdout + done.stderr


def ledger(demo: Demo) -> list[tuple[str, int, dict[str, float]]]:
    """Read the account of each sensor and each window of 5 s from the store: sensor, begin, fields."""
    try:
        points = in_store(demo.store)
    except StoreError:  # the bridge has written nothing yet
        return []
    rows = [(dict(t)["sensor"], s, f) for (w, t, s), f in points.items() if w == "ledger" and len(t) == 4]
    return [(sensor, start, fields) for sensor, start, fields in rows if fields["expected"] <= 5]


def wait(demo: Demo, until: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for something that is seen from outside; how long it takes is a matter of what else the machine does."""
    end_s = time.monotonic() + within_s
    while not until():
        demo.check()
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.2)


def test_reload_changes_a_sensor_at_a_window_and_keeps_the_rest(tmp_path: Path) -> None:
    """SIGHUP with one sensor more: it takes effect at a border, and nothing of the others is lost."""
    import signal

    demo = Demo(tmp_path / "demo", None, Settings(base_s=5, long_s=(20,)))
    demo.start()
    try:
        wait(demo, lambda: {"radar", "weather"} <= {sensor for sensor, _, _ in ledger(demo)})
        before = demo.status()
        text = demo.site.read_text()
        cut = text.index('[[sensor]]\nname = "radar"')
        end = text.index("[[sensor]]", cut + 5)
        demo.site.write_text(text[:cut] + text[end:])
        demo._processes["gateway"].send_signal(signal.SIGHUP)
        assert before is not None
        wait(demo, lambda: (demo.status() or before)["config"] != before["config"])
        changed_ns = time.time_ns()  # the border lies before
        wait(demo, lambda: any(start > changed_ns for _, start, _ in ledger(demo)))
        after = demo.status()
    finally:
        demo.stop()
    assert after is not None
    assert len(after["sensors"]) == len(before["sensors"]) - 1
    five = ledger(demo)
    radar, since = [start for sensor, start, _ in five if sensor == "radar"], {s for s, t, _ in five if t > changed_ns}
    assert radar
    assert max(radar) < changed_ns
    assert since >= {"air", "noise", "pm-north", "weather"}
    weather = sorted((start, fields) for sensor, start, fields in five if sensor == "weather")
    assert all(fields["valid"] == 5 for _, fields in weather[1:-1]), json.dumps(weather, default=str)
