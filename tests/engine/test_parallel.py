import threading

import pytest

from sbnet.engine.parallel import map_unordered


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
