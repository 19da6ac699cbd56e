"""Words of a call graph: what stands in and beside its boxes and arrows, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monkit_core.text import clip
from monkit_present.graph.model import Edge, Node
from monkit_present.graph.view import WEIGHTS, View
from monkit_present.render.figures import count, counted, duration, number, per_cent
from monkit_present.render.svg_text import ELLIPSIS, columns, escape

__all__ = ["edge_title", "figure", "full_name", "lines_of", "node_title", "note", "summary", "wrapped"]

_NAME = 34  # characters of a name in a box
_SCOPE = 24
_TAGS = 40
_NAMED_LEFT_OUT = 3
_MOST_ERRORS = 6


def full_name(node: Node, limit: int = 400) -> str:
    """Scope, name and tags."""
    tags = ", ".join(f"{key}={value}" for key, value in node.row.tags)
    return clip(node.row.full_name + (f" ({tags})" if tags else ""), limit)


def lines_of(view: View, place: int) -> tuple[str, ...]:
    """The lines in a box: the name; where it is from and what it weighs; its tags if it has any."""
    node = view.nodes[place]
    scope = clip(node.row.scope.rpartition(".")[2] or node.row.scope, _SCOPE)
    tags = ", ".join(f"{key}={value}" for key, value in node.row.tags)
    found = (clip(node.row.name, _NAME), f"{scope} · {figure(view, place)}")
    return (*found, clip(tags, _TAGS)) if tags else found


def figure(view: View, place: int) -> str:
    """What a function weighs."""
    node = view.nodes[place]
    if view.by == "count":
        return number(node.calls)
    return f"{number(node.failures)} failed" if view.by == "errors" else per_cent(view.shares[place])


def node_title(view: View, place: int) -> str:
    """All figures of a function, escaped, a line each."""
    node = view.nodes[place]
    lines = [
        full_name(node),
        f"own time {duration(node.own_ns)}, an estimate; with what it called {duration(node.total_ns)}",
        counted(node.calls, "call") + (f", {count(node.row.current)} of them running" if node.row.current else ""),
        *_outcomes(node),
        _callers(node),
    ]
    return "\n".join(map(escape, lines))


def _outcomes(node: Node) -> Iterator[str]:
    if node.failures:
        yield f"{counted(node.failures, 'failure')}, {per_cent(node.failures / max(node.calls, node.failures))}"
    if node.cancellations:
        share = per_cent(node.cancellations / max(node.calls, node.cancellations))
        yield f"{counted(node.cancellations, 'cancellation')}, {share}"
    errors = sorted(node.row.errors, key=lambda item: (-item[1], item[0]))
    named = [f"{clip(name, 60)} {count(times)}" for name, times in errors[:_MOST_ERRORS]]
    if len(errors) > _MOST_ERRORS:
        named.append(f"{len(errors) - _MOST_ERRORS} more names")
    if node.row.panics:
        named.append(counted(node.row.panics, "panic"))
    if named:
        yield ", ".join(named)


def _callers(node: Node) -> str:
    others = len(node.row.parent_ids)
    called = f"called by {counted(others, 'function')}" if others else "called by no monitored function"
    return f"{called}; {counted(node.row.entry_calls, 'call')} from outside" if node.row.entry else called


def edge_title(view: View, edge: Edge, *, back: bool) -> str:
    """Who calls whom how often, escaped."""
    caller, callee = view.nodes[edge.caller], view.nodes[edge.callee]
    kind = " of itself" if edge.caller == edge.callee else ", closes a circle" if back else ""
    return escape(f"{full_name(caller, 200)} → {full_name(callee, 200)}: {counted(edge.calls, 'call')}{kind}")


def summary(view: View) -> str:
    """How much is shown and what the areas mean."""
    shown = f"{counted(len(view.nodes), 'function')}, {counted(len(view.edges), 'edge')}"
    return f"{shown} since start · area and tint: {WEIGHTS[view.by].words} · line width: calls"


def note(view: View) -> str:
    """What was left out."""
    parts = []
    if view.light:
        named = [clip(node.row.full_name, 60) for node in view.light[:_NAMED_LEFT_OUT]]
        rest = len(view.light) - len(named)
        names = ", ".join(named) + (f" and {count(rest)} more" if rest else "")
        words = WEIGHTS[view.by].words
        lightest = "the lightest" if len(view.light) == 1 else f"the {count(len(view.light))} lightest"
        share = f"{per_cent(view.light_share)} of {words}{' together' if len(view.light) > 1 else ''}"
        parts.append(f"{lightest} of {counted(view.known, 'function')} ({names}; {share})")
    if view.ignored:
        parts.append(f"{counted(view.ignored, 'function')} by ignore=")
    if view.unrelated:
        parts.append(f"{counted(view.unrelated, 'function')} that neither call nor are called by what is in focus")
    if len(view.edges) < view.known_edges:
        parts.append(counted(view.known_edges - len(view.edges), "edge"))
    if not parts:
        return "Nothing is left out."
    end = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"Left out: {end}." + (" nodes= shows more." if view.light else "")


def wrapped(text: str, limit: int) -> Sequence[str]:
    """*text* in lines of at most *limit* columns, broken at spaces; a longer word is cut."""
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if line and columns(joined) > limit:
            lines.append(line)
            joined = word
        line = joined if columns(joined) <= limit else joined[: limit // 2] + ELLIPSIS
    return [*lines, line]
