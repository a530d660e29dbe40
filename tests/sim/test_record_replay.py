"""A capture of simulated sensors, played back and recorded again, is the same; and what is wrong is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_sim_process import DEADLINE_S, ROOT, simulator, until_ready
from typer.testing import CliRunner

from drivers import DRIVERS
from drivers.base import PieceKind, Stream
from firmware_sim.device import NEVER_S, Nack
from firmware_sim.tape import Answerer, Book, Chip, Speaker, Start
from firmware_sim.truth import Timeline
from gateway.__main__ import app
from gateway.capture import Capture, CaptureError, Exchange, Header, Part, Writer, read
from gateway.clock import Clock
from gateway.record import Record, RecordKind, encode

SCENE = """
seed = 5

[[uart]]
name = "pm"
device = "sds011"

[[uart]]
name = "level"
device = "nsrt_mk4"

[[line]]
name = "rs485"

[[line.device]]
name = "east"
device = "renke_noise"
unit_id = 1

[[line.device]]
name = "west"
device = "renke_noise"
unit_id = 2

[[bus]]
name = "i2c-1"

[[bus.device]]
name = "weather"
device = "bme280"
address = 0x76

[[bus.device]]
name = "air"
device = "sen55"
address = 0x69
"""
SITE = """
extends = {base}

[site]
name = "bench"
timezone = "UTC"

[gateway]
name = "bench"

[[sensor]]
name = "pm"
driver = "sds011"
port = "{place}/pm"

[[sensor]]
name = "level"
driver = "nsrt_mk4"
port = "{place}/level"

[[sensor]]
name = "east"
driver = "renke_noise"
port = "{place}/rs485"
options = {{ unit_id = 1 }}

[[sensor]]
name = "west"
driver = "renke_noise"
port = "{place}/rs485"
options = {{ unit_id = 2 }}

[[sensor]]
name = "weather"
driver = "bme280"
bus = "unix:{place}/i2c-1.sock"
address = 0x76

