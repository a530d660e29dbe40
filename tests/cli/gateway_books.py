"""A data directory and a store as a gateway and a bridge leave them, without either of them running."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivers.base import Kind
from gateway import in_force, wire
from gateway.block import MISS_BASE, Block, Reason, Slots, Windows
from gateway.commit import Committer
from gateway.config import Config
from gateway.config_file import load
from gateway.core import Core, Plan
from gateway.expected import _core
from gateway.journal import terms
from gateway.outbox import Outbox, SavedState
from gateway.pipeline.windows import add, close_all
from gateway.store.base import Store
from gateway.store.sqlite import SqliteStore

NS = 1_000_000_000
HOUR = 3600 * NS
T_NS = 1_767_225_600 * NS  # 2026-01-01T00:00:00Z
BASE_S = 600
SITE = """\
[site]
name = "street"
timezone = "Europe/Bucharest"
[gateway]
name = "{gateway}"
data_dir = "gateway"
[windows]
base_s = 600
long_s = [3600]
running_s = [[28800, 3600]]
local = ["day", "evening", "night", "local_day", "den"]
[windows.percentiles]
scalar = [50]
level = [10, 90]
[bridge]
data_dir = "bridge"
[[sensor]]
name = "pm"
driver = "sds011"
port = "/dev/ttyUSB0"
[[sensor]]
name = "mic"
driver = "nsrt_mk4"
port = "/dev/ttyUSB1"
{more}
"""


@dataclass
class Post:
    """One gateway's data directory, written with the gateway's own committer, and its embedded store."""

    folder: Path
    site: Path
    config: Config
    core: Core
    outbox: Outbox

    @property
    def plans(self) -> dict[str, Plan]:
        return dict(self.core._plans)

    def window(self, start_ns: int, seed: int = 0) -> Windows:
        """Close one base window of arbitrary readings, some slots missing and some rejected."""
        rng = np.random.default_rng([seed, start_ns // NS])
        pairs = []
        for plan in self.plans.values():
            spec = plan.spec
            t = np.arange(start_ns, start_ns + BASE_S * NS, max(spec.slot_ns, 10 * NS), dtype=np.int64)
            shape = (len(t), len(spec.channels))
            level = np.array([one.kind is Kind.LEVEL for one in spec.channels])
            v = np.round(np.where(level, rng.normal(60.0, 6.0, shape), rng.gamma(2.0, 5.0, shape)), 1)
            flag = rng.choice(np.array([1, 2, 3], np.uint8), shape, p=[0.8, 0.1, 0.1])
            reason = np.where(flag == 3, int(Reason.STEP), 0).astype(np.uint16)
            block = Block(t, v, flag, reason, np.ones(len(t)), int(t[-1]) + 1)
            code = np.zeros(len(t), np.uint8)
            code[1::20], code[2::30] = 3, MISS_BASE
            pairs.append((spec, add(spec.initial(), block, Slots(t, code), 0)))
        return close_all(pairs, start_ns, BASE_S)[1]

    def commit(self, windows: Iterable[Windows], until_ns: int | None = None) -> None:
        for one in windows:
            watermark_ns = until_ns or one.start_ns + BASE_S * NS
            committer = Committer(self.outbox, terms(self.config))
            committer.write([one], SavedState("c", 1, 0, b""), watermark_ns, self.core)

    def run(self, start_ns: int, hours: float, seed: int = 0) -> None:
        """Close and commit the base windows of some hours."""
        n = round(hours * 3600 / BASE_S)
        self.commit(self.window(start_ns + i * BASE_S * NS, seed) for i in range(n))

    def deliver(self, store: Store, wanted: Callable[[int], bool] = lambda seq: True, delay_s: float = 2.0) -> int:
        """Write what is queued into the store and give the receipts; return how many messages."""
        n = 0
        for seq in sorted(self.outbox.queued):
            payload = self.outbox.payload(seq) if wanted(seq) else None
            if payload is not None:
                message = wire.unpack_windows(payload)
                store.write(list(wire.points(message)))
                at_ns = message.start_ns + message.period_s * NS + round(delay_s * NS)
                self.outbox.release([seq], "receipted", at_ns)
                n += 1
        self.outbox.commit()
        return n

    @contextmanager
    def store(self) -> Iterator[SqliteStore]:
        with closing(SqliteStore(self.folder / "bridge" / "store.db")) as store:
            yield store

    def edit_store(self, statement: str, *values: object) -> int:
        """Damage the store behind the back of all programs; return how many rows that changed."""
        with closing(sqlite3.connect(self.folder / "bridge" / "store.db", isolation_level=None)) as db:
            return db.execute(statement, values).rowcount


@contextmanager
def delivered(folder: Path, start_ns: int, hours: float) -> Iterator[Post]:
    """Make a gateway that has run for some hours, and a store that has all of it."""
    with post(folder) as one:
        one.run(start_ns, hours)
        with one.store() as store:
            one.deliver(store)
        yield one


@contextmanager
def post(folder: Path, *, gateway: str = "post-7", more: str = "") -> Iterator[Post]:
    folder.mkdir(parents=True, exist_ok=True)
    site = folder / "site.toml"
    site.write_text(SITE.format(gateway=gateway, more=more))
    config = load(site)
    with closing(Outbox(config.gateway.data_dir / "gateway.db")) as outbox:
        outbox.db.execute("PRAGMA synchronous = OFF")
        in_force.begin(outbox, config)
        yield Post(folder, site, config, _core(config), outbox)
