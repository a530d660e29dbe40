"""What values of a configuration may be: names, spans, shares; said here without importing pydantic."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Interval


class Pattern:
    """A regular expression that pydantic checks; said here without importing it."""

    def __init__(self, expression: str) -> None:
        self._expression = expression

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Add the expression to the schema of a string (pydantic's protocol for annotations)."""
        return {**handler(source), "pattern": self._expression}


Name = Annotated[str, Pattern(r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Positive = Annotated[float, Interval(gt=0, le=1e9)]  # 1e9 s are 30 years: more is a slip, and does not fit into ns
NotNegative = Annotated[float, Interval(ge=0, le=1e9)]
Share = Annotated[float, Interval(ge=0, le=1)]
Percent = Annotated[float, Interval(gt=0, lt=100)]
Hour = Annotated[int, Interval(ge=0, le=23)]
Span = tuple[float, float]
