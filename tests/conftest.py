"""Options of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# `make test` has five minutes for all: forty examples where a test does not say how many. Before a release:
# make test ARGS=--hypothesis-profile=full
settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("full", max_examples=400, deadline=None)
settings.load_profile("quick")
os.environ.setdefault("GATEWAY_CLOCK", "wall")  # where nobody keeps the clock, a gateway holds its readings


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/drivers --vectors FILE` runs golden vectors of another place, in the format of tests/data."""
    parser.addoption("--vectors", type=Path, action="append", default=[], help="a further file of golden vectors")
