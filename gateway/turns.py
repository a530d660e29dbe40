"""Turns: which message of which gateway the bridge takes next, so that one that floods starves nobody.

Each gateway has a queue and a bucket of tokens: `per_s` fall into it, at most `burst` lie in it, and a message takes
one. What turns out to be many messages in one is charged for the others afterwards, and the bucket may then owe.

Queues are served one after the other. What has no token waits, and is not acknowledged. But a broker may hand out only
so many messages before they are acknowledged, to all gateways together: where `most_waiting` of one gateway wait for
tokens, what it sends beyond is sent back (`put` says so), which makes room for the others. The same happens when more
bytes wait than the memory is meant for, to whoever has the largest share: mosquitto 2.0.11 does not keep to
ReceiveMaximum once something was acknowledged.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from threading import Condition
from typing import Generic, TypeVar

from gateway.clock import Clock

NS = 1_000_000_000
MOST_GATEWAYS = 10_000  # whose buckets are remembered
SHORTEST_WAIT_S = 1e-4
T = TypeVar("T")


@dataclass(slots=True)
class _Bucket:
    """The tokens of one gateway, and when they were counted."""

    tokens: float
    at_ns: int


class Turns(Generic[T]):
    """Fair queues with a limited rate; filled by one thread, emptied by another."""

    def __init__(self, clock: Clock, per_s: float, burst: int, most_waiting: int, most_bytes: int = 10**8) -> None:
        self._clock = clock
        self._per_s = per_s
        self._burst = max(1, burst)
        self._most_waiting = most_waiting
        self._most_bytes = most_bytes
        self._waiting: dict[str, deque[tuple[T, int]]] = {}  # of gateways that have some, in the order of their turns
        self._bytes: Counter[str] = Counter()  # of what waits
        self._buckets: dict[str, _Bucket] = {}
        self._late: set[str] = set()  # gateways of which the first message has been counted as delayed
        self._changed = Condition()
        self.delayed = 0  # messages that had to wait for a token

    def put(self, gateway: str, item: T, size: int = 0) -> bool:
        """Queue a message of so many bytes; False when its gateway has too much waiting: it is not queued."""
        with self._changed:
            waiting = len(self._waiting.get(gateway, ()))
            if waiting - self._ready(gateway, self._clock.mono_ns()) >= self._most_waiting:
                return False
            whole = self._bytes.total()
            if whole + size > self._most_bytes and self._bytes[gateway] * len(self._waiting) >= whole:
                return False
            self._waiting.setdefault(gateway, deque()).append((item, size))
            self._bytes[gateway] += size
            self._changed.notify()
            return True

    def charge(self, gateway: str, messages: int) -> None:
        """Take more tokens for what has been taken already: it was more than one message."""
        with self._changed:
            self._filled(gateway, self._clock.mono_ns()).tokens -= messages

    def get(self, timeout_s: float) -> T | None:
        """Take the next message; None when none may go within `timeout_s` real seconds."""
        until_ns = self._clock.mono_ns() + round(timeout_s * NS / self._clock.real_s(1.0))
        with self._changed:
            while True:
                now_ns = self._clock.mono_ns()
                item, wait_ns = self._next(now_ns)
                if item is not None or now_ns >= until_ns:
                    return item
                wait_s = min(until_ns - now_ns, wait_ns) / NS
                self._changed.wait(max(self._clock.real_s(wait_s), SHORTEST_WAIT_S))

    def clear(self) -> None:
        """Forget what waits: its connection is gone, and it comes again."""
        with self._changed:
            self._waiting.clear()
            self._bytes.clear()
            self._late.clear()

    def waiting(self) -> dict[str, int]:
        """Say of which gateways messages wait for a token, and how many."""
        with self._changed:
            now_ns = self._clock.mono_ns()
            lacking = {n: round(len(line) - self._ready(n, now_ns)) for n, line in self._waiting.items()}
            return {name: n for name, n in lacking.items() if n > 0}

    def _next(self, now_ns: int) -> tuple[T | None, int]:
        """Take the first message, in turns, whose gateway has a token; else say how long to wait for one."""
        wait_ns = 3600 * NS
        for name, line in self._waiting.items():
            bucket = self._filled(name, now_ns)
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                self._late.discard(name)
                del self._waiting[name]
                item, size = line.popleft()
                if line:
                    self._waiting[name] = line  # behind all others
                    self._bytes[name] -= size
                else:
                    del self._bytes[name]
                return item, 0
            if name not in self._late:
                self._late.add(name)
                self.delayed += 1
            wait_ns = min(wait_ns, round((1 - bucket.tokens) / self._per_s * NS) + 1)
        return None, wait_ns

    def _ready(self, name: str, now_ns: int) -> float:
        """Return how many messages of a gateway have a token now; what it owes holds up, but sends nothing back."""
        return max(0.0, self._filled(name, now_ns).tokens)

    def _filled(self, name: str, now_ns: int) -> _Bucket:
        """Return the bucket of a gateway with what has fallen into it."""
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= MOST_GATEWAYS:  # names that were made up
                self._buckets.clear()
            bucket = self._buckets[name] = _Bucket(float(self._burst), now_ns)
        bucket.tokens = min(self._burst, bucket.tokens + (now_ns - bucket.at_ns) / NS * self._per_s)
        bucket.at_ns = now_ns
        return bucket
