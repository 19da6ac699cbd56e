from __future__ import annotations

import asyncio
import gc
import os
import re
import sys
import threading
import tracemalloc
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import monkit_core
from monkit_core import Registry, engine, environment, faults
from monkit_core.distribution import Distribution
from monkit_core.environment import process, runtime
from tests.helpers import BOUND_S, ROOT, run_python

PAGE = (ROOT / "docs/reference/environment.md").read_text("utf-8")
ORIGINAL = {
    line.partition(":")[0]: line.partition(":")[2].split()
    for line in (ROOT / "tests/parity/environment_series.txt").read_text("utf-8").splitlines()
}
OF_ANOTHER_RUNTIME = {"runtime_memstats", "runtime_gcstats", "goroutines"}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
where_processes_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

# A line of the kernel with all its 52 fields; the name is put in.
STAT = (
    "4711 (%s) S 1 4711 4700 34816 -1 4194304 100 200 3 4 50 60 7 8 20 -5 9 0 278847 27779072 5619 "
    "18446744073709551615 94750568378368 94750568378709 140721361876192 0 0 0 0 16781312 2 0 0 0 17 1 0 0 11 12 13 "
    "94343513451568 94343513453184 94343614529536 140732069554913 140732069554933 140732069554933 140732069556203 0\n"
)


@pytest.fixture
def registry() -> Iterator[Registry]:
    """One that has the environment; what the collector calls is put back as it was."""
    before = list(gc.callbacks)
    made = Registry()
    environment.register(made)
    yield made
    gc.callbacks[:] = before


def fields(registry: Registry, series: str, **tags: str) -> dict[str, float]:
    """The fields of one series of the environment, in order."""
    wanted = tuple(sorted({**tags, "scope": environment.SCOPE}.items()))
    return {
        stat.field: stat.value
        for stat in registry.stats()
        if stat.key.measurement == series and (not tags or stat.key.tags == wanted)
    }


# The whole.


def test_everything_is_in_one_scope_in_the_order_of_the_table(registry: Registry) -> None:
    stats = list(registry.stats())
    assert {dict(stat.key.tags)["scope"] for stat in stats} == {"monkit_core.environment"}
    read = list(dict.fromkeys((stat.key.measurement, dict(stat.key.tags).get("generation")) for stat in stats))
    listed = [(source.key.measurement, dict(source.key.tags).get("generation")) for source in environment.SOURCES]
    assert read == [item for item in listed if item in read]
    assert {item[0] for item in read} >= {"process", "threads"}


def test_registering_twice_does_no_harm(registry: Registry) -> None:
    names = [(stat.key, stat.field) for stat in registry.stats()]
    callbacks = list(gc.callbacks)
    environment.register(registry)
    environment.register(Registry())
    assert gc.callbacks == callbacks
    assert len(set(names)) == len(names)
    assert [name for name in ((stat.key, stat.field) for stat in registry.stats()) if name not in names] == []


def test_a_collector_callback_that_somebody_removed_comes_back(registry: Registry) -> None:
    callbacks = list(gc.callbacks)
    gc.callbacks.pop()
    environment.register(registry)
    assert gc.callbacks == callbacks


def test_the_default_registry_is_taken_if_none_is_given() -> None:
    program = (
        "import monkit_core as monkit\n"
        "monkit.environment.register()\n"
        "print([scope.name for scope in monkit.default_registry.scopes()])\n"
    )
    assert run_python("-c", program) == "['monkit_core.environment']"


def test_an_empty_registry_is_not_taken_for_none(registry: Registry) -> None:
    assert [scope.name for scope in registry.scopes()] == ["monkit_core.environment"]


