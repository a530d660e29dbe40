"""How much the tests of whole gateways do: quick by default, more for the evidence of a release."""

from __future__ import annotations

import pytest

KILLS, HOURS, ORDERS, DAMAGES, PACED = 20, 1, 2, 2, 4


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `pytest tests/system`; elsewhere the defaults hold."""
    group = parser.getgroup("system", "tests of whole gateways")
    group.addoption("--kills", type=int, default=KILLS, help=f"processes to kill in a run (default {KILLS})")
    group.addoption("--outage-hours", type=int, default=HOURS, help=f"of a broker that is away (default {HOURS})")
    group.addoption("--orders", type=int, default=ORDERS, help=f"orders of starting to try (default {ORDERS})")
    group.addoption("--damages", type=int, default=DAMAGES, help=f"damages of each sort to try (default {DAMAGES})")
    group.addoption("--paced-minutes", type=int, default=PACED, help=f"of a street at ten times the speed ({PACED})")


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a gateway write its status every second, as if systemd asked for it; without windows it is every 10 s."""
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")


@pytest.fixture
def kills(pytestconfig: pytest.Config) -> int:
    n: int = pytestconfig.getoption("--kills", KILLS)
    return n


@pytest.fixture
def outage_hours(pytestconfig: pytest.Config) -> int:
    n: int = pytestconfig.getoption("--outage-hours", HOURS)
    return n


@pytest.fixture
def orders(pytestconfig: pytest.Config) -> int:
    n: int = pytestconfig.getoption("--orders", ORDERS)
    return n


@pytest.fixture
def damages(pytestconfig: pytest.Config) -> int:
    n: int = pytestconfig.getoption("--damages", DAMAGES)
    return n


@pytest.fixture
def paced_minutes(pytestconfig: pytest.Config) -> int:
    n: int = pytestconfig.getoption("--paced-minutes", PACED)
    return n
