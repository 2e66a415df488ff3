import threading

import pytest

from sbnet.engine.parallel import MemoryBudget, available_memory, map_unordered


def test_every_item_is_worked_once():
    assert sorted(map_unordered(lambda item: item * 2, range(50), workers=3)) == [
        item * 2 for item in range(50)
    ]


def test_items_are_read_no_faster_than_worked():
    read, release = [], threading.Event()

    def items():
        for item in range(100):
            read.append(item)
            if len(read) > 4:
                release.set()
            yield item

    results = map_unordered(lambda item: release.wait(0.2), items(), workers=2)
    next(results)
    assert len(read) <= 6
    list(results)


def test_an_error_comes_out_and_the_others_finish():
    finished = []

    def work(item):
        if item == 3:
            raise ValueError("three")
        finished.append(item)

    with pytest.raises(ValueError, match="three"):
        list(map_unordered(work, range(6), workers=1))
    assert {0, 1, 2} <= set(finished)


def test_a_budget_is_never_exceeded():
    budget, under_way, most, lock = MemoryBudget(10), [], [], threading.Lock()

    def work(needed):
        with budget.reserve(needed):
            with lock:
                under_way.append(needed)
                most.append(sum(under_way))
            with lock:
                under_way.remove(needed)

    list(map_unordered(work, [3, 7, 10, 1, 9, 4] * 20, workers=6))
    assert max(most) <= 10
    with pytest.raises(ValueError, match="11 bytes do not fit into 10"):
        work(11)


def test_memory_that_can_be_had_is_some():
    assert 2**20 < available_memory() < 2**50
