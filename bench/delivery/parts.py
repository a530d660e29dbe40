"""What all systems of a run have in common: a folder, processes, and what the harness may do to them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Protocol

from bench.delivery.card import Card
from bench.delivery.tally import Account
from bench.delivery.timeline import Timeline

SERIES = 24
HOST = "127.0.0.1"
MOSQUITTO_USER = "user root" if os.geteuid() == 0 else ""


class Process:
    """One program that is started, killed and started again; what it says goes to a file beside."""

    def __init__(
        self, command: list[str], log: Path, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> None:
        self._command, self._log, self._cwd = command, log, cwd
        self._env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | (env or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, also again."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self._cwd, env=self._env,
                start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self, wait_s: float = 20.0) -> None:
        """End it in good order, or, if it does not within `wait_s`, the other way."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.kill()

    @property
    def pid(self) -> int:
        """Its process id, or 0 while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def tail(self) -> str:
        """Return the end of what it has said."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""


class Span:
    """The seconds that count: from the begin of the quiet span to the end of the last window after the faults."""

    def __init__(self, timeline: Timeline, from_s: float, faults_s: float) -> None:
        self.base_s = timeline.base_s
        self.from_s = from_s
        self.faults_s = faults_s
        self.end_s = faults_s + timeline.end_s
        self._timeline = timeline

    def holds(self, t_s: float) -> bool:
        """Say whether a moment, UTC seconds, counts."""
        return self.from_s <= t_s < self.end_s

    def phase_of(self, t_s: float) -> str:
        """Name the phase of a moment, UTC seconds."""
        return self._timeline.phase_of(t_s - self.faults_s)


class Message:
    """What a subscriber in the city got: when (UTC seconds), where and what."""

    __slots__ = ("payload", "t_s", "topic")

    def __init__(self, t_s: float, topic: str, payload: bytes) -> None:
        self.t_s, self.topic, self.payload = t_s, topic, payload


class System(Protocol):
    """One system under test."""

    name: str
    card: Card
    gateway: Process  # what is measured, and killed

    def start(self) -> None:
        """Start all of it."""

    def stop(self) -> None:
        """End all of it."""

    def account(self, heard: list[Message], said: list[int], span: Span) -> Account:
        """Account for its readings, after it was stopped; `said`: the seconds that the street said to it."""


def wait_for(what: str, path: Path, least: int = 1, wait_s: float = 30.0) -> None:
    """Wait until a file holds at least so many bytes; raise TimeoutError."""
    until = time.monotonic() + wait_s
    while not path.exists() or path.stat().st_size < least:
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not come up within {wait_s:.0f} s")
        time.sleep(0.05)
