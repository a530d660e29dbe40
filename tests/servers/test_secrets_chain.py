"""The whole chain with marked secrets: they are used, and nothing that the processes say or keep holds them.

The same processes are asked what they listen on: nothing.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.servers.conftest import Server, accepts, binary, free_port

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parents[2]
MARKS = {"gateway": "gw-mark-7Qx/+%s", "bridge": "br-mark-8Wz%d&=", "store": "st-mark-9Ev{0}<>"}
OLD = "old-mark-5Tt"
TCP_LISTEN = "0A"


class EchoingStore(BaseHTTPRequestHandler):
    """An InfluxDB as a bad day makes it: it asks for the password, and repeats what it was given in its errors."""

    refuse = False
    writes = 0

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        self.rfile.read(size)
        said = self.headers.get("Authorization", "")
        wanted = base64.b64encode(f"bridge:{MARKS['store']}".encode()).decode()
        good = said == f"Basic {wanted}" and not type(self).refuse
        type(self).writes += good
        body = b"" if good else f"unauthorized: {said} {MARKS['store']}".encode()
        self.send_response(204 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""


class Chain:
    """Broker, store, gateway and bridge, and everything that they have said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.store = ThreadingHTTPServer(("127.0.0.1", 0), EchoingStore)
        threading.Thread(target=self.store.serve_forever, daemon=True).start()
        self.broker = self._broker()
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.heard: list[bytes] = []
        self.site = folder / "site.toml"
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700)
        for name, mark in MARKS.items():
            (secrets / name).touch(0o600)
            (secrets / name).write_text(mark + "\n")
        self.out = folder / "out"
        self.out.mkdir()
        self.write_site()

    def _broker(self) -> Server:
        folder = self.folder / "broker"
        folder.mkdir()
        (folder / "passwd").write_text(f"post-7:{MARKS['gateway']}\nbridge:{MARKS['bridge']}\ndashboard:nobody\n")
        subprocess.run([binary("mosquitto_passwd", "mosquitto"), "-U", str(folder / "passwd")], check=True)
        acl = ROOT / "configs" / "mosquitto" / "lamppost.acl"
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous false", f"password_file {folder}/passwd",
                 f"acl_file {acl}", "max_queued_messages 100000"]  # fmt: skip
        lines += ["user root"] if os.geteuid() == 0 else []
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        command = [binary("mosquitto", "mosquitto"), "-c", str(folder / "mosquitto.conf")]
        return Server(command, self.port, folder, lambda: accepts(self.port))

    def write_site(self, extra: str = "") -> None:
        host, port = self.store.server_address[:2]
        self.site.write_text(
            f"""[site]
name = "street"
[gateway]
name = "post-7"
data_dir = "out/gateway"
run_dir = "out/run"
batch_s = 0.5
back_off_max_s = 1.0
[windows]
base_s = 2
long_s = []
[mqtt]
port = {self.port}
password_file = "secrets/gateway"
[bridge]
password_file = "secrets/bridge"
data_dir = "out/bridge"
retry_max_s = 1.0
[store]
kind = "influxdb"
api = "v1"
url = "http://{host!s}:{port}"
user = "bridge"
password_file = "secrets/store"
{extra}
[[sensor]]
name = "pm"
driver = "sds011"
port = "/dev/serial/by-id/none"
"""
        )

    def start(self) -> None:
        (self.out / "run").mkdir(exist_ok=True)
        self.broker.start()
        for verb in ("run", "bridge"):
            with (self.out / f"{verb}.log").open("ab") as log:
                command = [sys.executable, "-m", "gateway", verb, str(self.site), "--verbose"]
                self.children[verb] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set("dashboard", "nobody")
        client.on_message = self._on_message
        client.connect("127.0.0.1", self.port)
        client.subscribe("lamppost/1/+/#", qos=1)
        client.loop_start()
        self.client = client

    def _on_message(self, _client: Client, _user: object, message: MQTTMessage) -> None:
        self.heard.append(message.topic.encode() + b" " + message.payload)

    def stop(self) -> None:
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            child.wait(30)
        self.client.disconnect()
        self.client.loop_stop()
        self.broker.stop()
        self.store.shutdown()
        self.store.server_close()

    def status(self, name: str) -> dict[str, Any]:
        try:
            status: dict[str, Any] = json.loads((self.out / name / "status.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return status

    def cli(self, *words: str) -> None:
        """Run a command as a technician would; what it prints is kept with the rest."""
        with (self.out / "cli.log").open("ab") as log:
            subprocess.run([sys.executable, "-m", "gateway", *words], stdout=log, stderr=log, timeout=60, check=False)


def wait(holds: Callable[[], object], what: str, limit_s: float = 30.0) -> None:
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until, f"{what} did not happen"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Run through good and bad: all well, wrong passwords, a store that refuses and repeats, a bad reload, commands."""
    one = Chain(tmp_path_factory.mktemp("chain"))
    one.start()
    try:
        wait(lambda: EchoingStore.writes > 2, "a write with the right passwords")
        wait(lambda: (one.status("run").get("broker") or {}).get("receipts", 0) > 0, "a receipt")
        one.listening = {name: listening(child.pid) for name, child in one.children.items()}  # type: ignore[attr-defined]
        EchoingStore.refuse = True
        wait(lambda: "store" in one.status("bridge").get("alarms", {}), "the alarm of the store")
        for name in ("gateway", "bridge"):  # read again at the next connection
            (one.folder / "secrets" / name).write_text(OLD)
        one.broker.stop()
        one.broker.start()
        wait(lambda: any("refuses" in text for text in one.status("bridge").get("alarms", {}).values()), "a refusal")
        wait(lambda: not (one.status("run").get("broker") or {"connected": True})["connected"], "a refusal")
        one.write_site('password = "st-mark-9Ev{0}<>"\n')
        one.children["run"].send_signal(signal.SIGHUP)
        one.cli("check", str(one.site))
        one.cli("check", "--json", str(one.site))
        one.cli("run", str(one.site))
        one.write_site()
        one.cli("check", str(one.site))
        one.cli("check", "--resolved", str(one.site))
        one.cli("status", str(one.out / "run"))
        one.cli("status", "--json", str(one.out))
        one.cli("dead-letters", "list", str(one.site))
        for name, mark in MARKS.items():
            (one.folder / "secrets" / name).write_text(mark)
        EchoingStore.refuse = False
        before = EchoingStore.writes
        wait(lambda: EchoingStore.writes > before, "the return of everything", 60.0)
    finally:
        one.stop()
    return one


def shapes(mark: str) -> list[bytes]:
    """Every shape in which a secret may show itself."""
    plain = mark.encode()
    said = [plain, base64.b64encode(plain), plain.hex().encode(), urllib.parse.quote(mark, safe="").encode(),
            urllib.parse.quote_plus(mark).encode(), json.dumps(mark)[1:-1].encode(), repr(mark)[1:-1].encode(),
            base64.b64encode(f"bridge:{mark}".encode())]  # fmt: skip
    return [shape.rstrip(b"=") for shape in said]


def leaks(folder: Path, further: list[bytes], marks: list[str]) -> list[str]:
    """Look for marks in all files of a folder and in further texts; say where they are."""
    texts = {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    texts |= {f"message {i}": text for i, text in enumerate(further)}
    return [f"{mark} in {where}" for mark in marks for where, text in texts.items()
            if any(shape in text for shape in shapes(mark))]  # fmt: skip


def test_no_secret_is_in_anything_that_was_said_or_kept(chain: Chain) -> None:
    kept = {path.name for path in chain.out.rglob("*")}
    assert {"gateway.db", "run.log", "bridge.log", "cli.log", "status.json"} <= kept
    assert any(b"/meta " in text for text in chain.heard)
    assert any(b"/windows " in text for text in chain.heard)
    assert b"a secret stands here" in (chain.out / "cli.log").read_bytes()
    assert leaks(chain.out, chain.heard, [*MARKS.values(), OLD]) == []


@pytest.mark.parametrize("shape", range(len(shapes("x"))))
def test_control_a_secret_in_any_shape_would_be_found(tmp_path: Path, shape: int) -> None:
    text = b"before " + shapes(MARKS["store"])[shape] + b" behind"
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file.db-wal").write_bytes(text)
    assert leaks(tmp_path, [], [MARKS["store"]])
    assert leaks(tmp_path / "no", [text], [MARKS["store"]])


def test_the_process_table_shows_none_either(chain: Chain) -> None:
    """Secrets are in no argument and no variable: what is handed over is the configuration, which names files."""
    log = (chain.out / "cli.log").read_bytes()
    assert b"password_file" in log, "the resolved configuration was printed"


def test_what_is_kept_is_for_the_service_alone(chain: Chain) -> None:
    folders = [path for name in ("gateway", "bridge") for path in [chain.out / name, *(chain.out / name).rglob("*")]]
    open_ones = [str(path) for path in folders if path.stat().st_mode & 0o007 and path.name != "status.json"]
    assert open_ones == []
    assert (chain.out / "run" / "status.json").stat().st_mode & 0o444 == 0o444, "the status is for everybody"


def listening(pid: int) -> list[str]:
    """List the TCP and UDP sockets of a process on which others may call: /proc/PID/net and its descriptors."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(str(link.readlink()))
        except OSError:
            continue
    found = []
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for row in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            columns = row.split()
            called = columns[3] == TCP_LISTEN if kind.startswith("tcp") else columns[2].endswith(":0000")
            if called and f"socket:[{columns[9]}]" in own:
                found.append(f"{kind} {columns[1]}")
    return found


def test_nothing_listens(chain: Chain) -> None:
    assert chain.listening == {"run": [], "bridge": []}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_control_a_socket_that_listens_would_be_found(kind: str) -> None:
    code = f"import socket,sys; s = socket.socket(type=socket.{kind}); s.bind(('127.0.0.1', 0))\n"
    code += "if s.type == socket.SOCK_STREAM: s.listen()\nprint('up', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        child.stdout.readline()
        assert len(listening(child.pid)) == 1
    finally:
        child.communicate(b"", 5)
