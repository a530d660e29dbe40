"""The documentation names no command and no option that does not exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from firmware_sim.__main__ import app as simulator
from gateway.__main__ import app as gateway

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
PROGRAMS = {"gateway": typer.main.get_command(gateway), "firmware-sim": typer.main.get_command(simulator)}
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
ENDS = ("|", ";", "&&", "&", ">", "#")


def commands(text: str) -> Iterator[list[str]]:
    """Find what a page tells its reader to type: in blocks of shell, and between single quotes of code."""
    blocks = [block.replace("\\\n", " ") for block in FENCE.findall(text)]
    lines = [line for block in blocks for line in block.splitlines()] + INLINE.findall(text)
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # prose, or the middle of a here-document
        for at, word in enumerate(words):
            name = word.rpartition("/")[2]
            if name in PROGRAMS and words[:at][-1:] in ([], ["sudo"], ["&&"], [";"], ["|"]):
                end = next((i for i in range(at, len(words)) if words[i] in ENDS), len(words))
                yield [name, *words[at + 1 : end]]


def trouble(words: list[str]) -> str:
    """Say what of a command does not exist; empty if all of it does."""
    command: Any = PROGRAMS[words[0]]
    rest = words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        verb = rest.pop(0)
        if not re.fullmatch(r"[a-z][a-z-]+", verb):
            return ""  # a place for a word, such as VERB or ...
        if verb not in command.commands:
            return f"{' '.join(words)}: there is no {verb!r}"
        command = command.commands[verb]
    known = {"--help", *(one for option in command.params for one in (*option.opts, *option.secondary_opts))}
    strange = [word for word in rest if re.fullmatch(r"--[a-z][a-z-]*", word) and word not in known]
    return f"{' '.join(words)}: there is no option {strange[0]}" if strange else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_exists(page: Path) -> None:
    assert [said for words in commands(page.read_text(encoding="utf-8")) if (said := trouble(words))] == []


def test_the_tutorial_is_looked_at() -> None:
    found = list(commands((ROOT / "docs" / "tutorial" / "README.md").read_text(encoding="utf-8")))
    assert {words[1] for words in found} >= {"run", "bridge", "check", "scan", "status", "verify", "ctl"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("`gateway runs SITE`", "there is no 'runs'"),
        ("`firmware-sim ctl unplugged pm`", "there is no 'unplugged'"),
        ("```sh\nsudo /opt/lamppost/bin/gateway verify SITE --since 7d  # a week\n```", "there is no option --since"),
    ],
)
def test_what_does_not_exist_is_found(line: str, what: str) -> None:
    (words,) = commands(line)
    assert trouble(words).endswith(what)
