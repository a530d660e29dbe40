"""The batch in hand: whenever the process is killed, each record is in the raw log once after the next start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.acquire import Recorder
from gateway.in_hand import NAMES, InHand
from gateway.rawlog import RawLog, Sizes
from gateway.rawread import Position
from gateway.record import Record, RecordKind

SIZES = Sizes(1 << 18, 1 << 20)


@dataclass
class Post:
    """A recorder, its files and its raw log, over many deaths; what dies is what was in memory."""

    folder: Path
    said: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.log = RawLog(self.folder, SIZES)
        self.in_hand = InHand(self.folder)
        self.in_hand.begin(self.log)
        self.recorder = Recorder(self.in_hand)

    def say(self) -> None:
        self.said.append(len(self.said))
        self.recorder.put(RecordKind.FRAME, self.said[-1], "pm", b"%d" % self.said[-1])

    def batch(self, *, dies: str = "") -> None:
        """Log what is there, or die on the way."""
        records = self.recorder.drain()
        if dies == "drained":
            return
        self.in_hand.logging(self.log.position)
        if dies == "noted":
            return
        self.log.append(records)
        if dies != "logged":
            self.in_hand.logged()

    def kept(self) -> list[int]:
        return [record.mono_ns for _, records in self.log.read(Position()) for record in records]


STEPS = st.lists(st.sampled_from(["say", "say", "say", "batch", "die", "drained", "noted", "logged"]), max_size=40)


def live(folder: Path, steps: Sequence[str]) -> Post:
    post = Post(folder)
    for step in steps:
        if step == "say":
            post.say()
        elif step == "batch":
            post.batch()
        else:
            if step != "die":
                post.batch(dies=step)
            post.start()
    post.start()
    return post


@given(steps=STEPS)
@settings(deadline=None, max_examples=25)
def test_each_record_is_logged_once_in_its_order_whenever_it_dies(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    post = live(tmp_path_factory.mktemp("post"), steps)
    assert post.kept() == post.said


LIFE = ["say", "batch", "say", "say", "die", "say", "drained", "say", "logged", "say", "noted", "say"]


def test_without_the_files_a_death_costs_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InHand, "add", lambda self, record: None)
    post = live(tmp_path, LIFE)
    assert post.kept() == [0, 4]
    assert len(post.said) == 7


def test_without_the_note_a_death_right_behind_the_log_doubles_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.in_hand._note", lambda path, position: None)
    post = live(tmp_path, LIFE)
    assert sorted(set(post.kept())) == post.said
    assert len(post.kept()) > len(post.said)


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 17, 23, 24, 30, 45, 46])
def test_a_torn_file_gives_what_is_whole(cut: int, tmp_path: Path) -> None:
    post = Post(tmp_path)
    post.say()
    post.say()
    path = tmp_path / NAMES[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    post.start()
    size = (len(whole) - 16) // 2
    assert post.kept() == list(range(max(0, cut - 16) // size))


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    post = Post(tmp_path)
    post.in_hand = InHand(tmp_path / "gone")
    post.in_hand.begin(post.log)
    post.recorder = Recorder(post.in_hand)
    post.say()
    post.batch()
    post.say()
    post.batch()
    assert post.kept() == [0, 1]
    assert caplog.text.count("a crash costs the batch in hand") == 1


VICTIM = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_in_hand import Post
post = Post(Path(sys.argv[1]))
for _ in range(5):
    post.say()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_leaves_every_record(tmp_path: Path) -> None:
    done: Any = subprocess.run([sys.executable, "-c", VICTIM, tmp_path, Path(__file__).parent], check=False)
    assert done.returncode == -9
    assert Post(tmp_path).kept() == [0, 1, 2, 3, 4]


def test_records_are_as_they_were(tmp_path: Path) -> None:
    post = Post(tmp_path)
    post.recorder.put(RecordKind.CHUNK, 7, "pm-nörd", bytes(range(256)))
    post.start()
    ((_, records),) = post.log.read(Position())
    assert records == [Record(RecordKind.CHUNK, 7, "pm-nörd", bytes(range(256)))]
