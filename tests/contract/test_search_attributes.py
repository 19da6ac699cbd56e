"""Search attributes and memos: given, handed on, changed, refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from monkit_workflow import commands as c
from monkit_workflow import history as h
from monkit_workflow.errors import BadRequest, ResourceExhausted
from monkit_workflow.payload import NULL, Payload, json_payload
from monkit_workflow.search_attributes import decode_attributes, encode_attributes
from monkit_workflow.service import Service
from tests.contract.player import Player, child, last, play, text, value

ALL: dict[str, Any] = {
    "Keyword": "Köln",
    "List": ["a", "b"],
    "Int": -(2**63 - 1),
    "Float": 2.0,
    "Bool": False,
    "Time": datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
}


def upsert(**changes: Any) -> c.UpsertSearchAttributes:
    return c.UpsertSearchAttributes(attributes=encode_attributes(changes))


async def attributes(p: Player, workflow_id: str = "w") -> dict[str, Any]:
    return dict(decode_attributes((await p.service.describe(workflow_id)).search_attributes))


async def found(p: Player, query: str) -> list[str]:
    return [run.workflow_id for run in (await p.service.list_workflows(query)).runs]


def test_every_type_comes_back_as_it_was_given(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(search_attributes=encode_attributes(ALL))
        assert await attributes(p) == ALL
        assert isinstance((await attributes(p))["Float"], float)
        (listed,) = (await p.service.list_workflows("Bool = false AND Float = 2")).runs
        assert decode_attributes(listed.search_attributes) == ALL
        started = (await p.history())[0]
        assert isinstance(started, h.WorkflowExecutionStarted)
        assert started.search_attributes["List"].metadata == {"type": "KeywordList"}

    play(service, scene)


def test_code_changes_and_removes_search_attributes(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(search_attributes=encode_attributes({"City": "Ulm", "Tags": ["a", "b"]}))
        await p.answer(upsert(City="Köln", Number=1), upsert(Tags=["b", "c"], Number=None))
        assert await attributes(p) == {"City": "Köln", "Tags": ["b", "c"]}
        assert await found(p, "City = 'Köln' AND Tags = 'c' AND Number IS NULL") == ["w"]
        assert await found(p, "City = 'Ulm' OR Tags = 'a' OR Number = 1") == []
        await p.signal()
        await p.answer(upsert(City=None, Tags=[]), c.CompleteWorkflowExecution())
        assert await attributes(p) == {}
        assert await found(p, "City IS NULL AND Tags IS NULL") == ["w"]

    play(service, scene)


def test_children_have_their_own_search_attributes_and_memo(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(search_attributes=encode_attributes({"City": "Ulm"}), memo={"m": value("1")})
        await p.answer(child("child", search_attributes=encode_attributes({"Number": 1}), memo={"n": value("2")}))
        assert await attributes(p, "child") == {"Number": 1}
        assert {name: text(item) for name, item in (await p.service.describe("child")).memo.items()} == {"n": "2"}
        assert await found(p, "Number = 1") == ["child"]

    play(service, scene)


def test_continued_run_keeps_what_its_forebear_left_unless_it_is_given_others(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(search_attributes=encode_attributes({"City": "Ulm", "Number": 1}), memo={"m": value("1")})
        again = c.ContinueAsNewWorkflowExecution(workflow_type="Play")
        memo = c.ModifyWorkflowProperties(memo={"m": value("2"), "n": value("3")})
        await p.answer(upsert(City="Köln", Number=None), memo, again)
        assert await attributes(p) == {"City": "Köln"}
        assert await found(p, "City = 'Köln' AND ExecutionStatus = 'Running'") == ["w"]
        assert {name: text(item) for name, item in (await p.service.describe("w")).memo.items()} == {"m": "2", "n": "3"}
        await p.answer(
            c.ContinueAsNewWorkflowExecution(
                workflow_type="Play", search_attributes=encode_attributes({"Number": 5}), memo={}
            )
        )
        assert await attributes(p) == {"Number": 5}
        assert (await p.service.describe("w")).memo == {}

    play(service, scene)


def test_null_removes_an_entry_of_the_memo(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(memo={"m": value("1"), "n": value("2"), "o": NULL})
        await p.answer(c.ModifyWorkflowProperties(memo={"m": NULL, "p": value("3"), "absent": NULL}))
        memo = (await p.service.describe("w")).memo
        assert {name: text(item) for name, item in memo.items()} == {"n": "2", "p": "3"}
        assert (await p.service.list_workflows()).runs[0].memo == memo

    play(service, scene)


def test_type_of_a_name_is_fixed_by_its_first_use(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(search_attributes=encode_attributes({"Number": 1}))
        with pytest.raises(BadRequest, match="'Number' is a Double, and has been a Int since its first use"):
            await p.start("other", search_attributes=encode_attributes({"Number": 1.5}))
        assert await found(p, "") == ["w"]
        await p.answer(upsert(Number=None))
        with pytest.raises(BadRequest, match="since its first use"):
            await p.start("other", search_attributes=encode_attributes({"Number": "1"}))

    play(service, scene)


REFUSED: dict[str, tuple[list[c.Command], str, str]] = {
    "another type": ([upsert(Known="text")], "BadCommand", "'Known' is a Keyword, and has been a Int"),
    "two types in one answer": ([upsert(New=1), upsert(New="1")], "BadCommand", "'New' is a Keyword"),
    "another type in a child": (
        [upsert(New=1), child(search_attributes=encode_attributes({"New": True}))],
        "BadCommand",
        "'New' is a Bool",
    ),
    "another type in the next run": (
        [c.ContinueAsNewWorkflowExecution(workflow_type="Play", search_attributes=encode_attributes({"Known": 1.5}))],
        "BadCommand",
        "'Known' is a Double",
    ),
    "a field's name": ([upsert(WorkflowId="a")], "BadCommand", "fields have"),
    "a name of Temporal's": ([upsert(TemporalThing="a")], "BadCommand", "fields have"),
    "no name": ([upsert(**{"": "a"})], "BadCommand", "printable"),
    "a name that cannot be asked for": ([upsert(**{"a`b": "a"})], "BadCommand", "backtick"),
    "no type": (
        [c.UpsertSearchAttributes(attributes={"New": json_payload(b"1")})],
        "BadCommand",
        "says the type None and not one of Keyword",
    ),
    "not what it says": (
        [c.UpsertSearchAttributes(attributes={"New": Payload(json=value("1").json, metadata={"type": "Keyword"})})],
        "BadCommand",
        "is no Keyword",
    ),
    "too large a number": (
        [c.UpsertSearchAttributes(attributes={"New": Payload(json=value("9" * 19).json, metadata={"type": "Int"})})],
        "BadCommand",
        "64 bits",
    ),
    "too large": ([upsert(New="a" * 3000)], "ResourceExhausted", "more than 2048"),
    "too many": ([upsert(**{f"N{n}": n for n in range(101)})], "ResourceExhausted", "more than 100"),
    "too many in two answers": (
        [upsert(**{f"N{n}": n for n in range(60)}), upsert(**{f"M{n}": n for n in range(60)})],
        "ResourceExhausted",
        "more than 100",
    ),
    "too much of a memo": (
        [
            c.ModifyWorkflowProperties(memo={"a": value(f'"{"x" * 1_500_000}"')}),
            c.ModifyWorkflowProperties(memo={"b": value(f'"{"x" * 1_500_000}"')}),
        ],
        "ResourceExhausted",
        "the memo has",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_taken_fails_the_task_and_changes_nothing(service: Service, case: str) -> None:
    commands, kind, words = REFUSED[case]

    async def scene(p: Player) -> None:
        await p.start(search_attributes=encode_attributes({"Known": 1}))
        before = await p.service.describe("w")
        await p.answer(*commands)
        after = await p.service.describe("w")
        assert after.task_failure is not None
        assert (after.task_failure.type, words in after.task_failure.message) == (kind, True), after.task_failure
        assert (after.memo, after.search_attributes) == (before.memo, before.search_attributes)
        assert type(last(await p.history(), h.WorkflowTaskFailed)) is h.WorkflowTaskFailed
        await p.start("other", search_attributes=encode_attributes({"New": "free still"}))

    play(service, scene)


@pytest.mark.parametrize("name", ["RunId", "TemporalChangeVersion", "RootWorkflowId", "a`b", "", "a\nb", "x" * 101])
def test_start_with_a_name_that_cannot_be_used_is_refused(service: Service, name: str) -> None:
    async def scene(p: Player) -> None:
        with pytest.raises(BadRequest):
            await p.start(search_attributes=encode_attributes({name: 1}))
        assert await found(p, "") == []

    play(service, scene)


def test_start_with_too_much_is_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        cases: list[dict[str, Any]] = [
            {"search_attributes": encode_attributes({f"N{n}": n for n in range(101)})},
            {"search_attributes": encode_attributes({"N": "x" * 2048})},
            {"search_attributes": encode_attributes({f"N{n}": "x" * 2000 for n in range(30)})},
            {"memo": {"a": value(f'"{"x" * 1_500_000}"'), "b": value(f'"{"x" * 1_500_000}"')}},
        ]
        for options in cases:
            with pytest.raises(ResourceExhausted):
                await p.start(**options)
        await p.start(search_attributes=encode_attributes({f"N{n}": "x" * 200 for n in range(100)}))

    play(service, scene)
