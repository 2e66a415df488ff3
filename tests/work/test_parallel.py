import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sbnet.work.parallel import (
    MemoryBudget,
    _free_in_groups,
    _free_in_system,
    available_memory,
    in_order,
    map_unordered,
)


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


def test_jobs_in_order_within_number_and_weight():
    weights = [1, 1, 1, 5, 20, 1, 1, 9, 1, 1, 1, 1]
    given, done, seen = [], [], []

    def job(number):
        seen.append((number, list(given), list(done)))
        return number

    def jobs():
        for number, weight in enumerate(weights):
            yield lambda number=number: job(number), weight
            given.append(number)  # handed to the pool

    with ThreadPoolExecutor(3) as pool:
        for number in in_order(pool, jobs(), most=3, weight=10):
            done.append(number)
    assert done == list(range(len(weights)))
    for number, handed, finished in seen:
        under_way = sorted({number, *handed} - set(finished))
        assert len(under_way) <= 3
        assert sum(weights[one] for one in under_way) <= 10 or under_way == [4]


def test_a_job_s_error_comes_out_in_its_turn():
    def broken():
        raise ValueError("three")

    with ThreadPoolExecutor(2) as pool:
        found = in_order(
            pool, [(lambda: 1, 0), (lambda: 2, 0), (broken, 0), (lambda: 4, 0)], most=1, weight=0
        )
        assert [next(found), next(found)] == [1, 2]
        with pytest.raises(ValueError, match="three"):
            next(found)


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


def test_what_is_held_can_be_corrected():
    budget = MemoryBudget(10)
    with budget.reserve(6) as hold, budget.reserve(4) as other:
        hold(9)  # more than is free: taken all the same
        other(1)
        waiting = threading.Thread(target=lambda: budget.reserve(2).__enter__())
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        hold(7)
        waiting.join(60)
        assert not waiting.is_alive()
        with pytest.raises(ValueError, match="11 bytes do not fit into 10"):
            hold(11)


def test_memory_that_can_be_had_is_some_of_what_there_is(tmp_path):
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < available_memory() <= total
    counts = tmp_path / "meminfo"
    assert _free_in_system(counts) == total // 2
    counts.write_text(
        "MemTotal:       16384 kB\nMemFree:  12 kB\nMemAvailable:    8192 kB\nHugePages_Total:  0\n"
    )
    assert _free_in_system(counts) == 8 * 2**20


def control_group(folder, names, *, limit, used, cache):
    folder.mkdir(parents=True, exist_ok=True)
    bound, current, cached = names
    (folder / bound).write_text(f"{limit}\n")
    (folder / current).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{cached} {cache}\n")


VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def test_control_groups_bound_memory_and_the_cache_of_files_is_free(tmp_path):
    own, mounted = tmp_path / "own", tmp_path / "mounted"
    own.write_text("12:cpu,cpuacct:/job\n5:memory:/job/step\n0::/job/step\n")
    assert list(_free_in_groups(own, mounted)) == []
    assert list(_free_in_groups(tmp_path / "none", mounted)) == []
    control_group(mounted / "memory/job", VERSION_1, limit=1000, used=900, cache=300)
    assert list(_free_in_groups(own, mounted)) == [400]
    control_group(mounted / "job/step", VERSION_2, limit="max", used=900, cache=0)
    assert list(_free_in_groups(own, mounted)) == [400]
    control_group(mounted / "job", VERSION_2, limit=500, used=450, cache=20)
    control_group(mounted, VERSION_2, limit=5000, used=450, cache=20)
    assert sorted(_free_in_groups(own, mounted)) == [70, 400, 4570]
