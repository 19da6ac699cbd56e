"""The page of statistics: every series, or those that match, or what has been added since a mark."""

from __future__ import annotations

from collections.abc import Iterable

from monkit_core.clock import monotonic_ns, wall_offset_ns
from monkit_core.series import Series, grouped
from monkit_present.marks import make_mark, since
from monkit_present.pages import PageRequest, Reply
from monkit_present.query import compiled
from monkit_present.responses import Problem

__all__ = ["read_series", "set_mark"]


def read_series(request: PageRequest) -> Iterable[Series]:
    """The series that are asked for.

    Raises:
        BadQuery: the expression cannot be used.
        Problem: there is no mark yet.
    """
    registry = request.served.registry
    regex = request.values["regex"]
    found_in = compiled(regex) if regex else None
    if request.values["since"] is None:
        series = registry.series()
    else:
        mark = request.served.marks.latest
        if mark is None:
            raise Problem(409, "no mark has been made; make one by POST /stats/mark")
        series = grouped(since(registry.stats(), mark))
    return series if found_in is None else (found for found in series if found_in(str(found[0])))


def set_mark(request: PageRequest) -> Reply:
    """Remember the totals of this moment."""
    served = request.served
    mark = make_mark(served.registry.stats(), monotonic_ns() + wall_offset_ns())
    served.marks.latest = mark
    dropped = {"dropped": mark.dropped} if mark.dropped else {}
    return Reply({"marked": mark.made_ns, "series": mark.series_count, **dropped})
