"""The demo: simulator, broker, gateway and bridge as separate processes, a live table, and honest sums at the end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from gateway.broker import HOST, EmbeddedBroker, free_port
from gateway.clock import Clock
from gateway.outbox import read_account

GATEWAY_STOP_S = 25.0  # up to 15 s for receipts, and the rest of a stop
DOMAINS = ("air", "noise", "traffic", "weather")
FLAGS = {1: "good", 2: "unchecked", 3: "suspect", 4: "fail", 9: "missing"}
SITE = """\
extends = {base}

[site]
name = "demo"
timezone = "Europe/Bucharest"

[gateway]
name = "demo-gw"
data_dir = "gateway"
run_dir = {run_dir}
batch_s = {batch_s}
back_off_max_s = 5.0

[windows]
base_s = {base_s}
long_s = {long_s}

[mqtt]
host = "{host}"
port = {port}
resend_s = 5.0
resend_max_s = 20.0
backlog_messages_per_s = 50.0
{mqtt}

[bridge]
client_id = "lamppost-{bridge}"
data_dir = "{bridge}"
retry_max_s = 5.0

{store}

"""


class DemoError(Exception):
    """A process of the demo did not start or ended by itself; the text names its log."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What may differ between demos; the rest stands in SITE. Text is TOML."""

    scenario: Path | None = None  # else configs/sim/street.toml
    sensors: Path | None = None  # else configs/demo.toml
    base_s: int = 10
    long_s: tuple[int, ...] = (60,)
    batch_s: float = 1.0
    mqtt: str = ""  # further keys of [mqtt]
    store: str = ""  # a whole [store] table; else the embedded store
    more_stores: tuple[str, ...] = ()  # further [store] tables: each gets a bridge of its own, `bridge-2` and so on
    run_dir: Path | None = None  # else beside the rest; on a post it is memory (/run)


