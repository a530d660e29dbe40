"""`python -m bench.wear [--for S] [--mount OPTIONS] [--json]`: what our gateways write to the card, by file; as root.

The two gateways of `bench.delivery` (with a raw log and without), their simulated parts, a broker and the bridge, each
gateway with a file system of its own in a loop device. The kernel tells each block that goes to a device; afterwards
each is looked up: in which file it lies, in the journal of the file system, or else in its metadata. Ends with 1 when a
gateway writes more, or takes more memory, than it may; `--json` writes docs/evidence/wear.json.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import evidence
from bench.delivery import card
from bench.delivery.card import BLOCK_BYTES, SECTOR_BYTES, Card
from bench.delivery.report import MOST_MB_PER_DAY, MOST_RSS_MB
from bench.delivery.run import LAMPPOSTS, Run
from bench.delivery.timeline import Phase, Timeline

TRACES = Path("/sys/kernel/tracing")
EVENT = "events/block/block_rq_issue/enable"
WRITE = re.compile(r"block_rq_issue: (?P<device>\d+,\d+) \w*W\w* \d+ \(.*?\) (?P<sector>\d+) \+ (?P<sectors>\d+)")
EXTENT = re.compile(r"^\s*\d+:\s*\d+\.\.\s*\d+:\s*(\d+)\.\.\s*(\d+):", re.MULTILINE)  # of filefrag -v
JOURNAL = re.compile(r"\(\d+(?:-\d+)?\):(\d+)(?:-(\d+))?")  # of debugfs: stat <8>
Blocks = dict[int, str]


def main() -> int:
    """Run and print kB a minute and MB a day, by file."""
    parser = argparse.ArgumentParser(prog="python -m bench.wear", description=__doc__)
    parser.add_argument("--for", dest="for_s", type=float, default=600.0, help="seconds that are counted")
    parser.add_argument("--mount", default=card.MOUNT, help="options of the file systems")
    parser.add_argument("--json", action="store_true", help="write docs/evidence/wear.json")
    args = parser.parse_args()
    card.MOUNT = args.mount
    found: dict[str, dict[str, Any]] = {}
    timeline = Timeline(60, 3600, 45.0, args.for_s, (Phase("end", 0.0),), 0.0)
    if not (TRACES / "trace").exists():
        subprocess.run(["mount", "-t", "tracefs", "none", str(TRACES)], check=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, tempfile.TemporaryDirectory(dir="/var/tmp") as disk:
        one = Run(Path(folder), Path(disk), timeline, list(LAMPPOSTS), Path(sys.executable))
        try:
            span = one._lead_in()
            with _traced() as trace:
                one._quiet(span)
                told = trace.read_text()
            for name, system in one.systems.items():
                by_file = _by_file(system.card, told)
                _print(name, by_file, one._written[name], args.for_s)
                found[name] = _figures(by_file, one._written[name], args.for_s) | one._meters[name].figures(args.for_s)
                print(f"  memory: {found[name]['rss_peak_mb']} MB at the peak")
        finally:
            try:
                one._stop()
            finally:
                one.close()
    too_much = [name for name, limit in MOST_MB_PER_DAY.items() if found[name]["mb_a_day"] > limit]
    too_much += [f"memory of {name}" for name, mine in found.items() if mine["rss_peak_mb"] > MOST_RSS_MB]
    if args.json:
        limits = {"mb_a_day": MOST_MB_PER_DAY, "rss_peak_mb": MOST_RSS_MB}
        figures = {"seconds": args.for_s, "mount": args.mount, "limits": limits, "ok": not too_much, "systems": found}
        evidence.write("wear", figures)
    print(f"more than allowed: {', '.join(too_much)}" if too_much else "all within the limits")
    return 1 if too_much else 0


def _figures(by_file: Counter[str], whole: int, for_s: float) -> dict[str, Any]:
    """Return MB a day: all that counts, and what of it was seen to go to which file."""

    def a_day(n: int) -> float:
        return round(n * 86_400 / for_s / 1e6, 1)

    return {"mb_a_day": a_day(whole), "by_file_mb_a_day": {what: a_day(n) for what, n in by_file.most_common()}}


@contextmanager
def _traced() -> Iterator[Path]:
    """Let the kernel tell of each write to a block device; yield the file that it tells it in."""
    own = TRACES / "instances" / "lamppost-wear"
    own.mkdir()
    try:
        (own / "buffer_size_kb").write_text("8192")
        (own / EVENT).write_text("1")
        yield own / "trace"
    finally:
        (own / EVENT).write_text("0")
        own.rmdir()


def _by_file(of: Card, told: str) -> Counter[str]:
    """Add up the bytes of each file of a card."""
    number = Path(f"/sys/block/{of.device}/dev").read_text().strip().replace(":", ",")
    blocks, out = _blocks(of), Counter[str]()
    per_block = BLOCK_BYTES // SECTOR_BYTES
    for match in WRITE.finditer(told):
        if match["device"] == number:
            first, n = int(match["sector"]) // per_block, int(match["sectors"]) // per_block
            for block in range(first, first + n):
                out[blocks.get(block, "metadata of the file system")] += BLOCK_BYTES
    return out


def _blocks(of: Card) -> Blocks:
    """Tell what lies in each block of a card."""
    said = subprocess.run(
        ["debugfs", "-R", "stat <8>", f"/dev/{of.device}"], capture_output=True, text=True, check=True
    ).stdout
    spans = [("journal of the file system", int(first), int(last or first)) for first, last in JOURNAL.findall(said)]
    for path in of.folder.rglob("*"):
        if path.is_file():
            name = "raw log" if path.name.startswith("ring-") else path.name
            listed = subprocess.run(["filefrag", "-e", "-b4096", "-v", str(path)], capture_output=True, text=True)  # noqa: PLW1510
            spans += [(name, int(first), int(last)) for first, last in EXTENT.findall(listed.stdout)]
    return {block: name for name, first, last in spans for block in range(first, last + 1)}


def _print(name: str, by_file: Counter[str], whole: int, for_s: float) -> None:
    owed = whole - by_file.total()
    print(f"{name}: {whole * 86400 / for_s / 1e6:.1f} MB a day")
    for what, n in [*by_file.most_common(), ("still to be brought home", max(0, owed))]:
        print(f"  {what:30} {n * 60 / for_s / 1e3:7.1f} kB a minute {n * 86400 / for_s / 1e6:7.1f} MB a day")


if __name__ == "__main__":
    sys.exit(main())
