"""The outbox against a model of it, through any sequence of commits, marks, receipts, crashes and clean ends."""

from __future__ import annotations

import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from window_samples import MINUTE, T_NS, closed_sums

from gateway.outbox import Outbox, Outgoing


@dataclass
class Known:
    """What the model knows of one message."""

    start_ns: int
    rev: int
    keys: int
    sent: bool = False
    fate: str = "queued"


@dataclass
class Model:
    """Messages by seq, and the latest revision of each window."""

    messages: dict[int, Known] = field(default_factory=dict)
    revs: dict[int, int] = field(default_factory=dict)

    def of(self, fate: str) -> dict[int, Known]:
        return {seq: known for seq, known in self.messages.items() if known.fate == fate}


class OutboxMachine(RuleBasedStateMachine):
    """`now` is what memory and disk say together, `durable` what a crash leaves."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.now, self.durable = Model(), Model()
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(Path(self.folder.name) / "gateway.db")
        self.outbox.db.execute("PRAGMA synchronous = OFF")

    @rule(windows=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), max_size=4))
    def commit(self, windows: list[tuple[int, int]]) -> None:
        messages = []
        committed = deepcopy(self.now)  # revisions replace what was unsent before this commit, not its own messages
        for place, keys in windows:
            start_ns = T_NS + place * MINUTE
            rev = self.now.revs.get(start_ns, -1) + 1
            seq = self.outbox.next_seq + len(messages)
            messages.append(Outgoing(seq, 60, start_ns, rev, keys, bytes([seq % 256])))
            for older, known in committed.of("queued").items():
                if known.start_ns == start_ns and not known.sent:
                    self.now.messages[older].fate = "replaced"
            self.now.messages[seq] = Known(start_ns, rev, keys)
            self.now.revs[start_ns] = rev
        self.outbox.commit(messages)
        self.durable = deepcopy(self.now)

    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        unsent = [seq for seq, known in self.now.of("queued").items() if not known.sent]
        if unsent:
            seq = data.draw(st.sampled_from(unsent))
            self.outbox.mark_sent(seq)
            self.now.messages[seq].sent = True

    @rule(seqs=st.sets(st.integers(0, 40), max_size=6), how=st.sampled_from(["receipted", "dead"]))
    def receipt(self, seqs: set[int], how: str) -> None:
        here = [seq for seq in self.now.of("queued") if seq in seqs]
        assert self.outbox.release(seqs, how) == len(here)
        for seq in here:
            self.now.messages[seq].fate = how

    @rule()
    def crash(self) -> None:
        self.outbox.db.close()
        self.now = deepcopy(self.durable)
        self.open()

    @rule()
    def end_and_start(self) -> None:
        self.outbox.close()
        self.durable = deepcopy(self.now)
        self.open()

    @invariant()
    def says_what_the_model_says(self) -> None:
        queued = self.now.of("queued")
        assert self.outbox.queued == {seq: known.keys for seq, known in queued.items()}
        assert list(self.outbox.unsent) == sorted(seq for seq, known in queued.items() if not known.sent)
        assert self.outbox.next_seq == max(self.now.messages, default=0) + 1
        account = self.outbox.account()
        for fate in ("receipted", "dead", "replaced"):
            gone = self.now.of(fate)
            assert account[f"{fate}_messages"] == len(gone)
            assert account[f"{fate}_keys"] == sum(known.keys for known in gone.values())
        closed_sums(self.outbox)

    @invariant()
    def hands_out_what_waits_for_nothing(self) -> None:
        queued = self.now.of("queued")
        for seq, known in queued.items():
            older = any(one.start_ns == known.start_ns and one.rev < known.rev for one in queued.values())
            assert self.outbox.payload(seq) == (None if older else bytes([seq % 256]))

    def teardown(self) -> None:
        self.outbox.db.close()
        self.folder.cleanup()


TestOutboxModel = OutboxMachine.TestCase
TestOutboxModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
