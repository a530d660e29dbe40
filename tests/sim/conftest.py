from __future__ import annotations

import pytest
from still_street import Heard, StillStreet


@pytest.fixture
def still() -> StillStreet:
    return StillStreet()


@pytest.fixture
def heard() -> Heard:
    return Heard()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, unless it is asked for by its mark."""
    if "slow" in (config.getoption("-m") or ""):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]
