"""Virtual time: twins, acquisition, core, commit and store in one program; a clock that jumps to the next event.

What runs is the real code: the owners of links, the drivers, the core, the committer with its database, and the
embedded store, filled by unfolding the messages as the bridge does. What is left out: the raw log, MQTT and the kernel.
Links take turns, each up to the end of a batch; they know nothing of each other but the board of inputs, which shows
what the batch before has brought.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from firmware_sim.scenario import Scenario, ScenarioError
from firmware_sim.simulation import World, populate
from firmware_sim.street_truth import MINUTE_S, Detail, lines
from firmware_sim.truth import HeldTruth
from firmware_sim.virtual_crew import START_NS, Crew, Helper, News, halves, missing
from gateway import wire
from gateway.acquire import NS
from gateway.board import Posted, Source
from gateway.commit import Committer
from gateway.config import Config
from gateway.core import Core
from gateway.journal import terms
from gateway.links import group
from gateway.outbox import Outbox
from gateway.plans import plans
from gateway.record import ClockRecord, Record, RecordKind, Tick, encode
from gateway.store.sqlite import SqliteStore
from gateway.supervise import CHANCE

STORE_EVERY = 30  # commits: what is written together costs one transaction
YOUNG = 50_000  # objects until the collector looks for cycles; there are hardly any
STORE, TRUTH = "store.db", "truth.jsonl"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be simulated: from UTC `start_s`, a whole minute, for `for_s` seconds, in one or two processes."""

    scenario: Scenario
    config: Config
    folder: Path
    start_s: int
    for_s: int
    detail: Detail = Detail.MINUTE
    jobs: int = 1
    skip_s: int = 0  # of the scenario: its events, faults and outages began so long before

    @property
    def begin_s(self) -> int:
        """When the scenario began, UTC."""
        return self.start_s - self.skip_s

    def is_away(self, t_s: float) -> bool:
        """Tell whether the store cannot be reached at a time, UTC."""
        since_s = t_s - self.begin_s
        return any(one.from_s <= since_s < one.from_s + one.for_s for one in self.scenario.outages)


@dataclass(slots=True)
class Totals:
    """What a run made."""

    seconds: float = 0.0
    records: int = 0
    windows: int = 0
    messages: int = 0
    points: int = 0
    most_held: int = 0  # messages that waited for the store at once


@dataclass(slots=True)
class Post:
    """The gateway from the records on."""

    core: Core
    committer: Committer
    outbox: Outbox
    store: SqliteStore
    totals: Totals = field(default_factory=Totals)
    waiting: list[wire.Point] = field(default_factory=list)
    commits: int = 0

    def feed(self, records: list[Record], *, away: bool = False) -> None:
        """Feed records, commit what has closed, and deliver it unless the store is away."""
        self.totals.records += len(records)
        closed = self.core.feed(records)
        if not closed:
            return
        self.totals.windows += len(self.committer.commit(closed, self.core, 0, 0))
        self.totals.most_held = max(self.totals.most_held, len(self.outbox))
        if away:
            return
        seqs = list(self.outbox.unsent)
        for seq in seqs:
            payload = self.outbox.payload(seq)
            if payload is not None:
                self.waiting += wire.points(wire.unpack_windows(payload))
        self.outbox.release(seqs, "receipted", self.core.watermark_ns)
        self.totals.messages += len(seqs)
        self.commits += 1
        if self.commits % STORE_EVERY == 0:
            self.deliver()

    def deliver(self) -> None:
        """Write into the store what waits."""
        self.store.write(self.waiting)
        self.totals.points += len(self.waiting)
        self.waiting.clear()

    def news(self) -> News:
        """Return the latest good values, for the board of inputs."""
        newest, offset_ns = self.core.newest, self.core.offset_ns
        return {Source(*at): Posted(v, t_ns - offset_ns) for at, (t_ns, v) in newest.items()}


