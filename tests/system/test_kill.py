"""Whatever is killed, and whenever: every window the gateway has committed is in the store, once and unchanged."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from compare import in_history, need_mosquitto
from rig import FULL_KILLS, PARTS, QUICK, Rig

from bench import evidence
from gateway.demo import Settings

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]


@pytest.mark.parametrize(("broker", "seed"), [("iotcore", 7), ("mosquitto", 11)])
def test_no_committed_window_is_lost_doubled_or_changed(broker: str, seed: int, kills: int, tmp_path: Path) -> None:
    """kill -9 of gateway, bridge, broker and simulator at random moments, also while they start."""
    if broker == "mosquitto":
        need_mosquitto()
    dice, died, begun_s = random.Random(seed), Counter[str](), time.monotonic()
    rig = Rig(tmp_path / "demo", broker)
    rig.start()
    try:
        for n in range(kills):
            victim = PARTS[n % 4] if n < 4 else dice.choice(PARTS)
            time.sleep(dice.uniform(0.2, 3.0))
            rig.kill_part(victim)
            died[victim] += 1
            time.sleep(dice.uniform(0.0, 0.6))
            rig.start_part(victim)
        rig.wait_for_windows(3)
        rig.wait_for_frames()
        books = rig.settle()
    finally:
        rig.stop()
    assert not books.troubles(), books
    assert books.bases > 3
    heard = {dict(tags)["sensor"] for (what, tags, _), f in books.stored.items() if what == "ledger" and f["valid"]}
    assert heard == {"pm-north", "noise", "radar", "air", "weather", "board"}
    if kills >= FULL_KILLS:
        figures = {
            "kills": dict(died), "seconds": round(time.monotonic() - begun_s), "base_windows": books.bases,
            "messages": books.messages.produced, "points": len(books.committed), "lost": len(books.lost),
            "doubled": books.doubled, "changed": len(books.changed), "dead": books.points.dead,
            "ledger_rows": sum(what == "ledger" for what, *_ in books.stored), "open_rows": len(books.open_rows),
        }  # fmt: skip
        evidence.write("kills", figures, part=broker)


def made(rig: Rig) -> int:
    """Return the number of the next message."""
    return int(rig.read("SELECT value FROM meta WHERE key = 'next_seq'")[0])


def waiting(rig: Rig, since: int) -> int:
    """Count the messages from a number on that are still in the outbox."""
    return int(rig.read(f"SELECT count(*) FROM message WHERE seq >= {since}")[0])


def test_puback_alone_loses_windows(tmp_path: Path) -> None:
    """Negative control: with `confirm = "puback"` a broker that dies takes windows with it, and the test sees it."""
    settings = Settings(base_s=QUICK.base_s, long_s=QUICK.long_s, mqtt='confirm = "puback"')
    rig = Rig(tmp_path / "demo", "iotcore", settings)
    rig.start()
    try:
        rig.wait(lambda: bool(rig.stored()), "the first window in the store")
        rig.kill_part("bridge")  # it has subscribed: the broker queues for it, and acknowledges
        before = made(rig)
        rig.wait(lambda: made(rig) - before - waiting(rig, before) >= 2, "windows that only the broker has")
        rig.kill_part("broker")
        rig.start_part("broker")
        rig.start_part("bridge")
        rig.wait_for_windows(1)
    finally:
        rig.stop()
    assert in_history(rig.site).keys() - rig.stored().keys()
