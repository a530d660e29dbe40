"""Where parts can be on this machine: I2C buses and serial ports, and which of them a scan leaves alone.

All is read from /sys, /proc and /dev; nothing is opened here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.wiring import SOCKET_BUS

# Adapters of screens, of memory bars and of the board's own power supply: no sensor hangs there, and some listen badly.
FOREIGN_BUS = re.compile(
    r"SMBus|gmbus|DDC|\bAUX\b|DPMST|AMDGPU|Radeon|nouveau|NVIDIA|HDMI|^(fef0[49]500|107d5082[08]0)\.i2c", re.IGNORECASE
)
MODEMS = frozenset({"option1", "qcserial", "sierra", "ipwtty", "hso"})
NOT_A_PORT = ("ttyGS", "ttyprintk", "console", "ptmx")
MOVING = re.compile(r"/dev/tty(USB|ACM)\d+")


@dataclass(frozen=True, slots=True)
class BusPlace:
    """An I2C bus, named as a site file names it; `held` are addresses that a driver of the kernel has taken."""

    name: str
    held: Mapping[int, str] = field(default_factory=dict)
    skip: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class PortPlace:
    """A serial port, named as a site file should name it, and what its USB adapter says of itself."""

    name: str
    node: str = ""
    usb: str = ""
    label: str = ""
    skip: str = ""
    hint: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usb:
    """The identity of a USB device; `folder` tells two of the same identity apart."""

    vendor: str
    product: str
    serial: str
    words: str
    folder: Path

    def is_alone(self, others: Iterable[Usb | None]) -> bool:
        """Tell whether its serial number tells it from all others: cheap adapters have none, or all the same."""
        key = (self.vendor, self.product, self.serial)
        alike = {one.folder for one in others if one and (one.vendor, one.product, one.serial) == key}
        return self.serial != "" and len(alike) == 1

    def __str__(self) -> str:
        return f"{self.words} ({self.vendor}:{self.product})".strip()


class Machine:
    """The machine as it describes itself below `root`; a test lays out a tree of its own."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._held: dict[str, str] | None = None

    def buses(self) -> list[BusPlace]:
        """List the I2C buses."""
        numbers = [int(path.name[4:]) for path in self._at("dev").glob("i2c-*") if path.name[4:].isdigit()]
        return [self._bus(number) for number in sorted(numbers)]

    def bus(self, word: str) -> BusPlace:
        """Describe a bus by what a person calls it: /dev/i2c-1, 1, or unix:PATH. One that is named is never foreign."""
        number = word.removeprefix("/dev/").removeprefix("i2c-")
        if number.isdigit():
            return self._bus(int(number), named=True)
        path = Path(word.removeprefix(SOCKET_BUS)).absolute()
        return BusPlace(f"{SOCKET_BUS}{path}" if word.startswith(SOCKET_BUS) else str(path))

    def ports(self) -> list[PortPlace]:
        """List the serial ports that have hardware behind them."""
        names = sorted(path.name for path in self._at("sys/class/tty").glob("*") if self._is_port(path))
        usb = {name: self._usb(name) for name in names}
        return [self._port(name, usb) for name in names]

    def port(self, word: str) -> PortPlace:
        """Describe a port by its path; a name that stays is kept, /dev/ttyUSB0 is given one that does."""
        word = f"/dev/{word}" if word.startswith("tty") else str(Path(word).absolute())
        node = self._shown((self._root / word.lstrip("/")).resolve())
        for place in self.ports():
            if place.node == node:
                return place if word == node else replace(place, name=word, label="", notes=())
        return PortPlace(word, node, "", "", *self._why_not(node, ""))

    def _bus(self, number: int, *, named: bool = False) -> BusPlace:
        node = f"/dev/i2c-{number}"
        held = {}
        for path in self._at("sys/bus/i2c/devices").glob(f"{number}-*"):
            if (path / "driver").exists():
                held[int(path.name.partition("-")[2], 16) & 0x7F] = (path / "driver").resolve().name
        adapter = self._text(f"sys/bus/i2c/devices/i2c-{number}/name")
        if FOREIGN_BUS.search(adapter) and not named:
            return BusPlace(
                node, held, f"a bus of the board itself ({adapter})", f"if a part hangs there: --bus {node}"
            )
        skip, hint = self._why_not(node, "")
        return BusPlace(node, held, skip, hint)

    def _port(self, name: str, usb: Mapping[str, Usb | None]) -> PortPlace:
        node, own = f"/dev/{name}", usb[name]
        links = {kind: self._links(kind).get(node, "") for kind in ("lamppost", "serial/by-id", "serial/by-path", "")}
        by_id = links["serial/by-id"] if own and own.is_alone(usb.values()) else ""
        stays = links["lamppost"] or by_id or links["serial/by-path"] or links[""] or node
        notes = []
        if own and stays == links["serial/by-path"]:
            notes.append("its adapter has no serial number of its own: it is named by its socket, so leave it there")
        elif MOVING.fullmatch(stays):
            notes.append(f"{stays} may be another part after the next start")
        driver = self._at(f"sys/class/tty/{name}/device/driver").resolve().name
        label = links["lamppost"].rpartition("/")[2]
        return PortPlace(stays, node, str(own or ""), label, *self._why_not(node, driver), tuple(notes))

    def _why_not(self, node: str, driver: str) -> tuple[str, str]:
        """Say why a scan must not touch a node, and what could be done about it; two empty words if it may."""
        name = node.removeprefix("/dev/")
        if name in self._text("sys/class/tty/console/active").split():
            return "the console of this machine", "take console=... out of the kernel's command line (raspi-config)"
        if driver in MODEMS:
            return "a modem", "no sensor is behind it"
        if node in self._served():
            return "the running gateway reads it", "sudo systemctl stop gateway, scan, then start it again"
        holder = "" if node.startswith("/dev/pts/") else self._holders().get(node, "") or self._locked(name)
        return (f"in use by {holder}", "stop that program, then scan again") if holder else ("", "")

    def _served(self) -> set[str]:
        """Nodes of a gateway that runs, by the status that it leaves."""
        found: set[str] = set()
        for folder in ("run/lamppost", "var/lib/lamppost"):
            try:
                status = json.loads(self._text(f"{folder}/status.json") or "{}")
                alive = self._at(f"proc/{int(status['pid'])}").exists()
                names = [str(link["name"]) for link in status["links"]]
            except (ValueError, KeyError, TypeError):
                continue
            found |= {self._shown((self._root / name.lstrip("/")).resolve()) for name in names if alive}
        return found

    def _holders(self) -> Mapping[str, str]:
        """Device nodes that other processes have open, as far as this user may see it, or log in through."""
        if self._held is None:
            self._held = dict(self._look_for_holders())
        return self._held

    def _look_for_holders(self) -> Iterator[tuple[str, str]]:
        for process in self._at("proc").glob("[0-9]*"):
            # proc(5): pid (name) state ppid pgrp session tty_nr ..; the name may hold anything
            _, _, said = self._text(f"proc/{process.name}/stat").partition("(")
            name, _, fields = said.rpartition(")")
            if not fields or process.name == str(os.getpid()):
                continue
            nodes = [self._terminal(int(fields.split()[4]))]
            with contextlib.suppress(OSError):  # those of other users are not shown
                nodes += [str(path.readlink()) for path in (process / "fd").iterdir()]
            yield from ((node, f"{name} (process {process.name})") for node in nodes if node.startswith("/dev/"))

    def _terminal(self, number: int) -> str:
        """Name the terminal that a process is attached to (proc(5): the minor number is in bits 31..20 and 7..0)."""
        major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
        return f"/dev/{self._at(f'sys/dev/char/{major}:{minor}').resolve().name}" if number else ""

    def _locked(self, name: str) -> str:
        """Name the owner of a lock file of the old kind (minicom, pppd), if it lives."""
        for folder in ("run/lock", "var/lock"):
            owner = self._text(f"{folder}/LCK..{name}").split()
            if owner and owner[0].isdigit() and self._at(f"proc/{owner[0]}").exists():
                return f"process {owner[0]}"
        return ""

    def _is_port(self, tty: Path) -> bool:
        if tty.name.startswith(NOT_A_PORT) or not (tty / "device").exists():
            return False
        return self._text(f"sys/class/tty/{tty.name}/type") != "0"  # 0: a slot of the driver without hardware

    def _usb(self, name: str) -> Usb | None:
        device = self._at(f"sys/class/tty/{name}/device").resolve()
        for folder in (device, *device.parents):
            if (folder / "idVendor").exists():
                words = f"{_read(folder / 'manufacturer')} {_read(folder / 'product')}".strip()
                vendor, product, serial = (_read(folder / key) for key in ("idVendor", "idProduct", "serial"))
                return Usb(vendor, product, serial, words, folder)
        return None

    def _links(self, folder: str) -> dict[str, str]:
        """Map nodes to their names in a folder of /dev; for "" to the aliases that Raspberry Pi OS makes (serial0)."""
        paths = sorted(self._at("dev", folder).glob("*" if folder else "serial[0-9]"), reverse=True)
        return {self._shown(path.resolve()): self._shown(path) for path in paths if path.is_symlink()}

    def _at(self, *names: str) -> Path:
        return self._root.joinpath(*names)

    def _shown(self, path: Path) -> str:
        """Write a path below the root as the machine itself would."""
        root = self._root.resolve()
        for base in (self._root, root):
            if path.is_relative_to(base):
                return "/" + str(path.relative_to(base))
        return str(path)

    def _text(self, name: str) -> str:
        return _read(self._at(name))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
