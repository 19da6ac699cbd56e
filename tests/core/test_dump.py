"""Dumps: what a program leaves behind that ends before anyone looks."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from monkit_core import Registry, Stat, dump, faults
from monkit_core.formats import text as page
from monkit_core.formats.functions import func_rows
from tests.helpers import BOUND_S, ROOT, fresh_scope


def busy() -> Registry:
    """A registry with figures that stay as they are, and functions that ended in several ways."""
    registry, scope = fresh_scope()
    scope.counter("orders", zone="a b").inc(3)
    scope.counter("unused")
    scope.int_val("size").observe(7)
    scope.struct_val("pool").observe({"läuft": True})
    with scope.task("outer"), scope.task("inner", tier="edge"):
        pass
    for error in (KeyError("k"), ValueError("v")):
        with suppress(LookupError, ValueError), scope.task("fails"):
            raise error
    return registry


def shown(registry: Registry) -> str:
    """What the text pages of ``/stats`` and ``/funcs`` show, a blank line between."""
    return "".join(page.stats(registry.stats())) + "\n" + "".join(page.funcs(func_rows(registry)))


def test_dump_is_what_stats_and_funcs_show(tmp_path: Path) -> None:
    registry = busy()
    dump(tmp_path / "out.txt", registry)
    text = (tmp_path / "out.txt").read_text("utf-8")
    assert text == shown(registry)
    assert "orders,scope=shop,zone=a\\ b value=3.000000000\n" in text
    assert "pool,scope=shop läuft=1.000000000\n" in text
    assert "shop.inner,tier=edge\n" in text
    assert "error KeyError: 1\n" in text


def test_dump_of_a_view_passes_its_transformers(tmp_path: Path) -> None:
    class Nothing:
        def transform(self, stats: object) -> Iterator[Stat]:
            return iter(())

    registry, scope = fresh_scope()
    scope.counter("c")
    dump(tmp_path / "out.txt", registry.with_transformers(Nothing()))
    assert (tmp_path / "out.txt").read_text() == "\n"


def test_hostile_names_are_written_as_clean_lines(tmp_path: Path) -> None:
    registry, scope = fresh_scope("\ud800\n\u202e")
    scope.counter("a\nb\ud800").inc()
    scope.func("f\ng")
    dump(tmp_path / "out.txt", registry)
    assert (tmp_path / "out.txt").read_bytes().decode("utf-8") == shown(registry)


def test_file_that_is_there_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    place, registry = tmp_path / "out.txt", busy()
    place.write_text("old " * 10_000)
    dump(str(place), registry)
    assert place.read_text("utf-8") == shown(registry)
    assert os.listdir(tmp_path) == ["out.txt"]


class Fails:
    """A transformer whose stream breaks in the middle."""

    def __init__(self, problem: BaseException) -> None:
        self._problem = problem

    def transform(self, stats: object) -> Iterator[Stat]:
        yield from busy().stats()
        raise self._problem


@pytest.mark.parametrize("problem", [ZeroDivisionError(), KeyboardInterrupt()], ids=repr)
def test_dump_that_breaks_midway_leaves_the_old_file_and_nothing_else(tmp_path: Path, problem: BaseException) -> None:
    place = tmp_path / "out.txt"
    place.write_text("old")
    with pytest.raises(type(problem)):
        dump(place, busy().with_transformers(Fails(problem)))
    assert place.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_reader_never_sees_half_a_dump(tmp_path: Path) -> None:
    """The file keeps its old content until the new one is whole: the stream looks at it while it is written."""
    place = tmp_path / "out.txt"
    place.write_text("old")
    seen: list[str] = []

    class Looks:
        def transform(self, stats: object) -> Iterator[Stat]:
            for stat in busy().stats():
                seen.append(place.read_text())
                yield stat

    dump(place, busy().with_transformers(Looks()))
    assert set(seen) == {"old"}
    assert "orders" in place.read_text("utf-8")


def test_dumps_of_one_path_made_at_once_do_not_mix(tmp_path: Path) -> None:
    place, threads = tmp_path / "out.txt", 4
    registries = [busy() for _ in range(threads)]
    expected = {shown(registry) for registry in registries}
    together = threading.Barrier(threads)

    def write(registry: Registry) -> None:
        for _ in range(25):
            together.wait(BOUND_S)
            dump(place, registry)
            assert place.read_text("utf-8") in expected

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(write, registry) for registry in registries]:
            future.result(BOUND_S)
    assert os.listdir(tmp_path) == ["out.txt"]


def test_dump_made_while_another_is_made_is_whole_too(tmp_path: Path) -> None:
    """As a signal handler might."""
    place, inner = tmp_path / "out.txt", busy()

    class Dumps:
        def transform(self, stats: object) -> Iterator[Stat]:
            stat, *others = inner.stats()
            yield stat
            dump(place, inner)
            assert place.read_text("utf-8") == shown(inner)
            yield from others

    dump(place, inner.with_transformers(Dumps()))
    assert place.read_text("utf-8") == shown(inner)
    assert os.listdir(tmp_path) == ["out.txt"]


def test_place_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dump(tmp_path / "missing" / "out.txt", busy())
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        dump(tmp_path / "folder", busy())
    assert os.listdir(tmp_path) == ["folder"]


def test_who_calls_dump_gets_the_exception_and_the_log_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "monkit"), pytest.raises(OSError, match=r"out\.txt"):
        dump(tmp_path / "missing" / "out.txt", busy())
    assert caplog.records == []


def test_source_that_raises_is_reported_and_the_dump_is_whole(tmp_path: Path) -> None:
    registry, scope = fresh_scope(f"dump {uuid.uuid4()}")
    scope.gauge("broken", lambda: 1 / 0)
    scope.gauge("sound", lambda: 1)
    before = faults.count()
    dump(tmp_path / "out.txt", registry)
    assert faults.count() == before + 1
    assert (tmp_path / "out.txt").read_text().startswith("sound,")


# At the exit of a program.

PROGRAM = """
import os, sys
import monkit_core as monkit
mon = monkit.package()
monkit.dump_on_exit({path!r})
@mon.task
def work():
    mon.counter("works").inc()
