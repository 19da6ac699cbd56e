"""The document: tables of results between ``<!-- table NAME -->`` and ``<!-- end -->``, and the plot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.calls import MONKIT
from benchmarks.figures import Result, Row
from benchmarks.tables import TABLES, as_markdown

__all__ = ["DOCUMENT", "PLOT", "draw", "fill"]

_DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = _DOCS / "explanation" / "overhead.md"
PLOT = _DOCS / "images" / "overhead.svg"

_PLACE = re.compile(r"(<!-- table (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_SHOWN = (("sync, root", "#2f6f4f", "sync"), ("async, root", "#8fb996", "async"))
_OURS = "#b5482a"
_BAR = 0.38
_LEFT_NS = 10


def fill(document: str, results: Sequence[Result]) -> str:
    """*document* with every table as *results* have it.

    Raises:
        KeyError: it names a table that there is not.
    """
    return _PLACE.sub(lambda found: f"{found[1]}{as_markdown(TABLES[found[2]](results))}\n{found[3]}", document)


def draw(results: Sequence[Result], path: Path = PLOT) -> None:
    """Draw the cost of a root call with every tool, nanoseconds on a logarithmic axis, as SVG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "overhead", "font.size": 9})
    from matplotlib import pyplot

    bars = _bars(results)
    names = list(dict.fromkeys(name for name, _, _ in bars))
    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.42 * len(names)), layout="constrained")
    for i, (group, colour, title) in enumerate(_SHOWN):
        shown = [(names.index(name) + (i - 0.5) * _BAR, row.minimum) for name, found, row in bars if found == group]
        places, widths = zip(*shown, strict=True)
        drawn = axes.barh(places, widths, _BAR, color=colour, label=title)
        axes.bar_label(drawn, [f" {width:,.0f}" for width in widths])
    axes.set_yticks(range(len(names)), names)
    for label in axes.get_yticklabels():
        if label.get_text().startswith(MONKIT):
            label.set_color(_OURS)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(left=_LEFT_NS)
    axes.set_xlabel("nanoseconds that watching adds to a call, minimum; logarithmic")
    axes.margins(x=0.08)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text("utf-8").splitlines()), "utf-8")


def _bars(results: Sequence[Result]) -> list[tuple[str, str, Row]]:
    """Name, group and row of each bar, cheapest first; peers as they were beside the first engine."""
    found = [
        (row.name if row.name != MONKIT else f"{MONKIT}, {result.engine} engine", row.group, row)
        for i, result in enumerate(results)
        for row in result.rows
        if row.group in {group for group, _, _ in _SHOWN} and row.minimum > 0
        if row.name == MONKIT or (not i and not row.name.startswith(MONKIT))
    ]
    order = {name: row.minimum for name, group, row in found if group == _SHOWN[0][0]}
    return sorted(found, key=lambda bar: order.get(bar[0], 0.0))
