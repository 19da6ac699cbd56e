"""The bars of a trace picture: one group of SVG a span.

Two looks share one skeleton: rows, with a bar, its own time and a label beside
it; and packed, where thousands of bars are a few letters wide each. A group
carries its start, its length (nanoseconds) and its parent's index in ``data-t``,
which is all that the script needs to draw it at another scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monkit_core.text import clip
from monkit_present.render.figures import duration
from monkit_present.render.svg_text import LETTER_PX, columns, escape, fit_name, px
from monkit_present.render.trace_layout import PLOT, Layout
from monkit_present.render.trace_words import Mark, details, full_name, marks, outcome, short_details, took
from monkit_present.rows import SpanRow

LEFT_PX = 16
TOP_PX = 96
ROW_PX, ROW_BAR_PX = 17, 13
PACKED_ROW_PX, PACKED_BAR_PX = 15, 14

_LEFT = LEFT_PX * 10
_GAP = 60
_NAME = 80
_PACKED_LABEL = int((5 * LETTER_PX + 6) * 10) + 1  # five letters and three pixels beside them

Place = tuple[int, str, str]
"""x in tenths of a pixel from the left of the bar, further attributes, class of the text."""


def bars(spans: Sequence[SpanRow], layout: Layout) -> Iterator[str]:
    """Draw each span as a group, in the order of the list."""
    return _packed(spans, layout) if layout.packed else _rows(spans, layout)


def _group(layout: Layout, index: int, classes: str, y: int) -> str:
    """Open the group of a span."""
    start = layout.starts[index]
    figures = f"{start} {layout.ends[index] - start} {layout.parents[index]}"
    return f'<g class="s{classes}" data-t="{figures}" transform="translate({px(layout.left[index] + _LEFT)} {y})">'


def _classes(found: Sequence[Mark]) -> str:
    return "".join([" " + mark.css for mark in found])


def _rows(spans: Sequence[SpanRow], layout: Layout) -> Iterator[str]:
    for index, span in enumerate(spans):
        start_ns = layout.starts[index]
        width = layout.right[index] - layout.left[index]
        own = [] if span.unfinished else layout.own_bars(index)
        yield (
            _group(layout, index, _classes(marks(span)), TOP_PX + ROW_PX * layout.row_of[index])
            + f"<title>{details(span, start_ns, layout.own_ns(index))}</title>"
            + f'<rect y=".5" width="{px(width)}" height="12" class="b"/>'
            + _own_path(own, 0, ROW_BAR_PX)
            + _label(span, start_ns, layout.left[index], width, own)
            + "</g>\n"
        )


def _own_path(own: Sequence[tuple[int, int]], y: int, height: int) -> str:
    if not own:
        return ""
    pieces = [f"M{px(a)} {y}h{px(b - a)}v{height}h-{px(b - a)}z" for a, b in own]
    return f'<path class="o" d="{"".join(pieces)}"/>'


def _label(span: SpanRow, start_ns: int, left: int, width: int, own: Sequence[tuple[int, int]]) -> str:
    """Write name, time, outcome and start of a span where there is room for them."""
    scope, name = fit_name(span.scope, span.name, _NAME)
    ended = outcome(span)
    facts = " ".join(filter(None, (took(span), ended, f"@{duration(start_ns)}")))
    length = _text_width(f"{scope}{name} {facts}")
    place = _place(length, left, width, own, hatched=bool(ended))
    if place is None:
        place, room = _roomiest(left, width)
        scope, name = fit_name(span.scope, span.name, max(int(room / 10 / LETTER_PX) - columns(facts) - 1, 8))
    x, anchor, css = place
    text_class = f' class="{css}"' if css else ""
    scope = f'<tspan class="m">{escape(scope)}</tspan>' if scope else ""
    return (
        f'<text{text_class} x="{_signed_px(x)}" y="10"{anchor}>{scope}{escape(name)} '
        f'<tspan class="{"d m" if ended else "m"}">{escape(facts)}</tspan></text>'
    )


def _text_width(text: str) -> int:
    """Measure a text in tenths of a pixel."""
    return int(columns(text) * LETTER_PX * 10 + 1)


def _signed_px(tenths: int) -> str:
    return "-" + px(-tenths) if tenths < 0 else px(tenths)


def _place(length: int, left: int, width: int, own: Sequence[tuple[int, int]], hatched: bool) -> Place | None:
    """Find a place for a label of a span, ``None`` if there is none.

    In the light of the bar where it crosses no edge of own time, else to the right,
    else to the left, else in the dark. On a hatch text reads badly, so there
    it goes beside the bar first.
    """
    right = (width + _GAP, "", "") if left + width + _GAP + length <= PLOT else None
    to_left = (-_GAP, ' text-anchor="end"', "") if left - _GAP - length >= 0 else None
    light = _inside(length, _between(width, own), "n")
    dark = _inside(length, own, "i")
    order = (right, to_left, light, dark) if hatched else (light, right, to_left, dark)
    return next(filter(None, order), None)


def _inside(length: int, pieces: Sequence[tuple[int, int]], css: str) -> Place | None:
    """Find the first piece of a bar that a label fits into."""
    for begin, end in pieces:
        if end - begin >= length + 2 * _GAP:
            return begin + _GAP, "", css
    return None


def _between(width: int, own: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """List the pieces of a bar that are not its own time."""
    edges = [0, *(edge for piece in own for edge in piece), width]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _roomiest(left: int, width: int) -> tuple[Place, int]:
    """Choose where to put a label that fits nowhere, and how long it may be there."""
    rooms = {
        (width + _GAP, "", ""): PLOT - left - width - _GAP,
        (-_GAP, ' text-anchor="end"', ""): left - _GAP,
        (_GAP, "", "n"): width - 2 * _GAP,
    }
    place = max(rooms, key=rooms.__getitem__)
    return place, rooms[place]


def _packed(spans: Sequence[SpanRow], layout: Layout) -> Iterator[str]:
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for index, span in enumerate(spans):
        key = (span.scope, span.name)
        known = names.get(key)
        if known is None:
            known = names[key] = (full_name(span), clip(span.name.rpartition(".")[2] or span.name, _NAME))
        title, short_name = known
        lasted, classes, state = took(span), "", ""
        found = marks(span)
        if found:
            classes, state = _classes(found), " " + escape(outcome(span))
        yield (
            f"{_group(layout, index, classes, TOP_PX + PACKED_ROW_PX * layout.row_of[index])}"
            f"<title>{title}\n{lasted} @{duration(layout.starts[index])}{state}{short_details(span)}</title>"
            f"{_packed_bar(layout, index, span.unfinished, short_name, lasted)}</g>\n"
        )


def _packed_bar(layout: Layout, index: int, unfinished: bool, name: str, lasted: str) -> str:
    """Draw a bar: dark if it is all its own time, else light with the own time at its foot."""
    width = layout.right[index] - layout.left[index]
    drawn = px(width - 3 if width >= 12 else width)  # a hair of room between neighbours
    own = [] if unfinished else layout.own_bars(index)
    label = _packed_label(name, lasted, width) if width >= _PACKED_LABEL else ""
    if len(own) == 1 and own[0] == (0, width):
        bar = f'<rect class="o" width="{drawn}" height="{PACKED_BAR_PX}"/>'
        return f'{bar}<text class="i" x="3" y="10">{label}</text>' if label else bar
    bar = f'<rect width="{drawn}" height="{PACKED_BAR_PX}"/>{_own_path(own, PACKED_BAR_PX - 4, 4)}'
    return f'{bar}<text class="n" x="3" y="10">{label}</text>' if label else bar


def _packed_label(name: str, lasted: str, width: int) -> str:
    """Write as much of the name, and of the time, as fits into a bar. Escaped."""
    letters = int((width / 10 - 6) / LETTER_PX)
    if columns(name) + 1 + len(lasted) <= letters:
        return escape(f"{name} {lasted}")
    return escape(_cut(name, letters))


def _cut(name: str, letters: int) -> str:
    """Cut a name to so many columns."""
    while columns(name) > letters and len(name) > 1:
        name = clip(name, min(letters, len(name) - 1))
    return name
