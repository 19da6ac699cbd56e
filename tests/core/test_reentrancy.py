"""Re-entrancy: finalisers, signal handlers and callbacks of the collector use the engine in the midst of it.

They run in a thread that may stand at any line of the engine, also one where
it holds the lock. Programs that hang are ended by the bound of `run_python`.
"""

from __future__ import annotations

import os
import signal

import pytest

from monkit_core import engine
from tests.helpers import run_python

PROGRAM = """
import gc, os, signal, sys, threading
import monkit_core as monkit
from monkit_core import Registry, current_span, engine

registry = Registry()
mon = registry.scope("s")
used = 0


def check(found, expected):
    assert found == expected, f"{found!r} was found, {expected!r} expected"


def use():
    "What user code does with the engine, from wherever it is called."
    global used
    used += 1
    number = used
    mon.counter("calls").inc()
    mon.meter("marks").mark()
    mon.int_val("size").observe(number)
    mon.bool_val("even").observe(number % 2 == 0)
    mon.raw_val("raw", monkit.Count).observe(number)
    mon.counter("numbered", number=number % 20).inc()
    registry.scope(f"scope {number % 20}").counter("c").inc()
    around = current_span()
    with mon.timer("time"), mon.task("block", number=number % 20) as span:
        span.annotate("number", number)
    monitored()
    assert current_span() is around


@mon.task
def monitored():
    pass


def read():
    "What a page does."
    for span in list(registry.all_spans()):
        str(span)
    return {(str(stat.key), stat.field): stat.value for stat in registry.stats()}


def check_sums():
    "All that was counted adds up to the number of uses."
    figures = read()
    for key, field in (("calls", "value"), ("marks", "total"), ("size", "count"), ("raw", "count"), ("time", "count")):
        check((key, figures[key + ",scope=s", field]), (key, used))
    check(figures["even,scope=s", "true"] + figures["even,scope=s", "false"], used)
    by_number = [value for (key, field), value in figures.items() if "numbered" in key and field == "value"]
    check(sum(by_number), used)
    check(sum(scope.counter("c").value for scope in registry.scopes() if scope is not mon), used)
    calls = {}
    for func in registry.funcs():
        check((func.current, sum(func.callers.values())), (0, func.success_times.count))
        calls[func.short_name] = calls.get(func.short_name, 0) + func.success_times.count
    check((calls["block"], calls["monitored"]), (used, used))
    check((list(registry.all_spans()), registry.live.roots, registry.live.orphans), ([], (), ()))
    check(monkit.current_span(), None)
"""


def runs(program: str) -> None:
    """Run a program that checks itself."""
    assert run_python("-c", PROGRAM + program) == ""


GARBAGE = """
class Garbage:
    "Part of a cycle, so that the collector finds it: at whatever line the next container is made."

    made = 0

    def __init__(self):
        Garbage.made += 1
        self.itself = self

    def __del__(self):
        use()
"""


def test_finalisers_may_use_metrics_blocks_and_scopes() -> None:
    runs(
        GARBAGE
        + """
gc.set_threshold(1)
for number in range(150):
    Garbage()
    mon.int_val(f"own {number}", number=number).observe(number)
    registry.scope(f"own {number}")
    with mon.task("own", number=number):
        Garbage()
    if number % 10 == 0:
        read()
gc.set_threshold(0)
gc.collect()
check(used, Garbage.made)
check_sums()
"""
    )


def test_finalisers_may_read_all_figures() -> None:
    runs("""
class Garbage:
    made = read = 0

    def __init__(self):
        Garbage.made += 1
        self.itself = self

    def __del__(self):
        Garbage.read += 1
        use()
        read()

gc.set_threshold(1)
for number in range(20):
    Garbage()
    mon.int_val("own", number=number).observe(number)
    read()
gc.set_threshold(0)
gc.collect()
check(Garbage.read, Garbage.made)
check_sums()
""")


def test_finalisers_that_run_while_values_are_folded_in_lose_none() -> None:
    runs(
        GARBAGE
        + """
size = mon.int_val("size")
gc.set_threshold(1)
for number in range(5_000):
    if number % 50 == 0:
        Garbage()
    size.observe(number)
gc.set_threshold(0)
gc.collect()
check(mon.int_val("size").distribution.count, 5_000 + used)
"""
    )


def test_finalisers_of_several_threads_at_once_do_not_lock_each_other_out() -> None:
    runs(
        GARBAGE
        + """
sys.setswitchinterval(1e-5)
together = threading.Barrier(4)

def work():
    together.wait(20)
    for number in range(50):
        made = [Garbage() for _ in range(2)]
        mon.int_val("own", number=number).observe(number)
        del made
        if number % 10 == 0:
            read()

# Finalisers of all threads add to one number, without a lock: it is looked at by the metrics themselves.
gc.set_threshold(1)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.set_threshold(0)
gc.collect()
check((used, Garbage.made), (400, 400))
check_sums()
"""
    )


