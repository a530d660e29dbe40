"""`gateway scan`: real ptys and socket buses, and parts that keep what is written to them."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
import tomllib
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from drivers import DRIVERS
from drivers.base import Command, Driver, I2c, Identify, Identity, Option, Stream, Uart
from drivers.link.base import LinkError
from drivers.link.serial import SerialPort
from firmware_sim.device import Nack
from firmware_sim.i2cbus import I2cBus
from firmware_sim.truth import Timeline
from gateway import scan_i2c, scan_serial
from gateway.__main__ import app
from gateway.clock import Clock
from gateway.config_file import examine
from gateway.scan import scan as walk
from gateway.scan_ear import dwell_s
from gateway.scan_finds import harmless
from gateway.scan_i2c import candidates
from gateway.scan_places import BusPlace
from gateway.scan_site import time_zone

ROOT = Path(__file__).parents[2]
PHONE = 48
RATE = 10  # the clock of what runs here runs so much faster
FRAME = bytes.fromhex("aac00600060058d93dab")  # SDS011, captured
STREET = {"sen55", "bme280", "sds011", "nsrt_mk4", "ops243"}


def scan(*words: object, rate: int = RATE) -> Result:
    return CliRunner(env={"GATEWAY_CLOCK": f"1767182400:{rate}"}).invoke(app, ["scan", *map(str, words)])


def in_json(*words: object, rate: int = RATE) -> dict[str, Any]:
    result = scan("--json", *words, rate=rate)
    assert result.exit_code in (0, 1), result.output
    said: dict[str, Any] = msgspec.json.decode(result.stdout)
    assert (result.exit_code == 0) == bool(said["found"])
    return said


# --- the street of the simulator


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Run the simulator; the words that name its bus and its ports."""
    folder = tmp_path_factory.mktemp("street")
    command = [sys.executable, "-m", "firmware_sim", "run", "configs/sim/street.toml", "--dir", str(folder), "--json"]
    env = os.environ | {"GATEWAY_CLOCK": f"1767182400:{RATE}"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env)
    assert process.stdout is not None
    ports = json.loads(process.stdout.readline())["ports"]
    assert process.stdout.readline() == "ready\n"
    words = ["--bus", f"unix:{ports.pop('i2c-1')}"]
    yield words + [word for port in ports.values() for word in ("--port", port)]
    process.kill()
    process.communicate()


def test_every_part_of_a_street_is_named_and_the_text_is_a_site_file(street: list[str]) -> None:
    result = scan(*street)
    assert result.exit_code == 0, result.output
    sensors = tomllib.loads(result.stdout)["sensor"]
    assert {sensor["driver"] for sensor in sensors} == STREET
    assert len(sensors) == len(STREET)
    for sensor in sensors:
        on_bus = {"bus", "address"} if sensor["driver"] in ("sen55", "bme280") else {"port"}
        told = {"serial"} if sensor["driver"] == "sen55" else set()
        assert sensor.keys() == {"name", "driver"} | on_bus | told
        assert (sensor.get("port") or sensor["bus"]) in " ".join(street)
    assert "NOT SURE" not in result.stdout
    texts = [line for line in result.stdout.splitlines() if line.startswith("#")]
    assert max(map(len, texts)) <= PHONE
    assert "pm-north: done" in result.stderr
    assert "pm-north: listening" in result.stderr


def test_the_same_for_programs(street: list[str]) -> None:
    said = in_json(*street)
    rows = {row["driver"]: row for row in said["found"]}
    assert rows.keys() == STREET
    assert all(row["sure"] and not row["alike"] and row["baud"] is None for row in rows.values())
    assert bytes.fromhex(rows["bme280"]["reply"]) == b"\x60"
    assert rows["sen55"]["address"] == 0x69
    for row in rows.values():
        assert tomllib.loads(row["block"])["sensor"][0]["name"] == row["name"]
    assert (said["unknown"], said["skipped"], said["written"]) == ([], [], None)


