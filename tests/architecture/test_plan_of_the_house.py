"""The plan of the house names every module of the gateway once, so that a stranger finds it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

GATEWAY = Path(__file__).parents[2] / "gateway"


def test_every_module_is_on_the_plan_once() -> None:
    rows = re.findall(r"^\|[^|]+\|([^|]+)\|$", (GATEWAY / "README.md").read_text(), re.MULTILINE)
    named = Counter(name for row in rows for name in re.findall(r"`(\w+)`", row))
    there = {path.stem for path in GATEWAY.glob("*.py")} - {"__init__"}
    assert set(named) == there
    assert max(named.values()) == 1


def test_every_room_is_on_the_plan() -> None:
    text = (GATEWAY / "README.md").read_text()
    rooms = {path.parent.name for path in GATEWAY.glob("*/__init__.py")}
    assert rooms == set(re.findall(r"`(\w+)/`", text)) - {"gateway"}
