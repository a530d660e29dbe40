"""The outbox against a model of it, through any sequence of commits, marks, receipts, drops, crashes and clean ends."""

from __future__ import annotations

import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from window_samples import MINUTE, STATE, T_NS, closed_sums, window

from gateway.caps import Caps
from gateway.held import EVENT, GO_FIRST, WINDOWS
from gateway.outbox import Outbox, Outgoing

LOST_KEYS = 6  # of window(): four series, two sensors
FATES = ("receipted", "dead", "replaced", "dropped_records")


@dataclass
class Known:
    """What the model knows of one message."""

    start_ns: int
    rev: int
    keys: int
    kind: str = WINDOWS
    sent: bool = False
    fate: str = "queued"


@dataclass
class Model:
    """Messages by seq, the latest revision of each window, and what waits for the next commit."""

    messages: dict[int, Known] = field(default_factory=dict)
    revs: dict[int, int] = field(default_factory=dict)
    events: int = 0
    lost: int = 0

    def of(self, fate: str) -> dict[int, Known]:
        return {seq: known for seq, known in self.messages.items() if known.fate == fate}


class OutboxMachine(RuleBasedStateMachine):
    """`now` is what memory and disk say together, `durable` what a crash leaves."""

    @initialize(cap=st.sampled_from([3, 6, 10**6]))
    def begin(self, cap: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.now, self.durable = Model(), Model()
        self.cap = cap
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(Path(self.folder.name) / "gateway.db", Caps(max_records=self.cap))
        self.outbox.db.execute("PRAGMA synchronous = OFF")

    @rule(windows=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9), st.sampled_from(["", "again"])), max_size=4))
    def commit(self, windows: list[tuple[int, int, str]]) -> None:
        messages = []
        before = deepcopy(self.now)  # revisions replace what was unsent before this commit, not its own messages
        fresh: dict[int, Known] = {}
        for place, keys, kind in windows:
            start_ns = T_NS + place * MINUTE
            rev = self.now.revs.get(start_ns, -1) + 1
            seq = self.outbox.next_seq + len(messages)
            messages.append(Outgoing(seq, 60, start_ns, rev, keys, bytes([seq % 256]), "", kind))
            for older, known in before.of("queued").items():
                if known.start_ns == start_ns and not known.sent and known.kind != EVENT:
                    self.now.messages[older].fate = "replaced"
            fresh[seq] = Known(start_ns, rev, keys, kind)
            self.now.revs[start_ns] = rev
        self.fold(self.outbox.next_seq + len(messages), fresh)
        self.outbox.commit(messages, state=STATE)
        self.durable = deepcopy(self.now)

    def fold(self, next_seq: int, fresh: dict[int, Known]) -> None:
        """Let go of what is beyond the cap, in the order of its kinds, then take in what is new."""
        for i in range(self.now.events):
            fresh[next_seq + i] = Known(i, 0, 0, EVENT)
        self.now.events = 0
        queued = self.now.of("queued")
        turn = [seq for kind in GO_FIRST for seq, known in queued.items() if known.kind == kind]
        for seq in turn[: max(0, len(queued) + len(fresh) - self.cap)]:
            self.now.messages[seq].fate = "dropped_records"
        self.now.messages |= fresh

    @rule(n=st.integers(1, 3))
    def event(self, n: int) -> None:
        for i in range(n):
            self.outbox.tell({"v": 1, "n": i}, self.now.events)
            self.now.events += 1

    @rule()
    def lose(self) -> None:
        self.outbox.lose([window()])
        self.now.lost += 1

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
        waits = self.outbox._marks.any
        next_seq = self.outbox.next_seq
        self.outbox.close()
        if waits:
            self.fold(next_seq, {})
        self.now.lost = self.durable.lost  # no state was saved behind them: the raw log still has them
        self.durable = deepcopy(self.now)
        self.open()

    @invariant()
    def says_what_the_model_says(self) -> None:
        queued = self.now.of("queued")
        assert self.outbox.queued == {seq: known.keys for seq, known in queued.items()}
        assert self.outbox.n_queued == len(queued)
        assert list(self.outbox.unsent) == sorted(seq for seq, known in queued.items() if not known.sent)
        assert self.outbox.next_seq == max(self.now.messages, default=0) + 1
        account = self.outbox.account()
        for fate in FATES:
            gone = self.now.of(fate)
            assert account.get(f"{fate}_messages", 0) == len(gone)
            assert account.get(f"{fate}_keys", 0) == sum(known.keys for known in gone.values())
        again = [known for known in self.now.messages.values() if known.kind == "again"]
        assert (account["republished_messages"], account["republished_keys"]) == (
            len(again), sum(known.keys for known in again),
        )  # fmt: skip
        lost = account.get("dropped_memory_messages", 0), account.get("dropped_memory_keys", 0)
        assert lost == (self.now.lost, LOST_KEYS * self.now.lost)
        assert account["expected"] == account["valid"] + account["rejected"] + account["missing"]
        closed_sums(self.outbox)

    @invariant()
    def hands_out_what_waits_for_nothing(self) -> None:
        queued = self.now.of("queued")
        for seq, known in queued.items():
            others = (one for one in queued.values() if one.kind != EVENT)
            older = any(one.start_ns == known.start_ns and one.rev < known.rev for one in others)
            if known.kind != EVENT:
                assert self.outbox.payload(seq) == (None if older else bytes([seq % 256]))

    def teardown(self) -> None:
        self.outbox.db.close()
        self.folder.cleanup()


TestOutboxModel = OutboxMachine.TestCase
TestOutboxModel.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)


def test_sums_that_do_not_close_are_seen(tmp_path: Path) -> None:
    """Control: a message that goes without being counted is noticed."""
    outbox = Outbox(tmp_path / "gateway.db", Caps(max_records=2))
    outbox.commit([Outgoing(seq, 60, T_NS + seq * MINUTE, 0, 3, b"x") for seq in (1, 2, 3)])
    outbox.commit([Outgoing(4, 60, T_NS, 0, 3, b"x")])
    closed_sums(outbox)
    outbox._account["dropped_records_messages"] -= 1
    with pytest.raises(AssertionError):
        closed_sums(outbox)
    outbox.db.close()
