"""Other people's drivers, unmodified, read from the simulated parts what the street says. `make test-third-party`.

Slow, and needs .venv/third-party: skipped unless THIRD_PARTY=1. THIRD_PARTY_EVIDENCE names a file for what was read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import CASES, Case, DisagreementError, agree
from third_party_rig import PYTHON, read_all, simulator, truth_of, versions

pytestmark = [
    pytest.mark.skipif(not os.environ.get("THIRD_PARTY"), reason="slow: make test-third-party"),
    pytest.mark.skipif(not PYTHON.exists(), reason=f"{PYTHON} is missing: make test-third-party sets it up"),
    pytest.mark.timeout(600),
]
HERE = [case for case in CASES if not case.only_on_nodes]
WRONG = [case for case in HERE if case.reader in ("sds011lib", "adafruit_ads1x15")]
LEAST = 3


class Run:
    """What was read, what was true, and what shall be kept of it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        with simulator(place, HERE):
            self.read = read_all(place, HERE)
        self.rows: list[dict[str, Any]] = []

    def readings(self, case: Case) -> list[dict[str, float]]:
        found = self.read[case.reader]
        if isinstance(found, AssertionError):
            raise found
        return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    done = Run(tmp_path_factory.mktemp("third"))
    yield done
    evidence = os.environ.get("THIRD_PARTY_EVIDENCE")
    if evidence and len(done.rows) == len(HERE):
        known = versions()
        rows = [row | {"version": known[row["package"].lower().replace("_", "-")]} for row in done.rows]
        Path(evidence).write_text(json.dumps({"drivers": rows}, indent=1) + "\n", encoding="utf-8")


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.reader)
def test_a_driver_reads_what_the_street_says(case: Case, run: Run) -> None:
    readings = run.readings(case)
    assert len(readings) >= LEAST
    truth = agree(case, readings, truth_of(run.place, case))
    run.rows.append({"package": case.package, "part": case.device, "read": readings, "truth": truth})


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.reader)
def test_another_truth_is_noticed(case: Case, run: Run) -> None:
    """The comparison bites: the same readings do not agree with values that are a tenth and a bit higher."""
    off = 3 * max([case.default, *case.close.values()])
    lines = [{k: None if v is None else 1.1 * v + off for k, v in line.items()} for line in truth_of(run.place, case)]
    with pytest.raises(DisagreementError):
        agree(case, run.readings(case), lines)


def test_a_wrong_part_is_noticed(tmp_path: Path) -> None:
    """Negative control of the whole chain: parts that say something else than the street are found out."""
    with simulator(tmp_path, WRONG, wrong=True):
        read = read_all(tmp_path, WRONG)
    for case in WRONG:
        readings = read[case.reader]
        assert not isinstance(readings, AssertionError)
        with pytest.raises(DisagreementError):
            agree(case, readings, truth_of(tmp_path, case))
