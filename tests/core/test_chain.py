from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from monkit_core import Registry, Scope, SeriesKey, Stat, faults
from monkit_core.readers import MOST_READERS
from tests.helpers import BOUND_S, figures, fresh_scope, run_python


class Own:
    """A source that gives what a function does."""

    def __init__(self, read: Callable[[], Iterable[Any]]) -> None:
        self.read = read

    def stats(self) -> Iterable[Any]:
        return self.read()


def one(name: str, **tags: str) -> Own:
    """A source of one figure."""
    return Own(lambda: [Stat(SeriesKey(name, tags), "value", 1.0)])


def scope_of_this_test() -> tuple[Registry, Scope]:
    """A scope whose faults the log has not met, in a registry of its own."""
    return fresh_scope(f"chain {uuid.uuid4()}")


def names(scope: Scope) -> list[str]:
    return [stat.key.measurement for stat in scope.stats()]


def test_chained_figures_come_after_metrics_and_functions_in_order_of_chaining() -> None:
    registry, scope = fresh_scope()
    for name in ("z", "a", "m"):
        scope.chain(one(name))
    scope.task("work")(lambda: None)
    scope.gauge("zz", lambda: 1)
    read = names(scope)
    assert read == ["zz", *["function"] * (len(read) - 6), *["function_times"] * 2, "z", "a", "m"]
    assert read == [stat.key.measurement for stat in registry.stats()]


def test_chained_series_are_tagged_with_the_scope_also_over_a_tag_of_their_own() -> None:
    _, scope = fresh_scope("shop")
    scope.chain(one("x", zone="b"))
    scope.chain(one("y", scope="another", zone="b"))
    assert [str(stat.key) for stat in scope.stats()] == ["x,scope=shop,zone=b", "y,scope=shop,zone=b"]


def test_chaining_the_same_source_twice_shows_it_once() -> None:
    _, scope = fresh_scope()
    source = one("x")
    scope.chain(source)
    scope.chain(source)
    assert names(scope) == ["x"]


def test_sources_are_told_apart_by_what_they_are_not_by_what_they_equal() -> None:
    class Equal(Own):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    _, scope = fresh_scope()
    scope.chain(Equal(one("x").read))
    scope.chain(Equal(one("y").read))
    assert names(scope) == ["x", "y"]


def test_one_source_may_be_chained_to_two_scopes() -> None:
    registry = Registry()
    source = one("x")
    for name in ("a", "b"):
        registry.scope(name).chain(source)
    assert [key for key, _, _ in figures(registry.stats())] == ["x,scope=a", "x,scope=b"]


def test_source_is_read_anew_each_time() -> None:
    _, scope = fresh_scope()
    values = iter([1.0, 2.0])
    scope.chain(Own(lambda: [Stat(SeriesKey("x"), "value", next(values))]))
    assert [stat.value for stat in (*scope.stats(), *scope.stats())] == [1.0, 2.0]


def test_what_has_no_stats_is_refused() -> None:
    _, scope = fresh_scope()
    with pytest.raises(TypeError, match="a source has a method stats\\(\\), found int without it"):
        scope.chain(5)  # type: ignore[arg-type]
    assert names(scope) == []


def broken_at_once() -> Iterable[Stat]:
    raise ZeroDivisionError


def broken_midway() -> Iterator[Stat]:
    yield Stat(SeriesKey("broken"), "value", 1.0)
    raise ZeroDivisionError


@pytest.mark.parametrize(("read", "kept"), [(broken_at_once, []), (broken_midway, ["broken"])])
def test_source_that_raises_is_reported_once_and_the_rest_of_the_page_stays_whole(
    read: Callable[[], Iterable[Stat]], kept: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    registry, scope = scope_of_this_test()
    scope.counter("c")
    scope.chain(one("before"))
    scope.chain(Own(read))
    scope.chain(one("after"))
    registry.scope("zzz").chain(one("other"))
    before = faults.count()
    with caplog.at_level(logging.WARNING, "monkit"):
        for _ in range(3):
            page = [stat.key.measurement for stat in registry.stats()]
            assert page == ["c", "c", "c", "before", *kept, "after", "other"]
    assert faults.count() == before + 3
    (record,) = caplog.records
    assert f"source 2 of scope {scope.name} (Own) failed: ZeroDivisionError" in record.getMessage()


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        ("x", "value", 1.0),
        (SeriesKey("x"), "value"),
        (SeriesKey("x"), 5, 1.0),
        (SeriesKey("x"), "value", "much"),
        (SeriesKey("x"), "value", None),
    ],
    ids=repr,
)
def test_thing_that_is_no_figure_is_reported_and_never_reaches_the_page(wrong: object) -> None:
    _, scope = scope_of_this_test()
    scope.chain(Own(lambda: [wrong]))
    scope.chain(one("after"))
    before = faults.count()
    assert names(scope) == ["after"]
    assert faults.count() == before + 1


def test_each_failing_source_of_one_class_has_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    _, scope = scope_of_this_test()
    scope.chain(Own(broken_at_once))
    scope.chain(Own(broken_at_once))
    with caplog.at_level(logging.WARNING, "monkit"):
        assert names(scope) == []
    assert len(caplog.records) == 2


