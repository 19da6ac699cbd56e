"""OpenMetrics 1.0 and the text format of Prometheus (0.0.4): every figure, as what scrapers read.

A figure is called ``measurement_field``. Fields that only grow are counters,
what makes up a distribution is a summary or a histogram named after its
measurement, every other figure is a gauge; durations are in seconds and say so
in their names. Names that are not legal are spelt out, see `metric_names`, and
the help text of a family has the original.

Where figures of two kinds would share a name, the distribution keeps it before
the counter and the counter before the gauge, and the other gets its kind
behind it. Summaries and histograms bear no negative sum and no negative
quantile: those of a distribution with such values are gauges. A sample that is
there already, and a counter that is below zero or no number, is left out and
counted in ``monkit_series_left_out``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from monkit_core.distribution import Distribution
from monkit_core.formats.metric_names import labels, metric_name
from monkit_core.series import Series, TypedSeries

__all__ = ["DURATION_BOUNDS", "LEFT_OUT", "OPENMETRICS", "PLAIN_BOUNDS", "PROMETHEUS", "QUANTILES", "chunks"]

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""The media types of the two."""

LEFT_OUT = "monkit_series_left_out"
DURATION_BOUNDS = (*(digit * 10.0**power / 1e6 for power in range(8) for digit in (1, 2, 5)), 100.0)
"""Upper bounds of the buckets of durations, in seconds: 1 µs to 100 s."""
PLAIN_BOUNDS = (0.0, 0.001, 0.01, 0.1, *(digit * 10.0**power for power in range(9) for digit in (1, 2, 5)), 1e9)
"""The same of other distributions: up to 0, then 0.001 to 1,000,000,000."""
QUANTILES = (("rmin", "0.0"), ("r10", "0.1"), ("r50", "0.5"), ("r90", "0.9"), ("r99", "0.99"), ("rmax", "1.0"))
"""Fields of a distribution, from its reservoir, and the quantiles of a summary that they are."""

_SAMPLES_A_CHUNK = 100
_FIELDS_OF_QUANTILES = frozenset(name for name, _ in QUANTILES)
_SUFFIXES = {
    "distribution": ("", "_sum", "_count", "_bucket", "_created"),
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
}
"""What a family of each kind may put behind its name, the first kinds choosing first."""
_RESERVED = {"summary": ("quantile",), "histogram": ("le",)}
_HELP = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_QUOTED_HELP = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


@dataclass(slots=True)
class _Family:
    """Samples of one name.

    Attributes:
        kind: counter, gauge, summary or histogram.
        name: not spelt out yet, without suffixes.
        words: what it is.
        samples: by labels; lines without labels, each as the pair of a suffix and further label, and a value.
    """

    kind: str
    name: str
    words: str
    unit: str = ""
    samples: dict[str, list[tuple[str, str, float]]] = field(default_factory=dict)