def test_the_file_that_it_writes_is_one_that_check_accepts(street: list[str], tmp_path: Path) -> None:
    site = tmp_path / "Piata Victoriei.toml"
    result = scan(*street, "--write", site)
    assert result.exit_code == 0, result.output
    config, problems = examine(site)
    assert problems == []
    assert config is not None
    assert {sensor.driver for sensor in config.sensor} == STREET
    assert config.site.name == "piata-victoriei"
    assert config.windows.base_s == 60
    assert config.quality, "the defaults that it extends lie beside it"
    assert CliRunner().invoke(app, ["check", str(site)]).exit_code == 0
    assert "gateway check: ok" in " ".join(result.stdout.replace("#", "").split())
    again = scan(*street, "--write", site)
    assert again.exit_code == 2
    assert "never overwritten" in again.stderr
    assert examine(site)[0] == config


def test_defaults_that_are_there_already_are_left_alone(street: list[str], tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("[windows]\nbase_s = 300\n")
    said = in_json(*street[:2], "--write", tmp_path / "a.toml")
    assert said["written"] == {"file": str(tmp_path / "a.toml"), "problems": []}
    config, _ = examine(tmp_path / "a.toml")
    assert config is not None
    assert config.windows.base_s == 300


# --- I2C: parts that keep what was written to them


class Part:
    """Answers any read with FF; keeps what it was told."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.written: list[bytes] = []
        self.reads = 0

    def write(self, data: bytes, t_s: float) -> None:
        self.written.append(data)

    def read(self, n: int, t_s: float) -> bytes:
        self.reads += 1
        return self.answer[:n].ljust(n, b"\xff")


class Choosy(Part):
    """Takes registers only: whoever writes two bytes has changed a setting."""

    def read(self, n: int, t_s: float) -> bytes:
        if self.written and self.written[-1] != b"\xd0":
            raise Nack("not that")
        return super().read(n, t_s)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Callable[[dict[int, Part]], str]]:
    """Serve an I2C bus from a thread; return how a site file names it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[I2cBus] = []

    def serve(parts: dict[int, Part]) -> str:
        path = tmp_path / f"bus-{len(servers)}.sock"
        servers.append(I2cBus(parts, path, Timeline(Clock())))  # type: ignore[arg-type]
        asyncio.run_coroutine_threadsafe(servers[-1].start(), loop).result(5)
        return f"unix:{path}"

    yield serve
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def claimed() -> set[int]:
    return {a for driver in DRIVERS.values() if isinstance(driver.bus, I2c) for a in driver.bus.addresses}


def test_nothing_is_written_to_an_address_that_no_driver_claims(bus: Callable[[dict[int, Part]], str]) -> None:
    strangers = {address: Part() for address in range(0x80) if address not in claimed()}
    said = in_json("--bus", bus(strangers))
    assert all(part.written == [] for part in strangers.values())
    assert all(part.reads == (0x08 <= address < 0x78) for address, part in strangers.items())
    assert [row["place"].split()[-1] for row in said["unknown"]] == [
        f"0x{address:02x}" for address in strangers if 0x08 <= address < 0x78
    ]
    assert "nothing was written" in said["unknown"][0]["hint"]


def test_a_part_that_is_not_what_its_address_says_is_not_named(bus: Callable[[dict[int, Part]], str]) -> None:
    said = in_json("--bus", bus({0x76: Part(b"\x61\x00\x12"), 0x69: Part()}))
    assert said["found"] == []
    at_69, at_76 = said["unknown"]
    assert at_69["place"].endswith(" 0x69")
    assert "none of " in at_69["what"]
    assert "sen55" in at_69["what"]
    assert "bme280" in at_76["what"]


def test_a_part_that_has_answered_is_asked_no_more(bus: Callable[[dict[int, Part]], str]) -> None:
    part = Part(b"\x60")
    said = in_json("--bus", bus({0x77: part}))
    assert [(row["driver"], row["address"]) for row in said["found"]] == [("bme280", 0x77)]
    assert part.written == [b"\xd0"]


def polled(name: str, tx: bytes, reply: bytes, *, sure: bool = True, keep: Driver = DRIVERS["bme280"]) -> Driver:
    identify = Identify((Command("who", tx, rx=len(reply)),), lambda said: said == reply, sure)
    return replace(keep, name=name, model=f"Maker {name}", identify=identify)


def test_who_writes_least_asks_first(monkeypatch: pytest.MonkeyPatch, bus: Callable[[dict[int, Part]], str]) -> None:
    made = [
        polled("command", b"\xd0\x14", b"\x01"), polled("register", b"\xd0", b"\x02"), polled("plain", b"", b"BM")
    ]  # fmt: skip
    monkeypatch.setattr(scan_i2c, "DRIVERS", {driver.name: driver for driver in made})
    assert [driver.name for driver in candidates(0x76)] == ["plain", "register", "command"]
    part = Choosy(b"\x02")
    said = in_json("--bus", bus({0x76: part}))
    assert [row["driver"] for row in said["found"]] == ["register"]
    assert part.written == [b"\xd0"]


def test_parts_that_answer_alike_are_all_named(
    monkeypatch: pytest.MonkeyPatch, bus: Callable[[dict[int, Part]], str]
) -> None:
    made = [polled("one", b"\x01", b"\x07", sure=False), polled("two", b"\x02", b"\x07", sure=False)]
    monkeypatch.setattr(scan_i2c, "DRIVERS", {driver.name: driver for driver in made})
    result = scan("--bus", bus({0x77: Part(b"\x07")}))
    assert result.exit_code == 0
    assert "NOT SURE: looks the same as two here." in " ".join(result.stdout.replace("#", "").split())
    assert tomllib.loads(result.stdout)["sensor"][0]["driver"] == "one"


def test_a_sure_answer_wins_over_one_that_others_give_too(
    monkeypatch: pytest.MonkeyPatch, bus: Callable[[dict[int, Part]], str]
) -> None:
    made = [polled("vague", b"", b"\x07", sure=False), polled("sharp", b"\x02", b"\x07")]
    monkeypatch.setattr(scan_i2c, "DRIVERS", {driver.name: driver for driver in made})
    (row,) = in_json("--bus", bus({0x77: Part(b"\x07")}))["found"]
    assert (row["driver"], row["sure"], row["alike"]) == ("sharp", True, [])


def telling(*words: Command, serial: Callable[[bytes], str] = bytes.hex) -> Driver:
    return replace(polled("one", b"\x01", b"\x07"), identity=Identity(words, serial))


@pytest.mark.parametrize(
    ("words", "written", "serial"),
    [
        ((Command("serial", b"\x02", rx=1),), [b"\x01", b"\x02"], "07"),
        ((Command("stop", b"\x03"), Command("serial", b"\x02", rx=1)), [b"\x01"], None),
    ],
)
def test_a_part_is_asked_for_its_number_where_that_does_not_disturb_it(
    monkeypatch: pytest.MonkeyPatch,
    bus: Callable[[dict[int, Part]], str],
    words: tuple[Command, ...],
    written: list[bytes],
    serial: str | None,
) -> None:
    monkeypatch.setattr(scan_i2c, "DRIVERS", {"one": telling(*words)})
    part = Part(b"\x07")
    (row,) = in_json("--bus", bus({0x77: part}))["found"]
    assert (row["serial"], part.written) == (serial, written)
    assert tomllib.loads(row["block"])["sensor"][0].get("serial") == serial


def test_a_part_that_does_not_tell_its_number_is_found_all_the_same(
    monkeypatch: pytest.MonkeyPatch, bus: Callable[[dict[int, Part]], str]
) -> None:
    class Shy(Part):
        def read(self, n: int, t_s: float) -> bytes:
            if self.written[-1] == b"\x02":
                raise Nack("no")
            return super().read(n, t_s)

    monkeypatch.setattr(scan_i2c, "DRIVERS", {"one": telling(Command("serial", b"\x02", rx=1))})
    (row,) = in_json("--bus", bus({0x77: Shy(b"\x07")}))["found"]
    assert (row["driver"], row["sure"], row["serial"]) == ("one", True, None)


def test_of_all_parts_that_have_a_number_only_those_are_asked_that_go_on_as_they_are() -> None:
    asked = {driver.name for driver in DRIVERS.values() if harmless(driver)}
    silent = {driver.name for driver in DRIVERS.values() if driver.identity} - asked
    assert silent == {driver.name for driver in DRIVERS.values() if driver.name.startswith("scd4")}
    assert {"sen55", "sht4x"} <= asked


def test_a_bus_that_is_not_there(tmp_path: Path) -> None:
    result = scan("--bus", f"unix:{tmp_path}/no.sock")
    assert result.exit_code == 1
    assert "No such file" in result.stdout
    assert "nothing was found\n    -> " in result.stderr


def test_an_address_that_the_kernel_has_is_not_even_read(bus: Callable[[dict[int, Part]], str]) -> None:
    clock, part = Part(), Part(b"\x60")
    place = BusPlace(bus({0x68: clock, 0x76: part}), {0x68: "rtc-ds1307"})
    found = walk([place], [], Clock(), lambda place, text: None)
    assert (clock.reads, clock.written) == (0, [])
    assert [find.driver.name for find in found.finds] == ["bme280"]
    assert "rtc-ds1307" in found.skipped[0].what


# --- serial ports: wires with anything at the other end


@dataclass
class Wire:
    """A pty whose other end speaks `said` every `every_s`, and answers by `answers`; keeps what was written to it."""

    said: Callable[[int], bytes] = lambda baud: b""
    every_s: float = 0.02
    answers: Callable[[bytes, int], bytes] = lambda data, baud: b""
    written: bytes = b""
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> str:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return os.ttyname(self._slave)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def _serve(self) -> None:
        while not self._stop.is_set():
            if select.select([self._master], [], [], self.every_s)[0]:
                data = os.read(self._master, 4096)
                self.written += data
                os.write(self._master, self.answers(data, self._baud()))
            elif int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)), "little") < 512:
                os.write(self._master, self.said(self._baud()))

    def _baud(self) -> int:
        code = termios.tcgetattr(self._master)[4]
        return next((int(name[1:]) for name in BAUDS if getattr(termios, name) == code), 0)


