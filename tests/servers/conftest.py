"""Real servers as children of the test run: free loopback ports, private directories, stopped at the end."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from chain_run import ChainRun, run_chain

START_S = 20.0
STOP_S = 10.0


class Server:
    """A child that listens on `host`:`port`; stop, kill and start it again to test what its users do meanwhile."""

    host = "127.0.0.1"

    def __init__(self, command: list[str], port: int, directory: Path, ready: Callable[[], bool]) -> None:
        self.command = command
        self.port = port
        self.directory = directory
        self.log = directory / "server.log"
        self._ready = ready
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers; what an earlier run of it left on disk is still there."""
        if self.running:
            return
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(self.command, cwd=self.directory, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._ready():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.command[0]} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask it to end, as an operator would, and wait for it."""
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it without warning, as a power cut would."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()


def binary(name: str, package: str) -> str:
    """Find a server's program, or skip; with PYTEST_REQUIRE_SERVERS=1 its absence is a failure."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=places)
    if found is None:
        text = f"{name} is not installed: apt-get install {package}"
        if os.environ.get("PYTEST_REQUIRE_SERVERS") == "1":
            pytest.fail(text)
        pytest.skip(text)
    return found


def free_port() -> int:
    with socket.create_server((Server.host, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def accepts(port: int) -> bool:
    try:
        socket.create_connection((Server.host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as answer:
            return bool(answer.status < 300)
    except OSError:
        return False


def started(make: Callable[[], Server]) -> Iterator[Server]:
    """Start a server, on other ports when somebody was faster to take the first ones, and stop it at the end."""
    for last in (False, False, True):
        server = make()
        try:
            server.start()
            break
        except RuntimeError:
            if last:
                raise
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An MQTT broker without a limit on what it queues; what it holds survives stop(), not kill()."""
    program = binary("mosquitto", "mosquitto")

    def make() -> Server:
        directory, port = tmp_path_factory.mktemp("mosquitto"), free_port()
        lines = [f"listener {port} {Server.host}", "allow_anonymous true", "max_queued_messages 0"]
        lines += ["persistence true", f"persistence_location {directory}/"]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes a user that may not enter the directory
        config = directory / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        return Server([program, "-c", str(config)], port, directory, lambda: accepts(port))

    yield from started(make)


def influxd_conf(folder: Path, port: int, *more: str) -> list[str]:
    """Configure an InfluxDB 1.x that tells nobody of itself, with further lines for its [http]; return its command."""
    config = folder / "influxdb.conf"
    config.write_text(
        f"""reporting-disabled = true
bind-address = "{Server.host}:{free_port()}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[http]
bind-address = "{Server.host}:{port}"
"""
        + "".join(f"{line}\n" for line in more)
    )
    return [binary("influxd", "influxdb"), "-config", str(config)]


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An InfluxDB 1.x that keeps everything for ever."""

    def make() -> Server:
        directory, port = tmp_path_factory.mktemp("influxd"), free_port()
        ping = f"http://{Server.host}:{port}/ping"
        return Server(influxd_conf(directory, port), port, directory, lambda: answers(ping))

    yield from started(make)


@pytest.fixture(scope="session")
def victoria_metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A VictoriaMetrics as docs/reference/stores.md asks for: a long retention, and a rewrite replaces."""
    program = binary("victoria-metrics", "victoria-metrics")

    def make() -> Server:
        directory, port = tmp_path_factory.mktemp("victoria"), free_port()
        command = [program, "-retentionPeriod=100y", f"-storageDataPath={directory}/data"]
        command += [f"-httpListenAddr={Server.host}:{port}", "-dedup.minScrapeInterval=1ms"]
        return Server(command, port, directory, lambda: answers(f"http://{Server.host}:{port}/health"))

    yield from started(make)


@pytest.fixture(scope="session")
def sample_rows() -> list[Any]:
    """The points that every store must give back: [measurement, [[tag, value]...], start_ns, {field: value}]."""
    rows: list[Any] = json.loads((Path(__file__).parents[1] / "store" / "points.json").read_text())
    return rows


@pytest.fixture(scope="session")
def awkward_names() -> list[str]:
    """All words of one to three of the characters that some server takes for a sign of its own."""
    return ["".join(word) for n in (1, 2, 3) for word in product("a ,=\\\"'#$.", repeat=n)]


@pytest.fixture(scope="session")
def chain_run(mosquitto: Server, influxd: Server, victoria_metrics: Server, tmp_path_factory: Any) -> ChainRun:
    """One run of the real chain into InfluxDB, VictoriaMetrics and the embedded store, for all who ask what it left."""
    del mosquitto  # the run starts its own, but only where there is one
    return run_chain(tmp_path_factory.mktemp("chain") / "demo", influxd.url, victoria_metrics.url)
