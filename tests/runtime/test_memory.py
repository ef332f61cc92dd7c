"""The room of a big answer is used again once nobody holds the answer, and never before."""

from __future__ import annotations

import numpy as np
import pytest

from millrace.runtime import memory
from millrace.runtime.memory import LEAST, room

SHAPE = (LEAST // 32 + 7, 4)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory._Kept, "buffers", ())


def test_room_is_used_again_only_when_nobody_holds_a_part_of_it() -> None:
    first = room(SHAPE, "float64")
    at = first.ctypes.data
    part = first[5:9, 1]
    del first
    second = room(SHAPE, "float64")
    assert not np.shares_memory(part, second)
    del part
    assert room(SHAPE, "float64").ctypes.data == at
    third, fourth = room(SHAPE, "float32"), room(SHAPE, "float64")
    assert not np.shares_memory(third, fourth)
    assert third.shape == fourth.shape == SHAPE
    assert third.dtype == np.float32
    assert fourth.flags.writeable


def test_little_is_kept() -> None:
    answers = [room(SHAPE, "float64") for _ in range(8)]
    assert sum(map(len, memory._Kept.buffers)) <= memory.MOST
    assert not any(np.shares_memory(a, b) for a, b in zip(answers, answers[1:], strict=False))
    assert room((3, 2), "float64").base is None
