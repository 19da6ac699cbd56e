"""A filter as SQL over ``runs r`` and ``search_attributes``; values are bound, never written into it.

As in SQL a comparison with what a run does not have is neither true nor false,
and so is its contrary: only IS NULL finds such runs. NOT is pushed down to the
comparisons, so that this needs no third truth value and indexes are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from monkit_workflow.filters import FIELDS, And, Condition, Filter, Not, Or

__all__ = ["to_sql"]

_COLUMNS: Final[Mapping[str, str]] = {
    "WorkflowId": "r.workflow_id",
    "RunId": "r.run_id",
    "WorkflowType": "r.workflow_type",
    "TaskQueue": "r.task_queue",
    "ExecutionStatus": "r.status",
    "StartTime": "r.started_ns",
    "ExecutionTime": "r.begins_ns",
    "CloseTime": "r.closed_ns",
    "ExecutionDuration": "(r.closed_ns - r.begins_ns)",
    "HistoryLength": "r.history_length",
    "HistorySizeBytes": "r.history_bytes",
    "ParentWorkflowId": "r.parent_workflow_id",
    "ParentRunId": "r.parent_run_id",
}

_CONTRARY: Final[Mapping[str, str]] = {
    one: other
    for pair in (
        ("=", "!="),
        ("<", ">="),
        (">", "<="),
        ("IN", "NOT IN"),
        ("BETWEEN", "NOT BETWEEN"),
        ("STARTS_WITH", "NOT STARTS_WITH"),
        ("IS NULL", "IS NOT NULL"),
    )
    for one, other in (pair, pair[::-1])
}

_OF_ATTRIBUTE: Final = "r.run {}IN (SELECT run FROM search_attributes WHERE name=?{})"


def to_sql(tree: Filter) -> tuple[str, list[Any]]:
    """An expression and what is bound in it, of a tree that was resolved."""
    values: list[Any] = []
    return _expression(tree, values, contrary=False), values


def _expression(tree: Filter, values: list[Any], *, contrary: bool) -> str:
    match tree:
        case Not(part):
            return _expression(part, values, contrary=not contrary)
        case And(parts) | Or(parts):
            if not parts:
                return "0" if contrary else "1"
            word = " OR " if isinstance(tree, Or) != contrary else " AND "
            return "(" + word.join(_expression(part, values, contrary=contrary) for part in parts) + ")"
        case Condition():
            operator = _CONTRARY[tree.operator] if contrary else tree.operator
            if tree.field in FIELDS:
                return _compare(_COLUMNS[tree.field], operator, tree.operands, values)
            return _attribute(tree, operator, values)


def _attribute(condition: Condition, operator: str, values: list[Any]) -> str:
    """Runs that have the attribute with such a value; a list is equal to what it holds."""
    values.append(condition.field)
    if operator in ("IS NULL", "IS NOT NULL"):
        return _OF_ATTRIBUTE.format("NOT " if operator == "IS NULL" else "", "")
    if condition.type == "KeywordList" and operator in ("!=", "NOT IN"):
        has = _OF_ATTRIBUTE.format("", "")
        values.append(condition.field)
        comparison = _compare("value", _CONTRARY[operator], condition.operands, values)
        return f"({has} AND {_OF_ATTRIBUTE.format('NOT ', ' AND ' + comparison)})"
    return _OF_ATTRIBUTE.format("", " AND " + _compare("value", operator, condition.operands, values))


def _compare(column: str, operator: str, operands: tuple[Any, ...], values: list[Any]) -> str:
    if operator in ("STARTS_WITH", "NOT STARTS_WITH"):
        return _prefix(column, operator, operands[0], values)
    values += operands
    match operator:
        case "IS NULL" | "IS NOT NULL":
            return f"{column} {operator}"
        case "IN" | "NOT IN":
            return f"{column} {operator} ({','.join('?' * len(operands))})"
        case "BETWEEN" | "NOT BETWEEN":
            return f"{column} {operator} ? AND ?"
        case _:
            return f"{column} {operator} ?"


def _prefix(column: str, operator: str, prefix: str, values: list[Any]) -> str:
    """A range of text, which an index can find."""
    end = _after(prefix)
    no = operator.startswith("NOT")
    values.append(prefix)
    if end is None:
        return f"{column} {'<' if no else '>='} ?"
    values.append(end)
    return f"({column} < ? OR {column} >= ?)" if no else f"({column} >= ? AND {column} < ?)"


def _after(prefix: str) -> str | None:
    """The first text after all that begin with *prefix*, by code points; ``None`` if there is none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)