def test_callbacks_of_the_collector_may_use_and_read_everything() -> None:
    runs("""
def callback(phase, info):
    use()
    if used % 50 == 0:
        read()

gc.callbacks.append(callback)
gc.set_threshold(20)
number = 0
while used < 500:
    number += 1
    kept = [[] for _ in range(5)]
    mon.int_val("own", number=number % 100).observe(number)
    with mon.task("own", number=number % 100):
        registry.scope(f"own {number % 100}")
    if number % 20 == 0:
        read()
gc.callbacks.remove(callback)
gc.set_threshold(0)
check_sums()
""")


needs_signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no such signals on this system")

pure_only = pytest.mark.skipif(engine.name != "pure", reason="the compiled engine works each value in at once")

AT_EACH_LINE = """
signal.signal(signal.SIGUSR1, lambda *_: use())
INSIDE = {"_fold", "look"} if engine.name == "pure" else set()


class AtEachLine:
    "A signal arrives at each line of the engine that the block comes to, also at those that hold the lock."

    def __init__(self, each_step_of=()):
        self.lines = set()
        self._each_step_of = each_step_of  # if given: it arrives in these functions only, within lines too

    def __enter__(self):
        self._inside = False
        sys.settrace(self._call)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def _call(self, frame, event, argument):
        engine = "monkit_core" in frame.f_code.co_filename and not self._inside
        if engine and self._each_step_of:
            engine = frame.f_trace_opcodes = frame.f_code.co_name in self._each_step_of
        return self._line if engine else None

    def _line(self, frame, event, argument):
        if event in ("line", "opcode") and not self._inside:
            self._inside = True
            self.lines.add((frame.f_code.co_name, frame.f_lineno))
            signal.raise_signal(signal.SIGUSR1)
            self._inside = False
        return self._line


def names(lines):
    return {name for name, _ in lines}
"""


@needs_signals
def test_signal_handler_may_come_at_any_line_of_making_and_using_things() -> None:
    runs(
        AT_EACH_LINE
        + """
with AtEachLine() as signals:
    for number in range(2):
        use()
        registry.scope(f"own {number}").float_val("v", number=number).observe(1.5)
of_calls = {"start", "finish", "observe"} if engine.name == "pure" else set()
assert {"get", "_keep", "scope", "annotate"} | of_calls <= names(signals.lines), signals
check_sums()
"""
    )


@needs_signals
def test_signal_handler_may_come_at_any_line_of_reading() -> None:
    runs(
        AT_EACH_LINE
        + """
use()
with mon.task("outer"), mon.task("inner"):
    with AtEachLine() as signals:
        read()
assert {"stats", "series", "published", "all_spans", "sorted"} | INSIDE <= names(signals.lines), signals
check_sums()
"""
    )


@needs_signals
@pure_only
def test_signal_handler_may_come_at_any_line_of_folding() -> None:
    runs(
        AT_EACH_LINE
        + """
own = mon.int_val("own")  # not the one that the handler uses, which would fold it before its turn
for _ in range(255):
    own.observe(1)
with AtEachLine() as signals:
    own.observe(1)
assert {"observe", "_fold", "_insert", "_sample", "insert"} <= names(signals.lines), signals
assert len(signals.lines) > 20
check((own.distribution.count, own.distribution.summary().sum), (256, 256))
check_sums()
"""
    )


@needs_signals
@pure_only
def test_signal_handler_that_reads_what_is_being_folded_in_spoils_no_figure() -> None:
    runs(
        AT_EACH_LINE
        + """
own, seen = mon.int_val("own"), []

def handle(*_):
    seen.append(1_000 - len(seen))
    own.observe(seen[-1])
    own.distribution.fields()

signal.signal(signal.SIGUSR1, handle)
with AtEachLine(each_step_of=("_insert", "_sample")) as signals:
    own.observe(1)
    own.distribution.fields()
assert "_insert" in names(signals.lines), signals.lines
summary = own.distribution.summary()
check((summary.count, summary.sum), (1 + len(seen), 1 + sum(seen)))
check((summary.low, summary.high, summary.recent), (min(1, *seen), 1_000, seen[-1]))
"""
    )


