"""Lists and counts of runs: what `list_workflows` and `count_workflows` read.

The newest start comes first: that is the order of the runs' numbers, which no
clock can confuse and no end changes, so a page goes on where the one before
it ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import apsw
import msgspec

from monkit_workflow.errors import BadRequest
from monkit_workflow.filters import Filter, resolve
from monkit_workflow.payload import Payload
from monkit_workflow.service import Listed, Page, Status
from monkit_workflow.sqlite.translation import to_sql

__all__ = ["PAGE", "count_runs", "count_sql", "list_runs", "page_sql", "read_token"]

PAGE: Final = 1_000
"""Runs on a page at most."""

_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Memos and attributes on a page, which ends early rather than hold more than these and one run's."""

_decode = msgspec.json.Decoder(dict[str, Payload]).decode


def read_token(token: str) -> int:
    """The number of the run at which a page ended; a first page begins after all.

    Raises:
        BadRequest: it is no token of ours.
    """
    if not token:
        return 2**63 - 1
    if not (token.isascii() and token.isdecimal() and len(token) < 19):
        raise BadRequest(f"{token!r:.80} is no page token; give the one of the page before, or none")
    return int(token)


def list_runs(
    connection: apsw.Connection, namespace: str, tree: Filter, types: Mapping[str, str], size: int, before: int
) -> Page:
    """The next page of the runs that a filter lets through.

    Args:
        connection: where they are.
        namespace: whose they are.
        tree: the filter, as it was parsed.
        types: the search attributes that are in use, with their types.
        size: how many runs at most.
        before: what `read_token` read.

    Raises:
        BadQuery: the filter compares what cannot be compared.
    """
    where, values = to_sql(resolve(tree, types))
    runs: list[Listed] = []
    size_bytes = 0
    for row in connection.execute(page_sql(where), (namespace, *values, before, size)):
        runs.append(_listed(*row[1:]))
        before = row[0]
        size_bytes += len(row[-2] or b"") + len(row[-1] or b"")
        if len(runs) == size or size_bytes > _PAGE_BYTES:
            return Page(runs=tuple(runs), next_token=str(before))
    return Page(runs=tuple(runs))


def count_runs(connection: apsw.Connection, namespace: str, tree: Filter, types: Mapping[str, str]) -> int:
    """How many runs a filter lets through; as `list_runs`."""
    where, values = to_sql(resolve(tree, types))
    return int(connection.execute(count_sql(where), (namespace, *values)).get)


def page_sql(where: str) -> str:
    """A page; bound are the namespace, what *where* binds, the run before it and the number of rows."""
    return (
        "SELECT r.run, r.workflow_id, r.run_id, r.workflow_type, r.task_queue, r.status, r.started_ns, r.begins_ns, "
        "r.closed_ns, r.history_length, r.history_bytes, r.parent_workflow_id, r.parent_run_id, r.memo, r.attributes "
        f"FROM runs r WHERE r.namespace=? AND {where} AND r.run<? ORDER BY r.run DESC LIMIT ?"
    )


def count_sql(where: str) -> str:
    """How many there are; bound are the namespace and what *where* binds."""
    return f"SELECT count(*) FROM runs r WHERE r.namespace=? AND {where}"


def _listed(
    workflow_id: str,
    run_id: str,
    workflow_type: str,
    task_queue: str,
    status: Status,
    started_ns: int,
    begins_ns: int,
    closed_ns: int | None,
    history_length: int,
    history_bytes: int,
    parent_workflow_id: str | None,
    parent_run_id: str | None,
    memo: bytes | None,
    attributes: bytes | None,
) -> Listed:
    return Listed(
        workflow_id=workflow_id,
        run_id=run_id,
        workflow_type=workflow_type,
        task_queue=task_queue,
        status=status,
        started_ns=started_ns,
        begins_ns=begins_ns,
        closed_ns=closed_ns or 0,
        history_length=history_length,
        history_bytes=history_bytes,
        parent_workflow_id=parent_workflow_id or "",
        parent_run_id=parent_run_id or "",
        memo=_decode(memo) if memo else {},
        search_attributes=_decode(attributes) if attributes else {},
    )
