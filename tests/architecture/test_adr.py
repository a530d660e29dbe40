"""The decisions: numbered without gaps, of one shape, each in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"
PAGES = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
HEADINGS = ["Context", "Decision", "Consequences", "Measured"]
ONE_PAGE_LINES = 70
STATUS = re.compile(r"accepted|superseded by \d{4}")


def faults(name: str, text: str) -> list[str]:
    """Say everything that is wrong with the shape of one decision."""
    number, found = name[:4], []
    if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name):
        found.append("file name")
    lines = text.splitlines()
    if not lines or not lines[0].startswith(f"# {number} "):
        found.append("title")
    status = [line.removeprefix("Status: ") for line in lines if line.startswith("Status: ")]
    if len(status) != 1 or not STATUS.fullmatch(status[0]):
        found.append("status")
    sections = re.split(r"(?m)^## ", text)[1:]
    if [section.partition("\n")[0] for section in sections] != HEADINGS:
        found.append("headings")
    if any(not section.partition("\n")[2].strip() for section in sections):
        found.append("empty section")
    if len(lines) > ONE_PAGE_LINES:
        found.append("longer than a page")
    return found


def test_numbers_have_no_gaps() -> None:
    assert [path.name[:4] for path in PAGES] == [f"{number:04d}" for number in range(1, len(PAGES) + 1)]
    assert len(PAGES) >= 8


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name[:4])
def test_each_has_the_shape(path: Path) -> None:
    assert faults(path.name, path.read_text(encoding="utf-8")) == []


def test_the_index_names_each_once_and_nothing_else() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| \[(\d{4})\]\(([^)]+)\) \| (.+) \|$", index)
    titles = {path.name: path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")[5:] for path in PAGES}
    assert [name for _, name, _ in rows] == [path.name for path in PAGES]
    assert all(number == name[:4] for number, name, _ in rows)
    assert {name: title for _, name, title in rows} == titles


@pytest.mark.parametrize("path", [*PAGES, DECISIONS / "README.md"], ids=lambda path: path.name[:4])
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("0001-Big.md", "# 0001 a\nStatus: accepted\n", "file name"),
        ("0001-a.md", "# 0002 a\n", "title"),
        ("0001-a.md", "# 0001 a\nStatus: perhaps\n", "status"),
        ("0001-a.md", "# 0001 a\n## Context\nx\n## Decision\nx\n", "headings"),
        ("0001-a.md", "# 0001 a\n## Context\n## Decision\nx\n## Consequences\nx\n## Measured\nx\n", "empty section"),
        ("0001-a.md", "# 0001 a\n" + "x\n" * ONE_PAGE_LINES, "longer than a page"),
    ],
)
def test_a_bad_shape_is_seen(name: str, text: str, fault: str) -> None:
    assert fault in faults(name, text)
