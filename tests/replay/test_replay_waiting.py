"""Readings that wait to be judged: nothing is lost or changed, whenever they are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from replay_site import new_core, site, whole
from replay_street import street

from gateway import waiting
from gateway.block import Block, Slots
from gateway.waiting import follows, together

NS = 1_000_000_000


def reading(first_s: int, n: int, until_s: int) -> tuple[Block, Slots]:
    t = (first_s + np.arange(n, dtype=np.int64)) * NS
    table = np.ones((n, 2), np.uint8)
    block = Block(t, t[:, None] * [1.0, 2.0], table, table.astype(np.uint16), np.ones(n), until_s * NS)
    return block, Slots(t, np.zeros(n, np.uint8))


def test_readings_are_put_behind_each_other() -> None:
    parts = [reading(0, 3, 5), reading(5, 0, 10), reading(10, 2, 15), reading(15, 0, 12)]
    block, slots = together(parts)
    assert (block.t // NS).tolist() == [0, 1, 2, 10, 11]
    assert block.v.tolist() == [[t, 2.0 * t] for t in block.t.tolist()]
    assert block.until_ns == 15 * NS, "what was known is not forgotten"
    assert (slots.t // NS).tolist() == [0, 1, 2, 10, 11]
    assert together([reading(0, 0, 7), reading(0, 0, 8)])[0].v.shape == (0, 2)


def test_what_is_older_does_not_follow() -> None:
    held = [reading(0, 3, 5), reading(5, 0, 10)]
    assert follows(held, reading(2, 1, 12)[0])
    assert follows(held, reading(0, 0, 12)[0])
    assert not follows(held, reading(1, 1, 12)[0])


def test_the_windows_are_the_same_at_once_or_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config, records = site(tmp_path), list(street(180, seed=3))
    later = [whole(one) for one in new_core(config).feed(records)]
    monkeypatch.setattr(waiting, "ENOUGH", 0)
    core = new_core(config)
    at_once = [whole(one) for record in records for one in core.feed([record])]
    assert later == at_once
    assert len(later) == 3