def test_source_that_raises_leaves_the_other_figures(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise ZeroDivisionError

    before, series = faults.count(), {stat.key.measurement for stat in registry.stats()}
    monkeypatch.setattr(threading, "active_count", fail)
    assert {stat.key.measurement for stat in registry.stats()} == series - {"threads"}
    assert faults.count() == before + 1


def test_reading_reports_no_faults(registry: Registry) -> None:
    before = faults.count()
    assert len(list(registry.stats())) > 10
    assert faults.count() == before


@on_linux
def test_series_have_the_names_and_the_order_of_the_original(registry: Registry) -> None:
    ours = {name: list(fields(registry, name)) for name in ORIGINAL}
    assert {name: ours[name] for name in ORIGINAL if name not in OF_ANOTHER_RUNTIME} == {
        name: names for name, names in ORIGINAL.items() if name not in OF_ANOTHER_RUNTIME
    }
    assert [ours[name] for name in OF_ANOTHER_RUNTIME] == [[]] * 3


@on_linux
def test_every_series_and_field_is_in_the_reference(registry: Registry) -> None:
    sections = dict(re.findall(r"^## `(\w+)`$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    tracemalloc.start()
    try:
        gc.collect()
        read = {(stat.key.measurement, stat.field) for stat in registry.stats()}
    finally:
        tracemalloc.stop()
    missing = [name for name in sorted(read) if f"`{name[1]}`" not in sections.get(name[0], "")]
    assert missing == []
    assert sorted(sections) == sorted({series for series, _ in read})


def test_import_of_the_environment_brings_in_no_asyncio_and_reading_it_neither() -> None:
    # The package's root imports more than this module needs: an empty root stands in for it.
    program = (
        "import sys, types\n"
        "root = types.ModuleType('monkit_core')\n"
        f"root.__path__ = [{str(Path(monkit_core.__file__).parent)!r}]\n"
        "sys.modules['monkit_core'] = root\n"
        "import monkit_core.environment as environment\n"
        "from monkit_core.registry import Registry\n"
        "registry = Registry()\n"
        "environment.register(registry)\n"
        "series = {stat.key.measurement for stat in registry.stats()}\n"
        "print('asyncio' in sys.modules, 'asyncio' in series, 'threads' in series)\n"
    )
    assert run_python("-c", program) == "False False True"


def test_import_alone_watches_nothing() -> None:
    program = (
        "import gc, monkit_core as monkit\n"
        "print(gc.callbacks, monkit.default_registry.scopes())\n"
        "monkit.environment.register(monkit.Registry())\n"
        "print(len(gc.callbacks))\n"
    )
    assert run_python("-c", program).split("\n") == ["[] []", "1"]


# Process.


def test_control_is_one_and_uptime_grows(registry: Registry) -> None:
    first, second = fields(registry, "process"), fields(registry, "process")
    assert first["control"] == 1
    assert 0 < first["uptime"] <= second["uptime"]


def test_crc_is_that_of_the_program_as_it_was_when_registered(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import monkit_core as monkit\n"
        "from pathlib import Path\n"
        "monkit.environment.register()\n"
        "Path(__file__).write_text('replaced')\n"
        "print([int(stat.value) for stat in monkit.default_registry.stats() if stat.field == 'crc'])\n"
    )
    crc = zlib.crc32(script.read_bytes())
    assert run_python(str(script), cwd=tmp_path) == f"[{crc}]"


def test_crc_of_a_program_without_a_file_is_that_of_the_interpreter() -> None:
    program = "from monkit_core.environment import process; print(process.program_crc())"
    assert run_python("-c", program) == str(zlib.crc32(Path(sys.executable).read_bytes()))


def test_program_is_the_script_or_its_zip_or_the_interpreter(tmp_path: Path) -> None:
    script, bundle = tmp_path / "a.py", tmp_path / "b.zip"
    script.write_text("")
    with zipfile.ZipFile(bundle, "w") as file:
        file.writestr("__main__.py", "")
    assert process.program_file(str(script), sys.executable) == str(script)
    assert process.program_file(str(bundle / "__main__.py"), sys.executable) == str(bundle)
    for nothing in (None, 5, "", "<stdin>", "/nowhere/at/all.py", "nul\0"):
        assert process.program_file(nothing, sys.executable) == sys.executable
    assert process.program_file(None, None) is None
    assert process.program_file(None, "") is None


def test_crc_of_a_program_that_cannot_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in (None, str(tmp_path)):
        monkeypatch.setattr(process, "program_file", lambda main_file, interpreter, path=path: path)
        assert process.program_crc.__wrapped__() is None
    monkeypatch.setattr(process, "program_crc", lambda: None)
    assert list(dict(process.process())) == ["control", "uptime"]


def test_age_of_a_process_is_the_distance_of_two_clocks() -> None:
    assert process.process_age(STAT % "x", "2800.47 5000.00\n", 100) == pytest.approx(12.0)
    assert process.process_age(STAT % "a) b", "2800.47 5000.00\n", 100) == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("stat", "uptime", "ticks"),
    [("", "1 1", 100), (STAT % "x", "", 100), (STAT % "x", "much", 100), (STAT % "x", "1 1", 0), ("1 (x) S", "1", 100)],
)
def test_age_is_unknown_where_the_texts_do_not_tell(stat: str, uptime: str, ticks: int) -> None:
    assert process.process_age(stat, uptime, ticks) is None


@pytest.mark.parametrize("uptime", ["", "0.00 0.00\n"], ids=["no /proc", "clock of a container"])
def test_uptime_never_falls_below_the_time_since_import(uptime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"/proc/self/stat": STAT % "x", "/proc/uptime": uptime}
    monkeypatch.setattr(process, "_read_text", lambda path: texts.get(path, ""))
    first, second = (dict(process.process())["uptime"] for _ in range(2))
    assert 0 < first <= second


# Files of /proc.


@pytest.mark.parametrize(
    "name", ["python", "my program", "a) S 1 (b", "(", ")", "", "((x))", "two\nlines", "\ufffd"], ids=repr
)
def test_process_name_of_any_shape_does_not_break_the_parser(name: str) -> None:
    stat = process.parse_stat(STAT % name)
    assert list(stat) == ORIGINAL["proc_stat"]
    assert (stat["Pid"], stat["State"], stat["Ppid"], stat["Nice"]) == (4711, ord("S"), 1, -5)
    assert (stat["Starttime"], stat["Rsslim"], stat["Processor"], stat["CguestTime"]) == (278847, 2.0**64, 1, 13)


@pytest.mark.parametrize("text", ["", "4711", "4711 (x)", "4711 (x", "x (x) S 1", "1 (x) S one"], ids=repr)
def test_text_that_is_no_proc_stat_gives_nothing(text: str) -> None:
    assert process.parse_stat(text) == {}


def test_fields_that_an_older_kernel_does_not_have_are_left_out() -> None:
    assert process.parse_stat("1 (x) R 2 3") == {"Pid": 1, "State": ord("R"), "Ppid": 2, "Pgrp": 3}
    assert process.parse_statm("1 2 3") == {"Size": 1, "Resident": 2, "Share": 3}


def test_proc_statm_is_read_in_order() -> None:
    assert process.parse_statm("765 422 394 5 0 123 0\n") == dict(
        zip(ORIGINAL["proc_statm"], [765, 422, 394, 5, 0, 123, 0], strict=True)
    )
    assert process.parse_statm("") == {}
    assert process.parse_statm("a b") == {}


NAMED = """
import threading, monkit_core as monkit
with open('/proc/self/comm', 'w') as file: file.write('a) S (b c')
monkit.environment.register()
print([int(stat.value) for stat in monkit.default_registry.stats()
       if (stat.key.measurement, stat.field) == ('proc_stat', 'NumThreads')])
"""


@on_linux
def test_process_with_spaces_and_parentheses_in_its_name_keeps_its_figures() -> None:
    assert run_python("-c", NAMED) == "[1]"


@on_linux
def test_figures_of_proc_are_those_of_this_process(registry: Registry) -> None:
    assert fields(registry, "proc_stat")["Pid"] == os.getpid()
    assert fields(registry, "proc_stat")["Ppid"] == os.getppid()
    assert fields(registry, "proc_statm")["Resident"] > 0


# Files and resources.


FILES = """
import os
from monkit_core.environment import process
def opened():
    count = 0
    for number in range(256):
        try: os.fstat(number)
        except OSError: continue
        count += 1
    return count
for _ in range(2):
    print(dict(process.open_files())['count'] - opened())
    os.pipe()
"""


@on_linux
def test_open_files_are_counted_without_the_one_that_counting_takes() -> None:
    assert run_python("-c", FILES).split() == ["0.0", "0.0"]


def test_second_folder_of_files_is_asked_where_the_first_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("0", "1", "2"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(process, "_FILE_FOLDERS", (str(tmp_path / "missing"), str(tmp_path)))
    assert list(process.open_files()) == [("count", 2.0)]


def test_times_of_rusage_are_whole_seconds_and_microseconds() -> None:
    numbers = {f"ru_{field.lower()}": index for index, field in enumerate(process.RUSAGE_FIELDS)}
    usage = SimpleNamespace(ru_utime=12.345678, ru_stime=0.9999999, **numbers)
    read = list(process.rusage_fields(usage))
    assert [field for field, _ in read] == ORIGINAL["rusage"]
    assert [value for _, value in read] == [12, 345678, 1, 0, *range(14)]


def test_what_the_platform_does_not_have_is_left_out(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_read_text", lambda path: "")
    monkeypatch.setattr(process, "_FILE_FOLDERS", ("/nowhere/at/all",))
    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setitem(sys.modules, "tracemalloc", None)
    monkeypatch.setitem(sys.modules, "asyncio.tasks", None)
    monkeypatch.delattr(sys, "getallocatedblocks", raising=False)
    monkeypatch.delattr(gc, "get_stats", raising=False)
    before = faults.count()
    assert {stat.key.measurement for stat in registry.stats()} == {"process", "threads", "gc_pause"}
    assert faults.count() == before


def test_file_of_proc_that_is_not_there_reads_as_nothing() -> None:
    assert process._read_text("/nowhere/at/all") == ""


def test_other_shape_of_collector_statistics_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "get_stats", lambda: SimpleNamespace(total=5))
    assert list(runtime.garbage(0)) == []


# The interpreter.


def test_running_threads_are_counted(registry: Registry) -> None:
    go = threading.Event()
    before = fields(registry, "threads")["count"]
    threads = [threading.Thread(target=go.wait, args=(BOUND_S,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert fields(registry, "threads")["count"] == before + 3
    go.set()
    for thread in threads:
        thread.join(BOUND_S)
    assert fields(registry, "threads")["count"] == before


@pytest.fixture
def no_collections() -> Iterator[None]:
    """The collector runs only when the test says so."""
    enabled = gc.isenabled()
    gc.disable()
    yield
    if enabled:
        gc.enable()


@pytest.mark.usefixtures("no_collections")
def test_collections_are_told_by_generation(registry: Registry) -> None:
    def collections() -> list[float]:
        return [fields(registry, "gc", generation=str(number))["collections"] for number in range(3)]

    before = collections()
    gc.collect(0)
    gc.collect(2)
    gc.collect(2)
    assert [now - then for now, then in zip(collections(), before, strict=True)] == [1, 0, 2]


@pytest.mark.usefixtures("no_collections")
def test_garbage_in_cycles_is_counted_as_collected(registry: Registry) -> None:
    gc.collect()
    before = fields(registry, "gc", generation="2")
    for _ in range(5):
        cycle: list[object] = []
        cycle.append(cycle)
    del cycle
    gc.collect()
    after = fields(registry, "gc", generation="2")
    assert after["collected"] - before["collected"] >= 5
    assert after["uncollectable"] == before["uncollectable"]


@pytest.mark.usefixtures("no_collections")
def test_each_pause_is_counted_once_however_often_the_page_is_read(registry: Registry) -> None:
    environment.register(Registry())
    before = fields(registry, "gc_pause")["count"]
    for _ in range(3):
        gc.collect()
        for _ in range(4):
            list(registry.stats())
    after = fields(registry, "gc_pause")
    assert after["count"] == before + 3
    assert 0 < after["min"] <= after["recent"] <= after["max"] <= after["sum"]


def test_pause_lasts_from_start_to_stop_and_one_without_a_start_is_no_pause() -> None:
    times = iter([100, 130, 200, 250])
    observed: list[int] = []
    watch = runtime.make_pause_callback(observed.append, lambda: next(times))
    for phase in ("stop", "start", "stop", "stop", "start", "stop"):
        watch(phase, {})
    assert observed == [30, 50]


@pytest.mark.parametrize("problem", [RecursionError, MemoryError])
def test_callback_of_the_collector_swallows_that_there_is_no_room(problem: type[Exception]) -> None:
    def fail(pause_ns: int) -> None:
        raise problem

    watch = runtime.make_pause_callback(fail)
    watch("start", {})
    watch("stop", {})


@pytest.mark.usefixtures("no_collections")
def test_callback_of_the_collector_makes_nothing_that_the_collector_tracks() -> None:
    watch = runtime.make_pause_callback(Distribution(integral=True).observe)
    info: dict[str, int] = {}
    gc.collect()
    before = gc.get_count()[0]
    for _ in range(100):
        watch("start", info)
        watch("stop", info)
    assert gc.get_count()[0] - before <= 5


def test_pauses_are_bounded_in_memory_and_folding_them_may_happen_in_a_collection() -> None:
    distribution = Distribution(integral=True)
    watch = runtime.make_pause_callback(distribution.observe)
    for _ in range(10_000):
        watch("start", {})
        watch("stop", {})
    if engine.name == "pure":  # the compiled one keeps nothing back
        assert len(distribution._pending) < 1_000
    assert distribution.count == 10_000


def test_process_that_ends_with_the_callback_in_place_says_nothing() -> None:
    program = (
        "import sys, monkit_core as monkit\n"
        "monkit.environment.register()\n"
        "class Cycle:\n    def __del__(self): sys.modules\n"
        "for _ in range(5000):\n    one = Cycle(); one.self = one\n"
        "monkit.keep = one\n"
    )
    assert run_python("-X", "dev", "-c", program) == ""


def test_memory_is_told_and_traced_only_while_it_is_traced(registry: Registry) -> None:
    assert not tracemalloc.is_tracing()
    assert list(fields(registry, "memory")) == ["allocated_blocks"]
    assert fields(registry, "memory")["allocated_blocks"] > 0
    tracemalloc.start()
    try:
        held = bytes(1_000_000)
        traced = fields(registry, "memory")
        assert list(traced) == ["allocated_blocks", "traced_bytes", "traced_peak_bytes"]
        assert traced["traced_peak_bytes"] >= traced["traced_bytes"] >= len(held)
    finally:
        tracemalloc.stop()
    assert list(fields(registry, "memory")) == ["allocated_blocks"]


# Event loops.


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="tasks cannot be listed there")
def test_loops_and_their_tasks_are_counted_also_from_another_thread(registry: Registry) -> None:
    def read() -> tuple[float, float]:
        figures = fields(registry, "asyncio")
        return figures["loops"], figures["tasks"]

    async def main() -> list[tuple[float, float]]:
        done = asyncio.Event()
        tasks = [asyncio.create_task(done.wait()) for _ in range(5)]
        finished = asyncio.create_task(asyncio.sleep(0))
        await finished
        seen = [read(), await asyncio.to_thread(read)]
        done.set()
        await asyncio.gather(*tasks)
        return [*seen, read()]

    loops, tasks = read()
    assert asyncio.run(main()) == [(loops + 1, tasks + 6), (loops + 1, tasks + 6), (loops + 1, tasks + 1)]
    assert read() == (loops, tasks)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="tasks cannot be listed there")
def test_tasks_can_be_counted_while_other_threads_start_and_end_them() -> None:
    stop = threading.Event()
    rounds = [0, 0]

    async def nothing() -> None: ...

    async def churn(place: int) -> None:
        while not stop.is_set():
            await asyncio.gather(*(nothing() for _ in range(20)))
            rounds[place] += 1

    before = faults.count()
    reads = 0
    with ThreadPoolExecutor(2) as pool:
        churners = [pool.submit(asyncio.run, churn(place)) for place in range(2)]
        try:
            # This source alone: the others read files, and each read waits until both churners let go.
            while not any(churner.done() for churner in churners) and (reads < 200 or min(rounds) < 20):
                assert "tasks" in dict(runtime.event_loops())
                reads += 1
        finally:
            stop.set()
        for churner in churners:
            churner.result(BOUND_S)
    assert min(rounds) >= 20
    assert faults.count() == before


class Work:
    """As much of a task as is asked for."""

    def __init__(self, done: bool = False, closed: bool = False) -> None:
        self.loop = SimpleNamespace(is_closed=lambda: closed)
        self.is_done = done

    def done(self) -> bool:
        return self.is_done

    def get_loop(self) -> Any:
        return self.loop


def module_like(**names: object) -> ModuleType:
    """A stand-in for the module ``asyncio.tasks`` of some version."""
    module = ModuleType("asyncio.tasks")

    def all_tasks() -> None: ...

    all_tasks.__module__ = "asyncio.tasks"
    vars(module).update({"all_tasks": all_tasks, **names})
    return module


def test_tasks_are_found_where_each_version_keeps_them() -> None:
    one, two, done, closed = Work(), Work(), Work(done=True), Work(closed=True)
    weak: weakref.WeakSet[Work] = weakref.WeakSet([one, done, closed])
    assert runtime.open_tasks(module_like(_all_tasks=weak)) == [one]
    found = runtime.open_tasks(module_like(_scheduled_tasks=weak, _eager_tasks={two}))
    assert found is not None
    assert set(found) == {one, two}


def test_figures_of_loops_are_left_out_where_tasks_cannot_be_listed() -> None:
    weak: weakref.WeakSet[Work] = weakref.WeakSet()
    native = SimpleNamespace(__module__="_asyncio")
    for module in (
        None,
        ModuleType("asyncio.tasks"),
        module_like(),
        module_like(_all_tasks=[]),
        module_like(_scheduled_tasks=weak, all_tasks=native),
    ):
        assert runtime.open_tasks(module) is None


# Fork.

FORK = """
import gc, os, monkit_core as monkit
gc.disable()
registry = monkit.Registry()
monkit.environment.register(registry)
def read():
    return {(s.key.measurement, s.field, dict(s.key.tags).get('generation')): s.value for s in registry.stats()}
def tell(who, figures):
    print(who, int(figures['gc_pause', 'count', None]), int(figures['gc', 'collections', '2']),
          figures['process', 'control', None], figures['process', 'crc', None] == crc, flush=True)
for _ in range(3): gc.collect()
first = read()
crc = first['process', 'crc', None]
tell('parent', first)
child = os.fork()
if child == 0:
    figures = read()
    tell('child', figures)
    if ('proc_stat', 'Pid', None) in figures:
        assert figures['proc_stat', 'Pid', None] == os.getpid()
        assert figures['proc_stat', 'Starttime', None] >= first['proc_stat', 'Starttime', None]
    gc.collect()
    tell('child', read())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
tell('parent', read())
"""


@where_processes_fork
def test_figures_of_a_forked_child_are_its_own() -> None:
    lines = run_python("-c", FORK).splitlines()
    assert lines[0] == "parent 3 3 1.0 True"
    assert lines[1:3] == ["child 0 0 1.0 True", "child 1 1 1.0 True"]
    assert lines[3] == lines[0]


@pytest.mark.usefixtures("no_collections")
def test_restart_begins_pauses_and_collections_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = Distribution(integral=True)
    pauses.observe(5)
    monkeypatch.setattr(runtime, "gc_pauses", pauses)
    monkeypatch.setattr(runtime, "_collected_before_fork", [])
    runtime._restart()
    assert list(runtime.pauses()) == [("count", 0.0)]
    assert [set(dict(runtime.garbage(number)).values()) for number in range(3)] == [{0.0}] * 3


def test_restart_begins_the_time_since_import_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_loaded_ns", 0)
    process._restart()
    assert process._loaded_ns > 0


UPTIME = """
import os
from monkit_core.environment import process
process._read_text = lambda path: ''
process._loaded_ns -= 10**15
def uptime(): return dict(process.process())['uptime']
print(uptime() > 10**6, flush=True)
child = os.fork()
if child == 0:
    print(uptime() < 10**6, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(uptime() > 10**6)
"""


@where_processes_fork
def test_uptime_of_a_forked_child_starts_anew() -> None:
    assert run_python("-c", UPTIME).split() == ["True"] * 3
