"""DOT, the language of Graphviz: live spans and the call graph.

Labels hold numeric entities for all punctuation, as the original's do, so
that no name can end a label, start an HTML-like one or escape anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import graphviz

from monkit_core.formats.functions import FuncRow
from monkit_core.formats.text import counts, durations, go_duration
from monkit_present.render.text import progress_words
from monkit_present.rows import LiveRow

__all__ = ["escape_label", "funcs", "ps"]

_PLAIN = re.compile(r"[\x00-\x1f!-/:-@\[-`{-\x7f]")


def escape_label(text: str) -> str:
    r"""Numeric entities for control characters and punctuation; newline becomes ``\l``, a break to the left."""
    return _PLAIN.sub(lambda match: r"\l" if match.group() == "\n" else f"&#{ord(match.group())};", text)


def _graph() -> graphviz.Digraph:
    return graphviz.Digraph("G", node_attr={"shape": "box"})


def ps(rows: Iterable[LiveRow]) -> str:
    """Spans that run now, an edge from each parent to its child."""
    graph = _graph()
    path: list[str] = []
    for row in rows:
        span = row.span
        node = f"f{span.id}"
        lines = [f"{span.full_name}({', '.join(span.args)})", f"elapsed: {go_duration(span.duration_ns)}"]
        lines += ["orphaned"] if span.orphaned else []
        lines += [f"progress: {progress_words(span.progress)}"] if span.progress else []
        lines += [f"{key}: {value}" for key, value in span.annotations]
        graph.node(node, label=_label(lines))
        del path[row.depth :]
        if path:
            graph.edge(path[-1], node)
        path.append(node)
    return str(graph.source)


def funcs(rows: Iterable[FuncRow]) -> str:
    """The call graph: an edge from each caller, and one from ``entry`` for calls from outside."""
    graph = _graph()
    for row in rows:
        node = f"f{row.id}"
        lines = [row.full_name, *(f"{key}={value}" for key, value in row.tags), counts(row)]
        lines += [f"error {name}: {count}" for name, count in row.errors]
        for title, times in (("success", row.success_times), ("failure", row.failure_times)):
            if times.count:
                lines.append(f"{title} times:")
                lines += [f"        {label}: {value}" for label, value in durations(times)]
        graph.node(node, label=_label(lines))
        if row.entry:
            graph.node(f"r{row.id}", label="entry")
            graph.edge(f"r{row.id}", node)
        for parent in row.parent_ids:
            graph.edge(f"f{parent}", node)
    return str(graph.source)


def _label(lines: Iterable[str]) -> str:
    return "".join(escape_label(line) + r"\l" for line in lines)
