"""Names of test modules: they are imported by their last name alone, so each stands once in the whole tree."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
EVERYWHERE = ("__init__.py", "__main__.py", "conftest.py")


def twice(names: list[str]) -> list[str]:
    return [name for name, n in Counter(names).items() if n > 1 and name not in EVERYWHERE]


def test_no_two_modules_of_the_tests_have_one_name() -> None:
    names = [path.name for path in TESTS.rglob("*.py")]
    assert len(names) > 100
    assert not twice(names), "rename one of them"


def test_two_of_one_name_are_seen() -> None:
    assert twice(["rig.py", "conftest.py", "rig.py", "conftest.py"]) == ["rig.py"]
