"""lamppost as shipped: four simulated parts on two I2C buses make 24 series at 1 Hz, polled as on a post."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from compileall import compile_dir
from contextlib import closing
from pathlib import Path

from bench.delivery.card import Card
from bench.delivery.city import OURS, City
from bench.delivery.parts import HOST, SERIES, Message, Process, Span, wait_for
from bench.delivery.tally import Account, Reading, Window, of_windows
from bench.delivery.timeline import Timeline
from gateway import wire
from gateway.store.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[2]
PARTS = (  # name, driver and twin, bus, address: 8 + 10 + 3 + 3 channels
    ("air", "sen55", "i2c-1", 0x69),
    ("weather", "bme280", "i2c-1", 0x76),
    ("cabinet", "bme280", "i2c-1", 0x77),
    ("dust", "sps30_i2c", "i2c-2", 0x69),
)
SITE = """\
extends = {base}
[site]
name = "bench"
[gateway]
name = "{name}"
data_dir = "{data}"
run_dir = "{run}"
[windows]
base_s = {base_s}
long_s = [{long_s}]
[mqtt]
host = "{host}"
port = {port}
resend_s = 60.0
[bridge]
data_dir = "{bridge}"
[store]
kind = "sqlite"
path = "{bridge}/store.db"
"""
NO_RAW_LOG = """\
[[rawlog.keep]]
source = "*"
keep = "none"
"""
PART = """\
[[sensor]]
name = "{name}"
driver = "{driver}"
bus = "unix:{folder}/{bus}.sock"
address = {address}
"""


class Lamppost:
    """A simulator, which is not counted, and a gateway, which is."""

    def __init__(self, name: str, folder: Path, card: Card, city: City, timeline: Timeline, *, raw_log: bool) -> None:
        folder.mkdir()
        (folder / "run").mkdir()
        for package in ("drivers", "gateway"):  # as an installer does; a process that compiles takes 2 MB more
            compile_dir(ROOT / package, quiet=2)
        self.name, self.card = name, card
        self._city = city
        self._base_s = timeline.base_s
        self._truth = folder / "truth.jsonl"
        self._ports = folder / "ports"
        self.site = folder / "site.toml"
        self.site.write_text(self._site_text(folder, timeline, raw_log=raw_log))
        scenario = folder / "sim.toml"
        scenario.write_text(_scenario())
        run = ["run", str(scenario), "--dir", str(self._ports), "--truth", str(self._truth)]
        self._simulator = process("firmware_sim", *run, log=folder / "simulator.log")
        self.gateway = process("gateway", "run", str(self.site), log=folder / "gateway.log")

    def start(self) -> None:
        """Start simulator and gateway."""
        self._simulator.start()
        wait_for("the simulator", self._truth.with_name("simulator.log"))
        for bus in {bus for _, _, bus, _ in PARTS}:
            wait_for("the simulator", self._ports / f"{bus}.sock", 0)
        self.gateway.start()

    def stop(self) -> None:
        """End both."""
        self.gateway.end(30.0)
        self._simulator.end()

    def account(self, heard: list[Message], said: list[int], span: Span) -> Account:  # noqa: ARG002
        """Compare the simulator's truth with the city's store."""
        given = [one for one in self._given() if span.holds(one[0].t_s)]
        made = [reading for reading, is_there in given if is_there]
        stored, missing = self._stored(span)
        got = [one for message in heard for one in self._windows_of(message) if span.holds(one.start_s)]
        account = of_windows(made, stored, got, self._base_s, span.phase_of)
        account.unheard = max(0, SERIES * round(span.end_s - span.from_s) - len(given))
        account.untold = max(0, account.lost + account.unheard - missing)
        account.more |= {"said_to_be_missing": missing, "without_value": len(given) - len(made)}
        return account

    def _given(self) -> Iterator[tuple[Reading, bool]]:
        """Read what the twins gave away; False where a part said that it has no value yet, as after its start."""
        for line in self._truth.read_text().splitlines():
            said = json.loads(line)
            for channel, value in said.get("values", {}).items():
                yield Reading(f"{said['name']}.{channel}", said["t_ns"] / 1e9), value is not None

    def _stored(self, span: Span) -> tuple[list[Window], int]:
        """Read the store: its windows, and how many readings its ledger says are missing."""
        windows, missing = [], 0.0
        channels = {name: sum(one.startswith(f"{name}.") for one in _series()) for name, *_ in PARTS}
        with closing(SqliteStore(self._city.store, read_only=True)) as store:
            for point in store.read(round(span.from_s * 1e9), round(span.end_s * 1e9), self.name):
                tags = dict(point.tags)
                if tags["period"] != f"{self._base_s}s" or tags["sensor"] not in channels:
                    continue
                if point.measurement == "ledger":
                    missing += point.fields["missing"] * channels[tags["sensor"]]
                else:
                    windows.append(_window(f"{tags['sensor']}.{tags['channel']}", point.start_ns, point.fields))
        return windows, round(missing)

    def _windows_of(self, message: Message) -> Iterator[Window]:
        """Unpack a message of this gateway; longer windows are left out."""
        if message.topic != f"{OURS}/{wire.topic(self.name, 'windows')}":
            return
        for said in map(wire.unpack_windows, wire.unbundle(message.payload)):
            if said.period_s != self._base_s or said.period:
                continue
            for point in wire.points(said):
                tags = dict(point.tags)
                if point.measurement != "ledger" and tags["sensor"] != "board":
                    yield _window(f"{tags['sensor']}.{tags['channel']}", point.start_ns, point.fields)

    def _site_text(self, folder: Path, timeline: Timeline, *, raw_log: bool) -> str:
        text = SITE.format(
            base=json.dumps(str(ROOT / "configs" / "base.toml")), name=self.name, data=self.card.folder / "data",
            run=folder / "run", base_s=timeline.base_s, long_s=timeline.long_s, host=HOST,
            port=self._city.brokers[OURS].port, bridge=self._city.folder / "bridge",
        )  # fmt: skip
        parts = [
            PART.format(name=name, driver=driver, folder=self._ports, bus=bus, address=address)
            for name, driver, bus, address in PARTS
        ]
        return text + "".join(parts) + ("" if raw_log else NO_RAW_LOG)


def process(module: str, *arguments: str, log: Path) -> Process:
    """Make a process of ours; all are on this machine, so they may believe its clock."""
    return Process([sys.executable, "-m", module, *arguments], log, ROOT, {"GATEWAY_CLOCK": "wall"})


def _window(series: str, start_ns: int, fields: dict[str, float]) -> Window:
    """Make a window of a point: its readings are those used and those that were judged wrong."""
    n = fields.get("n", 0.0) + fields.get("n_fail", 0.0)
    return Window(series, start_ns / 1e9, round(fields["rev"]), round(n), round(fields.get("expected", n)))


def _series() -> list[str]:
    """Name all series."""
    from drivers import DRIVERS

    return [f"{name}.{channel.name}" for name, driver, *_ in PARTS for channel in DRIVERS[driver].channels]


def _scenario() -> str:
    """Write the simulator's scenario: the parts on their buses, and no faults."""
    text = "seed = 24\n"
    for bus in sorted({bus for _, _, bus, _ in PARTS}):
        text += f'[[bus]]\nname = "{bus}"\n'
        for name, device, on, address in PARTS:
            if on == bus:
                text += f'[[bus.device]]\nname = "{name}"\ndevice = "{device}"\naddress = {address}\n'
    return text
