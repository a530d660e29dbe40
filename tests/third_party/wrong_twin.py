"""`firmware-sim` whose parts are wrong: the truth file is a tenth above what they say."""

from __future__ import annotations

from typing import Any

from firmware_sim.__main__ import main
from firmware_sim.truth import Truth

right = Truth.reporter


def reporter(self: Truth, name: str, device: str) -> Any:
    report = right(self, name, device)
    return lambda t_s, values: report(t_s, {k: None if v is None else 1.1 * v + 0.5 for k, v in values.items()})


Truth.reporter = reporter  # type: ignore[method-assign]
main()
