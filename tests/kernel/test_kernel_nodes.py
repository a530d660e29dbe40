"""The simulated parts behind true /dev nodes, under a Linux of its own. `make test-kernel`.

Skipped unless KERNEL_TEST=1, and where a guest cannot be run. KERNEL_EVIDENCE names a file for what was seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from uml import HERE, Run, missing, run

pytestmark = [
    pytest.mark.skipif(not os.environ.get("KERNEL_TEST"), reason="slow: make test-kernel"),
    pytest.mark.skipif(bool(missing()), reason=missing() or "a guest can be run"),
    pytest.mark.timeout(400),
]
STEPS = (
    "start", "nodes", "smbus2_on_a_node", "pyserial_on_a_node", "other_drivers_on_nodes", "unplugged_while_open",
    "gateway_survives_the_plug",
)  # fmt: skip


@pytest.fixture(scope="module")
def guest() -> Iterator[Run]:
    done = run(HERE / "guest.py", 300.0)
    yield done
    evidence = os.environ.get("KERNEL_EVIDENCE")
    if evidence and all(done.results.get(step, {}).get("ok") for step in STEPS):
        Path(evidence).write_text(json.dumps(done.results, indent=1) + "\n", encoding="utf-8")


@pytest.mark.parametrize("step", STEPS)
def test_a_step_in_the_guest(step: str, guest: Run) -> None:
    assert step in guest.results, guest.console[-3000:]
    assert guest.results[step]["ok"], guest.results[step].get("why")
