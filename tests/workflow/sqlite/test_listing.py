"""Filters as SQL: they let through what the filter means, and use indexes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monkit_workflow.filters import And, parse, resolve
from monkit_workflow.sqlite.listing import count_runs, count_sql, list_runs, page_sql
from monkit_workflow.sqlite.store import Store
from monkit_workflow.sqlite.translation import to_sql

TYPES = {"City": "Keyword", "Tags": "KeywordList", "N": "Int", "X": "Double", "B": "Bool", "D": "Datetime"}

INSERT = "INSERT INTO runs VALUES (?,?,?,?,'','',?,?,NULL,?,?,1,?,?,?,?,?,?,NULL,NULL)"  # as they stand in the table


def insert(connection: apsw.Connection, run: int, row: dict[str, Any], namespace: str = "default") -> None:
    """A run with the fields and attributes of *row*; those that it lacks are null or usual."""
    start = row.get("StartTime", run)
    fields = (
        run,
        namespace,
        row.get("WorkflowId", f"w{run}"),
        row.get("RunId", f"r{run}"),
        row.get("WorkflowType", "T"),
        row.get("TaskQueue", "q"),
        row.get("ParentWorkflowId"),
        row.get("ParentRunId"),
        start,
        row.get("ExecutionTime", start),
        row.get("ExecutionStatus", "Completed").lower(),
        row.get("CloseTime"),
        row.get("HistoryLength", 1),
        row.get("HistorySizeBytes", 1),
    )
    connection.execute(INSERT, fields)
    for name in TYPES:
        value = row.get(name)
        for item in value if isinstance(value, list) else [] if value is None else [value]:
            connection.execute("INSERT INTO search_attributes VALUES (?,?,?)", (run, name, item))


# What a filter means, in Python: with a third truth value, as SQL has it.

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Tree = tuple[Any, ...]


def holds(tree: Tree, row: dict[str, Any]) -> bool | None:
    """Whether a filter holds for a run, ``None`` if that cannot be said."""
    match tree:
        case ("NOT", part):
            found = holds(part, row)
            return None if found is None else not found
        case ("AND", *parts):
            values = [holds(part, row) for part in parts]
            return False if False in values else None if None in values else True
        case ("OR", *parts):
            values = [holds(part, row) for part in parts]
            return True if True in values else None if None in values else False
        case (field, word, *operands):
            return compare(row.get(field), word, operands)
    raise AssertionError(tree)


def compare(value: Any, word: str, operands: list[Any]) -> bool | None:
    if word in ("IS NULL", "IS NOT NULL"):
        return (value is None) == (word == "IS NULL")
    if value is None:
        return None
    if word.startswith("NOT "):
        return not compare(value, word.removeprefix("NOT "), operands)
    if isinstance(value, list):
        return any(item in operands for item in value) == (word != "!=")
    match word:
        case "IN":
            return value in operands
        case "BETWEEN":
            return bool(operands[0] <= value <= operands[1])
        case "STARTS_WITH":
            return bool(value.startswith(operands[0]))
        case _:
            return COMPARE[word](value, operands[0])


# And as text.


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace("'", "''")
        return f"'{quoted}'"
    return repr(value)


def written(tree: Tree) -> str:
    match tree:
        case ("NOT", part):
            return f"NOT ({written(part)})"
        case ("AND" | "OR" as word, *parts):
            return "(" + f" {word} ".join(written(part) for part in parts) + ")"
        case (field, word, *operands):
            texts = [shown(operand) for operand in operands]
            if word.endswith("IN"):
                return f"{field} {word} ({', '.join(texts)})"
            return f"{field} {word} {' AND '.join(texts)}"
    raise AssertionError(tree)


# At random.

TEXTS = st.sampled_from(["", "a", "ab", "abc", "b", "ä", "a'b", "a\\", "\ud7ff", "\ue000", "\U0010ffff", "\U0010ffffa"])
NUMBERS = st.integers(-3, 3)
REALS = st.sampled_from([-1.5, 0.0, 1.0, 2.5, 1e300])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "WorkflowId": TEXTS,
    "WorkflowType": TEXTS,
    "TaskQueue": TEXTS,
    "ExecutionStatus": st.sampled_from(["Running", "Completed", "Failed", "Canceled"]),
    "StartTime": NUMBERS,
    "ExecutionTime": NUMBERS,
    "CloseTime": NUMBERS,
    "ExecutionDuration": NUMBERS,
    "HistoryLength": NUMBERS,
    "HistorySizeBytes": NUMBERS,
    "ParentWorkflowId": TEXTS,
    "ParentRunId": TEXTS,
    "City": TEXTS,
    "Tags": TEXTS,
    "N": NUMBERS,
    "X": REALS,
    "B": st.booleans(),
    "D": NUMBERS,
}
NULLABLE = ["CloseTime", "ParentWorkflowId", "ParentRunId", *TYPES]
ALWAYS = [name for name in VALUES if name not in NULLABLE and name != "ExecutionDuration"]


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    row = {name: draw(VALUES[name]) for name in ALWAYS}
    row |= {name: draw(VALUES[name]) for name in NULLABLE if name != "Tags" and draw(st.booleans())}
    if draw(st.booleans()):
        row["Tags"] = draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True))
    if "CloseTime" in row:
        row["ExecutionDuration"] = row["CloseTime"] - row["ExecutionTime"]
    return row


@st.composite
def conditions(draw: st.DrawFn) -> Tree:
    field = draw(st.sampled_from(sorted(VALUES)))
    words = ["=", "!=", "IN", "NOT IN", "IS NULL", "IS NOT NULL"]
    if field not in ("ExecutionStatus", "Tags", "B"):
        words += ["<", "<=", ">", ">=", "BETWEEN", "NOT BETWEEN"]
    if VALUES[field] is TEXTS and field != "Tags":
        words += ["STARTS_WITH", "NOT STARTS_WITH"] * 2
    word = draw(st.sampled_from(words))
    value = VALUES[field] | (REALS if VALUES[field] is NUMBERS else st.nothing())
    count = 0 if word.startswith("IS") else 2 if "BETWEEN" in word else draw(st.integers(1, 3)) if "IN" in word else 1
    return (field, word, *(draw(value) for _ in range(count)))


TREES = st.recursive(
    conditions(),
    lambda parts: (
        st.tuples(st.just("NOT"), parts)
        | st.lists(parts, min_size=2, max_size=3).map(lambda found: ("AND", *found))
        | st.lists(parts, min_size=2, max_size=3).map(lambda found: ("OR", *found))
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(TREES, st.lists(rows(), max_size=8))
def test_random_filters_let_through_what_they_mean(tree: Tree, found: list[dict[str, Any]]) -> None:
    store = Store(None)
    for number, row in enumerate(found):
        running = row["ExecutionStatus"] == "Running"  # of which a workflow id has one
        own = {**row, "ExecutionStatus": "Failed"} if running and number else row
        found[number] = own
        insert(store.connection, number + 1, own)
        insert(store.connection, number + 100, own, namespace="another")
    parsed = parse(written(tree))
    expected = [f"r{number + 1}" for number, row in reversed(list(enumerate(found))) if holds(tree, row)]
    for number in range(len(found)):
        store.connection.execute("UPDATE runs SET run_id=? WHERE run=?", (f"r{number + 1}", number + 1))
    page = list_runs(store.connection, "default", parsed, TYPES, 100, 99)
    assert [run.run_id for run in page.runs] == expected
    assert count_runs(store.connection, "default", parsed, TYPES) == len(expected)
    store.close()


# Plans.


@pytest.fixture(scope="module")
def many() -> Iterator[apsw.Connection]:
    """100,000 runs."""
    store = Store(None)
    connection = store.connection
    numbers = range(100_000)
    with connection:
        connection.executemany(
            INSERT,
            (
                (n, "default", f"w{n}", f"r{n}", f"T{n % 7}", "q", f"w{n // 3}" if n % 3 else None, None, n, n)
                + (("running", None) if n % 50 == 0 else ("completed", n + 5))
                + (3, 100)
                for n in numbers
            ),
        )
        sql = "INSERT INTO search_attributes VALUES (?,?,?)"
        connection.executemany(sql, ((n, "City", f"c{n % 1000}") for n in numbers))
        connection.executemany(sql, ((n, "N", n) for n in numbers))
    yield connection
    store.close()


def plan(connection: apsw.Connection, sql: str, values: tuple[Any, ...]) -> list[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


BY_STATUS = "SEARCH r USING INDEX runs_of_status (namespace=? AND status=? AND rowid<?)"
BY_WORKFLOW = "SEARCH r USING INDEX runs_of_workflow (namespace=? AND workflow_id=? AND rowid<?)"
BY_PREFIX = "SEARCH r USING INDEX runs_of_workflow (namespace=? AND workflow_id>? AND workflow_id<?)"
BY_PARENT = "SEARCH r USING INDEX runs_of_parent (namespace=? AND parent_workflow_id=? AND rowid<?)"
BY_NUMBER = "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"
IN_ORDER = "SEARCH r USING INTEGER PRIMARY KEY (rowid<?)"
SAME = "SEARCH search_attributes USING COVERING INDEX attributes_by_value (name=? AND value=?)"
FROM = "SEARCH search_attributes USING COVERING INDEX attributes_by_value (name=? AND value>?)"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [IN_ORDER]),
        ("ExecutionStatus = 'Running'", [BY_STATUS]),
        ("ExecutionStatus = 'Running' AND WorkflowType = 'T1'", [BY_STATUS]),
        ("WorkflowType = 'T1'", [IN_ORDER]),
        ("WorkflowId = 'w7'", [BY_WORKFLOW]),
        ("WorkflowId STARTS_WITH 'w77'", [BY_PREFIX]),
        ("ParentWorkflowId = 'w7'", [BY_PARENT]),
        ("City = 'c7'", [BY_NUMBER, SAME]),
        ("City = 'c7' AND ExecutionStatus = 'Running'", [BY_NUMBER, SAME]),
        ("N > 99990", [BY_NUMBER, FROM]),
        ("City = 'c7' OR WorkflowId = 'w8'", [SAME, BY_NUMBER, BY_WORKFLOW]),
    ],
)
def test_list_of_100000_runs_looks_at_few(many: apsw.Connection, query: str, expected: list[str]) -> None:
    where, values = to_sql(resolve(parse(query), TYPES))
    found = plan(many, page_sql(where), ("default", *values, 90_000, 100))
    assert [step for step in found if step.startswith(("SEARCH", "SCAN"))] == expected
    sorted_first = "USE TEMP B-TREE FOR ORDER BY" in found
    assert sorted_first == (BY_PREFIX in expected or len(expected) == 3), found


@pytest.mark.parametrize("query", ["", "ExecutionStatus = 'Running'", "WorkflowId = 'w7'", "City = 'c7'", "N > 99990"])
def test_count_of_100000_runs_reads_indexes_only(many: apsw.Connection, query: str) -> None:
    where, values = to_sql(resolve(parse(query), TYPES))
    found = plan(many, count_sql(where), ("default", *values))
    assert all("COVERING INDEX" in step or "PRIMARY KEY" in step for step in found if "SEARCH" in step)
    assert not any("SCAN" in step for step in found)


def test_page_with_much_to_carry_ends_early_and_goes_on() -> None:
    store = Store(None)
    for run in range(1, 11):
        insert(store.connection, run, {})
    store.connection.execute("UPDATE runs SET memo = CAST('{}' || printf('%1500000s', '') AS BLOB)")
    seen: list[str] = []
    sizes: list[int] = []
    before = 2**63 - 1
    while True:
        page = list_runs(store.connection, "default", And(()), {}, 100, before)
        seen += [run.run_id for run in page.runs]
        sizes.append(len(page.runs))
        if not page.next_token:
            break
        before = int(page.next_token)
    assert seen == [f"r{run}" for run in range(10, 0, -1)]
    assert sizes == [3, 3, 3, 1]
    store.close()
