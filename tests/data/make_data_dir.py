"""Make the data directory of a release, which later versions must open: `python tests/data/make_data_dir.py FOLDER`.

Eleven minutes of three SEN55 (bench/outage_parts.py) through this version's own journal: some messages receipted, one
dead, one sent, the others not, an event, and a raw log that goes on behind the last commit. It is
as after a power cut: nothing was closed. What must be read from it is written into expected.json beside.

Make a new folder for a release, data_dir_2 and so on; those of before stay as they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import sys
import tarfile
import tempfile
from collections import Counter
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.outage import Post, site
from bench.outage_parts import MINUTE, START_NS, SetClock
from gateway import history
from gateway.accounts import account
from gateway.history import ARRAYS
from gateway.rawblock import pack
from gateway.rawlog import read

MINUTES, RAW_MINUTES = 11, 2
MORE = "[rawlog]\nsegment_mb = 0.25\nkeep_mb = 1\nrecent_mb = 1\n[outbox]\nballast_mb = 0\n"
ARCHIVE, EXPECTED = "data.tar.xz", "expected.json"


def facts(data: Path, widths: dict[str, int] | None = None) -> dict[str, Any]:
    """Read a data directory as this version does, without changing anything.

    `widths` are the arrays of a window as the release had them, and how wide each was: later ones may have more.
    """
    with closing(sqlite3.connect(data / "gateway.db")) as db:
        messages, points, queue = account(db)
        rows = db.execute("SELECT seq, period_s, start_ns, rev, keys, sent, payload FROM message ORDER BY seq")
        kinds: Counter[str] = Counter()
        digest = hashlib.sha256()
        batches = 0
        for _, records in read(data):
            batches += 1
            kinds.update(record.kind.name for record in records)
            digest.update(pack(records))
        bases = list(history.between(db, 0, 1 << 62))
        widths = widths or {name: getattr(bases[0], name).shape[-1] for name in ARRAYS}
        return {
            "messages": messages._asdict(),
            "points": points._asdict(),
            "queue": queue._asdict(),
            "waiting": [[*row, hashlib.sha256(payload).hexdigest()] for *row, payload in rows],
            "history": [[one.start_ns, one.rev, _digest(one, widths)] for one in bases],
            "widths": widths,
            "epoch": db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0],
            "state": list(db.execute("SELECT config, segment, offset FROM state").fetchone()),
            "raw_log": {"batches": batches, "records": dict(sorted(kinds.items())), "sha256": digest.hexdigest()},
        }


def _digest(one: Any, widths: dict[str, int]) -> str:
    arrays = [getattr(one, name)[..., :width].astype(float).tobytes() for name, width in sorted(widths.items())]
    rest = repr([(name, getattr(one, name)) for name in ("series", "kind", "sensors", "samples", "codes", "seen")])
    return hashlib.sha256(b"".join(arrays) + rest.encode()).hexdigest()


async def live(folder: Path) -> Post:
    """Let the minutes pass, with everything that a queue may hold."""
    clock = SetClock()
    post = Post(site(folder, MINUTES, MORE), clock, seed=3)
    outbox = post.journal.outbox
    for n in range(MINUTES):
        clock.pass_(post.next_ns - clock.utc_ns())
        await post.live()
        if n == 4:
            outbox.release([1, 2], "receipted", clock.utc_ns())
            outbox.release([3], "dead", clock.utc_ns())
            outbox.mark_sent(4)
        if n == 6:
            outbox.tell({"v": 1, "what": "an event of a release"}, clock.utc_ns())
    post.minutes += [0] * RAW_MINUTES  # they are logged, and never committed
    for n in range(MINUTES, MINUTES + RAW_MINUTES):
        clock.pass_(MINUTE)
        post.journal.take(post.air.minute(START_NS + n * MINUTE))
    post.journal.rawlog.sync()
    return post


def make(target: Path) -> None:
    """Make the archive and what is expected of it."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(_make(folder, target))


async def _make(folder: Path, target: Path) -> None:
    post = await live(folder)
    with tarfile.open(target / ARCHIVE, "w:xz") as archive:
        for path in sorted((folder / "data").rglob("*")):
            if path.is_file() and not path.name.endswith("-shm"):
                archive.add(path, str(path.relative_to(folder / "data")), filter=_plain)
    site_text = (folder / "site.toml").read_text(encoding="utf-8").splitlines()
    site_text = ['extends = "../../../configs/base.toml"' if one.startswith("extends") else one for one in site_text]
    (target / "site.toml").write_text("\n".join(site_text) + "\n", encoding="utf-8")
    expected = {"version": version("lamppost"), **facts(folder / "data")}
    (target / EXPECTED).write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    post.cut_power()


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


if __name__ == "__main__":
    make(Path(sys.argv[1]))