BAUDS = [name for name in dir(termios) if name[0] == "B" and name[1:].isdigit()]


def stream(name: str, *, bauds: tuple[int, ...] = (9600,), sure: bool = True, script: Any = None) -> Driver:
    keep = DRIVERS["sds011"]
    assert keep.identify is not None
    identify = Identify(script or keep.identify.script, keep.identify.match, sure)
    return replace(keep, name=name, model=f"Maker {name}", bus=Uart(bauds), identify=identify)


def only(monkeypatch: pytest.MonkeyPatch, *made: Driver) -> None:
    monkeypatch.setattr(scan_serial, "DRIVERS", MappingProxyType({driver.name: driver for driver in made}))


def golden(driver: Driver) -> list[bytes]:
    """Good frames of a part, as its vectors have them; the first driver of a family is that of vectors without one."""
    family = [one.name for one in DRIVERS.values() if (one.domain, one.folder) == (driver.domain, driver.folder)]
    text = (ROOT / "drivers" / driver.domain / driver.folder / "vectors.toml").read_text(encoding="utf-8")
    said = tomllib.loads(text)
    first = said.get("driver", family[0])
    return [
        bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"].encode()
        for vector in said["vector"]
        if vector.get("driver", first) == driver.name and vector.get("rows") and not vector.get("options")
    ]


