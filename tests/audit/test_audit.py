"""The audit: not looking is not the same as not finding; and every pinned file has hashes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.audit.__main__ import CLEAN, FOUND, UNKNOWN, read_audit, verdict_of

ROOT = Path(__file__).parents[2]
FILES = sorted(ROOT.glob("requirements*.txt"))
GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-2026-1"}]}
PASSED_OVER = {"name": "c", "skip_reason": "not found"}
PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([\w.]+)(?: ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([GOOD], CLEAN), ([GOOD, BAD], FOUND), ([BAD, PASSED_OVER], FOUND), ([GOOD, PASSED_OVER], UNKNOWN),
        ([PASSED_OVER], UNKNOWN), ([], UNKNOWN),
    ],
)  # fmt: skip
def test_what_was_passed_over_is_not_clean(said: list[object], code: int) -> None:
    assert read_audit(json.dumps({"dependencies": said})).code == code


@pytest.mark.parametrize("said", ["", "no JSON", "[]", "{}", "null"])
def test_no_answer_is_not_clean(said: str) -> None:
    assert read_audit(said).code == UNKNOWN


def test_a_finding_is_worse_than_not_knowing() -> None:
    assert [verdict_of(codes) for codes in ([0, 0], [0, 3], [3, 1, 0])] == [CLEAN, UNKNOWN, FOUND]


def faults(text: str) -> list[str]:
    """Say what is wrong with a file of requirements: each pinned to one version, each with at least two hashes."""
    found, name, hashes = [], "", 2
    for line in (line for line in text.splitlines() if line and not line.startswith(("#", "-r "))):
        if HASH.match(line):
            hashes += 1
            continue
        found += [f"{name}: {hashes} hashes"] if hashes < 1 else []
        pinned = PINNED.match(line)
        name, hashes = (pinned[1], 0) if pinned else ("", 2)
        found += [] if pinned else [f"not pinned: {line}"]
    return [*found, *([f"{name}: {hashes} hashes"] if hashes < 1 else [])]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_everything_is_pinned_and_hashed(path: Path) -> None:
    text = path.read_text()
    assert faults(text) == []
    assert "==" in text
    assert "://" not in text, "no host is named: whoever installs may have a mirror"


def test_control_a_missing_hash_or_version_is_seen() -> None:
    good = "a==1 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    assert faults(good) == []
    assert faults(good + "b==1 \\\n" + good) == ["b: 0 hashes"]
    assert faults(good + "b>=1\n") == ["not pinned: b>=1"]
    assert faults(good + "b==1 \\\n") == ["b: 0 hashes"]


def test_make_installs_nothing_without_its_hash() -> None:
    for line in (ROOT / "Makefile").read_text().splitlines():
        if "pip install" in line and "-r requirements" in line:
            assert "--require-hashes" in line
