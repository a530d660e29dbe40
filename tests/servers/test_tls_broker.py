"""TLS to a real mosquitto: who is believed, what is said when not, and certificates renewed while everything runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tls_files import HERE, LONG_AGO, YESTERDAY, Authority
from typer.testing import CliRunner

from gateway.__main__ import app
from gateway.bridge import Bridge
from gateway.bridge import Terms as BridgeTerms
from gateway.certificates import on_line
from gateway.clock import Clock
from gateway.config_site import MqttConfig
from gateway.dead_letters import DeadLetters
from gateway.outbox import Outbox
from gateway.publish import Publisher, Status, Terms
from gateway.store.sqlite import SqliteStore
from gateway.tls import Contexts, contexts
from tests.servers.conftest import Server, accepts, binary, free_port

pytestmark = pytest.mark.servers
POST = "pole-1"
CLOCK = Clock()
WAIT_S = 25.0


@dataclass
class Rig:
    """A mosquitto with one TLS listener, the authority that it believes, and a gateway's files."""

    folder: Path
    authority: Authority
    server: Server
    mqtt: MqttConfig

    def show(self, *, subject: str = "localhost", names: str = HERE, by: Authority | None = None, **times: str) -> None:
        """Let the broker show another certificate."""
        signer = by or self.authority
        crt, key = signer.sign("server", subject, names, **times)
        for path in (crt, key):
            if path.parent != self.folder:
                shutil.copy(path, self.folder / path.name)
        self.server.stop()
        self.server.start()

    def identify(self, by: Authority | None = None, subject: str = POST, **times: str) -> None:
        """Give the gateway another certificate, in the files that it has."""
        (by or self.authority).sign(POST, subject, **times)
        if by is not None:
            for suffix in ("crt", "key"):
                shutil.copy(by.folder / f"{POST}.{suffix}", self.folder / f"{POST}.{suffix}")


@contextmanager
def rig(folder: Path, *, mutual: bool = False) -> Iterator[Rig]:
    authority = Authority(folder)
    authority.sign("server", "localhost", HERE)
    authority.sign(POST, POST)
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", f"cafile {authority.crt}", f"certfile {folder}/server.crt",
             f"keyfile {folder}/server.key", "tls_version tlsv1.2", "allow_anonymous true"]  # fmt: skip
    if mutual:
        acl = Path(__file__).parents[2] / "configs" / "mosquitto" / "lamppost.acl"
        shutil.copy(acl, folder / "acl")
        lines += ["require_certificate true", "use_identity_as_username true", f"acl_file {folder}/acl"]
    lines += ["user root"] if os.geteuid() == 0 else []
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    command = [binary("mosquitto", "mosquitto"), "-c", str(folder / "mosquitto.conf")]
    server = Server(command, port, folder, lambda: accepts(port))
    files = {"cert_file": folder / f"{POST}.crt", "key_file": folder / f"{POST}.key"} if mutual else {}
    mqtt = MqttConfig("localhost", port, tls=True, ca_file=authority.crt, **files)
    server.start()
    try:
        yield Rig(folder, authority, server, mqtt)
    finally:
        server.stop()


@asynccontextmanager
async def publishing(folder: Path, mqtt: MqttConfig, tls: Contexts | None = None) -> AsyncIterator[Publisher]:
    """A gateway's publisher at work, with an outbox of its own."""
    terms = Terms(POST, mqtt.host, mqtt.port, None, tls or contexts(mqtt), 60, 10, "receipt", 600.0, 3600.0, 0.5)
    outbox = Outbox(folder / "gateway.db")
    publisher = Publisher(terms, outbox, CLOCK, ThreadPoolExecutor(1), lambda up, why: Status(1, up, why, "test", "c"))
    running = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        outbox.close()


async def until(holds: Callable[[], object], what: str = "it") -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen in {WAIT_S} s"
        await asyncio.sleep(0.02)


async def alarm_of(publisher: Publisher) -> str:
    await until(lambda: publisher.alarm, "an alarm")
    assert not publisher.connected
    return publisher.alarm


