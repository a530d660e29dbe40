"""The shipped broker settings in a real mosquitto: who may say what, and what is kept for a bridge that is away."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.wire import LEAVES, MAX_PAYLOAD, topic

pytestmark = pytest.mark.servers

SHIPPED = Path(__file__).parents[2] / "configs" / "mosquitto"
WILDCARDS = ("+", "#", "+/#", "pole-1/#", "pole-1/+", "/", "$SYS", "pole-2/receipt")  # names that could widen a pattern
USERS = ("pole-1", "pole-2", "bridge", "dashboard", *WILDCARDS)
OPEN_ACL = "topic readwrite #\n"
SUCCESS, NO_SUBSCRIBER, NOT_AUTHORIZED = 0, 16, 135
ACCEPTED = {SUCCESS, NO_SUBSCRIBER}
WRITTEN_BY_GATEWAYS = tuple(leaf for leaf in LEAVES if leaf != "receipt")
FOREVER = 0xFFFFFFFF
T = TypeVar("T")


@dataclass(frozen=True)
class Broker:
    """A running mosquitto: a plain port on loopback, an encrypted one, and the files of its test authority."""

    port: int
    tls_port: int
    folder: Path


@dataclass
class Peer:
    """One MQTT 5 client, without a thread: it works while it is asked to wait for something."""

    client: Client
    connected: list[ReasonCode] = field(default_factory=list)
    subscribed: list[int] = field(default_factory=list)
    said: list[ReasonCode] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def wait(self, answers: list[T], timeout_s: float = 5.0) -> T:
        """Work until there is an answer, and take it; fail when none comes."""
        deadline = time.monotonic() + timeout_s
        while not answers and time.monotonic() < deadline:
            if self.client.loop(0.02) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
        assert answers, "the broker does not answer"
        return answers.pop(0)

    def publish(self, name: str, payload: bytes = b"{}") -> int:
        """Publish with QoS 1; return the reason code of the PUBACK."""
        self.client.publish(name, payload, qos=1)
        return int(self.wait(self.said).value)

    def subscribe(self, pattern: str) -> None:
        """Subscribe and wait until the broker has answered."""
        self.client.subscribe(pattern, qos=1)
        self.wait(self.subscribed)

    def hears(self, silence_s: float) -> list[str]:
        """Collect the topics that arrive until there is silence for so long."""
        names: list[str] = []
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < silence_s:
            self.client.loop(0.02)
            if self.heard:
                quiet_since = time.monotonic()
            names += self.heard
            self.heard.clear()
        return names


def require(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        if os.environ.get("PYTEST_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run([require("openssl"), *arguments], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """Make an authority, a server certificate for localhost, and a client certificate for pole-1."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", "-x509", *key, "-days", "2", "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.crt")
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for name, subject, extra in (("server", "localhost", ("-extfile", "san")), ("pole-1", "pole-1", ())):
        request = (*key, "-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(folder, "req", *request)
        signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", *extra)
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")


def adapt(text: str, folder: Path, port: int, tls_port: int) -> str:
    """Point the shipped settings at a test's files and ports; every replacement must happen exactly once."""
    places = {
        "/etc/mosquitto/lamppost.passwd\nacl_file": f"{folder}/passwd\nacl_file",
        "acl_file /etc/mosquitto/lamppost.acl": f"acl_file {folder}/lamppost.acl",
        "/etc/mosquitto/ca_certificates/lamppost-ca.crt": f"{folder}/ca.crt",
        "/etc/mosquitto/certs/lamppost.crt": f"{folder}/server.crt",
        "/etc/mosquitto/certs/lamppost.key": f"{folder}/server.key",
        "listener 8883": f"listener {tls_port} 127.0.0.1",
        "listener 1883 127.0.0.1": f"listener {port} 127.0.0.1",
    }
    for old, new in places.items():
        assert text.count(old) == 1, f"{old!r} is not in lamppost.conf exactly once"
        text = text.replace(old, new)
    return text


@contextmanager
def broker(folder: Path, *, replace: tuple[tuple[str, str], ...] = (), acl: str = "") -> Iterator[Broker]:
    """Run mosquitto on the shipped files, or another `acl`, included from a main file as Debian does it."""
    mosquitto, passwd = require("mosquitto"), require("mosquitto_passwd")
    make_certificates(folder)
    (folder / "passwd").write_text("".join(f"{user}:secret-{user}\n" for user in USERS))
    subprocess.run([passwd, "-U", str(folder / "passwd")], check=True, capture_output=True)
    (folder / "lamppost.acl").write_text(acl or (SHIPPED / "lamppost.acl").read_text())
    port, tls_port = free_port(), free_port()
    text = adapt((SHIPPED / "lamppost.conf").read_text(), folder, port, tls_port)
    for old, new in replace:
        assert old in text
        text = text.replace(old, new)
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "lamppost.conf").write_text(text)
    main = (f"user {getpass.getuser()}", "persistence true", f"persistence_location {folder}/", "log_dest stderr",
            f"include_dir {folder}/conf.d")  # fmt: skip
    (folder / "mosquitto.conf").write_text("\n".join(main) + "\n")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([mosquitto, "-c", str(folder / "mosquitto.conf")], stderr=log)
    try:
        wait_for(port, process, folder / "log")
        yield Broker(port, tls_port, folder)
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"mosquitto did not start:\n{log.read_text()}")