@needs_signals
def test_signal_handler_may_reset_at_any_line_of_reading() -> None:
    runs(
        AT_EACH_LINE
        + """
own, lines = mon.int_val("own"), []

def reset_at(line):
    "Reset at one line only: at those behind it there is nothing any more."
    lines.clear()
    for number in range(100):
        own.observe(number)
    own.distribution.fields()  # so that nothing is left to fold
    signal.signal(signal.SIGUSR1, lambda *_: lines.append(len(lines)) or lines[-1] != line or own.distribution.reset())
    with AtEachLine() as signals:
        own.distribution.fields()
    return signals

line = 0
while line < len(lines) or not lines:
    assert {"published"} | INSIDE <= names(reset_at(line).lines)
    check((line, own.distribution.count), (line, 0))
    line += 1
assert line > 3
"""
    )


@needs_signals
@pure_only
def test_signal_handler_may_reset_at_any_line_of_folding() -> None:
    runs(
        AT_EACH_LINE
        + """
own, passed = mon.int_val("own"), 0

def handle(*_):
    global passed
    passed += 1
    if passed == line:
        own.distribution.reset()
        check(own.distribution.count, 0)
        own.observe(1_000)

signal.signal(signal.SIGUSR1, handle)
inside, line = set(), 1
while passed >= line or line == 1:
    own.distribution.reset()
    for number in range(256 + 255):
        own.observe(number)
    passed = 0
    with AtEachLine(each_step_of=("observe", "fold_if_free", "_fold", "_insert", "_sample")) as signals:
        own.observe(1)
    inside |= names(signals.lines)
    if passed >= line:
        late = own.distribution.count - 1  # the value came behind the reset, if that came at the first steps
        summary = own.distribution.summary((0, 1))
        assert late in (0, 1), (line, late)
        check((line, summary.count, summary.sum), (line, 1 + late, 1_000 + late))
        check((line, summary.quantiles), (line, (1 if late else 1_000, 1_000)))
        for number in range(2_000):
            own.observe(number)
        check((line, own.distribution.count), (line, 2_001 + late))
    line += 1 if line < 100 else 53
assert {"_fold", "_insert", "_sample"} <= inside, inside
assert line > 1_000, line
"""
    )


@needs_signals
def test_signal_handler_may_come_at_any_line_of_what_watches_and_limits() -> None:
    runs(
        AT_EACH_LINE
        + """
registry.limits.max_series = 25
with AtEachLine() as signals:
    waiter = monkit.watch_for_spans(registry, lambda span: span.func.short_name == "wanted")
    with mon.task("wanted"), mon.task("below"):
        pass
    for number in range(3):
        mon.counter("limited", number=number).inc()
    waiter.cancel()
check(waiter.result(0).spans[0].span.func.short_name, "wanted")
check(registry.watcher_count, 0)
check_sums()
"""
    )


@needs_signals
def test_signals_that_come_at_any_moment_never_stop_the_program() -> None:
    runs("""
def handle(*_):
    use()
    if used % 20 == 0:
        read()
    signal.setitimer(signal.ITIMER_REAL, 0.0002)  # the next one, once this one is done

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0002)
number = 0
while used < 500:
    number += 1
    mon.int_val("own", number=number % 100).observe(number)
    with mon.task("own", number=number % 100):
        registry.scope(f"own {number % 100}")
    read()
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.setitimer(signal.ITIMER_REAL, 0)
check_sums()
""")


@needs_signals
def test_signals_of_the_main_thread_and_other_threads_do_not_lock_each_other_out() -> None:
    runs("""
sys.setswitchinterval(1e-5)
over, others = threading.Event(), [0, 0]

def work(place):
    while not over.is_set():
        mon.int_val("own", number=others[place] % 100).observe(1)
        with mon.task("own"):
            list(registry.stats())
        others[place] += 1

def handle(*_):
    use()
    signal.setitimer(signal.ITIMER_REAL, 0.0005)

threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
for thread in threads:
    thread.start()
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0005)
while used < 100 or min(others) < 10:
    read()
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.setitimer(signal.ITIMER_REAL, 0)
over.set()
for thread in threads:
    thread.join()
check(mon.func("own").success_times.count, sum(others))
check_sums()
""")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@needs_signals
def test_signal_handler_that_forks_at_any_line_of_reading_leaves_a_child_that_can_go_on() -> None:
    runs(
        AT_EACH_LINE
        + """
def fork(*_):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        sys.settrace(None)
        try:
            use()
            read()
            os._exit(0)
        finally:
            os._exit(1)
    check(os.waitpid(child, 0)[1], 0)

signal.signal(signal.SIGUSR1, fork)
for _ in range(300):
    mon.int_val("size").observe(1)
with AtEachLine() as signals:
    mon.int_val("size").distribution.fields()
assert {"fields"} | INSIDE <= names(signals.lines)
"""
    )