async def test_a_broker_whose_certificate_is_right_is_taken(tmp_path: Path) -> None:
    with rig(tmp_path) as one:
        async with publishing(tmp_path, one.mqtt) as publisher:
            await until(lambda: publisher.connected, "the connection")
            assert publisher.alarm == ""
            assert on_line(one.mqtt, "broker", publisher.peer, CLOCK.utc_ns()) == {}


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("expired", "its certificate has expired: renew it there"),
        ("another name", "its certificate is for another name: write the name"),
        ("another authority", "not in ca_file: put that authority's into ca_file"),
    ],
)
async def test_a_wrong_certificate_is_refused_with_what_to_do_and_a_renewed_one_taken(
    tmp_path: Path, why: str, says: str
) -> None:
    """The publisher is never restarted: it comes back by itself."""
    with rig(tmp_path) as one:
        match why:
            case "expired":
                one.show(start=LONG_AGO, end=YESTERDAY)
            case "another name":
                one.show(subject="elsewhere", names="DNS:elsewhere.example")
            case _:
                one.show(by=Authority(tmp_path / "other"))
        async with publishing(tmp_path, one.mqtt) as publisher:
            alarm = await alarm_of(publisher)
            assert f"broker localhost:{one.mqtt.port}: " in alarm
            assert says in alarm
            one.show()
            await until(lambda: publisher.connected, "the return")
            assert publisher.alarm == ""


async def test_an_authority_put_into_its_file_later_is_read_at_the_next_connection(tmp_path: Path) -> None:
    with rig(tmp_path) as one:
        right = one.authority.crt.read_bytes()
        ca_file = tmp_path / "believed.crt"
        mqtt = MqttConfig("localhost", one.mqtt.port, tls=True, ca_file=ca_file)
        async with publishing(tmp_path, mqtt) as publisher:
            assert "believed.crt" in await alarm_of(publisher)
            ca_file.write_text("no certificate")
            await until(lambda: "holds no certificate" in publisher.alarm, "the next alarm")
            ca_file.write_bytes(right)
            await until(lambda: publisher.connected, "the connection")


async def test_a_port_without_tls_is_named(tmp_path: Path, mosquitto: Server) -> None:
    mqtt = MqttConfig("localhost", mosquitto.port, tls=True)
    async with publishing(tmp_path, mqtt) as publisher:
        alarm = await alarm_of(publisher)
        assert "does not speak TLS" in alarm or "reset" in alarm or "EOF" in alarm


async def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path) -> None:
    context = contexts(MqttConfig(tls=True))
    assert context is not None
    assert context().minimum_version.name == "TLSv1_2"


async def test_a_client_certificate_names_the_gateway(tmp_path: Path) -> None:
    """The common name is the user: the shipped access list lets it write its own topics and no other's."""
    with rig(tmp_path, mutual=True) as one:
        async with publishing(tmp_path, one.mqtt) as publisher:
            await until(lambda: publisher.connected, "the connection")
        assert publish_as(one, "lamppost/1/pole-1/windows") == 0
        assert publish_as(one, "lamppost/1/pole-2/windows") == 135


