"""Tasks that end together: no error and no cancellation is lost, in whatever order they meet."""

from __future__ import annotations

import asyncio

import pytest

from gateway import supervise
from gateway.supervise import end, until_one_fails


async def forever(log: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        log.append("ended")


async def failing(error: Exception, after: asyncio.Event) -> None:
    await after.wait()
    raise error


async def test_one_failure_ends_the_others_and_all_errors_come_out() -> None:
    log: list[str] = []
    now = asyncio.Event()
    now.set()
    with pytest.raises(ExceptionGroup) as caught:
        await until_one_fails(forever(log), failing(OSError("line"), now), failing(KeyError("bug"), now), forever(log))
    assert log == ["ended", "ended"]
    assert {type(error) for error in caught.value.exceptions} == {OSError, KeyError}


@pytest.mark.parametrize("ticks", range(6))
async def test_a_cancellation_that_meets_a_failure_is_not_lost(ticks: int) -> None:
    """Within a few turns of the loop either the failure or the cancellation is seen: both end it."""
    log: list[str] = []
    now = asyncio.Event()
    running = asyncio.create_task(until_one_fails(forever(log), failing(OSError("line"), now)))
    await asyncio.sleep(0)
    now.set()
    for _ in range(ticks):
        await asyncio.sleep(0)
    running.cancel()
    (outcome,) = await asyncio.gather(running, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError) or (running.done() and isinstance(outcome, ExceptionGroup))
    assert log in (["ended"], [])  # [] when it was cancelled before it began
    assert len(asyncio.all_tasks()) == 1


async def test_a_task_that_loses_a_cancellation_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "ASK_AGAIN_S", 0.01)
    asked = 0

    async def hard_of_hearing() -> None:
        nonlocal asked
        while asked < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                asked += 1

    task = asyncio.create_task(hard_of_hearing())
    await asyncio.sleep(0)
    await end([task])
    assert task.done()
    assert asked == 3
