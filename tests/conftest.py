"""Options of the whole suite."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
import typer.testing
from hypothesis import settings

# `make test` has five minutes for all: forty examples where a test does not say how many. Before a release:
# make test ARGS=--hypothesis-profile=full
settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("full", max_examples=400, deadline=None)
# What decides whether a change lands draws the same examples each time: it is not blamed for an old fault.
settings.register_profile("gate", settings.get_profile("quick"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
# The tree of verbs is the same each time, and slow to make.
typer.testing._get_command = cache(typer.testing._get_command)  # type: ignore[attr-defined]
os.environ.setdefault("GATEWAY_CLOCK", "wall")  # where nobody keeps the clock, a gateway holds its readings
# Modules that take long begin first, so that no worker is left alone with one at the end.
LONG = ("test_conformance_faults", "test_replay_killed", "test_closed_loop", "test_conformance", "test_replay_local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules of LONG first; the order within a module stays."""
    rank = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/drivers --vectors FILE` runs golden vectors of another place, in the format of tests/data."""
    parser.addoption("--vectors", type=Path, action="append", default=[], help="a further file of golden vectors")
