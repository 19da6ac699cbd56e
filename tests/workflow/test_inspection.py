"""What is found in a workflow's code when it is registered, and what is nobody's business."""

from __future__ import annotations

import importlib.util
import linecache
import textwrap
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from monkit_workflow import guard, guard_callers, inspection
from monkit_workflow.inspection import inspect_globals

_numbers = count()
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Imports a source text as a module of a user, called ``orders``."""
    monkeypatch.setattr(guard_callers, "_owned", set())

    def load(source: str) -> ModuleType:
        file = tmp_path / f"orders_{next(_numbers)}.py"
        file.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location("orders", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def found(load: Load, head: str, body: str) -> list[str]:
    module = load(f"{head}\n\ndef run():\n    return {body}\n")
    return [sentence.partition(": ")[2].partition(";")[0] for sentence in inspect_globals(module.run)]


PATTERNS = [
    ("from time import time", "time()", "calls time.time(), imported as `time` where the guard cannot see it"),
    ("from time import time as t", "t()", "calls time.time(), imported as `t` where the guard cannot see it"),
    ("import random\nroll = random.randint", "roll(1, 6)", "calls random.randint(), imported as `roll` where"),
    ("from uuid import uuid4", "uuid4()", "calls uuid.uuid4(), imported as `uuid4` where"),
    ("from os import urandom", "[urandom(1) for _ in 'ab']", "calls os.urandom(), imported as `urandom` where"),
    ("from time import sleep", "(lambda: sleep(1))()", "calls time.sleep(), imported as `sleep` where"),
    ("from datetime import datetime", "datetime.now()", "calls datetime.now()"),
    ("from datetime import datetime, UTC", "datetime.now(UTC)", "calls datetime.now()"),
    ("import datetime", "datetime.datetime.utcnow()", "calls datetime.datetime.utcnow()"),
    ("import datetime as dt", "dt.datetime.now(tz=dt.UTC).year", "calls dt.datetime.now()"),
    ("from datetime import date", "date.today()", "calls date.today()"),
    ("from datetime import datetime as D", "D.today()", "calls datetime.today(), known here as `D.today`"),
    ("from datetime import datetime\nnow = datetime.now", "now()", "calls datetime.now(), known here as `now`"),
    ("from datetime import datetime", "list(map(datetime.fromtimestamp, [datetime.now]))", "calls datetime.now()"),
]


@pytest.mark.parametrize(("head", "body", "sentence"), PATTERNS)
@pytest.mark.parametrize("in_place", [False, True])
def test_pattern_is_found(load: Load, head: str, body: str, sentence: str, in_place: bool) -> None:
    module = load(f"{head}\n\ndef run():\n    return {body}\n")
    if in_place:
        guard.install()
    try:
        (text,) = inspect_globals(module.run)
    finally:
        if in_place:
            guard.uninstall()
    line = len(head.splitlines()) + 3
    assert text.startswith(f"orders:{line}: {sentence}")
    assert "; use" in text


def test_sentence_names_place_call_and_alternative(load: Load) -> None:
    module = load("from datetime import datetime\ndef run():\n    return datetime.now()\n")
    assert inspect_globals(module.run) == [
        "orders:3: calls datetime.now(); use workflow.now(), or move the call into an activity"
    ]


INNOCENT = [
    ("now = 3", "now"),
    ("import time", "time.time()"),  # the guard sees it
    ("import io", "(open, io.open, __import__('os').open)"),
    ("class datetime:\n    @staticmethod\n    def now(): return 3", "datetime.now()"),
    ("from datetime import datetime", "datetime(2020, 1, 1).now"),
    ("from datetime import datetime, date", "(datetime.fromisoformat('2020-01-01'), date.min, datetime.max.today)"),
    ("from time import time, strftime", "'time'"),  # not referred to
    ("import random", "random.Random(7).random()"),
    ("import datetime", "datetime.timedelta.max"),
    ("", "missing.now() if False else undefined"),
    ("from datetime import datetime\nside_effect = print", "side_effect(datetime.now)"),
    ("from time import time\nclass workflow: side_effect = print", "workflow.side_effect(lambda: time())"),
]


@pytest.mark.parametrize(("head", "body"), INNOCENT)
@pytest.mark.parametrize("in_place", [False, True])
def test_innocent_code_is_left_alone(load: Load, head: str, body: str, in_place: bool) -> None:
    if in_place:
        with guard.installed():
            assert found(load, head, body) == []
    else:
        assert found(load, head, body) == []


def test_name_imported_after_the_guard_is_the_guards_own_wrapper(load: Load) -> None:
    with guard.installed():
        assert found(load, "from time import time", "time()") == []


def test_local_variable_hides_a_global(load: Load) -> None:
    module = load("""
        from time import time
        from datetime import datetime

        def run(time, workflow):
            datetime = workflow
            def inner():
                return time() + datetime.now()
            return inner
        """)
    assert inspect_globals(module.run) == []


def test_class_is_looked_through_with_all_kinds_of_methods_and_its_own_bases(load: Load) -> None:
    module = load("""
        import functools
        from datetime import date
        from time import time

        class Base:
            def inherited(self): return time()

        def timed(function):
            @functools.wraps(function)
            def call(*args): return time(), function(*args)
            return call

        class Order(Base):
            date = date
            limit = 3
            async def run(self): return await self.later(lambda: date.today())
            @staticmethod
            def fixed(): return time()
            @classmethod
            def made(cls): return time()
            @property
            def age(self): return time()
            @functools.cached_property
            def other(self): return 1
            @timed
            def decorated(self): return time()
        """)
    lines = sorted(int(sentence.split(":")[1]) for sentence in inspect_globals(module.Order))
    assert lines == [7, 11, 17, 19, 21, 23, 27]


def test_closure_variable_is_resolved(load: Load) -> None:
    module = load("""
        def make():
            from time import time
            import datetime
            late = None
            def run():
                return [time() for _ in range(3)], datetime.date.today(), late, unset
            del late
            return run
            unset = 1
        run = make()
        """)
    assert sorted(sentence[:26] for sentence in inspect_globals(module.run)) == [
        "orders:7: calls datetime.d",
        "orders:7: calls time.time(",
    ]


def test_helper_that_is_called_is_followed_and_one_that_is_handed_on_is_not(load: Load) -> None:
    module = load("""
        from time import time

        def charge(order): return time()
        def total(order): return rounded(time())
        def rounded(number): return rounded(number), run
        def make():
            def inner(): return time()
            def handed(): return time()
            def run(execute): return execute(handed, inner()), execute(charge, 1), total(1)
            return run
        run = make()
        """)
    lines = sorted(int(sentence.split(":")[1]) for sentence in inspect_globals(module.run))
    assert lines == [5, 8]


def test_helper_of_another_module_is_not_followed(load: Load) -> None:
    other = load("from time import time\ndef total(): return time()\n")
    module = load("def run(): return total()\n")
    vars(module)["total"] = other.total
    assert inspect_globals(module.run) == []


def test_lifted_block_is_left_out_and_what_follows_it_is_not(load: Load) -> None:
    module = load("""
        from datetime import datetime
        from monkit_workflow.guard import unguarded

        def roll(): return datetime.now()

        def run(workflow):
            with unguarded():
                started = datetime.now(), roll()
            with workflow:
                pass
            return datetime.now()
        """)
    assert [sentence[:9] for sentence in inspect_globals(module.run)] == ["orders:12"]


def test_code_without_source_is_looked_through_as_well() -> None:
    variables: dict[str, Any] = {"__name__": "orders"}
    exec("from time import time\ndef run():\n    return time()\n", variables)
    assert len(inspect_globals(variables["run"])) == 1


def test_variable_that_is_not_assigned_yet_is_passed_over(load: Load) -> None:
    module = load("""
        def make():
            def run(): return later()
            return run
            later = 1
        run = make()
        """)
    assert inspect_globals(module.run) == []


def test_source_that_no_longer_parses_lifts_nothing(load: Load) -> None:
    module = load("from time import time\ndef run(side_effect): return side_effect(time)\n")
    assert inspect_globals(module.run) == []
    Path(module.run.__code__.co_filename).write_text("half of an edi(\n" * 9)
    linecache.checkcache()
    assert len(inspect_globals(module.run)) == 1


def test_search_is_bounded(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_MOST_CODES", 3)
    functions = [f"def f{number}(): return time(), f{number + 1}()" for number in range(8)]
    module = load("\n".join(["from time import time", *functions, "def f8(): pass"]))
    assert len(inspect_globals(module.f0)) == 3


def test_names_beyond_the_first_256_are_found(load: Load) -> None:
    filler = "; ".join(f"n{number}" for number in range(300))
    module = load(
        "import datetime\n"
        + "\n".join(f"n{number} = 0" for number in range(300))
        + f"\ndef run():\n    {filler}\n    return datetime.datetime.now()\n"
    )
    assert len(inspect_globals(module.run)) == 1


def test_what_is_no_python_function_has_nothing_to_find() -> None:
    assert inspect_globals(len) == []
    assert inspect_globals(dict) == []
    assert inspect_globals(textwrap.dedent) == []