def test_fields_and_values_are_made_harmless() -> None:
    _, scope = fresh_scope()
    scope.chain(Own(lambda: [(SeriesKey("x\x1b"), "f\x1b", True)]))
    (stat,) = scope.stats()
    assert (stat.key.measurement, stat.field, stat.value, type(stat.value)) == ("x\\x1b", "f\\x1b", 1.0, float)


def test_source_that_reads_its_own_registry_is_not_asked_again_meanwhile() -> None:
    registry, scope = scope_of_this_test()
    scope.counter("c")
    seen: list[list[str]] = []

    def read() -> Iterator[Stat]:
        seen.append([stat.key.measurement for stat in registry.stats()])
        yield Stat(SeriesKey("x"), "value", 1.0)

    scope.chain(Own(read))
    before = faults.count()
    assert names(scope) == ["c", "c", "c", "x"]
    assert seen == [["c", "c", "c"]]
    assert faults.count() == before


def test_scope_chained_to_itself_is_shown_once_more_and_no_deeper() -> None:
    _, scope = fresh_scope()
    scope.chain(one("x"))
    scope.chain(scope)
    assert names(scope) == ["x", "x"]


def test_stopping_in_the_middle_of_a_page_leaves_nothing_behind() -> None:
    _, scope = fresh_scope()
    scope.chain(Own(lambda: [Stat(SeriesKey("x"), str(number), 1.0) for number in range(3)]))
    page = scope.stats()
    assert next(iter(page)).field == "0"
    assert [stat.field for stat in scope.stats()] == ["0", "1", "2"]


def test_interrupt_passes_and_the_source_is_asked_again() -> None:
    _, scope = fresh_scope()
    outcomes = iter([KeyboardInterrupt(), None])

    def read() -> Iterable[Stat]:
        problem = next(outcomes)
        if problem is not None:
            raise problem
        return one("x").read()

    scope.chain(Own(read))
    with pytest.raises(KeyboardInterrupt):
        names(scope)
    assert names(scope) == ["x"]


def test_readers_in_several_threads_each_get_the_figures_and_a_source_that_hangs_holds_only_so_many() -> None:
    _, scope = fresh_scope()
    entered, go = threading.Semaphore(0), threading.Event()

    def hang() -> Iterable[Stat]:
        entered.release()
        assert go.wait(BOUND_S)
        return one("slow").read()

    scope.chain(Own(hang))
    scope.chain(one("after"))
    with ThreadPoolExecutor(MOST_READERS) as pool:
        readers = [pool.submit(names, scope) for _ in range(MOST_READERS)]
        for _ in readers:
            assert entered.acquire(timeout=BOUND_S)
        try:
            assert names(scope) == ["after"]
        finally:
            go.set()
        assert [reader.result(BOUND_S) for reader in readers] == [["slow", "after"]] * MOST_READERS
    assert names(scope) == ["slow", "after"]


def test_source_is_asked_in_another_process_whoever_was_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    _, scope = fresh_scope()
    seen: list[list[str]] = []

    def read() -> Iterator[Stat]:
        if not seen:
            seen.append([])
            with monkeypatch.context() as patch:
                patch.setattr(os, "getpid", lambda: -1)
                seen.append(names(scope))
        yield Stat(SeriesKey("x"), "value", 1.0)

    scope.chain(Own(read))
    assert names(scope) == ["x"]
    assert seen == [[], ["x"]]


def test_threads_that_chain_one_source_at_once_chain_it_once() -> None:
    threads = 4
    together = threading.Barrier(threads)
    scopes = [fresh_scope()[1] for _ in range(100)]
    source = one("x")

    def chain() -> None:
        for scope in scopes:
            together.wait(BOUND_S)
            scope.chain(source)

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(chain) for _ in range(threads)]:
            future.result(BOUND_S)
    assert all(names(scope) == ["x"] for scope in scopes)


FORK = """
import os, threading
from monkit_core import Registry, SeriesKey, Stat
entered, go = threading.Semaphore(0), threading.Event()
class Own:
    def stats(self):
        if threading.current_thread() is not threading.main_thread():
            entered.release()
            go.wait()
        return [Stat(SeriesKey("x"), "value", 1.0)]
scope = Registry().scope("s")
scope.chain(Own())
readers = [threading.Thread(target=lambda: list(scope.stats())) for _ in range(4)]
for reader in readers: reader.start()
for reader in readers: entered.acquire()
print("parent", len(list(scope.stats())), flush=True)
import warnings
warnings.simplefilter("ignore")  # later interpreters warn of forking with threads, which is what this is about
child = os.fork()
if child == 0:
    print("child", len(list(scope.stats())), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
go.set()
for reader in readers: reader.join()
print("parent", len(list(scope.stats())))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_readers_that_a_fork_left_behind_do_not_count_in_the_child() -> None:
    assert run_python("-c", FORK).split() == ["parent", "0", "child", "1", "parent", "1"]
