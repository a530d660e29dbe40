"""One run: everything is started, measured while it is quiet, harmed, stopped, and accounted for."""

from __future__ import annotations

import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.delivery import lamppost
from bench.delivery.card import Card
from bench.delivery.city import City
from bench.delivery.lamppost import Lamppost
from bench.delivery.meter import Meter, family
from bench.delivery.mosquitto import MosquittoBridge
from bench.delivery.parts import Process, Span, System
from bench.delivery.thingsboard import STORES, ThingsBoard
from bench.delivery.timeline import Fault, Timeline

LOOK_S = 2.0
TELL_S = 60.0
LAMPPOSTS = {"lamppost": True, "lamppost-no-raw": False}  # with a raw log?
BOARDS = {f"thingsboard-{store}": store for store in STORES}
PEERS = [*BOARDS, "mosquitto-bridge"]
ALL = [*LAMPPOSTS, *PEERS]


class Run:
    """All systems of one run; `go` returns the figures of each."""

    def __init__(self, folder: Path, disk: Path, timeline: Timeline, names: list[str], board_python: Path) -> None:
        self.timeline = timeline
        self._folder, self._disk = folder, disk
        self._board_python = board_python
        self._city = City(_made(folder / "city"), [name for name in names if name in PEERS])
        self._cleaning = ExitStack()
        self.systems: dict[str, System] = {}
        try:
            for name in names:
                self.systems[name] = self._made(name)
        except BaseException:
            self.close()
            raise
        ways = [one.street for one in self.systems.values() if isinstance(one, ThingsBoard | MosquittoBridge)]
        self._said = folder / "said"
        self._said.touch()
        self._street = Process(
            [sys.executable, "-m", "bench.delivery.street", str(self._said), *ways], folder / "street.log"
        )
        self._meters: dict[str, Meter] = defaultdict(Meter)
        self._written: dict[str, int] = {}

    def go(self) -> dict[str, Any]:
        """Run all of it; raises RuntimeError when a system is dead in the quiet span."""
        try:
            span = self._lead_in()
            self._quiet(span)
            self._faults(span)
            self._wait(span.end_s + self.timeline.settle_s)
        finally:
            self._stop()
        try:
            return self._figures(span)
        finally:
            self.close()

    def close(self) -> None:
        """Take the cards away."""
        self._cleaning.close()

    # -- the run --------------------------------------------------------------------------------------------------

    def _lead_in(self) -> Span:
        self._city.start()
        for system in self.systems.values():
            system.start()
        self._street.start()
        posts = [one for one in self.systems.values() if isinstance(one, Lamppost)]
        if posts:
            log = self._city.folder / "bridge.log"
            self._city.carry(lamppost.process("gateway", "bridge", str(posts[0].site), log=log))
        base_s, ready_s = self.timeline.base_s, time.time() + self.timeline.least_lead_s
        from_s = (ready_s // base_s + 1) * base_s
        _tell(f"{len(self.systems)} systems run; the quiet span begins in {from_s - time.time():.0f} s")
        self._wait(from_s)
        return Span(self.timeline, from_s, from_s + self.timeline.quiet_s)

    def _quiet(self, span: Span) -> None:
        dead = [name for name, system in self.systems.items() if not system.gateway.pid]
        if dead:
            raise RuntimeError("\n".join(f"{name} is dead: {self.systems[name].gateway.tail()}" for name in dead))
        for name, pids in self._pids().items():
            self._meters[name].begin(pids)
        self._written = self._bytes()
        self._wait(span.faults_s)
        for name, pids in self._pids().items():
            self._meters[name].end(pids)
        before, now = self._written, self._bytes()
        self._written = {name: now[name] - before[name] for name in now}

    def _faults(self, span: Span) -> None:
        does: dict[Fault, Callable[[], None]] = {
            Fault.BROKER_STOPS: self._city.stop_brokers,
            Fault.BROKER_STARTS: self._city.start_brokers,
            Fault.CITY_DIES: self._city.kill,
            Fault.SUBSCRIBERS_START: self._city.start_subscribers,
            Fault.GATEWAYS_DIE: self._kill_gateways,
            Fault.GATEWAYS_START: self._start_gateways,
        }
        for at_s, fault in self.timeline.faults:
            self._wait(span.faults_s + at_s)
            _tell(fault.value)
            does[fault]()

    def _kill_gateways(self) -> None:
        for system in self.systems.values():
            system.gateway.kill()

    def _start_gateways(self) -> None:
        for system in self.systems.values():
            system.gateway.start()

    def _stop(self) -> None:
        self._street.end()
        for system in self.systems.values():
            system.stop()
        self._city.stop()

    def _wait(self, until_s: float) -> None:
        """Wait, look at memory, and say now and then that there is still life."""
        told_s = time.time()
        while (left_s := until_s - time.time()) > 0:
            for name, pids in self._pids().items():
                self._meters[name].look(pids)
            if time.time() - told_s > TELL_S:
                told_s = time.time()
                _tell(f"{len(self._city.heard)} messages so far; next step in {left_s:.0f} s")
            time.sleep(min(LOOK_S, max(0.0, until_s - time.time())))

    # -- figures --------------------------------------------------------------------------------------------------

    def _pids(self) -> dict[str, list[int]]:
        parts = {name: system.gateway for name, system in self.systems.items()}
        if self._city.bridge is not None:
            parts["bridge"] = self._city.bridge
        return {name: family(process.pid) for name, process in parts.items() if process.pid}

    def _bytes(self) -> dict[str, int]:
        for system in self.systems.values():
            system.card.settle()
        return {name: system.card.written_bytes(family(system.gateway.pid)) for name, system in self.systems.items()}

    def _figures(self, span: Span) -> dict[str, Any]:
        said: dict[str, list[int]] = defaultdict(list)
        for line in self._said.read_text().splitlines():
            name, _, second = line.partition(" ")
            said[name].append(int(second))
        out: dict[str, Any] = {}
        for name, system in self.systems.items():
            account = system.account(self._city.heard, said[name], span)
            written = self._written[name]
            out[name] = {
                **{key: getattr(account, key) for key in ("made", "unheard", "arrived", "lost", "untold", "doubled",
                                                          "reordered", "merged", "lost_in")},
                **self._meters[name].figures(self.timeline.quiet_s),
                "mb_per_hour": round(written * 3600 / self.timeline.quiet_s / 1e6, 3),
                "mb_per_day": round(written * 86400 / self.timeline.quiet_s / 1e6, 1),
                "bytes_are": system.card.how,
                **account.more,
            }  # fmt: skip
        if "bridge" in self._meters:
            out["bridge"] = self._meters["bridge"].figures(self.timeline.quiet_s)
        return out

    # -- parts ----------------------------------------------------------------------------------------------------

    def _made(self, name: str) -> System:
        folder = self._folder / name
        card = Card(self._folder / f"{name}.img", self._folder / f"{name}.card", self._disk / name)
        self._cleaning.callback(card.close)
        if name in LAMPPOSTS:
            return Lamppost(name, folder, card, self._city, self.timeline, raw_log=LAMPPOSTS[name])
        port = self._city.brokers[name].port
        if name in BOARDS:
            return ThingsBoard(name, folder, card, port, BOARDS[name], self._board_python)
        return MosquittoBridge(name, folder, card, port)


def keep_logs(folder: Path, to: Path) -> None:
    """Keep what all processes said, for whoever wants to know why."""
    shutil.rmtree(to, ignore_errors=True)
    for log in folder.rglob("*.log"):
        place = to / log.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, place)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)
