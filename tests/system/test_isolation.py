"""A port, a bus, a broker or a store that is away never stops another, and comes back."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from rig import Rig

from gateway.demo import Settings, configs

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
PIECES = {  # of configs/sim/street.toml, each with a simulator of its own
    "street": '[[uart]]\nname = "noise"\ndevice = "nsrt_mk4"\n[[uart]]\nname = "radar"\ndevice = "ops243"\n',
    "port": '[[uart]]\nname = "pm-north"\ndevice = "sds011"\n',
    "bus": '[[bus]]\nname = "i2c-1"\n[[bus.device]]\nname = "air"\ndevice = "sen55"\naddress = 0x69\n'
    '[[bus.device]]\nname = "weather"\ndevice = "bme280"\naddress = 0x76\n',
}
SENSORS = {"port": ("pm-north",), "bus": ("air", "weather")}


class Pieces(Rig):
    """A rig whose port and bus can be taken away."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for name, text in PIECES.items():
            (folder / f"{name}.toml").write_text(f"seed = 7\n{text}")
        text = (configs() / "demo.toml").read_text()
        for place, end in (('port = "pm-north"', ""), ('bus = "i2c-1"', ".sock")):
            key, name = place.split(" = ")
            text = text.replace(place, f'{key} = "{folder}/piece/{name[1:-1]}{end}"')
        (folder / "sensors.toml").write_text(text)
        settings = Settings(base_s=5, long_s=(20,), scenario=folder / "street.toml", sensors=folder / "sensors.toml")
        super().__init__(folder, "iotcore", settings)

    def start_piece(self, name: str) -> None:
        """Start the simulator of a piece."""
        self._spawn(name, "firmware_sim", "run", str(self.folder / f"{name}.toml"), "--dir", f"{self.folder}/piece")
        self._down.discard(name)

    def end_pieces(self) -> None:
        for name in SENSORS:
            self.end(name)


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Keep everybody else out of the embedded store."""
    with closing(sqlite3.connect(store, isolation_level=None, timeout=60)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


def test_what_is_away_stops_nobody_else(tmp_path: Path) -> None:
    rig = Pieces(tmp_path / "demo")
    for name in SENSORS:
        rig.start_piece(name)
    rig.start()
    try:
        rig.wait_for_frames()
        rig.wait_for_windows(1)
        for name, sensors in SENSORS.items():
            rig.kill_part(name)
            rig.wait_for_frames(6, without=(*sensors, "radar"))
            rig.start_piece(name)
            rig.wait_for_frames(1)
        rig.kill_part("broker")
        rig.wait_for_frames(6)
        rig.wait_for_windows(1)
        rig.start_part("broker")
        rig.wait(lambda: bool(rig.stored()), "the store")
        with locked(rig.store):
            rig.wait_for_frames(6)
            rig.wait_for_windows(1)
        books = rig.settle()
    finally:
        rig.stop()
        rig.end_pieces()
    assert not books.troubles(), books.troubles()
    ledger = [(dict(tags)["sensor"], f) for (what, tags, _), f in books.stored.items() if what == "ledger"]
    for sensor in ("pm-north", "air", "weather"):
        assert sum(fields["missing"] for name, fields in ledger if name == sensor) > 0


def test_a_gateway_that_is_stopped_is_seen(tmp_path: Path) -> None:
    """Negative control: frames that do not go on are noticed."""
    rig = Rig(tmp_path / "demo", "iotcore")
    rig.start()
    try:
        rig.wait_for_frames(1)
        os.kill(rig.pid("gateway"), signal.SIGSTOP)
        with pytest.raises(AssertionError, match="frames of all sensors"):
            rig.wait_for_frames(1, within_s=4.0)
        os.kill(rig.pid("gateway"), signal.SIGCONT)
        rig.wait_for_frames(1)
    finally:
        rig.stop()
