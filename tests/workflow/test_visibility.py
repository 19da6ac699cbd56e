"""Finding runs as users do: lists, counts, search attributes and memos, from the client and from code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from monkit_workflow import Client, RunSummary, Worker, connect, workflow
from monkit_workflow.codecs import Compression
from monkit_workflow.errors import BadQuery, BadRequest
from monkit_workflow.payload import Payload
from monkit_workflow.search_attributes import SearchValue, decode_attributes, encode_attributes
from tests.workflow.running import QUEUE, SHORT, START, run, until, working

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@workflow.define
class Parcel:
    """Shows where it is, and waits."""

    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self, city: str) -> dict[str, Any]:
        workflow.upsert_search_attributes({"City": city, "Stops": 1, "Size": None})
        workflow.upsert_memo({"driver": {"name": "Ada"}, "label": None})
        await workflow.wait_condition(lambda: self.done)
        workflow.upsert_search_attributes({"Stops": 2})
        return self.shown()

    @workflow.signal
    def finish(self) -> None:
        self.done = True

    @workflow.query
    def shown(self) -> dict[str, Any]:
        return {"memo": workflow.memo(), "attributes": workflow.search_attributes()}


@workflow.define
class Mother:
    """Hands search attributes and a memo to a child and to its next run."""

    @workflow.run
    async def run(self, left: int) -> None:
        child = await workflow.start_child(
            Waits.run, id=f"child-{left}", timeout=SHORT, search_attributes={"Left": left}, memo={"n": left}
        )
        if left == 2:
            workflow.upsert_search_attributes({"Left": 20})
            workflow.continue_as_new(1)
        if left == 1:
            workflow.continue_as_new(0, search_attributes={"Left": 10}, memo={"last": True})
        await child


@workflow.define
class Waits:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


@workflow.define
class Contradicts:
    """Uses a name for another type than the others do."""

    value: Any = "text"

    @workflow.run
    async def run(self) -> str:
        workflow.upsert_search_attributes({"Stops": self.value})
        return "done"


async def listed(found: AsyncIterator[RunSummary]) -> list[RunSummary]:
    return [item async for item in found]


async def start(client: Client, number: int, **options: Any) -> None:
    await client.start(Waits.run, id=f"w{number}", **START, **options)


def test_list_shows_runs_as_python_values() -> None:
    async def scene() -> None:
        async with working([Parcel]) as client:
            berlin = timezone(timedelta(hours=1))
            attributes: dict[str, SearchValue] = {
                "Due": datetime(2026, 1, 31, 13, tzinfo=berlin),
                "Tags": ["a", "b"],
                "Size": 2.0,
                "Vip": True,
            }
            before = datetime.now(UTC)
            handle = await client.start(
                Parcel.run, "Ulm", id="p", memo={"label": "x", "n": 1}, search_attributes=attributes, **START
            )
            assert await until_shown(client, "City = 'Ulm'") == 1
            (found,) = await listed(client.list("City = 'Ulm' AND ExecutionStatus = 'Running'"))
            assert (found.workflow_id, found.run_id, found.status) == ("p", handle.first_run_id, "running")
            assert (found.workflow_type, found.task_queue, found.closed_at) == ("Parcel", QUEUE, None)
            assert before - timedelta(seconds=1) < found.started_at == found.begins_at <= datetime.now(UTC)
            assert found.memo == {"n": 1, "driver": {"name": "Ada"}}
            assert found.search_attributes == {
                "Due": NOON,
                "Tags": ["a", "b"],
                "Vip": True,
                "City": "Ulm",
                "Stops": 1,
            }
            assert found.search_attributes["Due"].tzinfo is UTC  # type: ignore[union-attr]
            assert "_client" not in repr(found)
            shown = await found.handle().query(Parcel.shown)
            assert shown["memo"] == found.memo
            await found.handle().signal(Parcel.finish)
            result = await handle.result()
            assert result["attributes"]["Stops"] == 2
            (found,) = await listed(client.list("Stops = 2"))
            assert found.closed_at is not None
            assert found.closed_at >= found.started_at
            described = await handle.describe()
            assert (described.search_attributes, described.memo) == (found.search_attributes, found.memo)
            assert (described.started_at, described.closed_at) == (found.started_at, found.closed_at)

    run(scene())


async def until_shown(client: Client, query: str) -> int:
    """How many runs there are, as soon as there are any and the names are known."""

    async def are_there() -> bool:
        try:
            return await client.count(query) > 0
        except BadQuery:
            return False

    await until(are_there)
    return await client.count(query)


def test_list_goes_over_all_pages_or_up_to_its_limit() -> None:
    async def scene() -> None:
        async with connect("sqlite://") as client:
            for number in range(230):
                await start(client, number, search_attributes={"Even": number % 2 == 0})
            expected = [f"w{number}" for number in reversed(range(230))]
            assert [item.workflow_id for item in await listed(client.list())] == expected
            assert [item.workflow_id async for item in client.list(limit=150)] == expected[:150]
            assert [item.workflow_id async for item in client.list("Even = true", limit=3)] == expected[1:6:2]
            assert await listed(client.list(limit=0)) == []
            assert await client.count() == 230
            assert await client.count("Even = false") == 115

    run(scene())


def test_wrong_filter_is_told() -> None:
    async def scene() -> None:
        async with connect("sqlite://") as client:
            with pytest.raises(BadQuery, match="character 16 of the filter: found the end where a value"):
                await listed(client.list("WorkflowType = "))
            with pytest.raises(BadQuery):
                await client.count("Nothing = 1")

    run(scene())


def test_children_and_next_runs_show_what_they_are_given() -> None:
    async def scene() -> None:
        async with working([Mother, Waits]) as client:
            await client.start(Mother.run, 2, id="m", search_attributes={"Left": 2}, memo={"first": True}, **START)
            assert await until_shown(client, "Left = 10 AND ExecutionStatus = 'Running'") == 1
            mothers = await listed(client.list("WorkflowType = 'Mother'"))
            assert [item.search_attributes for item in mothers] == [{"Left": 10}, {"Left": 20}, {"Left": 20}]
            assert [item.memo for item in mothers] == [{"last": True}, {"first": True}, {"first": True}]
            assert await until_shown(client, "WorkflowId STARTS_WITH 'child' AND Left = 0") == 1
            (child,) = await listed(client.list("WorkflowId = 'child-0'"))
            assert (child.search_attributes, child.memo) == ({"Left": 0}, {"n": 0})
            assert (child.parent_workflow_id, child.parent_run_id) == ("m", mothers[0].run_id)
            assert mothers[0].parent_workflow_id is None

    run(scene())


def test_other_type_fails_the_task_and_the_run_goes_on_when_the_code_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with working([Parcel, Contradicts]) as client:
            await client.start(Parcel.run, "Ulm", id="p", **START)
            assert await until_shown(client, "Stops = 1") == 1
            with pytest.raises(BadRequest, match="'Stops' is a Keyword, and has been a Int since its first use"):
                await start(client, 1, search_attributes={"Stops": "one"})
            handle = await client.start(Contradicts.run, id="c", **START)

            async def has_failed() -> bool:
                return (await handle.describe()).task_failure is not None

            await until(has_failed)
            failure = (await handle.describe()).task_failure
            assert failure is not None
            assert "'Stops' is a Keyword, and has been a Int since its first use" in failure.message
            monkeypatch.setattr(Contradicts, "value", 3)
            async with Worker(client, QUEUE, workflows=[Contradicts]):  # a new worker gets at once what has failed
                assert await handle.result() == "done"
            assert await client.count("Stops = 3") == 1

    run(scene())


WRONG: list[tuple[Any, type[Exception], str]] = [
    (object(), TypeError, "can be searched"),
    ([1, 2], TypeError, "can be searched"),
    (b"bytes", TypeError, "can be searched"),
    (timedelta(1), TypeError, "can be searched"),
    (datetime(2026, 1, 31), ValueError, "no time zone"),
    (datetime(9999, 1, 1, tzinfo=UTC), ValueError, "between 1678 and 2262"),
    (2**63, ValueError, "64 bits"),
    (float("nan"), ValueError, "JSON cannot hold"),
    (float("-inf"), ValueError, "JSON cannot hold"),
]


@pytest.mark.parametrize(("value", "kind", "words"), WRONG)
def test_value_that_cannot_be_searched_is_refused_where_it_is_given(
    value: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=rf"search attribute 'Name' is .*{words}"):
        encode_attributes({"Name": value})


def test_attributes_without_a_type_are_plain_json() -> None:
    assert decode_attributes({"Version": Payload(json=encode_attributes({"a": ["x"]})["a"].json)}) == {"Version": ["x"]}


def test_what_removes_an_entry_passes_by_codecs() -> None:
    async def scene() -> None:
        client = connect("sqlite://", codecs=[Compression(above=1)])
        async with client, Worker(client, QUEUE, workflows=[Parcel]):
            handle = await client.start(Parcel.run, "Ulm", id="p", memo={"label": "x", "kept": "y" * 100}, **START)
            assert await until_shown(client, "City = 'Ulm'") == 1
            assert (await handle.describe()).memo == {"kept": "y" * 100, "driver": {"name": "Ada"}}
            (found,) = await listed(client.list())
            assert found.memo == (await handle.describe()).memo
            await handle.signal(Parcel.finish)
            assert "label" not in (await handle.result())["memo"]

    run(scene())