[[sensor]]
name = "air"
driver = "sen55"
bus = "unix:{place}/i2c-1.sock"
"""
RATE = 4
POLLED = ("level", "east", "west", "weather", "air")


@contextmanager
def replayed(capture: Path, place: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "GATEWAY_CLOCK": f"1767182400:{RATE}"}
    command = [sys.executable, "-m", "firmware_sim", "replay", str(capture), "--dir", str(place), *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def record(site: Path, out: Path, for_s: float, *args: str) -> dict[str, Any]:
    env = {**os.environ, "GATEWAY_CLOCK": f"1767182400:{RATE}"}
    words = [str(site), "--out", str(out), "--for", str(for_s), "--json", *args]
    command = [sys.executable, "-m", "gateway", "record", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def write_site(tmp_path: Path, place: Path) -> Path:
    site = tmp_path / f"{place.name}.toml"
    site.write_text(SITE.format(base=json.dumps(str(ROOT / "configs" / "base.toml")), place=place))
    return site


def frames(capture: Capture, name: str) -> list[bytes]:
    """The frames of one sensor, as its driver sees them."""
    mine = [one for one in capture.records if one.source == name]
    access = DRIVERS[next(part.driver for part in capture.header.parts if part.name == name)].access
    if not isinstance(access, Stream):
        return [one.data for one in mine if one.kind is RecordKind.FRAME]
    pieces, _rest = access.framer.split(b"".join(one.data for one in mine if one.kind is RecordKind.CHUNK), final=True)
    return [piece.data for piece in pieces if piece.kind is PieceKind.FRAME]


def said(capture: Capture, name: str) -> list[bytes]:
    """Everything a sensor said, answers that its driver threw away included."""
    part = next(part for part in capture.header.parts if part.name == name)
    if isinstance(DRIVERS[part.driver].access, Stream):
        return frames(capture, name)
    asked = [one for one in capture.records if one.kind is RecordKind.EXCHANGE and one.source == part.link]
    exchanges = [msgspec.msgpack.decode(one.data, type=Exchange) for one in asked]
    mine = (0, part.address)  # a serial line tells no address: what others on it said cannot be told apart
    return [one.reply for one in exchanges if one.address in mine and one.reply is not None]


def test_recorded_played_back_and_recorded_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first.cap", tmp_path / "second.cap"
    scene = tmp_path / "scene.toml"
    scene.write_text(SCENE)
    with simulator(str(scene), "--dir", str(tmp_path / "live"), rate=RATE) as process:
        until_ready(process)
        told = record(write_site(tmp_path, tmp_path / "live"), first, 20)
    assert told["away"] == {}
    assert all(row["bytes"] for row in told["sensors"])
    with replayed(first, tmp_path / "again") as process:
        assert len(until_ready(process)) == 4
        record(write_site(tmp_path, tmp_path / "again"), second, 18)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    one, two = read(first), read(second)
    assert one.damaged == two.damaged == 0
    for name in ("pm", *POLLED):
        before, after = said(one, name), frames(two, name)
        assert len(after) >= 8, name
        assert len(set(frames(one, name))) > 1, "a constant would prove nothing"
        place = 0
        for frame in after:  # in their order; a busy machine may miss a poll, ask twice, or hear the answer to a set-up
            assert frame in before[place:], name
            place = before.index(frame, place)
        assert len(after) >= 0.7 * len(frames(one, name)), name


def test_the_head_tells_what_it_is(tmp_path: Path) -> None:
    scene, out = tmp_path / "scene.toml", tmp_path / "one.cap"
    scene.write_text(SCENE)
    with simulator(str(scene), "--dir", str(tmp_path / "live"), rate=RATE) as process:
        until_ready(process)
        site = write_site(tmp_path, tmp_path / "live")
        record(site, out, 6, "--sensor", "weather", "--sensor", "pm")
    magic, head, _rest = out.read_bytes().split(b"\n", 2)
    assert magic == b"lamppost capture 1"
    parts = {part["name"]: part for part in json.loads(head)["parts"]}
    assert (parts["weather"]["driver"], parts["weather"]["address"]) == ("bme280", 0x76)
    assert (parts["pm"]["driver"], parts["pm"]["baud"], parts["pm"]["access"]) == ("sds011", 9600, "stream")
    sources = {Path(one.source).name for one in read(out).records}
    assert {"weather", "pm", "i2c-1.sock"} == sources, "sensors, and the wire on which one was asked"


def test_a_port_of_which_nothing_is_known_is_listened_to(tmp_path: Path) -> None:
    scene, out = tmp_path / "scene.toml", tmp_path / "ear.cap"
    scene.write_text(SCENE)
    env = {**os.environ, "GATEWAY_CLOCK": f"1767182400:{RATE}"}
    with simulator(str(scene), "--dir", str(tmp_path), rate=RATE) as process:
        until_ready(process)
        words = ["--port", str(tmp_path / "pm"), "--out", str(out), "--for", "8"]
        command = [sys.executable, "-m", "gateway", "record", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "firmware-sim replay" in done.stdout
    data = b"".join(one.data for one in read(out).records)
    assert data.count(b"\xaa\xc0") >= 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a site file, or one --port or --bus"),
        (["--bus", "/dev/i2c-9"], "somebody must ask"),
        (["--bus", "/dev/i2c-9", "--driver", "sds011"], "use --port"),
        (["--port", "/dev/ttyS9", "--driver", "sds12"], "gateway drivers"),
        (["site.toml", "--port", "/dev/ttyS9"], "do not go together"),
        (["--bus", "/dev/i2c-9", "--driver", "bme280", "--address", "x"], "write it as 0x76"),
    ],
)
def test_what_cannot_be_recorded_says_why(words: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["record", *words, "--out", str(tmp_path / "x.cap")])
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "x.cap").exists()


def test_what_is_no_capture_cannot_be_played(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.cap"
    wrong.write_bytes(b"\xaa\xc0" * 100)
    with replayed(wrong, tmp_path / "ports") as process:
        _out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "is no capture" in err
    assert "gateway record" in err


# -- the file ----------------------------------------------------------------------------------------------------------

HEADER = Header("2026-01-01T00:00:00+00:00", "boot", 0, 0, True, [Part("pm", "sds011", "/dev/x", "uart", "stream")])


def chunk(at_ns: int) -> Record:
    return Record(RecordKind.CHUNK, at_ns, "pm", bytes([at_ns % 256]))


def test_a_file_is_never_overwritten_and_a_damaged_one_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.cap"
    writer = Writer(path, HEADER)
    for k in range(5):
        writer.write([chunk(2 * k), chunk(2 * k + 1)])
    writer.close()
    assert read(path).records == [chunk(k) for k in range(10)]
    with pytest.raises(CaptureError, match="already"):
        Writer(path, HEADER)
    data = bytearray(path.read_bytes())
    cut = tmp_path / "cut.cap"
    cut.write_bytes(data[:-7])
    assert read(cut).records == [chunk(k) for k in range(8)], "a power cut costs the last block"
    data[data.index(b"LPB") + 40] ^= 1
    cut.write_bytes(data)
    harmed = read(cut)
    assert (harmed.records, harmed.damaged) == ([chunk(k) for k in range(2, 10)], 1)


# -- the parts ---------------------------------------------------------------------------------------------------------


def exchange(tx: bytes, reply: bytes | None, rx: int = 1, took_s: float = 0.0) -> Exchange:
    return Exchange(0x40, tx, rx, reply, round(took_s * 1e9))


@pytest.fixture
def start() -> Start:
    begun = Start(Timeline(Clock()), 1)
    begun.at_s = 100.0
    begun.begun.set()
    return begun


def test_answers_come_in_order_and_keep_up_with_the_time() -> None:
    def book() -> Book:
        made = Book()
        for k in range(60):
            made.add(float(k), exchange(b"?", bytes([k])))
        return made

    def said(one: Book, t_s: float) -> int:
        reply = one.answer(t_s).reply
        assert reply is not None
        return reply[0]

    steady, slow, fast = book(), book(), book()
    assert [said(steady, k + 0.4) for k in range(60)] == list(range(60))
    assert [said(slow, 10.0 * k) for k in range(6)] == pytest.approx([0, 8, 18, 28, 38, 48], abs=2)
    assert max(said(fast, k / 10) - k / 10 for k in range(300)) <= 3, "it does not run ahead"


def test_a_speaker_keeps_the_time(start: Start) -> None:
    part = Speaker([(0.5, b"a"), (1.5, b"b"), (1.6, b"c")], start)
    assert part.update(100.0) == (b"", 100.5)
    assert part.update(100.5) == (b"a", 101.5)
    assert part.receive(b"hello", 101.0) == b""
    assert part.update(105.0) == (b"bc", NEVER_S)


def test_a_speaker_waits_for_its_host() -> None:
    part = Speaker([(0.0, b"a")], Start(Timeline(Clock()), 1))
    assert part.update(1e9) == (b"", NEVER_S)


def test_an_answerer_knows_its_questions_in_any_cut(start: Start) -> None:
    part = Answerer("level", [(0.0, exchange(b"lev?", b"61", took_s=0.2)), (1.0, exchange(b"t?", None))], start)
    assert part.receive(b"le", 100.0) == part.receive(b"v?", 100.1) == b""
    assert part.update(100.2) == (b"", pytest.approx(100.3))
    assert part.update(100.31) == (b"61", NEVER_S)
    part.receive(b"t?", 101.0)
    assert part.update(110.0) == (b"", NEVER_S), "it did not answer then"


def test_a_chip_refuses_what_was_refused(start: Start) -> None:
    said = [(0.0, exchange(b"\xd0", b"\x60")), (1.0, exchange(b"\xf4\x27", b"", 0)), (2.0, exchange(b"\xfd", None, 6))]
    chip = Chip("i2c-1", said, start)
    chip.write(b"\xd0", 100.0)
    assert chip.read(1, 100.0) == b"\x60"
    chip.write(b"\xf4\x27", 101.0)
    chip.write(b"\xfd", 102.0)
    with pytest.raises(Nack):
        chip.read(6, 102.0)
    with pytest.raises(Nack):
        chip.write(b"\x99", 103.0)


def test_the_frames_bite(tmp_path: Path) -> None:
    """Negative control: a capture of another street is told apart."""
    header = msgspec.structs.replace(HEADER, parts=[Part("weather", "bme280", "unix:x", "i2c", "poll", 0x76)])
    one = Capture(header, [Record(RecordKind.FRAME, k, "weather", bytes([k] * 8)) for k in range(9)], 0)
    other = Capture(header, [Record(RecordKind.FRAME, k, "weather", bytes([k ^ 1] * 8)) for k in range(9)], 0)
    assert frames(one, "weather") != frames(other, "weather")
    assert encode(exchange(b"a", b"b")) != encode(exchange(b"a", b"c"))
