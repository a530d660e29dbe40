from __future__ import annotations

import pytest
from still_street import Heard, StillStreet


@pytest.fixture
def still() -> StillStreet:
    return StillStreet()


@pytest.fixture
def heard() -> Heard:
    return Heard()
