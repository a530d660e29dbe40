"""What every stage must hold to, whatever it does: write a stage, and let these functions look for a counterexample.

    @given(one=blocks(2), cuts=cut_places)
    def test_any_cut(one, cuts): check_cuts(STAGE, one, cuts)

    @given(one=blocks(2), cut=cut_place)
    def test_restart(one, cut): check_restore(STAGE, one, cut)

    @given(one=blocks(2))
    def test_honest(one): check_honest(STAGE, one)

A stage that holds rows back has a `release` beside `step`: `check_release` cuts around it.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from hypothesis import Phase, settings
from hypothesis import strategies as st
from pipeline_samples import START_NS

from gateway.block import Block, Flag, Reason
from gateway.pipeline.stage import Stage, State
from gateway.pipeline.windows import NS
from gateway.state import _arrays, _plain

RANK = {Flag.ABSENT: 0, Flag.MISSING: 0, Flag.NOT_EVALUATED: 1, Flag.GOOD: 2, Flag.SUSPECT: 3, Flag.FAIL: 4}
FEW = (1.0, 1.0, 1.04, 1.1, 2.0, 2.5, 9.0, -3.0)
STEPS_S = (1.0, 1.0, 1.0, 0.0, 0.4, 1.7, 3.0, 100.0)

# For a stage that is wrong on purpose: that it is caught matters, not how short the example becomes. It is over
# with the first example that shows it, so there may be many.
to_be_caught = settings(
    phases=(Phase.generate,), max_examples=10_000, report_multiple_bugs=False, database=None, deadline=None
)

cut_place = st.integers(0, 60)
cut_places = st.lists(cut_place, max_size=8)


@st.composite
def blocks(
    draw: Any,
    channels: int,
    max_rows: int = 40,
    values: Sequence[float] = FEW,
    steps_s: Sequence[float] = STEPS_S,
    flags: Sequence[Flag] = (
        Flag.GOOD,
        Flag.GOOD,
        Flag.NOT_EVALUATED,
        Flag.SUSPECT,
        Flag.FAIL,
        Flag.MISSING,
        Flag.ABSENT,
    ),
) -> Block:
    """Draw a block: few different values (so that ties are common), any flags, irregular steps of time and gaps.

    NaN stands where the flag is MISSING or ABSENT, and nowhere else; doubtful values have a reason.
    """
    n = draw(st.integers(0, max_rows))
    shape = (n, channels)

    def table(of: Sequence[Any], kind: Any) -> Any:
        drawn = draw(st.lists(st.sampled_from(list(of)), min_size=n * channels, max_size=n * channels))
        return np.array(drawn, kind).reshape(shape)

    flag, v = table(flags, np.uint8), table(values, np.float64)
    v[(flag == Flag.MISSING) | (flag == Flag.ABSENT)] = math.nan
    reason = np.where((flag == Flag.SUSPECT) | (flag == Flag.FAIL), np.uint16(Reason.DEVICE), np.uint16(0))
    steps = draw(st.lists(st.sampled_from(list(steps_s)), min_size=n, max_size=n))
    t = START_NS + np.round(np.cumsum(steps) * NS).astype(np.int64)
    later_ns = draw(st.sampled_from([0, NS // 2, 5 * NS, 1000 * NS]))
    until = (int(t[-1]) if n else START_NS) + later_ns
    return Block(t, v, flag, reason, np.array(steps, np.float64), until)


def kept(state: State) -> State:
    """Take a state to the disk and back, as the core does."""
    return _arrays(msgspec.msgpack.decode(msgspec.msgpack.encode(_plain(state))))


def pieces(whole: Block, cuts: Iterable[int], *, late: bool) -> list[Block]:
    """Cut a block before the rows `cuts`; time has moved to the last row of a piece, or (`late`) to the next one."""
    n = len(whole.t)
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]
    out = []
    for first, last in itertools.pairwise(edges):
        until = whole.until_ns if last == n else int(whole.t[last]) if late or not last else int(whole.t[last - 1])
        rows = slice(first, last)
        out.append(
            Block(whole.t[rows], whole.v[rows], whole.flag[rows], whole.reason[rows], whole.dur_s[rows], until)
        )  # fmt: skip
    return out


def run(stage: Stage, parts: Iterable[Block], *, save: bool = False, state: State | None = None) -> tuple[State, Block]:
    """Feed blocks to a stage one by one, from the beginning or from `state`; return its state and all that came out."""
    state = stage.initial() if state is None else state
    outs = []
    for part in parts:
        state, out = stage.step(kept(state) if save else state, part)
        outs.append(out)
    return state, together(outs)


def together(outs: Sequence[Block]) -> Block:
    """Put blocks behind each other; refuses what runs backwards."""
    fields = ([getattr(out, name) for out in outs] for name in ("t", "v", "flag", "reason", "dur_s"))
    return Block(*(np.concatenate(parts) for parts in fields), until_ns=outs[-1].until_ns)


def let_go(stage: Stage, state: State, before_ns: int) -> tuple[State, list[Block]]:
    """Close what ends by `before_ns`: a stage that holds rows back gives them up."""
    if not hasattr(stage, "release"):
        return state, []
    state, out = stage.release(state, before_ns)
    assert bool((out.t < before_ns).all()), "released what may still wait"
    return state, [out]


def assert_same(one: Block, other: Block) -> None:
    """Compare two blocks value by value; NaN equals NaN."""
    for name in ("t", "v", "flag", "reason", "dur_s"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.until_ns == other.until_ns, "until_ns"


def assert_same_state(one: State, other: State) -> None:
    """Compare two states; NaN equals NaN."""
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def check_cuts(stage: Stage, whole: Block, cuts: Sequence[int]) -> None:
    """The output does not depend on how the input is cut, nor does the state at its end; saved in between or not."""
    state, once = run(stage, [whole])
    for late in (False, True):
        for save in (False, True):
            other, cut = run(stage, pieces(whole, cuts, late=late), save=save)
            assert_same(once, cut)
            assert_same_state(kept(state), kept(other))


def check_restore(stage: Stage, whole: Block, cut: int) -> None:
    """A stage that is saved, restored in a new process and fed the rest ends where an uninterrupted one does."""
    new_process = copy.deepcopy(stage)
    first, rest = pieces(whole, [cut], late=False)
    state, before = run(stage, [first])
    again, after = run(new_process, [rest], state=kept(state))
    straight, once = run(stage, [whole])
    assert_same(once, together([before, after]))
    assert_same_state(kept(straight), kept(again))


def check_release(stage: Stage, whole: Block, cuts: Sequence[int], at: int) -> None:
    """What is let go when a window closes after row `at` does not depend on the cuts before and after it."""
    outs = []
    for places in ([], cuts):
        n = min(at, len(whole.t))
        before_ns = int(whole.t[n - 1]) if n else START_NS
        first = pieces(whole, [*places, n], late=False)
        k = next(i for i in range(len(first)) if sum(len(part.t) for part in first[: i + 1]) >= n)
        state, early = run(stage, first[: k + 1], save=bool(places))
        state, freed = let_go(stage, state, before_ns)
        state, late = run(stage, first[k + 1 :] or [Block.empty(whole.v.shape[1], whole.until_ns)], state=state)
        state, last = let_go(stage, kept(state), np.iinfo(np.int64).max)
        outs.append(together([early, *freed, late, *last]))
        assert len(outs[-1].t) == len(whole.t), "a row was lost or made up"
    assert_same(*outs)


def check_honest(stage: Stage, whole: Block) -> None:
    """A stage keeps every row, changes no value, lowers no flag and takes back no reason; it may add channels."""
    state, out = run(stage, [whole])
    _, freed = let_go(stage, state, np.iinfo(np.int64).max)
    out = together([out, *freed])
    c = whole.v.shape[1]
    np.testing.assert_array_equal(out.t, whole.t)
    np.testing.assert_array_equal(out.dur_s, whole.dur_s)
    np.testing.assert_array_equal(out.v[:, :c], whole.v, err_msg="a value was changed")
    for was, now in zip(whole.flag.ravel().tolist(), out.flag[:, :c].ravel().tolist(), strict=True):
        assert RANK[Flag(now)] >= RANK[Flag(was)], f"flag {was} became {now}"
        assert (now == Flag.ABSENT) == (was == Flag.ABSENT), "what was not due is not judged"
    assert bool((whole.reason & ~out.reason[:, :c] == 0).all()), "a reason was taken back"
    gone = np.isnan(out.v)
    assert bool(np.isin(out.flag[gone], (Flag.MISSING, Flag.ABSENT)).all()), "NaN is flagged as a value"
    assert not np.isinf(out.v).any()
