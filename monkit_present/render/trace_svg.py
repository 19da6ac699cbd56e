"""A trace as one SVG that stands alone.

The picture needs no server and no other file. Style and script are constant, so
that their hashes can be sent in a policy before there is anything to draw; what
differs from picture to picture stands in data attributes. There is no XML
declaration: white space may go out before the picture while one waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from monkit_core.formats.text import go_duration
from monkit_core.text import clip
from monkit_present.render.assets import source_hash, static_text
from monkit_present.render.svg_text import LETTER_PX, columns, escape, fit_name, px
from monkit_present.render.trace_bars import LEFT_PX, PACKED_ROW_PX, ROW_BAR_PX, ROW_PX, TOP_PX, bars
from monkit_present.render.trace_layout import PLOT, Layout, connectors, lay_out, ticks
from monkit_present.render.trace_words import Mark, origin, tally, took, totals
from monkit_present.rows import TraceRows

_WIDTH_PX = 1280
_BARS_A_CHUNK = 200
_HEADING = 66
_MESSAGE = 160
_MESSAGE_LINES = 40


_STYLE = static_text("trace.css")
_SCRIPT = static_text("trace.js")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {source_hash(_STYLE)}",
        f"script-src {source_hash(_SCRIPT)}",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "sandbox allow-scripts",
    )
)
"""The policy to serve a picture with: its own style and script, and nothing else."""

# Name, size, turn, ground and drawing of each hatch; a capital letter is for own time.
_HATCH_TABLE = (
    ("he", "5", "5", 45, "--err-t", '<path d="M0 0h1.6v5H0z" fill="var(--err)"/>'),
    ("hE", "5", "5", 45, "--err", '<path d="M0 0h1.2v5H0z" fill="var(--page)" opacity=".45"/>'),
    ("hk", "6", "6", -45, "--can-t", '<path d="M0 0h1.6v6H0z" fill="var(--can)"/>'),
    ("hK", "6", "6", -45, "--can", '<path d="M0 0h1.2v6H0z" fill="var(--page)" opacity=".45"/>'),
    ("hp", "4", "4", 0, "--pan-t", '<path d="M0 0l4 4M4 0L0 4" stroke="var(--pan)" stroke-width=".9"/>'),
    ("hu", "8", "12", 0, "--wait", '<path d="M1 2l4 4-4 4" fill="none" stroke="var(--own)"/>'),
)
_HATCHES = "".join(
    f'<pattern id="{name}" width="{width}" height="{height}" patternUnits="userSpaceOnUse"'
    f' patternTransform="rotate({turn})"><path d="M0 0h{width}v{height}H0z" fill="var({ground})"/>{drawing}</pattern>'
    for name, width, height, turn, ground, drawing in _HATCH_TABLE
)


def render(trace: TraceRows) -> str:
    """Draw a trace.

    Well-formed for any text in it. About 13 µs and 200 bytes a span where there
    are thousands.

    Args:
        trace: parents before children.

    Returns:
        The SVG, without an XML declaration.
    """
    return "".join(render_chunks(trace))


def render_chunks(trace: TraceRows) -> Iterator[str]:
    """Draw a trace piece by piece, some 200 bars each, so that a loop may breathe between.

    The layout of the whole, a third of the work, is done before the first piece.
    """
    layout = lay_out(trace.spans)
    row_px = PACKED_ROW_PX if layout.packed else ROW_PX
    bottom = TOP_PX + row_px * layout.rows + 8
    counts = tally(trace.spans)
    yield from _head(trace, layout, counts, bottom)
    yield f'<g id="plot">\n{_ruler(layout.length_ns, bottom)}'
    if not layout.packed:
        joins = "".join(connectors(layout, (LEFT_PX, TOP_PX), ROW_PX, ROW_BAR_PX))
        yield f'<path class="j" id="j" d="{joins or "M0 0"}"/>\n'
    groups = bars(trace.spans, layout)
    while chunk := "".join(islice(groups, _BARS_A_CHUNK)):
        yield chunk
    yield "</g>\n" + _legend(counts, bottom + 10)
    yield f"<script><![CDATA[{_SCRIPT}]]></script>\n</svg>\n"


def render_message(title: str, lines: Sequence[str]) -> str:
    """Draw words in place of a trace, for a wait that ended without a match.

    Args:
        title: what happened: ``Timed out after 3600 s``.
        lines: what was asked for, a line each; from the 41st on they are counted only.

    Returns:
        The SVG, without a script; it goes out under the same policy.
    """
    shown = [clip(line, _MESSAGE) for line in lines[:_MESSAGE_LINES]]
    if len(lines) > _MESSAGE_LINES:
        shown.append(f"and {len(lines) - _MESSAGE_LINES} more lines")
    title = clip(title, _HEADING)
    longest = max(columns(title) * 16 / 11, *(columns(line) for line in shown), 60)
    height = 44 + 17 * len(shown)
    body = [f'<text class="t" x="16" y="27">{escape(title)}</text>\n']
    body += [f'<text class="m" x="16" y="{46 + 17 * i}">{escape(line)}</text>\n' for i, line in enumerate(shown)]
    width = min(int(longest * LETTER_PX) + 32, _WIDTH_PX)
    return f"{_open(width, height, title)}{''.join(body)}</svg>\n"


def _open(width: int, height: int, title: str, data: str = "") -> str:
    """Open a picture: size, name, style."""
    title = escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' role="img" aria-label="{title}"{data}>\n<title>{title}</title>\n<style><![CDATA[{_STYLE}]]></style>\n'
    )


def _head(trace: TraceRows, layout: Layout, counts: dict[Mark, int], bottom: int) -> Iterator[str]:
    """Write what stands above the ruler."""
    scope, name, time = "", "An empty trace", ""
    if trace.spans:
        first = trace.spans[0]
        scope, name = fit_name(first.scope, first.name, _HEADING)
        time = took(first)
    data = (
        f' data-length="{layout.length_ns}" data-rows="{"packed" if layout.packed else "own"}" data-bottom="{bottom}"'
    )
    yield _open(_WIDTH_PX, bottom + 34, f"{scope}{name}, {time}" if time else name, data)
    yield f"<defs>{_HATCHES}</defs>\n"
    scope = f'<tspan class="m">{escape(scope)}</tspan>' if scope else ""
    yield f'<text class="t" x="16" y="27">{scope}{escape(name)}  <tspan>{time}</tspan></text>\n'
    yield '<text class="m" id="tip" x="1264" y="27" text-anchor="end"/>\n'
    yield f'<text x="16" y="46">{totals(trace, counts)}</text>\n'
    yield f'<text class="m" id="info" x="16" y="63">{origin(trace, layout.start_ns, layout.packed)}</text>\n'


def _ruler(length_ns: int, bottom: int) -> str:
    """Draw the marks of time, with a label where it does not run out of the picture."""
    pieces = []
    for place, ns in ticks(length_ns):
        label = go_duration(ns) if ns else "0"
        pieces.append(f'<path class="l" d="M{px(place + 160)} 74V{bottom}"/>')
        if place / 10 + 4 + len(label) * LETTER_PX <= PLOT / 10 + 8:
            pieces.append(f'<text class="m" x="{px(place + 200)}" y="84">{label}</text>')
    return f'<g id="ax">{"".join(pieces)}</g>\n'


def _legend(counts: dict[Mark, int], y: int) -> str:
    """Explain the looks of bars; of the marks only those that occur."""
    text = "own time strong, waiting for children faint"
    pieces = [
        f'<g transform="translate({LEFT_PX} {y})"><rect width="24" height="11"/><path class="o" d="M0 0h10v11H0z"/></g>'
        f'<text class="m" x="{LEFT_PX + 30}" y="{y + 10}">{text}</text>\n'
    ]
    x = LEFT_PX + 60 + int(len(text) * LETTER_PX)
    for mark, n in counts.items():
        if not n:
            continue
        text = f"{mark.sign} {mark.word}".lstrip()
        pieces.append(
            f'<g class="{mark.css}" transform="translate({x} {y})"><rect width="24" height="11"/></g>'
            f'<text class="m" x="{x + 30}" y="{y + 10}">{text}</text>\n'
        )
        x += 60 + int(len(text) * LETTER_PX)
    return "".join(pieces)