STREAMS = [d for d in DRIVERS.values() if isinstance(d.access, Stream) and isinstance(d.bus, Uart) and not d.bus.shared]


@pytest.mark.parametrize("driver", STREAMS, ids=lambda driver: driver.name)
def test_a_part_that_speaks_as_in_its_vectors_is_named(driver: Driver) -> None:
    """And where it is not sure it says so: a part that is heard and does not answer may be another one."""
    frames = golden(driver)
    with Wire(said=lambda baud: b"".join(frames), every_s=0.05) as port:
        (row,) = in_json("--port", port)["found"]
    assert driver.name in (row["driver"], *row["alike"])
    assert not row["sure"] or row["driver"] == driver.name


def test_something_that_speaks_and_is_not_understood_is_never_written_to() -> None:
    wire = Wire(said=lambda baud: b"$GPGGA,120000,4545.22,N,02113.54,E*4F\r\n")
    with wire as port:
        said = in_json("--port", port)
    assert said["found"] == []
    assert wire.written == b""
    (note,) = said["unknown"]
    assert "something speaks" in note["what"]
    assert "24 47 50 47 47 41" in note["what"]
    assert "nothing was written" in note["hint"]


def test_a_wire_that_never_stops_is_left_in_good_time() -> None:
    streams = [d for d in DRIVERS.values() if isinstance(d.access, Stream)]
    rates = {(baud, d.bus.format) for d in streams if isinstance(d.bus, Uart) for baud in d.bus.bauds}
    wire, start_s = Wire(said=lambda baud: bytes(range(256)), every_s=0.0), time.monotonic()
    with wire as port:
        assert in_json("--port", port)["found"] == []
    assert wire.written == b""
    assert time.monotonic() - start_s < dwell_s(streams) * 2 * len(rates) / RATE + 5


