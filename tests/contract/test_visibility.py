"""Lists, counts and filters of runs."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from monkit_workflow import commands as c
from monkit_workflow.errors import AlreadyClosed, BadQuery, BadRequest
from monkit_workflow.payload import Failure
from monkit_workflow.search_attributes import SearchValue, decode_attributes, encode_attributes
from monkit_workflow.service import Listed, Service
from tests.contract.player import Player, child, play, text, value

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def ids(p: Player, query: str = "") -> list[str]:
    """The workflow ids of a list that has one page."""
    page = await p.service.list_workflows(query)
    assert await p.service.count_workflows(query) == len(page.runs)
    return [run.workflow_id for run in page.runs]


async def world(p: Player) -> dict[str, Listed]:
    """Runs of several kinds: completed, failed, running with a child, terminated, continued as new."""
    ulm: dict[str, SearchValue] = {
        "City": "Ulm",
        "Number": 1,
        "Price": 1.5,
        "Vip": True,
        "Tags": ["a", "b"],
        "Due": NOON,
        "my field": "x",
    }
    await p.start("order-1", workflow_type="Order", search_attributes=encode_attributes(ulm))
    await p.answer(c.CompleteWorkflowExecution())
    köln: dict[str, SearchValue] = {
        "City": "Köln",
        "Number": -2,
        "Price": 4.0,
        "Vip": False,
        "Tags": ["b", "c"],
        "Due": NOON + timedelta(days=1),
    }
    await p.start("order-2", workflow_type="Order", search_attributes=encode_attributes(köln))
    await p.answer(child("child"))
    await p.answer()
    await p.start("pay's", workflow_type="Pay", task_queue="pay")
    await p.service.terminate("pay's")
    await p.start("order-3", workflow_type="Order")
    await p.answer(c.FailWorkflowExecution(failure=Failure(message="no")))
    return {run.workflow_id: run for run in (await p.service.list_workflows()).runs}


FILTERS = {
    "": "order-3 pay's child order-2 order-1",
    # every field
    "WorkflowId = 'order-1'": "order-1",
    "RunId = '{order_2.run_id}'": "order-2",
    "WorkflowType = 'Order'": "order-3 order-2 order-1",
    "TaskQueue = 'pay'": "pay's",
    "ExecutionStatus = 'Running'": "child order-2",
    "ExecutionStatus = 'Completed'": "order-1",
    "ExecutionStatus IN ('Failed', 'Terminated')": "order-3 pay's",
    "ExecutionStatus = 'Canceled' OR ExecutionStatus = 'TimedOut' OR ExecutionStatus = 'ContinuedAsNew'": "",
    "StartTime > {order_2.started_ns}": "order-3 pay's child",
    "StartTime <= {order_2.started_ns}": "order-2 order-1",
    "StartTime > '2020-01-01T00:00:00Z' AND StartTime < '9999-12-31T23:59:59Z'": "order-3 pay's child order-2 order-1",
    "StartTime < '2020-01-01T00:00:00.123456789+01:00'": "",
    "ExecutionTime = {order_2.begins_ns}": "order-2",
    "CloseTime > {order_1.closed_ns}": "order-3 pay's",
    "CloseTime IS NULL": "child order-2",
    "CloseTime IS NOT NULL AND WorkflowId = 'order-1'": "order-1",
    "ExecutionDuration < '1h30m'": "order-3 pay's order-1",
    "ExecutionDuration >= 0 AND ExecutionDuration <= '01:00:00'": "order-3 pay's order-1",
    "ExecutionDuration > '2d' OR ExecutionDuration > '1.5h' OR ExecutionDuration > 3600000000000": "",
    "HistoryLength = {order_1.history_length} AND ExecutionStatus = 'Completed'": "order-1",
    "HistoryLength > 100000": "",
    "HistorySizeBytes > 10": "order-3 pay's child order-2 order-1",
    "ParentWorkflowId = 'order-2'": "child",
    "ParentRunId = '{order_2.run_id}'": "child",
    "ParentWorkflowId IS NULL": "order-3 pay's order-2 order-1",
    # every operator
    "WorkflowId != 'order-1'": "order-3 pay's child order-2",
    "WorkflowId > 'order-1' AND WorkflowId < 'pay''s'": "order-3 order-2",
    "WorkflowId >= 'order-2' AND WorkflowId <= 'order-2'": "order-2",
    'WorkflowId IN ("order-1", \'pay\\\'s\', "none")': "pay's order-1",
    "WorkflowId NOT IN ('order-1', 'child')": "order-3 pay's order-2",
    "WorkflowId BETWEEN 'order-2' AND 'order-3'": "order-3 order-2",
    "WorkflowId NOT BETWEEN 'order-2' AND 'order-3'": "pay's child order-1",
    "WorkflowId STARTS_WITH 'order'": "order-3 order-2 order-1",
    "WorkflowId NOT STARTS_WITH 'order'": "pay's child",
    "WorkflowId STARTS_WITH ''": "order-3 pay's child order-2 order-1",
    "NOT WorkflowType = 'Order'": "pay's child",
    "WorkflowType = 'Pay' OR WorkflowType = 'Order' AND ExecutionStatus = 'Running'": "pay's order-2",
    "(WorkflowType = 'Pay' OR WorkflowType = 'Order') AND ExecutionStatus = 'Running'": "order-2",
    "not (WorkflowType = 'Pay' or WorkflowType = 'Order')": "child",
    # every type of search attribute
    "City = 'Ulm'": "order-1",
    "`City` != 'Ulm'": "order-2",
    "NOT City = 'Ulm'": "order-2",
    "City STARTS_WITH 'Kö'": "order-2",
    "City NOT IN ('Ulm')": "order-2",
    "City > 'L'": "order-1",
    "City IS NULL": "order-3 pay's child",
    "City IS NOT NULL": "order-2 order-1",
    "`my field` = 'x'": "order-1",
    "Number = 1": "order-1",
    "Number < 0": "order-2",
    "Number BETWEEN -2 AND 1": "order-2 order-1",
    "Number NOT BETWEEN -1 AND 5": "order-2",
    "Number > 0.5": "order-1",
    "Price > 1": "order-2 order-1",
    "Price <= 1.5e0": "order-1",
    "Vip = true": "order-1",
    "Vip != TRUE": "order-2",
    "Tags = 'a'": "order-1",
    "Tags = 'b'": "order-2 order-1",
    "Tags IN ('a', 'c')": "order-2 order-1",
    "Tags != 'a'": "order-2",
    "NOT Tags IN ('a', 'x')": "order-2",
    "Tags IS NULL AND WorkflowType = 'Order'": "order-3",
    "Due = '2026-01-31T13:00:00+01:00'": "order-1",
    "Due > '2026-01-31T12:00:00.000000001Z'": "order-2",
    "Due < 1800000000000000000": "order-2 order-1",
}


@pytest.mark.parametrize("query", FILTERS)
def test_filter_lets_through_what_it_says(service: Service, query: str) -> None:
    async def scene(p: Player) -> None:
        runs = await world(p)
        known = {name.replace("-", "_"): run for name, run in runs.items()}
        assert await ids(p, query.format(**known)) == FILTERS[query].split()

    play(service, scene)


def test_start_is_in_the_next_list_and_so_is_an_end(service: Service) -> None:
    async def scene(p: Player) -> None:
        run_id = await p.start(memo={"m": value("1")}, search_attributes=encode_attributes({"City": "Ulm"}))
        (found,) = (await p.service.list_workflows("ExecutionStatus = 'Running'")).runs
        assert (found.workflow_id, found.run_id, found.workflow_type, found.task_queue) == ("w", run_id, "Play", "q")
        assert (found.status, found.closed_ns, found.history_length) == ("running", 0, 2)
        assert found.begins_ns == found.started_ns > 0 < found.history_bytes
        assert {name: text(item) for name, item in found.memo.items()} == {"m": "1"}
        assert decode_attributes(found.search_attributes) == {"City": "Ulm"}
        await p.answer(c.CompleteWorkflowExecution())
        (found,) = (await p.service.list_workflows("ExecutionStatus = 'Completed'")).runs
        assert found.closed_ns >= found.started_ns
        assert await ids(p, "ExecutionStatus = 'Running'") == []
        description = await p.service.describe("w")
        assert {name: getattr(description, name) for name in found.__struct_fields__} == {
            name: getattr(found, name) for name in found.__struct_fields__
        }

    play(service, scene)


def test_run_that_waits_for_its_schedule_begins_later_than_it_starts(service: Service) -> None:
    async def scene(p: Player) -> None:
        await p.start(cron="@every 1h")
        (found,) = (await p.service.list_workflows("ExecutionTime > '2020-01-01T00:00:00Z'")).runs
        assert found.begins_ns > found.started_ns

    play(service, scene)


def test_pages_neither_skip_nor_repeat_while_runs_start_and_end(service: Service) -> None:
    async def scene(p: Player) -> None:
        for number in range(20):
            await p.start(f"w{number}")
        seen: list[str] = []
        token = ""
        for step in range(100):
            page = await p.service.list_workflows("", 3, token)
            assert len(page.runs) <= 3
            seen += [run.workflow_id for run in page.runs]
            token = page.next_token
            if not token:
                break
            await p.start(f"new{step}")
            for seen_or_not in (seen[-1], f"w{step}"):
                with contextlib.suppress(AlreadyClosed):
                    await p.service.terminate(seen_or_not)
        assert seen == [f"w{number}" for number in reversed(range(20))]

    play(service, scene)


def test_pages_of_a_filter_follow_each_other(service: Service) -> None:
    async def scene(p: Player) -> None:
        for number in range(10):
            await p.start(f"w{number}", search_attributes=encode_attributes({"Even": number % 2 == 0}))
        first = await p.service.list_workflows("Even = true", 3)
        second = await p.service.list_workflows("Even = true", 3, first.next_token)
        assert [run.workflow_id for run in (*first.runs, *second.runs)] == ["w8", "w6", "w4", "w2", "w0"]
        assert second.next_token == ""

    play(service, scene)


@pytest.mark.parametrize(
    ("query", "position", "words"),
    [
        ("Nothing = 1", 1, "known are WorkflowId, RunId, .*City"),
        ("WorkflowId == 'a'", 13, "found = where a value was expected"),
        ("WorkflowId = order", 14, "text stands in quotes"),
        ("WorkflowId = 'a", 14, "not closed"),
        ("WorkflowId", 11, "found the end where a comparison"),
        ("WorkflowId = 'a' WorkflowId = 'b'", 18, "AND, OR or the end"),
        ("(WorkflowId = 'a'", 18, "found the end where \\) was"),
        ("WorkflowId IN 'a'", 15, "where \\( was expected"),
        ("WorkflowId NOT LIKE 'a'", 16, "IN, BETWEEN or STARTS_WITH"),
        ("HistoryLength BETWEEN 1 OR 2", 25, "where AND was expected"),
        ("WorkflowId = 1", 14, "text in quotes, not with 1"),
        ("HistoryLength = 'a'", 17, "a number, not with 'a'"),
        ("HistoryLength STARTS_WITH 1", 1, "is a Int, which compares by"),
        ("ExecutionStatus = 'running'", 19, "one of Running, Completed"),
        ("ExecutionStatus > 'Running'", 1, "not by >"),
        ("StartTime > 'yesterday'", 13, "is no time such as"),
        ("StartTime > '2026-02-30T00:00:00Z'", 13, "day"),
        ("ExecutionDuration > '1 week'", 21, "a duration such as"),
        ("City = 1", 8, "text in quotes"),
        ("Tags > 'a'", 1, "KeywordList"),
        ("WorkflowId = 'a' ORDER BY StartTime", 18, "found ORDER where AND"),
        ("WorkflowId = 'a'; --", 17, "found ';'"),
        ("(" * 60 + "WorkflowId = 'a'" + ")" * 60, 52, "50 deep"),
        ("NOT " * 60 + "WorkflowId = 'a'", 205, "50 deep"),
        ("RunId = 'a' OR " * 300 + "RunId = 'a'", 3001, "more than 200 comparisons"),
        (" " * 20_000, 10_001, "10000 characters at most"),
    ],
)
def test_wrong_filter_is_told_where_and_what_is_wanted(service: Service, query: str, position: int, words: str) -> None:
    async def scene(p: Player) -> None:
        await p.start(search_attributes=encode_attributes({"City": "Ulm", "Tags": ["a"]}))
        with pytest.raises(BadQuery, match=words) as listed:
            await p.service.list_workflows(query)
        with pytest.raises(BadQuery, match=words) as counted:
            await p.service.count_workflows(query)
        assert (listed.value.position, counted.value.position) == (position, position)

    play(service, scene)


def test_wrong_page_is_refused(service: Service) -> None:
    async def scene(p: Player) -> None:
        for size, token in ((0, ""), (-1, ""), (10, "what"), (10, "1" * 40), (10, "-1")):
            with pytest.raises(BadRequest):
                await p.service.list_workflows("", size, token)
        assert (await p.service.list_workflows("", 10**9)).runs == ()

    play(service, scene)
