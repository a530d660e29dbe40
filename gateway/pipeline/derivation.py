"""What a kind of derived channel declares: its parts, what a site must say of it, and the function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from drivers.base import Channel, Option, Options
from gateway.block import F8, Reason

NO_UNITS: Mapping[str, float] = MappingProxyType({})


class Part(NamedTuple):
    """A channel that a derivation needs: its name there, its unit, and what it is.

    `also` names other units that will do, and what a value in one of them is multiplied with.
    """

    name: str
    unit: str
    help: str
    also: Mapping[str, float] = NO_UNITS

    @property
    def units(self) -> tuple[str, ...]:
        """Return all units that will do, its own first."""
        return (self.unit, *self.also)

    def factor(self, unit: str) -> float:
        """Return what a value in `unit` is multiplied with."""
        return self.also.get(unit, 1.0)


class Named(NamedTuple):
    """What a site names as a part: a channel, and what else its sensor has."""

    channel: str
    beside: frozenset[str]


class Method(NamedTuple):
    """How a derived channel is made, for whoever reads its values years later."""

    name: str
    version: str
    source: str
    constants: Mapping[str, float | tuple[float, ...]]

    def plain(self) -> dict[str, Any]:
        """Return it as it is written into the `meta` message."""
        return {**self._asdict(), "constants": dict(self.constants)}


Means = Mapping[str, F8]
Wrong = Iterator[tuple[str, str, str]]


def _nothing(_options: Options) -> tuple[str, ...]:
    return ()


def _right(_options: Options, _named: Mapping[str, Named]) -> Wrong:
    return iter(())


def _no_doubt(_means: Means, _options: Options) -> Reason:
    return Reason(0)


@dataclass(frozen=True, slots=True)
class Derivation:
    """A kind of derived channel.

    The slots of the first part that a site names are those of what is derived. `needs` names the parts and options
    that must be there under the options of a site, `takes` the parts that may be; `wrong` finds what cannot be (key,
    what, hint). `compute` takes means and options and gives a value, or one that is not finite where there is none;
    `doubt` says why that value is doubtful.

    A kind without `periods` is made of base windows, and longer windows are made of what it gave; one with `periods`
    is made of windows of these lengths only. With `past` windows before it `compute` is given arrays of 1 + `past`
    means, oldest first, NaN where there is none; else plain numbers (0-d arrays). A mean of which less than the
    option `min_capture` is there, if the kind has such an option, counts as missing.
    """

    kind: str
    domain: str
    parts: tuple[Part, ...]
    options: tuple[Option, ...]
    needs: Callable[[Options], tuple[str, ...]]
    channel: Callable[[Options], Channel]
    method: Callable[[Options], Method]
    compute: Callable[[Means, Options], F8 | float]
    takes: Callable[[Options], tuple[str, ...]] = field(default=_nothing)
    wrong: Callable[[Options, Mapping[str, Named]], Wrong] = field(default=_right)
    doubt: Callable[[Means, Options], Reason] = field(default=_no_doubt)
    periods: tuple[int, ...] = ()
    past: int = 0
