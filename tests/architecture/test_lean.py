"""What the running gateway imports, and so keeps in memory for years: a budget, and names that must not be among it."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

import pytest

from gateway import release
from gateway.release import version
from gateway.service import UNUSED

MOST_MODULES = 530
NOT_THERE = {  # what the check of a configuration needs, what paho would like to have, what reads metadata of packages
    "csv", "email", "http.client", "importlib.metadata", "pydantic", "rich", "typer", "zipfile",
    "gateway.config_file", "gateway.scan", "gateway.store.sqlite", "gateway.bridge",
}  # fmt: skip
RUN = """
import sys
from gateway.put_off import put_off
for name in {names}:
    put_off(name)
import asyncio, sqlite3, gateway.app, gateway.clock
print(*sorted(sys.modules))
"""


def imported(names: tuple[str, ...]) -> set[str]:
    run = [sys.executable, "-c", RUN.format(names=names)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={"PYTHONTZPATH": "/usr/share/zoneinfo"})
    return set(done.stdout.split())


def test_the_gateway_imports_no_more_than_it_needs() -> None:
    modules = imported(UNUSED)
    assert not modules & NOT_THERE
    assert not [name for name in modules if name.startswith("_sysconfigdata")]
    assert len(modules) <= MOST_MODULES


def test_what_is_put_off_would_be_there() -> None:
    """Negative control."""
    assert imported(()) & NOT_THERE == {"email", "http.client"}


def test_what_is_put_off_comes_when_it_is_wanted() -> None:
    code = """
from gateway.put_off import put_off
put_off("urllib.request")
import urllib.request
print(urllib.request.Request("http://post/").host)
from urllib.request import getproxies
getproxies()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "post\n"


def test_the_version_is_that_of_the_installation() -> None:
    assert version() == importlib.metadata.version("lamppost")


def test_the_version_is_found_however_it_was_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "FOLDER", re.compile("nothing is called so"))
    assert version() == importlib.metadata.version("lamppost")
