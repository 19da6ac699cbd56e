"""A random workflow program that is run live, cut at every task, evicted and replayed asks for the same commands."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monkit_workflow.commands import CLOSING_COMMANDS, CompleteWorkflowExecution
from monkit_workflow.errors import Nondeterminism
from monkit_workflow.execution import Answer, Execution
from monkit_workflow.history import Event, WorkflowExecutionCompleted
from monkit_workflow.history_file import RecordedHistory, write_history
from tests.workflow import random_programs
from tests.workflow.random_programs import COMMANDS, TAKEN, outcome, places, program, programs, shown
from tests.workflow.simulated_service import LiveRun, SimulatedService, execution, payload

ROOT = Path(__file__).parents[2]
usual = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True)
many = settings(usual, max_examples=2000, derandomize=False)
inputs = st.tuples(programs, st.integers(0, 2**16))


@contextmanager
def outside(value: int) -> Iterator[None]:
    """What side effects find; another value at each task, so that a replay that looks again is noticed."""
    before = random_programs.SIDE
    random_programs.SIDE = lambda: value
    try:
        yield
    finally:
        random_programs.SIDE = before


def service_for(steps: list[Any], seed: int) -> SimulatedService:
    service = SimulatedService("program", steps, seed=seed, activity=outcome, child=outcome, unknown=frozenset({TAKEN}))
    random = Random(seed)
    for _ in range(random.randrange(4)):
        if random.random() < 0.2:
            service.cancel()
        else:
            service.signal(random.choice("xy"), random.randrange(100))
    return service


def run_live(steps: list[Any], seed: int, check: bool = True) -> LiveRun:
    """Run a program to its end or until it waits for ever; at every task a fresh execution must agree."""
    live = LiveRun(service_for(steps, seed), program)
    while True:
        with outside(len(live.service.events) * 1000):
            answer = live.step()
            if answer is None:
                break
            if check:
                agrees(live, answer)
            live.send(answer)
    if check:
        closes(live.execution)
        if live.service.is_closed:
            rebuilt = execution(program)
            assert rebuilt.feed(live.service.events) is None
            assert rebuilt.closing == live.execution.closing
            closes(rebuilt)
    else:
        live.execution.close()
    return live


def agrees(live: LiveRun, answer: Answer) -> None:
    rebuilt = execution(program)
    again = rebuilt.feed(live.service.events)
    assert again is not None
    assert again.commands == answer.commands
    assert [item.command for item in again.local_activities] == [item.command for item in answer.local_activities]
    assert rebuilt.query("seen") == live.execution.query("seen")
    assert rebuilt.stack() == live.execution.stack()
    closes(rebuilt)


def closes(run: Execution) -> None:
    run.close()
    assert run.runtime.loop.tasks() == []


examples = itertools.count(1)


@usual
@given(inputs)
def test_rebuilt_run_answers_every_task_as_the_one_that_stayed(drawn: tuple[list[Any], int]) -> None:
    run_live(*drawn)


@pytest.mark.slow
@many
@given(inputs)
def test_rebuilt_run_answers_every_task_as_the_one_that_stayed_at_length(drawn: tuple[list[Any], int]) -> None:
    run_live(*drawn)
    if next(examples) % 64 == 0:  # hypothesis is fond of some seeds, and a collection takes half a second
        gc.collect()


def mutate(steps: list[Any], seed: int) -> list[Any] | None:
    """Another program: one step that leads to a command is dropped, doubled or renamed."""
    copy: list[Any] = msgspec.json.decode(msgspec.json.encode(steps))
    found = list(places(copy))
    if not found:
        return None
    random = Random(seed)
    block, place = random.choice(found)
    way = random.choice(["drop", "insert", "rename"])
    if way == "drop":
        del block[place]
    elif way == "insert":
        block.insert(place, random.choice([["activity", "new", "try"], ["sleep", 7], ["side"]]))
    elif block[place][0] in ("activity", "start"):
        block[place][-2] = "renamed"
    else:
        block[place] = ["activity", "renamed", "try"]
    return copy


def changed(drawn: tuple[list[Any], int]) -> None:
    steps, seed = drawn
    live = run_live(steps, seed, check=False)
    other = mutate(steps, seed)
    if other is None or other == steps:
        return
    events: list[Event] = list(live.service.events)
    began = msgspec.structs.replace(events[0], input=(payload(other),))
    rebuilt = execution(program)
    difference = None
    try:
        with outside(-1):
            rebuilt.feed([began, *events[1:]])
    except Nondeterminism as problem:
        difference = problem
    finally:
        rebuilt.close()
    if difference is not None:
        assert 0 < difference.event_id <= len(events)
        assert difference.history
        assert difference.code
        assert difference.advice
    elif live.service.is_closed:
        assert isinstance(rebuilt.closing, CLOSING_COMMANDS)
        if isinstance(rebuilt.closing, CompleteWorkflowExecution):
            assert isinstance(events[-1], WorkflowExecutionCompleted)
            assert rebuilt.closing.result == events[-1].result


@usual
@given(inputs)
def test_changed_program_is_told_apart_or_does_the_same(drawn: tuple[list[Any], int]) -> None:
    changed(drawn)


@pytest.mark.slow
@many
@given(inputs)
def test_changed_program_is_told_apart_or_does_the_same_at_length(drawn: tuple[list[Any], int]) -> None:
    changed(drawn)


def replays_in_other_processes(folder: Path, count: int) -> None:
    """Run *count* programs here and replay their history files in processes of other hash seeds."""
    expected: list[str] = []
    files: list[str] = []

    @settings(usual, max_examples=count, database=None)
    @given(inputs)
    def draw(drawn: tuple[list[Any], int]) -> None:
        live = LiveRun(service_for(*drawn), program)
        with outside(0):
            live.finish()
        file = folder / f"{len(files)}.json"
        file.write_bytes(write_history(RecordedHistory(events=tuple(live.service.events), run_id="")))
        files.append(str(file))
        taken = set(random_programs.cuts(live.service.events))
        expected.extend(f"{cut} {shown(answer)}" for cut, answer in live.answers if cut in taken)

    draw()
    for seed in ("0", "1", "4242", "random"):
        found = subprocess.run(
            [sys.executable, "-m", "tests.workflow.random_programs", *files],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "never awaited" not in found.stderr
        assert "destroyed" not in found.stderr
        assert found.stdout.splitlines() == expected


def test_history_files_replay_alike_in_processes_of_other_hash_seeds(tmp_path: Path) -> None:
    replays_in_other_processes(tmp_path, 40)


@pytest.mark.slow
def test_history_files_replay_alike_in_processes_of_other_hash_seeds_at_length(tmp_path: Path) -> None:
    replays_in_other_processes(tmp_path, 400)


def test_programs_cover_every_step_of_the_interpreter() -> None:
    known = {name.removeprefix("do_") for name in dir(random_programs.Interpreter) if name.startswith("do_")}
    drawn: set[str] = set()

    def collect(block: list[Any]) -> None:
        for item in block:
            if isinstance(item, list):
                if item and isinstance(item[0], str):
                    drawn.add(item[0])
                collect(item)

    @settings(usual, max_examples=200)
    @given(programs)
    def draw(steps: list[Any]) -> None:
        collect(steps)

    draw()
    assert drawn & known == known
    assert known >= COMMANDS
