"""Where `gateway scan` looks, and where it must not: machines that are made up as trees of files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import scan_places
from gateway.__main__ import app
from gateway.scan_places import Machine
from gateway.scan_serial import named_by


@dataclass
class Made:
    """A tree in which a machine describes itself."""

    root: Path

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def link(self, name: str, target: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(self.root / target, path.parent))

    def tty(self, name: str, device: str, driver: str = "ch341-uart", **usb: str) -> None:
        """Put in a port; with `usb` behind an adapter (idVendor, idProduct, serial, manufacturer, product)."""
        self.write(f"dev/{name}", "")
        for key, text in usb.items():
            self.write(f"sys/devices/{device}/{key}", text)
        self.write(f"sys/bus/drivers/{driver}/bind", "")
        (self.root / f"sys/devices/{device}/if0/{name}").mkdir(parents=True)
        self.link(f"sys/devices/{device}/if0/{name}/driver", f"sys/bus/drivers/{driver}")
        (self.root / f"sys/devices/{device}/if0/{name}/tty/{name}").mkdir(parents=True)
        self.link(f"sys/devices/{device}/if0/{name}/tty/{name}/device", f"sys/devices/{device}/if0/{name}")
        self.link(f"sys/class/tty/{name}", f"sys/devices/{device}/if0/{name}/tty/{name}")

    def machine(self) -> Machine:
        return Machine(self.root)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


CH340 = {"idVendor": "1a86", "idProduct": "7523", "product": "USB Serial"}
NSRT = {"idVendor": "1d6b", "idProduct": "0104", "manufacturer": "Convergence Instruments", "product": "NSRT_mk4_Dev"}


def test_a_port_is_named_by_its_serial_number_where_it_has_one(made: Made) -> None:
    made.tty("ttyACM0", "usb1/1-1", "cdc_acm", **NSRT, serial="A12")
    made.link("dev/serial/by-id/usb-Convergence_NSRT_A12-if00", "dev/ttyACM0")
    made.link("dev/serial/by-path/platform-usb-0:1:1.0", "dev/ttyACM0")
    (place,) = made.machine().ports()
    assert (place.name, place.node) == ("/dev/serial/by-id/usb-Convergence_NSRT_A12-if00", "/dev/ttyACM0")
    assert place.usb == "Convergence Instruments NSRT_mk4_Dev (1d6b:0104)"
    assert named_by(place.usb) == ["nsrt_mk4"]
    assert (place.skip, place.notes) == ("", ())


@pytest.mark.parametrize("serial", [{}, {"serial": "0001"}], ids=["none", "all the same"])
def test_adapters_that_cannot_be_told_apart_are_named_by_their_sockets(made: Made, serial: dict[str, str]) -> None:
    for i in (0, 1):
        made.tty(f"ttyUSB{i}", f"usb1/1-{i}", **CH340, **serial)
        made.link(f"dev/serial/by-path/platform-usb-0:{i}:1.0-port0", f"dev/ttyUSB{i}")
    made.link("dev/serial/by-id/usb-1a86_USB_Serial-if00-port0", "dev/ttyUSB1")
    places = made.machine().ports()
    assert [place.name for place in places] == [f"/dev/serial/by-path/platform-usb-0:{i}:1.0-port0" for i in (0, 1)]
    assert all("socket" in place.notes[0] for place in places)


def test_two_ports_of_one_adapter_are_told_apart_by_its_serial_number(made: Made) -> None:
    for i in (0, 1):
        made.tty(f"ttyUSB{i}", "usb1/1-1", **CH340, serial="X7")
        made.link(f"dev/serial/by-id/usb-X7-if0{i}-port0", f"dev/ttyUSB{i}")
    assert [place.name for place in made.machine().ports()] == [
        f"/dev/serial/by-id/usb-X7-if0{i}-port0" for i in (0, 1)
    ]


def test_the_name_that_a_technician_gave_a_socket_wins(made: Made) -> None:
    made.tty("ttyUSB0", "usb1/1-1", **CH340, serial="X7")
    made.link("dev/serial/by-id/usb-X7-if00-port0", "dev/ttyUSB0")
    made.link("dev/lamppost/pm-north", "dev/ttyUSB0")
    (place,) = made.machine().ports()
    assert (place.name, place.label) == ("/dev/lamppost/pm-north", "pm-north")


def test_a_port_without_a_name_that_stays_is_said_to_be_one(made: Made) -> None:
    made.tty("ttyUSB0", "usb1/1-1", **CH340)
    (place,) = made.machine().ports()
    assert place.name == "/dev/ttyUSB0"
    assert "another part after the next start" in place.notes[0]


def test_a_port_of_the_board_has_its_alias_and_slots_without_hardware_are_none(made: Made) -> None:
    made.tty("ttyAMA0", "platform/serial", "uart-pl011")
    made.tty("ttyS7", "platform/serial8250", "serial8250")
    made.write("sys/class/tty/ttyS7/type", "0")
    made.link("dev/serial0", "dev/ttyAMA0")
    (place,) = made.machine().ports()
    assert (place.name, place.node, place.usb) == ("/dev/serial0", "/dev/ttyAMA0", "")


def test_a_port_that_is_named_keeps_its_name_if_that_stays(made: Made) -> None:
    made.tty("ttyUSB0", "usb1/1-1", **CH340, serial="X7")
    made.link("dev/serial/by-id/usb-X7-if00-port0", "dev/ttyUSB0")
    made.link("dev/serial/by-path/usb-0:1", "dev/ttyUSB0")
    machine = made.machine()
    for word in ("/dev/ttyUSB0", "ttyUSB0"):
        assert machine.port(word).name == "/dev/serial/by-id/usb-X7-if00-port0"
    assert machine.port("/dev/serial/by-path/usb-0:1").name == "/dev/serial/by-path/usb-0:1"
    assert machine.port("/dev/serial/by-path/usb-0:1").usb == "USB Serial (1a86:7523)"
    assert machine.port("/dev/ttyXYZ").name == "/dev/ttyXYZ"


def test_the_console_a_modem_and_what_others_use_are_left_alone(made: Made) -> None:
    for name, driver in (
        ("ttyAMA0", "uart-pl011"),
        ("ttyUSB0", "option1"),
        *((f"ttyUSB{i}", "cp210x") for i in range(1, 6)),
    ):
        made.tty(name, f"usb1/{name}", driver, **CH340)
    made.write("sys/class/tty/console/active", "tty0 ttyAMA0")
    (made.root / "proc/700/fd").mkdir(parents=True)
    (made.root / "proc/700/fd/5").symlink_to("/dev/ttyUSB1")
    made.write("proc/700/stat", "700 (mini (com)) S 1 700 700 0 -1")
    made.write("proc/701/stat", f"701 (agetty) S 1 701 701 {188 << 8 | 2} -1")
    made.link("sys/dev/char/188:2", "sys/class/tty/ttyUSB2")
    made.write("var/lock/LCK..ttyUSB3", "       701")
    made.write("run/lock/LCK..ttyUSB5", "       999")
    made.write("run/lamppost/status.json", json.dumps({"pid": 701, "links": [{"name": "/dev/lamppost/pm-north"}]}))
    made.link("dev/lamppost/pm-north", "dev/ttyUSB4")
    skipped = {place.node: place.skip for place in made.machine().ports()}
    assert skipped == {
        "/dev/ttyAMA0": "the console of this machine",
        "/dev/ttyUSB0": "a modem",
        "/dev/ttyUSB1": "in use by mini (com) (process 700)",
        "/dev/ttyUSB2": "in use by agetty (process 701)",
        "/dev/ttyUSB3": "in use by process 701",
        "/dev/ttyUSB4": "the running gateway reads it",
        "/dev/ttyUSB5": "",
    }
    assert made.machine().port("/dev/lamppost/pm-north").skip == "the running gateway reads it"


@pytest.mark.parametrize("status", ["", "[]", "{}", '{"pid": 999, "links": []}', '{"pid": "x", "links": 3}', "{"])
def test_a_status_that_says_nothing_hinders_nobody(made: Made, status: str) -> None:
    made.tty("ttyUSB0", "usb1/1-1", **CH340)
    made.write("var/lib/lamppost/status.json", status)
    assert [place.skip for place in made.machine().ports()] == [""]


def test_buses_of_the_board_itself_are_left_alone_unless_named(made: Made) -> None:
    adapters = {
        0: "bcm2835 (i2c@7e205000)",
        1: "bcm2835 (i2c@7e804000)",
        20: "fef04500.i2c",
        3: "SMBus I801 adapter at efa0",
    }
    for number, name in adapters.items():
        made.write(f"dev/i2c-{number}", "")
        made.write(f"sys/bus/i2c/devices/i2c-{number}/name", name)
    made.write("sys/bus/i2c/devices/1-0068/name", "ds3231")
    made.write("sys/bus/i2c/drivers/rtc-ds1307/bind", "")
    made.link("sys/bus/i2c/devices/1-0068/driver", "sys/bus/i2c/drivers/rtc-ds1307")
    made.write("sys/bus/i2c/devices/1-0050/name", "nobody's")
    buses = {place.name: place for place in made.machine().buses()}
    assert [name for name, place in buses.items() if not place.skip] == ["/dev/i2c-0", "/dev/i2c-1"]
    assert buses["/dev/i2c-1"].held == {0x68: "rtc-ds1307"}
    assert "--bus /dev/i2c-3" in buses["/dev/i2c-3"].hint
    assert made.machine().bus("3").skip == ""
    assert made.machine().bus("/dev/i2c-1") == made.machine().bus("i2c-1") == buses["/dev/i2c-1"]
    assert made.machine().bus("unix:/run/sim.sock").name == "unix:/run/sim.sock"


def test_nothing_to_look_at_ends_with_1_and_the_next_step(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_places, "Machine", lambda: Machine(made.root))
    result = CliRunner().invoke(app, ["scan"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "raspi-config" in result.stderr