@contextmanager
def peer(
    port: int,
    user: str,
    *,
    password: str | None = None,
    client_id: str = "",
    context: ssl.SSLContext | None = None,
    will: str | None = None,
) -> Iterator[Peer]:
    """Connect and yield a client; `connected` holds the broker's answer."""
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5)
    one = Peer(client)
    client.on_connect = lambda _c, _u, _flags, code, _p: one.connected.append(code)
    client.on_publish = lambda _c, _u, _mid, code, _p: one.said.append(code)
    client.on_subscribe = lambda _c, _u, mid, _codes, _p: one.subscribed.append(mid)
    client.on_message = lambda _c, _u, message: one.heard.append(message.topic)
    if user:
        client.username_pw_set(user, password or f"secret-{user}")
    if context is not None:
        client.tls_set_context(context)
    if will is not None:
        client.will_set(will, b"gone", qos=1)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    if client_id:
        properties.SessionExpiryInterval = FOREVER
    client.connect("localhost" if context else "127.0.0.1", port, clean_start=not client_id, properties=properties)
    try:
        yield one
    finally:
        client.disconnect()


@contextmanager
def joined(port: int, user: str, *, client_id: str = "") -> Iterator[Peer]:
    """Yield a client that the broker has let in."""
    with peer(port, user, client_id=client_id) as one:
        assert int(one.wait(one.connected).value) == SUCCESS
        yield one


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("mosquitto")) as one:
        yield one


@pytest.fixture(scope="module")
def pole(running: Broker) -> Iterator[Peer]:
    with joined(running.port, "pole-1") as one:
        yield one


@pytest.mark.parametrize("leaf", WRITTEN_BY_GATEWAYS)
def test_a_gateway_writes_its_own_topics(pole: Peer, leaf: str) -> None:
    assert pole.publish(topic("pole-1", leaf)) in ACCEPTED


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_gateway_writes_nothing_of_another(pole: Peer, leaf: str) -> None:
    assert pole.publish(topic("pole-2", leaf)) == NOT_AUTHORIZED


@pytest.mark.parametrize(
    "name", ["lamppost/1/pole-1/receipt", "lamppost/1/pole-1/other", "lamppost/2/pole-1/windows", "elsewhere"]
)
def test_a_gateway_writes_no_receipt_and_nothing_unknown(pole: Peer, name: str) -> None:
    assert pole.publish(name) == NOT_AUTHORIZED


@pytest.mark.parametrize("user", WILDCARDS)
def test_a_user_named_like_a_wildcard_gets_nothing(running: Broker, pole: Peer, user: str) -> None:
    """mosquitto refuses such a user every pattern; nothing of anybody is written or heard."""
    with peer(running.port, user) as one:
        if one.wait(one.connected).is_failure:
            return
        for name in (*(topic("pole-1", leaf) for leaf in LEAVES), topic("pole-2", "receipt"), "lamppost/1/x/windows"):
            assert one.publish(name) == NOT_AUTHORIZED
        for pattern in ("#", "lamppost/#", "lamppost/1/+/#", "lamppost/1/pole-1/receipt"):
            one.subscribe(pattern)
        with joined(running.port, "bridge") as bridge:
            assert bridge.publish(topic("pole-1", "receipt")) in ACCEPTED
        assert pole.publish(topic("pole-1", "windows")) in ACCEPTED
        assert [name for name in one.hears(0.2) if name.startswith("lamppost/")] == []


def test_a_forged_receipt_reaches_nobody(running: Broker) -> None:
    with joined(running.port, "pole-2") as victim:
        victim.subscribe(topic("pole-2", "receipt"))
        for user in ("pole-1", "pole-2", "dashboard"):
            with joined(running.port, user) as forger:
                assert forger.publish(topic("pole-2", "receipt")) == NOT_AUTHORIZED
        assert victim.hears(0.3) == []


