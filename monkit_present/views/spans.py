"""Live spans: what runs now, as trees that update."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from urllib.parse import quote

from monkit_core.clock import wall_offset_ns
from monkit_present.gather import live_rows
from monkit_present.pages import Blocks, PageRequest
from monkit_present.render import figures
from monkit_present.render.text import progress_words
from monkit_present.rows import LiveRow
from monkit_present.views.frame import document, macro

__all__ = ["MOST_ROWS", "blocks", "render"]

MOST_ROWS = 500
"""Spans that the page has at most: the trees that began first."""


def render(request: PageRequest) -> Iterator[str]:
    """The page."""
    rows = live_rows(request.served.registry)
    return document(
        request,
        "spans.html",
        request.page("/ps"),
        "Live spans",
        summary=_summary(rows),
        trees=[_tree(request, tree) for tree in _trees(rows)],
    )


def blocks(request: PageRequest) -> Blocks:
    """The parts that change. Ages are left to the page, so a tree is sent only when something else of it changes."""
    rows = live_rows(request.served.registry)
    found = {"summary": _summary(rows)}
    for tree in _trees(rows):
        name = f"t-{tree[0].span.id:016x}"
        made_of = [(row.depth, row.span.id, row.span.orphaned, row.span.annotations, row.span.progress) for row in tree]
        found[name] = request.served.kept.value(name, (request.root, made_of), partial(_tree, request, tree))
    return found


def _summary(rows: list[LiveRow]) -> str:
    trees = sum(row.depth == 0 for row in rows)
    orphans = sum(row.span.orphaned for row in rows)
    words = f"{figures.counted(len(rows), 'span')} in {figures.counted(trees, 'tree')}"
    if orphans:
        words += f" · {figures.counted(orphans, 'orphan')}"
    if len(rows) > MOST_ROWS:
        words += f" · the {MOST_ROWS} that began first are shown"
    return macro("spans_parts.html", "summary")(words)


def _trees(rows: list[LiveRow]) -> Iterator[list[LiveRow]]:
    """A list for each root, with all below it."""
    tree: list[LiveRow] = []
    for row in islice(rows, MOST_ROWS):
        if row.depth == 0 and tree:
            yield tree
            tree = []
        tree.append(row)
    if tree:
        yield tree


def _tree(request: PageRequest, tree: list[LiveRow]) -> str:
    depths = [row.depth for row in tree]
    rows = [
        {
            "depth": row.depth,
            "span": row.span,
            "path": f"/funcs/{quote(row.span.full_name, safe='')}",
            "trace": f"/traces/{row.span.id:016x}",
            "has_children": depths[place + 1 : place + 2] > [row.depth],
            "since_ms": (row.span.start_ns + wall_offset_ns()) // 1_000_000,
            "progress": None if row.span.progress is None else progress_words(row.span.progress),
        }
        for place, row in enumerate(tree)
    ]
    return macro("spans_parts.html", "tree")(request.root, rows)
