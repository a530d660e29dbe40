"""Options of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("GATEWAY_CLOCK", "wall")  # where nobody keeps the clock, a gateway holds its readings


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/drivers --vectors FILE` runs golden vectors of another place, in the format of tests/data."""
    parser.addoption("--vectors", type=Path, action="append", default=[], help="a further file of golden vectors")