@pytest.mark.parametrize("pattern", ["lamppost/1/pole-2/#", "lamppost/1/+/windows", "#", "+/+/+/+", "$share/g/#"])
def test_a_gateway_hears_nothing_of_another(running: Broker, pattern: str) -> None:
    with joined(running.port, "pole-1") as spy, joined(running.port, "pole-2") as other:
        spy.subscribe(pattern)
        for leaf in WRITTEN_BY_GATEWAYS:
            assert other.publish(topic("pole-2", leaf)) in ACCEPTED
        with joined(running.port, "bridge") as bridge:
            assert bridge.publish(topic("pole-2", "receipt")) in ACCEPTED
        assert spy.hears(0.3) == []


@dataclass(frozen=True)
class Breach:
    """What somebody tries who should not; `seen` tells whether it came about."""

    user: str
    writes: str
    victim: str
    hears: str

    def seen(self, port: int) -> bool:
        """Try it against a broker."""
        with joined(port, self.victim) as victim, joined(port, self.user) as one:
            victim.subscribe(self.hears)
            one.publish(self.writes)
            return victim.hears(0.3) != []


BREACHES = {
    "a forged receipt": Breach("pole-1", topic("pole-2", "receipt"), "pole-2", topic("pole-2", "receipt")),
    "windows of another": Breach("pole-1", topic("pole-2", "windows"), "bridge", "lamppost/1/+/windows"),
    "reading another": Breach("pole-2", topic("pole-2", "windows"), "pole-1", topic("pole-2", "windows")),
    "a dashboard that writes": Breach("dashboard", topic("pole-2", "meta"), "bridge", "lamppost/1/+/#"),
    "a wildcard user": Breach("+", topic("pole-2", "windows"), "bridge", "lamppost/1/+/windows"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_no_breach_comes_about(running: Broker, name: str) -> None:
    assert not BREACHES[name].seen(running.port)


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("careless"), acl=OPEN_ACL, replace=(
        ("allow_anonymous false", "allow_anonymous true"),
    )) as one:  # fmt: skip
        yield one


@pytest.mark.parametrize("name", BREACHES)
def test_control_an_open_access_list_shows_that_each_breach_would_be_seen(careless: Broker, name: str) -> None:
    breach = BREACHES[name]
    with peer(careless.port, "") as one:
        assert not one.wait(one.connected).is_failure, "anonymous, and let in"
    with peer(careless.port, "", client_id="") as victim, peer(careless.port, "") as one:
        victim.wait(victim.connected)
        one.wait(one.connected)
        victim.subscribe(breach.hears)
        assert one.publish(breach.writes) in ACCEPTED
        assert victim.hears(0.3) != []


def test_the_bridge_writes_receipts_and_nothing_else(running: Broker) -> None:
    with joined(running.port, "bridge") as bridge:
        assert bridge.publish(topic("pole-1", "receipt")) in ACCEPTED
        assert bridge.publish(topic("pole-1", "windows")) == NOT_AUTHORIZED
        assert bridge.publish(topic("bridge", "windows")) == NOT_AUTHORIZED


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_dashboard_writes_nothing(running: Broker, leaf: str) -> None:
    with joined(running.port, "dashboard") as dashboard:
        assert dashboard.publish(topic("pole-1", leaf)) == NOT_AUTHORIZED
        assert dashboard.publish(topic("dashboard", leaf)) == NOT_AUTHORIZED


def test_who_hears_what(running: Broker, pole: Peer) -> None:
    with ExitStack() as stack:
        peers = {user: stack.enter_context(joined(running.port, user)) for user in ("bridge", "dashboard", "pole-2")}
        for one in peers.values():
            one.subscribe("lamppost/1/+/#")
        assert pole.publish(topic("pole-1", "windows")) == SUCCESS
        for gateway in ("pole-1", "pole-2"):
            assert peers["bridge"].publish(topic(gateway, "receipt")) == SUCCESS
        everything = [topic("pole-1", "windows"), topic("pole-1", "receipt"), topic("pole-2", "receipt")]
        assert peers["bridge"].hears(0.3) == everything
        assert peers["dashboard"].hears(0.3) == everything
        assert peers["pole-2"].hears(0.3) == [topic("pole-2", "receipt")]


def test_a_will_obeys_the_same_rules(running: Broker) -> None:
    with joined(running.port, "dashboard") as dashboard:
        dashboard.subscribe("lamppost/1/+/status")
        for victim in ("pole-1", "pole-2"):
            with peer(running.port, "pole-1", will=topic(victim, "status")) as one:
                one.wait(one.connected)
                sock = one.client.socket()
                assert isinstance(sock, socket.socket)
                sock.shutdown(socket.SHUT_RDWR)  # gone without a DISCONNECT: the broker speaks the will
                heard = dashboard.hears(0.5)
            assert heard[:1] == ([topic("pole-1", "status")] if victim == "pole-1" else [])


@pytest.mark.parametrize(("user", "password"), [("", None), ("pole-1", "wrong"), ("pole-9", "secret-pole-9")])
def test_strangers_stay_outside(running: Broker, user: str, password: str | None) -> None:
    with peer(running.port, user, password=password) as one:
        assert one.wait(one.connected).is_failure


def test_the_largest_message_passes_and_a_runaway_does_not(running: Broker) -> None:
    limit = int(re.findall(r"(?m)^message_size_limit (\d+)", (SHIPPED / "lamppost.conf").read_text())[0])
    assert limit >= 2 * MAX_PAYLOAD, "a refusal costs the connection, so no message of ours may come near"
    with joined(running.port, "pole-1") as pole:
        for size in (MAX_PAYLOAD, limit):
            assert pole.publish(topic("pole-1", "windows"), bytes(size)) in ACCEPTED
        with pytest.raises(AssertionError, match="does not answer"):
            pole.publish(topic("pole-1", "windows"), bytes(limit + 1))


def test_a_refusal_leaves_the_connection_open(pole: Peer) -> None:
    for _ in range(3):
        assert pole.publish(topic("pole-2", "windows")) == NOT_AUTHORIZED
        assert pole.publish(topic("pole-1", "windows")) in ACCEPTED


def test_no_limit_at_all_would_close_it(tmp_path: Path) -> None:
    unlimited = (("max_queued_messages 1000000", "max_queued_messages 0"),)
    with broker(tmp_path, replace=unlimited) as one, joined(one.port, "pole-1") as pole:
        assert pole.publish(topic("pole-2", "windows")) == NOT_AUTHORIZED
        with pytest.raises(AssertionError, match="does not answer"):
            pole.publish(topic("pole-1", "windows"))


def test_the_encrypted_listener_asks_for_a_password(running: Broker) -> None:
    context = ssl.create_default_context(cafile=str(running.folder / "ca.crt"))
    with peer(running.tls_port, "pole-1", context=context) as one:
        assert int(one.wait(one.connected).value) == SUCCESS
        assert one.publish(topic("pole-1", "windows")) in ACCEPTED
    with peer(running.tls_port, "pole-1", password="wrong", context=context) as one:
        assert one.wait(one.connected).is_failure


def test_a_certificate_can_stand_for_the_password(tmp_path: Path) -> None:
    uncommented = (("#require_certificate", "require_certificate"), ("#use_identity", "use_identity"))
    with broker(tmp_path, replace=uncommented) as one:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        context.load_cert_chain(tmp_path / "pole-1.crt", tmp_path / "pole-1.key")
        with peer(one.tls_port, "", context=context) as pole:
            assert int(pole.wait(pole.connected).value) == SUCCESS
            assert pole.publish(topic("pole-1", "windows")) in ACCEPTED
            assert pole.publish(topic("pole-2", "windows")) == NOT_AUTHORIZED
        with joined(one.port, "bridge") as bridge:  # the loopback listener still takes passwords
            assert bridge.publish(topic("pole-1", "receipt")) in ACCEPTED


def backlog_after_absence(folder: Path, messages: int, *, replace: tuple[tuple[str, str], ...] = ()) -> int:
    """Publish while the bridge is away; return how many of the messages it then finds."""
    with broker(folder, replace=replace) as one:
        with joined(one.port, "bridge", client_id="lamppost-bridge") as bridge:
            bridge.subscribe("lamppost/1/+/windows")
        with joined(one.port, "pole-1") as pole:
            for _ in range(messages):
                pole.client.publish(topic("pole-1", "windows"), b"{}", qos=1)
            codes = {int(pole.wait(pole.said).value) for _ in range(messages)}
        assert codes == {SUCCESS}, "the broker has acknowledged every one"
        with joined(one.port, "bridge", client_id="lamppost-bridge") as bridge:
            return len(bridge.hears(1.0))


def test_a_backlog_above_the_default_limit_is_kept(tmp_path: Path) -> None:
    assert backlog_after_absence(tmp_path, 1500) == 1500


def test_the_default_limit_would_drop_acknowledged_messages(tmp_path: Path) -> None:
    default = (("max_queued_messages 1000000", "max_queued_messages 1000"),)
    assert backlog_after_absence(tmp_path, 1500, replace=default) < 1500


def test_the_rules_name_the_topics_of_the_wire() -> None:
    named = set(re.findall(r"lamppost/1/%u/(\w+)", (SHIPPED / "lamppost.acl").read_text()))
    assert named == set(LEAVES)
