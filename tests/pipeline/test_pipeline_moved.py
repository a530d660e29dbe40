"""When the clock is set, a stage's memory of times goes along: what it says does not depend on what time it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_samples import START_NS
from stage_laws import NS, blocks, kept, pieces, run, together

from gateway.block import Block
from gateway.pipeline.centred import Centred, HampelTest, Spike
from gateway.pipeline.exceedances import Exceedances
from gateway.pipeline.filtered import EwmaFilter
from gateway.pipeline.gas_index import NOX, VOC, GasIndex
from gateway.pipeline.passages_lidar import LidarPassages
from gateway.pipeline.passages_radar import RadarPassages
from gateway.pipeline.quality import Steps, StepTest
from gateway.pipeline.stage import Stage, moves

STEPS = Steps(1.0, 5.0, 1.5 * NS, 50.0 * NS)
STAGES: dict[str, Stage] = {
    "spike": Centred((Spike((0.5, 0.5), (2.0, 2.0), (False, True)),), 3 * NS // 2, 2),
    "hampel": Centred((HampelTest((2, 3), (3.0, 3.0), (0.05, 0.05)),), 3 * NS // 2, 2),
    "steps": StepTest((STEPS, STEPS), 3 * NS),
    "ewma": EwmaFilter(0, 20.0),
    "exceedances": Exceedances(0, 1.05, 0.0, 3.0),
    "gas index": GasIndex(((0, VOC), (1, NOX)), 1.0, 60.0),
    "radar": RadarPassages(0, 1, NS // 2, 20 * NS, 2, 1.5, "median"),
    "lidar": LidarPassages(0, 1, 1, 3.0, 0.5, 0.5, NS // 2, 30 * NS, 5 * NS, 60.0),
}


def shifted(block: Block, by_ns: int) -> Block:
    return Block(block.t + by_ns, block.v, block.flag, block.reason, block.dur_s, block.until_ns + by_ns)


def check_moved(stage: Stage, whole: Block, cut: int, by_ns: int) -> None:
    """Cut a block, set the clock in between, and compare with what comes out if nobody does."""
    assert moves(stage)
    parts = pieces(whole, [cut], late=False)
    state, before = run(stage, parts[:1])
    _, after = run(stage, parts[1:], state=state)
    _, moved = run(stage, [shifted(parts[1], by_ns)], state=kept(stage.moved(state, by_ns)))
    straight, stepped = together([before, after]), together([before, shifted(moved, -by_ns)])
    for name in ("t", "flag", "reason", "dur_s"):
        np.testing.assert_array_equal(getattr(straight, name), getattr(stepped, name), err_msg=name)
    np.testing.assert_allclose(straight.v, stepped.v, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("name", STAGES)
@given(
    one=blocks(2),
    cut=st.integers(0, 40),
    by_s=st.sampled_from([-START_NS // NS, -86_400, -3600, -1, 1, 7, 3600, 10**6]),
)
@settings(max_examples=25, deadline=None)
def test_a_step_of_the_clock_changes_nothing(name: str, one: Block, cut: int, by_s: int) -> None:
    check_moved(STAGES[name], one, cut, by_s * NS)


class Rooted(EwmaFilter):
    """Wrong on purpose: its memory stays where it was."""

    def moved(self, state, by_ns):  # type: ignore[no-untyped-def]
        del by_ns
        return state


def test_a_memory_that_stays_behind_is_noticed() -> None:
    t = START_NS + np.arange(20, dtype=np.int64) * NS
    v = np.sin(np.arange(20.0))[:, None] * [1.0, 1.0]
    one = Block(t, v, np.ones((20, 2), np.uint8), np.zeros((20, 2), np.uint16), np.ones(20), int(t[-1]))
    check_moved(EwmaFilter(0, 20.0), one, 10, -3600 * NS)
    with pytest.raises(AssertionError):
        check_moved(Rooted(0, 20.0), one, 10, -3600 * NS)