work()
"""


def ended(path: Path | str, *lines: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A program that asks for a dump, works once, and ends as *lines* say."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(path=str(path)) + "\n".join(lines)],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


ENDS: dict[str, tuple[tuple[str, ...], int]] = {
    "normally": ((), 0),
    "sys.exit()": (("sys.exit()",), 0),
    "sys.exit(3)": (("sys.exit(3)",), 3),
    "text": (("sys.exit('words')",), 1),
    "exception": (("raise KeyError('k')",), 1),
    "exception of a monitored function": (("@mon.task\ndef fail(): raise KeyError('k')\nfail()",), 1),
    "interrupt": (("raise KeyboardInterrupt",), -signal.SIGINT),
    "a thread still works": (("import threading\nthreading.Thread(target=work).start()",), 0),
}


@pytest.mark.parametrize("end", ENDS)
def test_program_that_ends_leaves_a_dump_and_its_own_exit_code(tmp_path: Path, end: str) -> None:
    lines, code = ENDS[end]
    outcome = ended(tmp_path / "out.txt", *lines)
    assert outcome.returncode == code, outcome.stderr
    text = (tmp_path / "out.txt").read_text("utf-8")
    works = 2 if "thread" in end else 1
    assert f"works,scope=main value={works}.000000000\n" in text
    assert f"main.work\n  parents: entry\n  current: 0, highwater: 1, success: {works}, errors: 0" in text
    assert ("error KeyError: 1\n" in text) == ("monitored" in end)
    assert os.listdir(tmp_path) == ["out.txt"]
    assert " failed: " not in outcome.stderr


def test_program_that_is_killed_leaves_no_dump(tmp_path: Path) -> None:
    assert ended(tmp_path / "out.txt", "os.kill(os.getpid(), 9)").returncode == -9
    assert ended(tmp_path / "out.txt", "os._exit(3)").returncode == 3
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("end", "code"), [("", 0), ("sys.exit(3)", 3), ("raise KeyError", 1)])
def test_dump_that_fails_is_logged_once_and_the_exit_code_stays(tmp_path: Path, end: str, code: int) -> None:
    missing = tmp_path / "missing" / "out.txt"
    outcome = ended(missing, end)
    assert outcome.returncode == code
    assert outcome.stderr.count(f"dump to {missing} failed: FileNotFoundError") == 1
    assert os.listdir(tmp_path) == []


def test_path_is_that_of_the_moment_of_asking(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert ended("out.txt", "os.chdir('elsewhere')", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out.txt").exists()
    assert os.listdir(tmp_path / "elsewhere") == []


def test_dump_of_another_registry_may_be_asked_for_beside_it(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    lines = (
        "own = monkit.Registry()",
        "own.scope('own').counter('c').inc()",
        f"monkit.dump_on_exit({str(other)!r}, own)",
    )
    assert ended(tmp_path / "out.txt", *lines).returncode == 0
    assert "works" in (tmp_path / "out.txt").read_text()
    assert other.read_text().startswith("c,scope=own high=1.000000000\n")
    assert "works" not in other.read_text()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


@needs_fork
@pytest.mark.parametrize("end", ["sys.exit(0)", "raise KeyError", ""], ids=repr)
def test_forked_child_writes_no_dump(tmp_path: Path, end: str) -> None:
    lines = (
        "pid = os.fork()",
        "if pid == 0:",
        "    work()",
        f"    {end or 'pass'}",
        "else:",
        "    os.waitpid(pid, 0)",
        f"    assert not os.path.exists({str(tmp_path / 'out.txt')!r}), 'the child wrote it'",
    )
    outcome = ended(tmp_path / "out.txt", *lines)
    assert outcome.returncode == 0, outcome.stderr
    assert "works,scope=main value=1.000000000\n" in (tmp_path / "out.txt").read_text()
    assert os.listdir(tmp_path) == ["out.txt"]


@needs_fork
def test_child_that_ends_after_its_parent_does_not_overwrite_its_dump(tmp_path: Path) -> None:
    lines = (
        "end, held = os.pipe()",  # closed when the parent has gone
        "if os.fork() == 0:",
        "    os.close(held)",
        "    work()",
        "    os.read(end, 1)",
    )
    outcome = ended(tmp_path / "out.txt", *lines)  # which waits for both: they hold its output
    assert outcome.returncode == 0, outcome.stderr
    assert "works,scope=main value=1.000000000\n" in (tmp_path / "out.txt").read_text()


@needs_fork
def test_child_may_ask_for_a_dump_of_its_own(tmp_path: Path) -> None:
    own = str(tmp_path / "own.txt")
    lines = (
        "pid = os.fork()",
        "if pid == 0:",
        f"    monkit.dump_on_exit({own!r})",
        "    work()",
        "else:",
        "    os.waitpid(pid, 0)",
    )
    assert ended(tmp_path / "out.txt", *lines).returncode == 0
    assert "works,scope=main value=1.000000000\n" in (tmp_path / "out.txt").read_text()
    assert "works,scope=main value=2.000000000\n" in (tmp_path / "own.txt").read_text()
