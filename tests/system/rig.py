"""A demo whose four processes can be killed and started one by one, and that can be waited for from outside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compare import Books, Points, books, in_store

from gateway import accounts
from gateway.demo import Demo, Settings, site_text
from gateway.store.base import StoreError

PARTS = ("gateway", "bridge", "broker", "simulator")
QUICK = Settings(base_s=5, long_s=(20,))
FULL_KILLS, FULL_HOURS = 200, 168  # from here on a run is evidence
LONG_S = 120.0  # nothing takes so long, whatever else the machine does


class Rig(Demo):
    """A demo of windows of 5 s; every wait is for something that is seen from outside, never for a time to pass."""

    def __init__(self, folder: Path, broker: str | None = None, settings: Settings = QUICK) -> None:
        super().__init__(folder, broker, settings)
        self.ports: dict[str, str] = {}
        self._down: set[str] = set(PARTS)

    def prepare(self) -> None:
        """Write the site file; the simulator runs for a moment, because only it knows its ports."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run_dir.mkdir(exist_ok=True)
        self.start_part("simulator")
        self.kill_part("simulator")
        self.site.write_text(site_text(self.ports, self.broker.port, self.settings))

    def start(self) -> None:
        """Start everything in the order of the demo."""
        self._down.clear()
        super().start()

    def _start_simulator(self) -> dict[str, str]:
        old = self._processes.get("simulator")
        if old is not None and old.stdout is not None:
            old.stdout.close()
        self.ports = super()._start_simulator()
        return self.ports

    def kill_part(self, name: str) -> None:
        """End a part as a power cut would."""
        self._down.add(name)
        if name == "broker":
            self.broker.kill()
        else:
            self.kill(name)

    def end_part(self, name: str) -> None:
        """End a part in good order."""
        self._down.add(name)
        self.end(name, 30.0)

    def start_part(self, name: str) -> None:
        """Start a part, also again."""
        starts: dict[str, Callable[[], object]] = {
            "gateway": self.start_gateway,
            "bridge": self.start_bridge,
            "broker": self.broker.start,
            "simulator": self._start_simulator,
        }
        starts[name]()
        self._down.discard(name)

    def check(self) -> None:
        """Raise DemoError when a process has ended that was not killed."""
        running = {name: one for name, one in self._processes.items() if name not in self._down}
        everything, self._processes = self._processes, running
        try:
            super().check()
        finally:
            self._processes = everything

    # -- what is seen from outside ---------------------------------------------------------------------------------

    @property
    def data_dir(self) -> Path:
        return self.folder / "gateway"

    def wait(self, until: Callable[[], bool], what: str = "it", within_s: float = LONG_S) -> None:
        """Wait until something is so."""
        end_s = time.monotonic() + within_s
        while not until():
            self.check()
            assert time.monotonic() < end_s, f"{what} did not happen within {within_s:g} s"
            time.sleep(0.1)

    def read(self, query: str) -> Sequence[Any]:
        """Ask gateway.db for one row, while its gateway may be running or dead."""
        with accounts.opened(self.data_dir) as db:
            row: Sequence[Any] = db.execute(query).fetchone()
            return row

    def windows(self) -> int:
        """How many base windows are committed; 0 while there is no database."""
        with contextlib.suppress(accounts.BooksError):
            return int(self.read("SELECT count(*) FROM history")[0])
        return 0

    def wait_for_windows(self, n: int, within_s: float = LONG_S) -> None:
        """Wait until so many more base windows are committed than now."""
        wanted = self.windows() + n
        self.wait(lambda: self.windows() >= wanted, f"window {wanted}", within_s)

    def stored(self) -> Points:
        """Return what the embedded store holds; nothing while there is no store."""
        with contextlib.suppress(StoreError):
            return in_store(self.store)
        return {}

    def queued(self, until_seq: int = 1 << 62) -> int:
        """How many messages up to a number have no receipt yet."""
        return int(self.read(f"SELECT count(*) FROM message WHERE seq <= {until_seq}")[0])

    def said(self, key: str) -> Any:
        """Return what the status file says; None while there is none of the present gateway."""
        status = self.status()
        fresh = status is not None and status["pid"] == self.pid("gateway")
        return status[key] if fresh and status is not None else None

    def alarms(self) -> str:
        return "\n".join(self.said("alarms") or [])

    def frames(self) -> dict[str, int]:
        """Return how many good frames of each sensor the present gateway has seen."""
        return {one["name"]: one["frames"] for one in self.said("sensors") or []}

    def wait_for_frames(self, n: int = 2, without: Sequence[str] = (), within_s: float = LONG_S) -> None:
        """Wait until each sensor, but for some, has so many good frames more than now."""
        before = self.frames()

        def heard() -> bool:
            now = self.frames()
            names = now.keys() - set(without)
            return bool(names) and all(now[name] >= before.get(name, 0) + n for name in names)

        self.wait(heard, f"frames of all sensors but {without}", within_s)

    # -- the end -----------------------------------------------------------------------------------------------------

    def settle(self) -> Books:
        """Wait until everything that is committed now has its receipt, stop, and close the books."""
        (last,) = self.read("SELECT value - 1 FROM meta WHERE key = 'next_seq'")
        self.wait(lambda: not self.queued(int(last)), "delivery")
        self.stop()
        for _ in range(3):  # the last window may have met its end on the way
            if not self.queued():
                break
            for name in ("broker", "bridge", "gateway"):
                self.start_part(name)
            self.wait(lambda: self.said("broker") is not None and self.said("broker")["receipts"] > 0, "a receipt")
            self.stop()
        return books(self.site, self.store)
