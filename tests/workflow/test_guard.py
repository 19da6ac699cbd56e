"""The guard: what it refuses, whom it spares, and that the process is what it was when it is gone."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import copy
import gzip
import inspect
import io
import linecache
import logging
import logging.handlers
import os
import pickle
import random
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import monkit_core
from monkit_workflow import guard, guard_callers
from monkit_workflow.errors import GuardError
from monkit_workflow.guard import GuardWarning, guarding, installed, unguarded
from monkit_workflow.guard_names import NAMES, Name

STDLIB = os.path.dirname(os.__file__)
INSTALLED = sysconfig.get_path("purelib")
MONKIT = str(Path(monkit_core.__file__).parents[1])
HERE = os.path.basename(__file__)


@pytest.fixture(autouse=True)
def wrappers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(guard_callers, "_owned", set())
    monkeypatch.setattr(guard, "_warned", set())
    with installed():
        yield


def located(name: Name) -> tuple[Any, str]:
    owner: Any = sys.modules[name.module]
    *classes, attribute = name.path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    return owner, attribute


def present(name: Name) -> bool:
    return guard._found(name) is not None


TABLE = [pytest.param(name, id=f"{name.module}.{name.path}") for name in NAMES if present(name)]


def calling(source: str, folder: str, module: str, **variables: Any) -> Any:
    """A function ``call`` of a module that lies in *folder*."""
    filename = os.path.join(folder, *module.split(".")) + ".py"
    variables |= {"__name__": module, "__file__": filename}
    if folder in (MONKIT, os.path.join(MONKIT, "monkit_workflow")):
        # Tools that measure coverage would look for the file.
        filename = "<string>"
    exec(compile(f"def call(*args, **kwargs):\n    return {source}", filename, "exec"), variables)
    return variables["call"]


# What is refused


@pytest.mark.parametrize("name", TABLE)
def test_name_of_the_table_is_refused_in_a_slice(name: Name) -> None:
    owner, attribute = located(name)
    call = getattr(owner, attribute)
    with guarding(), pytest.raises(GuardError) as caught:
        call(*((None,) if name.is_method else ()))  # it never gets as far as its arguments
    assert str(caught.value).startswith(f"{name.shown}() was called in workflow code ({HERE}:")
    assert name.rule.why in str(caught.value)
    assert name.rule.advice[1:] in str(caught.value)


@pytest.mark.parametrize("name", TABLE)
def test_name_of_the_table_hands_everything_on_outside_of_slices(name: Name) -> None:
    taken: list[Any] = []

    def stub(*args: Any, **kwargs: Any) -> str:
        taken.extend((args, kwargs))
        return "answer"

    call = guard.wrap(name, stub)
    if name.bare:
        assert call() == "answer"
        assert taken == [(), {}]
    else:
        assert call(1, 2, three=3) == "answer"
        assert taken == [(1, 2), {"three": 3}]


@pytest.mark.parametrize("name", TABLE)
def test_wrapper_of_the_table_looks_like_its_original(name: Name) -> None:
    owner, attribute = located(name)
    wrapper = vars(owner)[attribute]
    original = wrapper.__wrapped__
    for detail in ("__name__", "__doc__", "__qualname__", "__module__"):
        if hasattr(original, detail):
            assert getattr(wrapper, detail) == getattr(original, detail)
    assert inspect.unwrap(wrapper) is original


def test_message_says_what_was_called_where_and_what_to_use() -> None:
    with guarding(), pytest.raises(GuardError) as caught:
        time.time()
    line = caught.traceback[0].lineno + 1
    assert str(caught.value) == (
        f"time.time() was called in workflow code ({HERE}:{line}); a replay would get another value. "
        "Use workflow.now(), or move the call into an activity."
    )


def test_message_names_the_line_of_the_workflow_and_that_of_the_library() -> None:
    with guarding(), pytest.raises(GuardError, match=rf"^subprocess\.Popen\(\).*\({HERE}:\d+, through subprocess\.py:"):
        subprocess.run(["true"])


@pytest.mark.parametrize(
    "draw",
    [
        secrets.token_hex,
        lambda: secrets.randbits(3),
        lambda: secrets.choice("ab"),
        random.SystemRandom().random,
        uuid.uuid4,
        lambda: random.Random(),
        random.SystemRandom,
    ],
)
def test_randomness_of_the_system_is_refused_by_whatever_name(draw: Callable[[], object]) -> None:
    with guarding(), pytest.raises(GuardError, match=HERE):
        draw()


def test_calls_that_depend_on_their_arguments_alone_are_let_through() -> None:
    with guarding():
        assert time.gmtime(0).tm_year == 1970
        assert time.strftime("%Y", time.gmtime(0)) == "1970"
        assert time.localtime(0).tm_zone
        assert random.Random(7).random() == random.Random(x=7).random()
    with guarding(), pytest.raises(GuardError):
        time.gmtime(None)


def test_environment_and_print_stay_allowed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONKIT_GUARD", "set")
    with guarding():
        print(os.environ["MONKIT_GUARD"], os.getenv("MONKIT_GUARD"))
    assert capsys.readouterr().out == "set set\n"


def test_first_refusal_is_kept_for_the_runner_where_the_workflow_swallows_it() -> None:
    with guarding() as slice_:
        with contextlib.suppress(Exception):
            time.time()
        with contextlib.suppress(Exception):
            time.sleep(0)
    assert "time.time()" in str(slice_.refused)


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="'loud', expected one of refuse, warn, off"):
        guarding("loud")  # type: ignore[arg-type]


# Files


def test_workflow_may_not_read_a_file_by_any_way(tmp_path: Path) -> None:
    file = tmp_path / "orders.txt"
    file.write_text("7")
    ways: list[Callable[[], object]] = [
        lambda: open(file),  # noqa: SIM115
        lambda: os.open(file, os.O_RDONLY),
        file.read_text,
        file.read_bytes,
        lambda: file.write_text("8"),
        lambda: gzip.open(file),  # noqa: SIM115
        lambda: tempfile.TemporaryFile(dir=tmp_path),  # noqa: SIM115
        lambda: shutil.copyfile(file, tmp_path / "copy"),
    ]
    for way in ways:
        with guarding(), pytest.raises(GuardError, match=HERE):
            way()


def test_standard_library_may_read_files_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "orders.txt"
    file.write_text("7")
    call = calling("open(*args, **kwargs)", STDLIB, "zoneinfo.lookup")
    descriptor = calling("os.open(*args)", STDLIB, "zoneinfo.lookup", os=os)
    with guarding():
        call(file).close()
        call(file, mode="rb").close()
        os.close(descriptor(file, os.O_RDONLY))
    for open_, how in ((call, "a"), (call, "r+"), (descriptor, os.O_CREAT)):
        with guarding(), pytest.raises(GuardError):
            open_(file, how)


def test_installed_package_may_read_what_is_installed_but_not_on_behalf_of_the_workflow(tmp_path: Path) -> None:
    file = tmp_path / "orders.txt"
    file.write_text("7")
    call = calling("open(*args)", INSTALLED, "frames.reading")
    with guarding():
        call(pytest.__file__).close()
    for refused in (file, 0):
        with guarding(), pytest.raises(GuardError, match=rf"{HERE}:\d+, through reading\.py"):
            call(refused)


def test_formatting_a_traceback_in_a_slice_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linecache, "cache", {})
    with guarding():
        try:
            raise ValueError("lost")
        except ValueError:
            text = traceback.format_exc()
    assert 'raise ValueError("lost")' in text


# Who calls


@pytest.mark.parametrize("folder", [STDLIB, INSTALLED, os.path.join(os.sep, "opt", "lib", "dist-packages")])
@pytest.mark.parametrize("source", ["time.time()", "time.gmtime()", "random.random()", "os.urandom(1)", "uuid.uuid4()"])
def test_libraries_may_read_clocks_and_random_numbers(folder: str, source: str) -> None:
    call = calling(source, folder, "library.module", time=time, random=random, os=os, uuid=uuid)
    with guarding():
        call()


def test_frozen_modules_and_monkit_itself_may_read_clocks() -> None:
    frozen: dict[str, Any] = {"__name__": "frozen", "time": time}
    exec(compile("def call(): return time.time()", "<frozen frozen>", "exec"), frozen)
    ours = calling("time.time()", MONKIT, "monkit_core.somewhere", time=time)
    with guarding():
        assert frozen["call"]() > 0
        assert ours() > 0


def test_generated_code_counts_as_the_module_whose_globals_it_has() -> None:
    theirs = {"__name__": "library", "__file__": os.path.join(INSTALLED, "library.py"), "time": time}
    code = compile("time.time()", "<string>", "eval")
    with guarding():
        assert eval(code, theirs) > 0
    with guarding(), pytest.raises(GuardError):
        eval(code, {"time": time})


def test_installed_package_that_holds_workflows_counts_as_workflow_code() -> None:
    call = calling("time.time()", INSTALLED, "shop.orders", time=time)
    guard_callers.own("shop.orders")
    with guarding(), pytest.raises(GuardError, match=r"\(orders\.py:2\)"):
        call()


def test_monkit_never_counts_as_workflow_code() -> None:
    guard_callers.own("monkit_core.clock")
    assert not guard_callers.is_own("monkit_core.clock", monkit_core.__file__)


@pytest.mark.parametrize("folder", [STDLIB, INSTALLED, os.path.join(MONKIT, "monkit_workflow")])
@pytest.mark.parametrize("source", ["Thread(target=print).start()", "socket()", "Popen([])", "sleep(0)"])
def test_threads_sockets_processes_and_sleeps_are_refused_for_everybody(folder: str, source: str) -> None:
    names = {"Thread": threading.Thread, "socket": socket.socket, "Popen": subprocess.Popen, "sleep": time.sleep}
    with guarding(), pytest.raises(GuardError):
        calling(source, folder, "library.module", **names)()


def test_logging_in_a_slice_works(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("monkit.test.guard")
    file = tmp_path / "slice.log"
    handler = logging.handlers.RotatingFileHandler(file, maxBytes=1, backupCount=1, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        with guarding():
            log.warning("one")
            log.warning("two")
    finally:
        log.removeHandler(handler)
        handler.close()
    assert file.read_text().endswith("two\n")
    assert [record.message for record in caplog.records] == ["one", "two"]


def test_module_imported_in_a_slice_may_do_in_its_body_what_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guard_lazy.py").write_text("import time\nSTARTED = time.time()\ndef now(): return time.time()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with guarding():
        import guard_lazy  # type: ignore[import-not-found]
    try:
        assert guard_lazy.STARTED > 0
        with guarding(), pytest.raises(GuardError):
            guard_lazy.now()
    finally:
        del sys.modules["guard_lazy"]


def test_slice_that_is_run_by_an_import_is_guarded_all_the_same() -> None:
    def slice_() -> float:
        with guarding():
            return time.time()

    code = compile("call()", "<frozen importlib._bootstrap>", "eval")
    with pytest.raises(GuardError):
        eval(code, {"__name__": "importlib._bootstrap", "call": slice_})


def test_finalizer_may_read_a_clock() -> None:
    read: list[float] = []

    class Connection:
        def __del__(self) -> None:
            read.append(time.time())

    with guarding():
        Connection()
    assert len(read) == 1


def test_monitored_function_in_a_slice_works() -> None:
    @monkit_core.Registry().scope("guard").task
    def total(*cents: int) -> int:
        return sum(cents)

    with guarding():
        assert total(1, 2) == 3


def test_library_that_runs_a_slice_of_its_own_is_named_itself() -> None:
    variables: dict[str, Any] = {"__name__": "library", "guarding": guarding, "time": time}
    code = compile("with guarding(): time.sleep(0)", os.path.join(INSTALLED, "library.py"), "exec")
    with pytest.raises(GuardError, match=r"\(library\.py:1\)"):
        exec(code, variables)


# Warnings


def test_warn_mode_lets_through_and_warns_once_per_place() -> None:
    with warnings.catch_warnings(record=True) as caught, guarding("warn"):
        warnings.simplefilter("always")
        for _ in range(3):
            assert time.time() > 0
        assert time.time() > 0
    assert [(warning.category, warning.filename) for warning in caught] == [(GuardWarning, __file__)] * 2
    assert caught[1].lineno == caught[0].lineno + 1
    assert "Use workflow.now()" in str(caught[0].message)


def test_places_that_were_warned_about_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_MOST_PLACES", 1)
    with warnings.catch_warnings(), guarding("warn"):
        warnings.simplefilter("ignore")
        time.time()
        time.time()
    assert len(guard._warned) == 1


def test_off_mode_lifts_an_outer_guard_and_gives_it_back() -> None:
    with guarding():
        with guarding("off"):
            assert time.time() > 0
            assert not guard.is_guarded()
        assert guard.is_guarded()
    assert not guard.is_guarded()


# Lifting


def test_unguarded_lifts_and_nests() -> None:
    with guarding():
        with unguarded():
            with unguarded():
                assert time.time() > 0
            assert time.time() > 0
        with pytest.raises(GuardError):
            time.time()


def test_unguarded_holds_across_an_await_for_its_task_and_for_no_other() -> None:
    refusals: list[str] = []

    async def other(name: str) -> None:
        try:
            time.time()
        except GuardError:
            refusals.append(name)

    async def lifted() -> None:
        with unguarded():
            inner = asyncio.create_task(other("created inside"))
            await asyncio.sleep(0)
            assert time.time() > 0
            await inner
            asyncio.get_running_loop().call_soon(lambda: contextvars.copy_context().run(refused_callback))
            await asyncio.sleep(0)
        with pytest.raises(GuardError):
            time.time()

    def refused_callback() -> None:
        with pytest.raises(GuardError):
            time.time()
        refusals.append("callback")

    async def main() -> None:
        with guarding():
            await asyncio.gather(lifted(), other("beside"))

    asyncio.run(main())
    assert sorted(refusals) == ["beside", "callback", "created inside"]


def test_unguarded_goes_on_in_the_thread_that_continues_its_task() -> None:
    async def lifted() -> float:
        with unguarded():
            await asyncio.sleep(0)
            return time.time()

    def step() -> None:
        with guarding():
            loop.run_until_complete(asyncio.sleep(0))

    loop = asyncio.new_event_loop()
    try:
        run = loop.create_task(lifted())
        for _ in range(2):
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                pool.submit(step).result()
        assert run.result() > 0
    finally:
        loop.close()


def test_context_that_was_copied_inside_does_not_keep_the_lift() -> None:
    with guarding():
        with unguarded():
            copied = contextvars.copy_context()
        with pytest.raises(GuardError):
            copied.run(time.time)


def test_generator_that_is_closed_elsewhere_ends_its_lift() -> None:
    async def stream() -> AsyncIterator[int]:
        with unguarded():
            yield 1

    async def main() -> None:
        numbers = stream()
        await asyncio.create_task(anext(numbers))  # type: ignore[arg-type]
        await numbers.aclose()  # type: ignore[attr-defined]
        with guarding(), pytest.raises(GuardError):
            time.time()

    asyncio.run(main())


def test_lift_outside_of_a_slice_changes_nothing() -> None:
    with unguarded():
        assert time.time() > 0
    assert not guard.is_guarded()


def test_another_thread_is_not_guarded_meanwhile() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # its thread has started
        ask, answer = threading.Event(), threading.Event()
        times: list[float] = []

        def read() -> None:
            ask.wait(5)
            times.append(time.time())
            answer.set()

        pool.submit(read)
        with guarding():
            ask.set()
            assert answer.wait(5)
    assert len(times) == 1


# Putting in place and taking away


def values() -> list[tuple[str, bool, Any]]:
    found = []
    for parameter in TABLE:
        owner, attribute = located(parameter.values[0])  # type: ignore[arg-type]
        found.append((attribute, attribute in vars(owner), getattr(owner, attribute)))
    return found


def test_uninstall_restores_every_name_and_installs_nest() -> None:
    guard.uninstall()
    try:
        before = values()
        with installed():
            inside = values()
            with installed():
                pass
            assert values() == inside
            assert all(now[2] is not then[2] for now, then in zip(inside, before, strict=True))
        for now, then in zip(values(), before, strict=True):
            assert now[:2] == then[:2]
            assert now[2] is then[2] or now[2] == then[2]
    finally:
        guard.install()


def test_uninstall_leaves_what_somebody_else_patched_in_between() -> None:
    guard.uninstall()
    original = time.time
    try:
        guard.install()
        ours = time.time
        theirs: Any = lambda: ours() + 1  # noqa: E731
        time.time = theirs
        guard.uninstall()
        assert time.time is theirs
        with guarding("refuse"), unguarded():
            assert time.time() > 1
    finally:
        time.time = original
        guard.install()


def test_uninstall_without_install_says_so() -> None:
    guard.uninstall()
    try:
        with pytest.raises(RuntimeError, match="not installed"):
            guard.uninstall()
    finally:
        guard.install()


def test_name_that_this_system_lacks_is_passed_over() -> None:
    assert guard._found(Name("os", "no_such_call", NAMES[0].rule, "os.no_such_call")) is None
    assert guard._found(Name("no_such_module", "call", NAMES[0].rule, "no_such_module.call")) is None


def test_many_threads_install_and_uninstall_at_once() -> None:
    def turn() -> None:
        for _ in range(20):
            with installed():
                assert hasattr(time.time, "__wrapped__")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(turn) for _ in range(4)]:
            future.result()
    assert guard._installs == 1


def test_classes_stay_classes_for_the_whole_process() -> None:
    class Quiet(threading.Thread):
        def run(self) -> None:
            ran.append(1)

    ran: list[int] = []
    thread = Quiet()
    thread.start()
    thread.join(5)
    with socket.socket() as connection, socket.socket(fileno=os.dup(connection.fileno())) as twin:
        assert isinstance(connection, socket.socket)
        assert twin.family == connection.family
    assert ran == [1]
    assert isinstance(subprocess.Popen, type)
    assert issubclass(random.SystemRandom, random.Random)
    assert pickle.loads(pickle.dumps(random.Random(7))).random() == random.Random(7).random()


def test_wrapper_in_a_class_body_does_not_become_a_method() -> None:
    class Cache:
        timer = time.monotonic
        opener = open

    assert Cache().timer() > 0  # type: ignore[misc]
    with Cache().opener(__file__) as file:  # type: ignore[misc]
        assert file.readable()


def test_wrapper_is_pickled_as_the_name_it_stands_for() -> None:
    guard.uninstall()
    original = time.sleep
    guard.install()
    data = pickle.dumps(time.sleep)
    assert copy.deepcopy(time.sleep) is time.sleep
    assert b"monkit" not in data
    guard.uninstall()
    try:
        assert pickle.loads(data) is original
    finally:
        guard.install()


def test_one_original_has_one_wrapper() -> None:
    assert io.open is open