def run(
    plan: Plan,
    tell: Callable[[float, Totals], None] = lambda _done_s, _totals: None,
    each: Callable[[Sequence[Record]], None] = lambda _records: None,
) -> Totals:
    """Simulate; leave `store.db`, `truth.jsonl` and the gateway's database in the folder.

    `tell` hears after each batch how many seconds are done; `each` sees the records of each batch, in their order.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    truth = HeldTruth(sent=plan.detail in (Detail.SENT, Detail.ALL))
    world = populate(plan.scenario, truth, float(plan.begin_s))
    mine, theirs = halves(plan.config) if plan.jobs > 1 else ({key.link for key in group(plan.config)}, set[str]())
    if strangers := missing(world, plan.config):
        raise ScenarioError(
            [f"{name}: no such port or bus in the scenario; correct the site file" for name in strangers]
        )
    with ExitStack() as stack:
        stack.enter_context(_undisturbed())
        log = stack.enter_context((plan.folder / TRUTH).open("ab"))
        helper = None
        if theirs:  # before there are files open that must not be shared
            helper = Helper(world, plan.config, theirs, plan.start_s, truth)
            stack.callback(helper.kill)
        crew = Crew(world, plan.config, mine, plan.start_s, truth)
        post = stack.enter_context(_post(plan))
        _work(plan, world, crew, helper, post, log, tell, each)
        end_s = float(plan.start_s + plan.for_s)
        log.write(crew.end(end_s) + (helper.end(end_s) if helper else b""))
        last_ns = START_NS + (plan.for_s + plan.config.windows.base_s) * NS
        post.feed([_tick(last_ns, [])])  # time goes on a little, without sensors, and closes the last window
        post.deliver()
        post.totals.seconds = float(plan.for_s)
        return post.totals


def _work(
    plan: Plan,
    world: World,
    crew: Crew,
    helper: Helper | None,
    post: Post,
    log: BinaryIO,
    tell: Callable[[float, Totals], None],
    each: Callable[[Sequence[Record]], None],
) -> None:
    end_ns, batch_ns = START_NS + plan.for_s * NS, round(plan.config.gateway.batch_s * NS)
    now_ns, told_s, news = START_NS, plan.start_s, post.news()
    if helper is not None:
        helper.begin(min(now_ns + batch_ns, end_ns), news)
    while now_ns < end_ns:
        now_ns = min(now_ns + batch_ns, end_ns)
        done = [crew.work(now_ns, news)]
        if helper is not None:
            done.append(helper.done())
        news = post.news()  # of the batch before: so nobody has to wait for this one
        if helper is not None and now_ns < end_ns:
            helper.begin(min(now_ns + batch_ns, end_ns), news)
        records = sorted((one for work in done for one in work.records), key=lambda one: (one.mono_ns, one.source))
        tick_ns = max(min(work.floor_ns for work in done), now_ns - 2 * NS)
        records.append(_tick(tick_ns, sorted(name for work in done for name in work.up)))
        each(records)
        post.feed(records, away=plan.is_away(plan.start_s + (now_ns - START_NS) / NS))
        log.writelines(work.truth for work in done)
        until_s = plan.start_s + (now_ns - START_NS) // NS // MINUTE_S * MINUTE_S
        if plan.detail is not Detail.SENT and until_s > told_s:
            said = HeldTruth(sent=False)
            said.tell(lines(world.street, told_s, until_s, plan.detail))
            log.write(said.take())
            told_s = until_s
        tell((now_ns - START_NS) / NS, post.totals)


def _tick(mono_ns: int, up: list[str]) -> Record:
    return Record(RecordKind.TICK, mono_ns, "", encode(Tick(mono_ns, up)))


@contextmanager
def _post(plan: Plan) -> Iterator[Post]:
    """Open the databases; nobody waits for the disk: a power cut costs a virtual day nothing but its repetition."""
    config = plan.config
    folder = config.gateway.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        outbox = Outbox(folder / "gateway.db")
        stack.callback(outbox.close)
        outbox.db.execute("PRAGMA synchronous = OFF")
        store = SqliteStore(plan.folder / STORE)
        stack.callback(store.close)
        yield Post(_core(config, plan.start_s * NS - START_NS), Committer(outbox, terms(config)), outbox, store)


def _core(config: Config, epoch_ns: int) -> Core:
    windows = config.windows
    core = Core({config.hash: plans(config)}, windows.base_s, config.gateway.lateness_s, windows.allowed_lateness_s)
    core.begin(config.hash)
    core.feed([Record(RecordKind.CLOCK, START_NS, "", encode(ClockRecord("virtual", epoch_ns, True, 0)))])
    return core


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave unsaid what a gateway logs of its sensors, look for garbage less often, and give the dice back."""
    log, thresholds = logging.getLogger("gateway"), gc.get_threshold()
    level, dice = log.level, CHANCE.getstate()
    log.setLevel(logging.CRITICAL)  # a week of faults says it a thousand times
    gc.set_threshold(YOUNG, *thresholds[1:])
    try:
        yield
    finally:
        log.setLevel(level)
        CHANCE.setstate(dice)
        gc.set_threshold(*thresholds)