def test_a_silent_wire_is_asked_and_said_to_be_silent() -> None:
    wire = Wire()
    with wire as port:
        said = in_json("--port", port)
    (note,) = said["unknown"]
    assert note["what"].startswith("silent, and ")
    assert "--modbus" in note["hint"]
    assert bytes.fromhex("31000080") in wire.written, "NSRT: which model are you?"
    assert b"?P" in wire.written


def test_something_that_answers_otherwise_is_no_part_that_is_known() -> None:
    with Wire(answers=lambda data, baud: b"ERROR\r\n" * 3) as port:
        said = in_json("--port", port)
    assert said["found"] == []
    assert "something answers" in said["unknown"][0]["what"]


def test_drivers_that_read_the_same_frames_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, stream("one", sure=False), stream("two", sure=False), stream("three", sure=False))
    with Wire(said=lambda baud: FRAME) as port:
        result = scan("--port", port)
        assert result.exit_code == 0
    assert "NOT SURE: looks the same as two, three here." in " ".join(result.stdout.replace("#", "").split())


def test_two_that_are_each_sure_are_not_sure_together(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, stream("one"), stream("two"))
    with Wire(said=lambda baud: FRAME) as port:
        (row,) = in_json("--port", port)["found"]
    assert (row["driver"], row["sure"], row["alike"]) == ("one", False, ["two"])


def test_a_question_tells_between_two_that_read_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    framer = DRIVERS["sds011"].access.framer  # type: ignore[union-attr]
    script = (Command("who", b"WHO?", rx=framer, expect=b"\xaa\xc5", timeout_s=1.0),)
    only(monkeypatch, stream("vague", sure=False), stream("sharp", script=script))
    reply = bytes.fromhex("aac506010100ece1d5ab")
    with Wire(said=lambda baud: FRAME, every_s=0.1, answers=lambda data, baud: reply) as port:
        (row,) = in_json("--port", port, rate=1)["found"]
    assert (row["driver"], row["sure"], row["reply"]) == ("sharp", True, reply.hex())


def test_a_part_with_another_rate_than_the_factorys_gets_its_baud(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, stream("pm", bauds=(9600, 19200)), stream("other", bauds=(57600,)))
    with Wire(said=lambda baud: FRAME if baud == 19200 else b"\xf0\x00\x1e" * 3) as port:
        (row,) = in_json("--port", port)["found"]
    assert (row["driver"], row["baud"]) == ("pm", 19200)
    assert "\nbaud = 19200\n" in row["block"]


def test_a_sensor_with_its_own_usb_is_understood_at_any_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, stream("one"), stream("two"), stream("radar", bauds=(115_200,)))
    monkeypatch.setattr(scan_serial, "PERHAPS_RATELESS", "/dev/pts/")
    rates: list[int] = []
    with Wire(said=lambda baud: rates.append(baud) or FRAME) as port:  # type: ignore[func-returns-value]
        (row,) = in_json("--port", port)["found"]
    assert {row["driver"], *row["alike"]} == {"one", "two", "radar"}
    assert 115_200 not in rates, "the first rate did"