class Demo:
    """All processes of one demo, in one folder."""

    def __init__(self, folder: Path, broker: str | None = None, settings: Settings | None = None) -> None:
        self.folder = folder.resolve()
        self.settings = settings or Settings()
        self.clock = Clock.from_env()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.broker = EmbeddedBroker(self.folder / "broker", free_port(), self.clock, broker)
        self.site = self.folder / "site.toml"
        self.run_dir = self.settings.run_dir or self.folder / "run"

    def start(self) -> None:
        """Start everything; raises DemoError or BrokerError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run_dir.mkdir(exist_ok=True)
        ports = self._start_simulator()
        self.site.write_text(site_text(ports, self.broker.port, self.settings))
        self.broker.start()
        self.start_bridge()
        for i, store in enumerate(self.settings.more_stores, 2):
            site = self.folder / f"bridge-{i}.toml"
            site.write_text(site_text(ports, self.broker.port, replace(self.settings, store=store), f"bridge-{i}"))
            self._spawn(f"bridge-{i}", "gateway", "bridge", str(site))
        self.start_gateway()

    def start_gateway(self) -> None:
        """Start the gateway, also again after it was killed."""
        self._spawn("gateway", "gateway", "run", str(self.site))

    def start_bridge(self) -> None:
        """Start the bridge, also again after it was killed."""
        self._spawn("bridge", "gateway", "bridge", str(self.site))

    def kill(self, name: str) -> None:
        """End one process (`gateway`, `bridge`) as a power cut would."""
        process = self._processes[name]
        process.kill()
        process.wait()

    def check(self) -> None:
        """Raise DemoError when a process has ended by itself."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise DemoError(f"{name} ended by itself ({process.returncode}); read {self.folder / name}.log")

    def stop(self) -> None:
        """Stop in order: no new readings, the gateway waits for its receipts, then the bridge, then the broker."""
        simulator = self._processes.get("simulator")
        if simulator is not None and simulator.poll() is None:
            simulator.send_signal(signal.SIGUSR1)
        if simulator is not None and simulator.stdout is not None:
            simulator.stdout.close()
        self.end("gateway", GATEWAY_STOP_S)
        for name in self._processes:
            if name.startswith("bridge"):
                self.end(name)
        self.broker.stop()
        self.end("simulator")

    def end(self, name: str, wait_s: float = 10.0) -> None:
        """End one process in good order, or, if it does not within `wait_s`, as a power cut would."""
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.kill(name)

    def status(self) -> dict[str, Any] | None:
        """Read what the gateway last said of itself."""
        try:
            status: dict[str, Any] = msgspec.json.decode((self.run_dir / "status.json").read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        return status

    @property
    def store(self) -> Path:
        """The embedded store."""
        return self.folder / "bridge" / "store.db"

    def summary(self) -> dict[str, Any]:
        """Count what was produced, receipted and really read back from the store."""
        from gateway.store.sqlite import SqliteStore

        account = read_account(self.folder / "gateway" / "gateway.db")
        keys: set[Any] = set()
        windows: Counter[str] = Counter()
        with closing(SqliteStore(self.store, read_only=True)) as store:
            for point in store.read(0, 2**63 - 1):
                key = (point.measurement, point.tags, point.start_ns)
                if key not in keys:
                    keys.add(key)
                    windows[point.measurement] += 1
        return {
            "windows": {domain: windows[domain] for domain in DOMAINS},
            "published": account.get("receipted_keys", 0),
            "stored": len(keys),
            "ledger": {name: account.get(name, 0) for name in ("expected", "valid", "rejected", "missing")},
            "store": str(self.store),
            "broker": self.broker.kind,
            "waiting": account.get("keys", 0) - account.get("receipted_keys", 0),
        }

    def _start_simulator(self) -> dict[str, str]:
        scenario = self.settings.scenario or configs() / "sim" / "street.toml"
        folder = self.folder / "ports"
        folder.mkdir(exist_ok=True)
        arguments = ["run", str(scenario), "--dir", str(folder), "--truth", str(self.folder / "truth.jsonl"), "--json"]
        process = self._spawn("simulator", "firmware_sim", *arguments, output=subprocess.PIPE)
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = process.stdout.readline()
        if not ready.startswith(b"ready"):
            raise DemoError(f"the simulator did not start; read {self.folder / 'simulator.log'}")
        ports: dict[str, str] = json.loads(line)["ports"]
        return ports

    def _spawn(self, name: str, module: str, *arguments: str, output: int | None = None) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL, stdout=output or log, stderr=log, start_new_session=True,
                env={"GATEWAY_CLOCK": "wall", **os.environ},  # all of it is on this machine: its clock is right
            )  # fmt: skip
        self._processes[name] = process
        return process

    def pid(self, name: str) -> int:
        """The process id of a part."""
        return self._processes[name].pid


def configs() -> Path:
    """Find the shipped configurations: beside the packages in a checkout, inside the package in a wheel."""
    here = Path(__file__).resolve().parent
    checkout = here.parent / "configs"
    return checkout if checkout.is_dir() else Path(str(resources.files("gateway") / "_configs"))


def site_text(ports: dict[str, str], port: int, settings: Settings, bridge: str = "bridge") -> str:
    """Write the demo's site file: the sensors of configs/demo.toml at the simulator's ports."""
    text = SITE.format(
        base=json.dumps(str(configs() / "base.toml")),
        bridge=bridge,
        run_dir=json.dumps(str(settings.run_dir or "run")),
        host=HOST,
        port=port,
        base_s=settings.base_s,
        long_s=list(settings.long_s),
        batch_s=settings.batch_s,
        mqtt=settings.mqtt,
        store=settings.store,
    )
    return text + at_ports((settings.sensors or configs() / "demo.toml").read_text(), ports)


def at_ports(text: str, ports: dict[str, str]) -> str:
    """Put the simulator's paths in the place of the names that a file of sensors gives its ports and buses."""

    def placed(line: re.Match[str]) -> str:
        key, name = line["key"], line["name"]
        return f"{key} = {json.dumps(('unix:' if key == 'bus' else '') + ports.get(name, name))}"

    return re.sub(r'^(?P<key>port|bus) *= *"(?P<name>[^"]*)"', placed, text, flags=re.MULTILINE)