def publish_as(one: Rig, topic: str) -> int:
    """Publish with the gateway's certificate; return the reason of the PUBACK."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    said: list[int] = []
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_publish = lambda _c, _u, _mid, code, _p: said.append(int(code.value))
    make = contexts(one.mqtt)
    assert make is not None
    client.tls_set_context(make())
    client.connect("localhost", one.mqtt.port)
    client.loop_start()
    client.publish(topic, b"{}", qos=1).wait_for_publish(5.0)
    client.disconnect()
    client.loop_stop()
    return 0 if said[0] == 16 else said[0]  # 16: taken, and nobody listens


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("none", "it asks for a certificate: set cert_file and key_file"),
        ("expired", "it says that our certificate has expired: renew cert_file"),
        ("another authority", "have cert_file signed by its authority"),
    ],
)
async def test_without_a_right_client_certificate_nobody_comes_in(tmp_path: Path, why: str, says: str) -> None:
    with rig(tmp_path, mutual=True) as one:
        mqtt = one.mqtt
        match why:
            case "none":
                mqtt = MqttConfig("localhost", one.mqtt.port, tls=True, ca_file=one.mqtt.ca_file)
            case "expired":
                one.identify(start=LONG_AGO, end=YESTERDAY)
            case _:
                one.identify(by=Authority(tmp_path / "other"))
        async with publishing(tmp_path, mqtt) as publisher:
            assert says in await alarm_of(publisher)
            told = on_line(mqtt, "broker", publisher.peer, CLOCK.utc_ns())
            if why == "expired":
                assert "has expired on 2021-01-01: put a new one there; no restart is needed" in " ".join(told.values())
            if why != "none":
                one.identify()
                await until(lambda: publisher.connected, "the return")


async def test_a_key_that_is_not_of_the_certificate_is_named(tmp_path: Path) -> None:
    with rig(tmp_path, mutual=True) as one:
        shutil.copy(tmp_path / "server.key", tmp_path / f"{POST}.key")
        async with publishing(tmp_path, one.mqtt) as publisher:
            assert "key_file is not the key of cert_file" in await alarm_of(publisher)


def stamp(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y%m%d%H%M%SZ}"


async def test_the_end_of_certificates_is_told_30_days_ahead(tmp_path: Path) -> None:
    with rig(tmp_path, mutual=True) as one:
        one.show(end=stamp(29.5))
        one.identify(end=stamp(31))
        async with publishing(tmp_path, one.mqtt) as publisher:
            await until(lambda: publisher.connected, "the connection")
            told = on_line(one.mqtt, "broker x", publisher.peer, CLOCK.utc_ns())
            assert list(told) == ["certificate of broker x"]
            assert "expires in 29 days" in told["certificate of broker x"]
            soon = MqttConfig("localhost", 1, tls=True, cert_file=one.mqtt.cert_file, expiry_warn_days=32)
            assert "expires in 30 days" in on_line(soon, "x", b"", CLOCK.utc_ns())[f"certificate {one.mqtt.cert_file}"]
            never = MqttConfig("localhost", 1, tls=True, cert_file=one.mqtt.cert_file, expiry_warn_days=0)
            assert on_line(never, "x", publisher.peer, CLOCK.utc_ns()) == {}


def test_the_bridge_says_the_same_and_comes_back_too(tmp_path: Path) -> None:
    with rig(tmp_path, mutual=True) as one:
        one.identify(subject="bridge")
        one.show(start=LONG_AGO, end=YESTERDAY)
        mqtt = one.mqtt
        terms = BridgeTerms("localhost", mqtt.port, "b", "bridge", None, contexts(mqtt), 60, 100, 1_000_000, 0.05, 1.0)
        bridge = Bridge(terms, SqliteStore(tmp_path / "store.db"), DeadLetters(tmp_path / "dead"), CLOCK)
        running = threading.Thread(target=bridge.run)
        running.start()
        try:
            asyncio.run(until(lambda: "its certificate has expired" in " ".join(bridge.alarms.values()), "an alarm"))
            one.show()
            asyncio.run(until(lambda: bridge.connected, "the return"))
            assert bridge.alarms == {}
            assert bridge.peer != b""
        finally:
            bridge.stop.set()
            running.join(10)


async def test_control_who_does_not_look_would_connect_to_anybody(tmp_path: Path) -> None:
    """So that the refusals above are ours, and not a broken broker's."""

    def blind() -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    with rig(tmp_path) as one:
        one.show(subject="elsewhere", names="DNS:elsewhere.example", start=LONG_AGO, end=YESTERDAY)
        async with publishing(tmp_path, one.mqtt, tls=blind) as publisher:
            await until(lambda: publisher.connected, "the connection")


SITE = """\
[site]
name = "street"
[gateway]
name = "pole-1"
data_dir = "out"
run_dir = "out"
[mqtt]
host = "localhost"
port = {port}
tls = true
ca_file = "ca.crt"
cert_file = "pole-1.crt"
key_file = "pole-1.key"
[bridge]
data_dir = "bridge"
[[sensor]]
name = "pm"
driver = "sds011"
port = "/dev/none"
"""


def _holds(said_by: Callable[[], str], what: str) -> bool:
    return what in said_by()


def alarms_of(status: Path) -> str:
    try:
        told = json.loads(status.read_bytes())["alarms"]
    except (OSError, ValueError):
        return ""
    return " | ".join(told if isinstance(told, list) else told.values())


def test_status_health_and_check_say_that_a_certificate_ends(tmp_path: Path) -> None:
    """Both processes, as they are started on a pole; the gateway goes on, and the alarm goes with a new certificate."""
    with rig(tmp_path, mutual=True) as one:
        one.show(end=stamp(9.5))
        one.identify(end=stamp(5.5))
        site = tmp_path / "site.toml"
        site.write_text(SITE.format(port=one.mqtt.port))
        said = CliRunner().invoke(app, ["check", str(site)])
        assert said.exit_code == 0, said.output
        assert "mqtt.cert_file: cert_file" in said.output
        assert "expires in 5 days" in said.output
        children = [subprocess.Popen([sys.executable, "-m", "gateway", verb, str(site)]) for verb in ("run", "bridge")]
        try:
            gateway, bridge = tmp_path / "out" / "status.json", tmp_path / "bridge" / "status.json"
            for said_by in (partial(alarms_of, gateway), partial(alarms_of, bridge)):
                for what in ("expires in 5 days", "expires in 9 days"):  # ours, and the broker's
                    asyncio.run(until(partial(_holds, said_by, what), what))
            one.identify()
            asyncio.run(until(lambda: "expires in 5 days" not in alarms_of(bridge), "the end of the alarm"))
            assert all(child.poll() is None for child in children)
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(30)