class _Families:
    """What a scrape consists of, sorted into families."""

    def __init__(self, histograms: bool) -> None:
        self.left_out = 0
        self._histograms = histograms
        self._found: dict[tuple[str, str], _Family] = {}

    def add(self, row: TypedSeries) -> None:
        """Take in a series."""
        key, fields, values = row.series
        distribution = row.distribution
        unit = "seconds" if distribution is not None and distribution.in_seconds else ""
        text = labels(key.tags)
        own: frozenset[str] | set[str] = set()
        if distribution is not None:
            own = self._add_distribution(row.series, distribution, unit)
        for name, value in zip(fields, values, strict=True):
            if name in own:
                continue
            words = f"Field {name} of {key.measurement}"
            if name not in row.growing:
                self._add("gauge", f"{key.measurement}_{name}", words, unit, text, [("", "", value)])
            elif not 0 <= value < math.inf:
                self.left_out += 1
            else:
                base = key.measurement if name == "total" else f"{key.measurement}_{name}"
                self._add("counter", base, words, unit, text, [("_total", "", value)])

    def _add_distribution(self, row: Series, distribution: Distribution, unit: str) -> set[str]:
        """Take in its summary or histogram; returns the fields that are in that."""
        key, fields, values = row
        figures = dict(zip(fields, values, strict=True))
        kind = "histogram" if self._histograms else "summary"
        text = labels(key.tags, _RESERVED[kind])
        samples: list[tuple[str, str, float]] = []
        own = {"count", "sum"} if figures.get("min", 0) >= 0 else {"count"}  # they bear no sum that may fall
        if self._histograms:
            samples += _histogram(distribution, DURATION_BOUNDS if unit else PLAIN_BOUNDS)
        else:
            if "sum" in own:  # and no quantile below zero
                samples += [("", f'quantile="{q}"', figures[name]) for name, q in QUANTILES if name in figures]
                samples.append(("_sum", "", figures.get("sum", 0.0)))
                own |= _FIELDS_OF_QUANTILES
            samples.append(("_count", "", figures.get("count", 0.0)))
        self._add(kind, key.measurement, f"Distribution of {key.measurement}", unit, text, samples)
        return own

    def _add(
        self, kind: str, name: str, words: str, unit: str, text: str, samples: list[tuple[str, str, float]]
    ) -> None:
        full = f"{name}_{unit}" if unit else name
        family = self._found.get((kind, full))
        if family is None:
            family = self._found[kind, full] = _Family(kind, full, words, unit)
        if text in family.samples or not samples:
            self.left_out += 1
        else:
            family.samples[text] = samples

    def named(self) -> list[tuple[str, _Family]]:
        """The families with names that nothing else has, by these names."""
        left_out = _Family("gauge", LEFT_OUT, "Figures that could not be shown here")
        left_out.samples[""] = [("", "", float(self.left_out))]
        taken = {LEFT_OUT}
        found = [(LEFT_OUT, left_out)]
        for kind, suffixes in _SUFFIXES.items():
            for (own_kind, base), family in sorted(self._found.items()):
                if (own_kind if own_kind in _SUFFIXES else "distribution") != kind:
                    continue
                name = metric_name(base)
                while not taken.isdisjoint(f"{name}{suffix}" for suffix in suffixes):
                    base = _marked(base, own_kind, family.unit)
                    name = metric_name(base)
                taken.update(f"{name}{suffix}" for suffix in suffixes)
                found.append((name, family))
        found.sort(key=lambda pair: pair[0])
        return found


def _marked(base: str, kind: str, unit: str) -> str:
    """*base* with its kind in it, the unit still at the end."""
    return f"{base.removesuffix(f'_{unit}')}_{kind}_{unit}" if unit else f"{base}_{kind}"


def _histogram(distribution: Distribution, bounds: tuple[float, ...]) -> list[tuple[str, str, float]]:
    count, total, counts = distribution.buckets(bounds)
    samples = [("_bucket", f'le="{bound!r}"', float(passed)) for bound, passed in zip(bounds, counts, strict=True)]
    samples.append(("_bucket", 'le="+Inf"', float(count)))
    if total is not None:
        samples += [("_sum", "", float(total)), ("_count", "", float(count))]
    return samples


def chunks(rows: Iterable[TypedSeries], *, openmetrics: bool, histograms: bool = False) -> Iterator[str]:
    """Write figures for a scraper.

    All are read before the first piece is made, as those of one family have to stand together.

    Args:
        rows: what there is, in any order; ``registry.typed_series()``.
        openmetrics: OpenMetrics; else the older text format.
        histograms: distributions as histograms over their whole life; else as summaries of recent values.

    Yields:
        A piece for each family, and for each hundred samples of a large one.
    """
    families = _Families(histograms)
    for row in rows:
        families.add(row)
    for name, family in families.named():
        yield _head(name, family, openmetrics)
        lines: list[str] = []
        for number, (text, samples) in enumerate(family.samples.items(), 1):
            lines += [_line(name + suffix, text, further, value) for suffix, further, value in samples]
            if number % _SAMPLES_A_CHUNK == 0:
                yield "".join(lines)
                lines.clear()
        yield "".join(lines)
    if openmetrics:
        yield "# EOF\n"


def _head(name: str, family: _Family, openmetrics: bool) -> str:
    if not openmetrics:
        name += "_total" if family.kind == "counter" else ""
        return f"# HELP {name} {family.words.translate(_HELP)}\n# TYPE {name} {family.kind}\n"
    unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
    return f"# TYPE {name} {family.kind}\n{unit}# HELP {name} {family.words.translate(_QUOTED_HELP)}\n"


def _line(name: str, text: str, further: str, value: float) -> str:
    pairs = f"{text},{further}" if text and further else text or further
    return f"{name}{{{pairs}}} {_number(value)}\n" if pairs else f"{name} {_number(value)}\n"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
