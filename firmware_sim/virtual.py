"""Virtual time: twins, acquisition, core, commit and store in one program; a clock that jumps to the next event.

What runs is the real code: the owners of links, the drivers, the core, the committer with its database, and the
embedded store, filled by unfolding the messages as the bridge does. What is left out: the raw log, MQTT and the kernel.
Links take turns, each up to the end of a batch; they know nothing of each other but the board of inputs, which shows
what the batch before has brought.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from firmware_sim.outside import Outside
from firmware_sim.scenario import Scenario, ScenarioError
from firmware_sim.simulation import World, populate
from firmware_sim.street_truth import MINUTE_S, Detail, lines
from firmware_sim.truth import HeldTruth
from firmware_sim.virtual_crew import START_NS, Crew, Helper, halves, missing
from firmware_sim.virtual_post import Post, Totals, TroubledPost, opened
from gateway.acquire import NS
from gateway.config import Config
from gateway.links import group
from gateway.record import Record, RecordKind, Tick, encode
from gateway.supervise import CHANCE

__all__ = ["STORE", "TRUTH", "Plan", "Totals", "run"]
AHEAD = 8  # batches that the second process may be ahead, where none of its parts is told what others measured
YOUNG = 50_000  # objects until the collector looks for cycles; there are hardly any
STORE, TRUTH = "store.db", "truth.jsonl"
IN_TIME = attrgetter("mono_ns", "source")


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
            ahead = 1 if plan.scenario.outside or _is_told(plan.config, theirs) else AHEAD
            helper = Helper(world, plan.config, theirs, plan.start_s, truth, ahead=ahead)
            stack.callback(helper.kill)
        crew = Crew(world, plan.config, mine, plan.start_s, truth)
        outside = Outside(plan.scenario.outside, plan.scenario.seed, plan.begin_s, truth)
        post = stack.enter_context(opened(plan.config, plan.start_s, plan.folder / STORE, outside))
        _work(plan, world, crew, helper, post, log, tell, each)
        end_s = float(plan.start_s + plan.for_s)
        outside.end(end_s)
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
    troubled = post if isinstance(post, TroubledPost) else None
    if troubled is not None:
        troubled.strike(plan.start_s, now_ns)
    until_ns = _until(plan, troubled, now_ns, batch_ns)
    if helper is not None:
        helper.begin(until_ns, news, post.offset_ns)
    begun_ns = until_ns
    while now_ns < end_ns:
        now_ns = until_ns
        done = [crew.work(now_ns, news, post.offset_ns)]
        if helper is not None:
            done.append(helper.done())
        news = post.news()  # of the batch before: so nobody has to wait for this one
        if troubled is None:
            until_ns = min(now_ns + batch_ns, end_ns)
            while helper is not None and helper.free and begun_ns < end_ns:
                begun_ns = min(begun_ns + batch_ns, end_ns)
                helper.begin(begun_ns, news, post.offset_ns)
        records = sorted((one for work in done for one in work.records), key=IN_TIME)
        tick_ns = max(min(work.floor_ns for work in done), now_ns - 2 * NS)
        records.append(_tick(tick_ns, sorted(name for work in done for name in work.up)))
        each(records)
        post.feed(records)
        if troubled is not None:  # nobody may run ahead of what happens now
            troubled.strike(plan.start_s + (now_ns - START_NS) / NS, tick_ns)
            until_ns = _until(plan, troubled, now_ns, batch_ns)
            if helper is not None and now_ns < end_ns:
                helper.begin(until_ns, news, post.offset_ns)
        log.writelines(work.truth for work in done)
        told_s = _tell_street(plan, world, log, told_s, now_ns)
        tell((now_ns - START_NS) / NS, post.totals)


def _is_told(config: Config, links: Collection[str]) -> bool:
    """Whether a part on some links is told what others measured."""
    return any(sensor.inputs for sensor in config.sensor if sensor.link in links)


def _tell_street(plan: Plan, world: World, log: BinaryIO, told_s: int, now_ns: int) -> int:
    """Write what has happened on the street since `told_s`, UTC, in whole minutes; return up to when that is."""
    until_s = plan.start_s + (now_ns - START_NS) // NS // MINUTE_S * MINUTE_S
    if plan.detail is Detail.SENT or until_s <= told_s:
        return told_s
    said = HeldTruth(sent=False)
    said.tell(lines(world.street, told_s, until_s, plan.detail))
    log.write(said.take())
    return until_s


def _until(plan: Plan, troubled: TroubledPost | None, now_ns: int, batch_ns: int) -> int:
    """Return the end of the next batch: something may happen around the sensors before it is full."""
    until_ns = min(now_ns + batch_ns, START_NS + plan.for_s * NS)
    if troubled is None or troubled.outside.next_s > plan.start_s + (until_ns - START_NS) / NS:
        return until_ns
    return max(now_ns + 1, START_NS + round((troubled.outside.next_s - plan.start_s) * NS))


def _tick(mono_ns: int, up: list[str]) -> Record:
    return Record(RecordKind.TICK, mono_ns, "", encode(Tick(mono_ns, up)))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave unsaid what a gateway logs of its sensors, look for garbage less often, and give the dice back.

    What is there already stays there: nobody looks through it for garbage meanwhile.
    """
    log, thresholds = logging.getLogger("gateway"), gc.get_threshold()
    level, dice = log.level, CHANCE.getstate()
    log.setLevel(logging.CRITICAL)  # a week of faults says it a thousand times
    gc.set_threshold(YOUNG, *thresholds[1:])
    gc.freeze()
    try:
        yield
    finally:
        log.setLevel(level)
        CHANCE.setstate(dice)
        gc.unfreeze()
        gc.set_threshold(*thresholds)
