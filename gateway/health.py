"""The board's own state, the service manager's ear, and the status file."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from drivers.base import Channel, Decoded, Driver, Fault, Mark, Options, Poll, Uart
from gateway.clock import Clock

BOARD = "board"
EVERY_S = 10.0
STATUS_FILE = "status.json"
THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")  # Raspberry Pi firmware: bit 0 under-voltage

CHANNELS = (
    Channel("cpu_temperature", "Cel", lo=-40, hi=125, resolution=0.1),
    Channel("under_voltage", "1", lo=0, hi=1, resolution=1),
    Channel("load_1min", "1", lo=0, hi=1e6, resolution=0.01),
    Channel("memory_available", "By", lo=0, hi=1e15, resolution=1024),
    Channel("process_memory", "By", lo=0, hi=1e15, resolution=1024),
    Channel("disk_free", "By", lo=0, hi=1e18, resolution=1),
    Channel("write_rate", "By/s", lo=0, hi=1e12, resolution=0.1),
    Channel("uptime", "s", lo=0, hi=1e10, resolution=0.01),
    Channel("clock_synchronised", "1", lo=0, hi=1, resolution=1),
    Channel("queued_messages", "{messages}", lo=0, hi=1e12, resolution=1),
    Channel("unsent_messages", "{messages}", lo=0, hi=1e12, resolution=1),
    Channel("oldest_unsent_age", "s", lo=0, hi=1e10, resolution=0.1),
    Channel("receipted_messages", "{messages}", lo=0, hi=1e12, resolution=1),
    Channel("dropped_messages", "{messages}", lo=0, hi=1e12, resolution=1),
    Channel("dead_messages", "{messages}", lo=0, hi=1e12, resolution=1),
    Channel("written_per_day", "By/d", lo=0, hi=1e15, resolution=1),
    Channel("outbox_fill", "1", lo=0, hi=1e3, resolution=0.001),
)
SIZES = (8 * 9, 8 * 16, 8 * len(CHANNELS))  # of a frame: in earlier raw logs only the first channels
NAN = float("nan")


class Standing(NamedTuple):
    """How the outbox stands, one value for each of the last channels; NaN: not known."""

    queued: float = NAN  # messages without a receipt
    unsent: float = NAN  # of them, those that no broker has taken
    oldest_unsent_s: float = NAN  # since the end of its window; 0 where nothing is unsent
    receipted: float = NAN  # since the data directory was made
    dropped: float = NAN
    dead: float = NAN
    written_per_day: float = NAN  # bytes, at the rate of the last day
    fill: float = NAN  # of the outbox, by the cap that is nearest: 1 is full


UNKNOWN = Standing()


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:
    """Read what `Board.frame` wrote: one float64 per channel, NaN where this machine has no such thing."""
    del context, options
    good = [i for i, frame in enumerate(frames) if len(frame) in SIZES]
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    fault[good] = Fault.OK
    nothing = struct.pack("<d", NAN) * len(CHANNELS)
    whole = (frames[i] + nothing[len(frames[i]) :] for i in good)
    values = np.frombuffer(b"".join(whole), "<f8").reshape(len(good), len(CHANNELS))
    mark = np.where(np.isnan(values), Mark.MISSING, Mark.OK).astype(np.uint8)
    return Decoded(values.astype(np.float64), mark, np.array(good, np.int32), fault)


BOARD_DRIVER = Driver(
    "board", "health", "the single-board computer itself", Poll((), EVERY_S, 1.0), CHANNELS,
    "proc(5), sysfs, Raspberry Pi firmware", decode, Uart((0,)),
)  # fmt: skip


@dataclass(slots=True)
class Board:
    """Reads the state of this machine; remembers the byte counter for the write rate."""

    data_dir: Path
    clock: Clock
    _written: int = -1
    _at_ns: int = 0

    def frame(self, standing: Standing = UNKNOWN) -> bytes:
        """Measure once, with what is known of the outbox: the bytes of one FRAME record."""
        disk = os.statvfs(self.data_dir)
        values = (
            _number(Path("/sys/class/thermal/thermal_zone0/temp"), 1e-3),
            _under_voltage(),
            os.getloadavg()[0],
            _kilobytes("/proc/meminfo", "MemAvailable:"),
            _kilobytes("/proc/self/status", "VmRSS:"),
            float(disk.f_bavail * disk.f_frsize),
            self._write_rate(),
            self.clock.mono_ns() / 1e9,
            float(self.clock.synchronised()),
            *standing,
        )
        return struct.pack(f"<{len(values)}d", *values)

    def _write_rate(self) -> float:
        """Bytes per second that this process has caused to be written since the last call."""
        written, now = written_bytes(), self.clock.mono_ns()
        before, self._written = self._written, written
        span_s, self._at_ns = (now - self._at_ns) / 1e9, now
        return (written - before) / span_s if before >= 0 and written >= 0 and span_s > 0 else float("nan")


def written_bytes() -> int:
    """Bytes that this process has caused to go to storage, or -1 where the kernel does not count."""
    try:
        for line in Path("/proc/self/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    except OSError:
        pass
    return -1


def device_written_bytes(path: Path) -> int:
    """Bytes that all programs have written to the device that holds `path`, since boot, or -1 where it is not known."""
    try:
        number = path.stat().st_dev
        device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve(strict=True)
        whole = device.parent if (device / "partition").exists() else device
        return int((whole / "stat").read_text().split()[6]) * 512  # sectors of 512 bytes, whatever the device has
    except (OSError, ValueError, IndexError):
        return -1


def notify(*words: str) -> bool:
    """Tell systemd (sd_notify): READY=1, WATCHDOG=1, ...; do nothing when it did not start us."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as ear:
        try:
            ear.connect(address)
            ear.sendall("\n".join(words).encode())
        except OSError:
            return False
    return True


def status_folder(run_dir: Path, data_dir: Path) -> Path:
    """Choose where the status file goes: memory (`run_dir`) if it is ours to write, else the data directory."""
    return run_dir if os.access(run_dir, os.W_OK) else data_dir


def write_status(folder: Path, status: dict[str, Any]) -> None:
    """Replace the status file in one step, so that no reader sees half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{STATUS_FILE}.new"
    fresh.write_bytes(msgspec.json.encode(status))
    fresh.chmod(0o644)  # for everybody who may enter the folder
    fresh.replace(folder / STATUS_FILE)


def _number(path: Path, scale: float) -> float:
    try:
        return int(path.read_text()) * scale
    except (OSError, ValueError):
        return float("nan")


def _under_voltage() -> float:
    try:
        return float(int(THROTTLED.read_text(), 16) & 1)
    except (OSError, ValueError):
        return float("nan")


def _kilobytes(path: str, key: str) -> float:
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(key):
                return float(line.split()[1]) * 1024.0
    except OSError:
        pass
    return float("nan")
