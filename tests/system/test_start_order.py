"""Whoever is started first: broker, bridge, store, sensors and gateway find each other, and nothing is lost."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compare import in_history
from rig import PARTS, Rig
from store_server import points

from gateway import accounts
from gateway.broker import free_port
from gateway.demo import Settings
from gateway.store.lineprotocol import encode
from gateway.wire import Point

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]
STORE = '[store]\nkind = "influxdb"\napi = "v1"\nurl = "http://127.0.0.1:{port}"\ndatabase = "demo"'


class StoreRig(Rig):
    """A rig whose store is a fifth process."""

    def __init__(self, folder: Path) -> None:
        self.store_port = free_port()
        store = STORE.format(port=self.store_port)
        super().__init__(folder, "iotcore", Settings(base_s=5, long_s=(20,), store=store))
        self.kept = self.folder / "store.lines"

    def start_part(self, name: str) -> None:
        if name != "store":
            super().start_part(name)
            return
        program = Path(__file__).with_name("store_server.py")
        command = [sys.executable, str(program), str(self.store_port), str(self.kept)]
        self._processes["store"] = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self._down.discard("store")

    def end_all(self) -> None:
        """Stop in good order, the store last."""
        self.stop()
        self.end("store")
        self._down.update((*PARTS, "store"))


def test_any_order_of_starting(orders: int, tmp_path: Path) -> None:
    dice = random.Random(13)
    rig = StoreRig(tmp_path / "demo")
    rig.prepare()
    try:
        for order in dice.sample(list(itertools.permutations((*PARTS, "store"))), orders):
            for name in order:
                rig.start_part(name)
                time.sleep(dice.uniform(0.1, 2.0))
            rig.wait_for_windows(2)
            rig.wait_for_frames(1)
            (last,) = rig.read("SELECT value - 1 FROM meta WHERE key = 'next_seq'")
            rig.wait(lambda last=int(last): not rig.queued(last), f"delivery after {order}")  # type: ignore[misc]
            rig.end_all()
    finally:
        rig.end_all()
    committed, stored = _committed(rig), points(rig.kept.read_bytes())
    assert stored == committed
    with accounts.opened(rig.data_dir) as db:
        messages, keys, _ = accounts.account(db)
        assert messages.closes
        assert keys.closes
        assert (keys.queued, keys.dead, keys.dropped) == (0, 0, {})
        assert all(book.closes for book in accounts.slots(db, 0, 2**62).sensors.values())
    # The control: a line that the store has not is seen, and one that is another.
    lines = rig.kept.read_bytes().splitlines()
    assert points(b"\n".join(line for line in lines if line != lines[-1])) != committed
    assert points(b"\n".join([*lines, lines[-1].replace(b"=", b"=1", 1).replace(b"=", b"=1")])) != committed


def _committed(rig: Rig) -> dict[tuple[bytes, bytes], frozenset[bytes]]:
    every = [Point(*key, fields) for key, fields in in_history(rig.site).items()]
    return points(encode(every))
