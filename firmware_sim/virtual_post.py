"""The gateway from the records on, in virtual time: core, committer, outbox and store; and when things go wrong there.

What runs is the real code. The raw log is the one thing that is not there: what came since the last commit is kept in
memory in its place, so that a gateway that is killed goes on from its database and makes the rest anew, as it would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from firmware_sim.faults import BRIDGE, BROKER, DISK, DOWN, FULL, GATEWAY, KILL, STEP, STORE
from firmware_sim.outside import Outside
from firmware_sim.virtual_crew import START_NS, News
from gateway import wire
from gateway.acquire import NS
from gateway.block import Windows
from gateway.board import Posted, Source
from gateway.commit import Committer
from gateway.config import Config
from gateway.core import Core
from gateway.journal import terms
from gateway.last_day import LastDay
from gateway.outbox import Outbox
from gateway.outlook import FACT
from gateway.pending import bounded
from gateway.plans import plans
from gateway.record import ClockRecord, Record, RecordKind, encode
from gateway.store.sqlite import SqliteStore
from gateway.timekeeper import STEP_NS

STORE_EVERY = 30  # commits: what is written together costs one transaction
BOOT = "virtual"
ROUNDING_S = 1e-6


@dataclass(slots=True)
class Totals:
    """What a run made."""

    seconds: float = 0.0
    records: int = 0
    windows: int = 0
    messages: int = 0
    points: int = 0
    most_held: int = 0  # messages that waited for the store at once


class Gateway(NamedTuple):
    """What a process of the gateway has open."""

    core: Core
    committer: Committer
    outbox: Outbox


@dataclass(slots=True)
class Post:
    """The gateway from the records on."""

    running: Gateway
    store: SqliteStore
    totals: Totals = field(default_factory=Totals)
    waiting: list[wire.Point] = field(default_factory=list)
    commits: int = 0
    seen_ns: int = 0  # up to when records have come, on the virtual boot
    day: LastDay = field(default_factory=LastDay)  # how long delivery took

    def feed(self, records: list[Record]) -> None:
        """Feed records, commit what has closed, and deliver it."""
        self.seen_ns = records[-1].mono_ns
        self.totals.records += len(records)
        closed = self.running.core.feed(records)
        if closed:
            self.commit(closed)
            self.send()

    def commit(self, closed: Sequence[Windows]) -> None:
        """Commit what has closed."""
        core, committer, outbox = self.running
        self.totals.windows += len(committer.commit(closed, core, 0, 0))
        self.totals.most_held = max(self.totals.most_held, len(outbox))
        self.day.delivered(self.seen_ns + self.offset_ns, outbox.take_delivered_s())

    def send(self) -> None:
        """Deliver what waits."""
        outbox = self.running.outbox
        seqs = list(outbox.unsent)
        for seq in seqs:
            payload = outbox.payload(seq)
            if payload is not None:
                self.waiting += wire.points(wire.unpack_windows(payload))
        outbox.release(seqs, "receipted", self.seen_ns + self.offset_ns)
        self.totals.messages += len(seqs)
        self.commits += 1
        if self.commits % STORE_EVERY == 0:
            self.deliver()

    @property
    def offset_ns(self) -> int:
        """What turns time of the virtual boot into UTC, as the gateway takes it."""
        return self.running.core.offset_ns

    def deliver(self) -> None:
        """Write into the store what waits."""
        self.store.write(self.waiting)
        self.totals.points += len(self.waiting)
        self.waiting.clear()

    def news(self) -> News:
        """Return the latest good values, for the board of inputs."""
        core = self.running.core
        return {Source(*at): Posted(v, t_ns - core.offset_ns) for at, (t_ns, v) in core.newest.items()}


@dataclass(slots=True)
class TroubledPost(Post):
    """A gateway that is killed, or whose disk, broker or store fails it now and then; `clock_ns` is UTC - monotonic."""

    outside: Outside = field(kw_only=True)
    make: Callable[[], Gateway] = field(kw_only=True)
    clock_ns: int = field(kw_only=True)
    log: list[Record] = field(default_factory=list)  # since the last commit
    pending: list[Windows] = field(default_factory=list)
    missed: list[Record] = field(default_factory=list)  # the settings of parts, told while no gateway ran

    def feed(self, records: list[Record]) -> None:
        """Feed records, keep what the disk does not take, and what nobody takes away."""
        self.seen_ns = records[-1].mono_ns
        self.totals.records += len(records)
        if self.outside.on(KILL, GATEWAY):
            self.missed += [record for record in records if record.kind is RecordKind.CONTEXT]
            return
        records, self.missed = [*self.missed, *records], []
        self.log += records
        self.pending += self.running.core.feed(records)
        full = self.outside.on(FULL, DISK)
        if full and self.pending:
            full.hits += 1
            self.pending, given_up = bounded(self.pending)
            self.running.outbox.lose(given_up)
        elif self.pending:
            self.commit(self.pending)
            self.pending, self.log = [], []
        away = self.outside.on(DOWN, BROKER, STORE) or self.outside.on(KILL, BROKER, BRIDGE)
        if away:
            away.hits = max(away.hits, len(self.running.outbox))
        elif self.running.outbox.unsent:
            self.send()

    def strike(self, t_s: float, mono_ns: int) -> None:
        """Let happen what is due at a time (UTC s, and of the virtual boot).

        Links go on while the gateway is gone: what they say then is nobody's, but for the settings of parts.
        """
        for trouble, begins in self.outside.turn(t_s + ROUNDING_S):
            if trouble.kind == KILL and trouble.fault.on == GATEWAY and begins:
                self._kill()
            if trouble.kind == STEP and (begins or trouble.fault.for_s is not None):
                self.clock_ns += round((trouble.fault.by_s or 0.0) * NS) * (1 if begins else -1)
        self._follow_clock(mono_ns)

    def _follow_clock(self, mono_ns: int) -> None:
        """Begin a new time line where the clock was set, as gateway.timekeeper decides it."""
        clock = self.running.core.clock
        if abs(self.clock_ns - clock.offset_ns) < STEP_NS or self.outside.on(KILL, GATEWAY):
            return
        record = ClockRecord(clock.boot_id, self.clock_ns, True, clock.epoch + 1, mono_ns)
        self.feed([Record(RecordKind.CLOCK, mono_ns, "", encode(record))])

    def _kill(self) -> None:
        """Begin anew from what is on the disk; what was only in memory is made again of the records."""
        self.running.outbox.db.close()  # and not `close`, which would write down what is in memory
        self.running, self.pending = self.make(), []
        core, log = self.running.core, self.log
        self.pending += core.feed(log)
        core.caught_up()


@contextmanager
def opened(config: Config, start_s: int, store: Path, outside: Outside) -> Iterator[Post]:
    """Open the databases; nobody waits for the disk: a power cut costs a virtual day nothing but its repetition."""
    folder = config.gateway.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    epoch_ns = start_s * NS - START_NS

    def gateway() -> Gateway:
        outbox = Outbox(folder / "gateway.db")
        outbox.db.execute("PRAGMA synchronous = OFF")
        return Gateway(_core(config, epoch_ns, outbox), Committer(outbox, terms(config)), outbox)

    with ExitStack() as stack:
        opened_store = SqliteStore(store)
        stack.callback(opened_store.close)
        if outside.troubles:
            post: Post = TroubledPost(gateway(), opened_store, outside=outside, make=gateway, clock_ns=epoch_ns)
        else:
            post = Post(gateway(), opened_store)
        try:
            yield post
        finally:
            post.running.outbox.remember(FACT, post.day.save())
            post.running.outbox.close()  # of whichever gateway runs by then


def _core(config: Config, epoch_ns: int, outbox: Outbox) -> Core:
    windows = config.windows
    core = Core({config.hash: plans(config)}, windows.base_s, config.gateway.lateness_s, windows.allowed_lateness_s)
    saved = outbox.state()
    if saved is None:
        core.begin(config.hash)
        core.feed([Record(RecordKind.CLOCK, START_NS, "", encode(ClockRecord(BOOT, epoch_ns, True, 0)))])
    else:
        core.restore(saved.body, config.hash)
    return core