def test_a_question_is_asked_at_every_rate_of_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    radar = replace(DRIVERS["ops243"], bus=Uart((19_200, 57_600)))
    only(monkeypatch, radar, stream("pm"))
    product = b'{"Product":"OPS243"}\r\n'
    with Wire(answers=lambda data, baud: product if baud == 57_600 and data == b"?P" else b"") as port:
        (row,) = in_json("--port", port)["found"]
    assert (row["driver"], row["baud"], row["sure"]) == ("ops243", 57_600, True)


def test_a_port_that_is_in_use_is_said_and_left_alone() -> None:
    wire = Wire(said=lambda baud: FRAME)
    with wire as port:
        held = SerialPort(port, 9600)
        said = in_json("--port", port)
        held.close()
    assert said["found"] == []
    assert "another program has the port open" in said["unknown"][0]["hint"]


def test_a_port_is_opened_for_itself_alone() -> None:
    """While a scan listens nobody else gets the port."""
    with Wire() as port:
        # A test that runs in the background of a shell inherits that Ctrl-C is ignored.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "gateway", "scan", "--port", port]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        deadline_s = time.monotonic() + 5.0
        refused = False
        while not refused and time.monotonic() < deadline_s:
            try:
                SerialPort(port, 9600).close()
            except LinkError as error:
                refused = "another program" in error.hint
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=30)
    assert refused
    assert process.returncode == 130
    assert "Traceback" not in err


# --- RS-485


def modbus(name: str, register: int, *, baud: int = 4800) -> Driver:
    def question(inputs: Any, options: Any) -> bytes:
        return bytes([options["unit_id"], 3, register])

    identify = Identify(
        (Command("level", question, rx=4, timeout_s=0.3),), lambda said: said[1:2] == b"\x03", sure=False
    )
    keep = DRIVERS["nsrt_mk4"]
    option = Option("unit_id", int, 1, help="address of the unit")
    return replace(
        keep, name=name, model=f"Maker {name}", bus=Uart((baud,), shared=True), identify=identify, options=(option,)
    )


def unit_3(data: bytes, baud: int) -> bytes:
    return b"\x03\x03\x01\xf4" if data[:2] == b"\x03\x03" and data[2] == 0 else b""


def test_units_of_a_line_are_asked_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, modbus("renke", 0), modbus("free", 0), modbus("gemho", 14))
    wire = Wire(answers=unit_3)
    with wire as port:
        assert in_json("--port", port)["found"] == []
        assert wire.written == b""
        result = scan("--port", port, "--modbus", 4)
    assert result.exit_code == 0
    (sensor,) = tomllib.loads(result.stdout)["sensor"]
    assert sensor == {"name": "renke", "driver": "renke", "port": port, "options": {"unit_id": 3}}
    assert "NOT SURE: looks the same as free here." in " ".join(result.stdout.replace("#", "").split())
    assert wire.written.count(b"\x03\x03\x00") == 1, "drivers that ask the same share one answer"
    assert b"\x04\x03\x0e" in wire.written
    assert b"\x05\x03" not in wire.written


def test_a_modbus_address_that_does_not_exist_is_refused() -> None:
    assert scan("--modbus", 248).exit_code == 2


def test_the_time_zone_of_the_machine(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    assert time_zone(link) == "Europe/Bucharest"
    link.symlink_to("/usr/share/zoneinfo/Europe/Chisinau")
    assert time_zone(link) == "Europe/Chisinau"
    link.unlink()
    link.symlink_to("/usr/share/zoneinfo/Etc/UTC")
    assert time_zone(link) == "Europe/Bucharest"


def test_a_clock_that_makes_no_sense_ends_with_2() -> None:
    result = CliRunner(env={"GATEWAY_CLOCK": "soon"}).invoke(app, ["scan", "--bus", "7"])
    assert result.exit_code == 2
    assert "epoch:rate" in result.stderr


def test_other_verbs_do_not_pay_for_it() -> None:
    heavy = "('serial', 'smbus2', 'numpy', 'rich.live', 'gateway.scan')"
    code = f"import sys, gateway.__main__; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
