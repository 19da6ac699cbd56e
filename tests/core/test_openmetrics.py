"""Figures for Prometheus: read by the parsers of its own Python client, for any names, tags and values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from monkit_core import Count, DeltaTransformer, Registry, SeriesKey, Stat, Sum, environment
from monkit_core.distribution import Distribution
from monkit_core.formats import openmetrics
from monkit_core.formats.openmetrics import DURATION_BOUNDS, LEFT_OUT, PLAIN_BOUNDS, QUANTILES
from monkit_core.series import TypedSeries
from tests.helpers import figures, fresh_scope
from tests.present.test_hostile import CORPUS, fill

BOTH = pytest.mark.parametrize("histograms", [False, True])


def text_of(rows: Iterable[TypedSeries], *, is_openmetrics: bool = True, histograms: bool = False) -> str:
    return "".join(openmetrics.chunks(rows, openmetrics=is_openmetrics, histograms=histograms))


def read_openmetrics(text: str) -> list[Metric]:
    return list(openmetrics_parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def families(rows: Iterable[TypedSeries], *, histograms: bool = False) -> dict[str, Metric]:
    """By name, read in both formats, which have to say the same."""
    kept = list(rows)
    read = {family.name: family for family in read_openmetrics(text_of(kept, histograms=histograms))}
    text = text_of(kept, is_openmetrics=False, histograms=histograms)
    heads = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(set(heads)) == len(heads)
    other = {family.name: family for family in text_string_to_metric_families(text)}
    assert other.keys() == read.keys()
    for name, family in read.items():
        assert family.type == other[name].type
        assert [plain(sample) for sample in family.samples] == [plain(sample) for sample in other[name].samples]
        keys = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
        assert len(set(keys)) == len(keys), "each sample is there once"
    return read


def plain(sample: Sample) -> tuple[str, tuple[tuple[str, str], ...], str]:
    return sample.name, tuple(sorted(sample.labels.items())), repr(sample.value)


def values(family: Metric) -> dict[str, float]:
    """Of a family with one set of tags: the value of each sample."""
    marks = (
        (sample.name.removeprefix(family.name), sample.labels.get("quantile") or sample.labels.get("le", ""))
        for sample in family.samples
    )
    return {suffix + mark: sample.value for (suffix, mark), sample in zip(marks, family.samples, strict=True)}


def left_out(read: dict[str, Metric]) -> float:
    (sample,) = read[LEFT_OUT].samples
    return sample.value


@dataclass
class Source:
    """A source of somebody's own."""

    given: tuple[Stat, ...]
    growing_fields: frozenset[str] = frozenset()

    def stats(self) -> Iterator[Stat]:
        return iter(self.given)


# Kinds.


def test_figures_that_only_grow_are_counters_and_the_others_gauges() -> None:
    registry, scope = fresh_scope()
    scope.counter("used").inc(3)
    scope.gauge("queue", lambda: 7)
    scope.meter("requests").mark(5)
    scope.diff_meter("waiting", scope.meter("requests"), scope.meter("done"))
    scope.bool_val("cached").observe(True)
    scope.raw_val("load", Count, Sum).observe(1.5)
    with pytest.raises(TimeoutError), scope.task("handle"):
        raise TimeoutError
    with scope.task("handle"):
        pass
    read = families(registry.typed_series())
    assert {name: (family.type, family.samples[0].value) for name, family in read.items() if "times" not in name} == {
        "cached_disposition": ("gauge", 1.0),
        "cached_false": ("counter", 0.0),
        "cached_recent": ("gauge", 1.0),
        "cached_true": ("counter", 1.0),
        "done": ("counter", 0.0),
        "done_rate": ("gauge", 0.0),
        "function": ("counter", 2.0),
        "function_count": ("counter", 1.0),
        "function_current": ("gauge", 0.0),
        "function_errors": ("counter", 1.0),
        "function_failures": ("counter", 1.0),
        "function_highwater": ("gauge", 1.0),
        "function_panics": ("counter", 0.0),
        "function_successes": ("counter", 1.0),
        "load_count": ("gauge", 1.0),
        "load_recent": ("gauge", 1.5),
        "load_sum": ("gauge", 1.5),
        LEFT_OUT: ("gauge", 0.0),
        "queue_value": ("gauge", 7.0),
        "requests": ("counter", 5.0),
        "requests_rate": ("gauge", read["requests_rate"].samples[0].value),
        "used_high": ("gauge", 3.0),
        "used_low": ("gauge", 3.0),
        "used_value": ("gauge", 3.0),
        "waiting_rate": ("gauge", read["waiting_rate"].samples[0].value),
        "waiting_total": ("gauge", 5.0),
    }
    assert read["function_count"].samples[0].labels == {"error_name": "Timeout", "name": "handle", "scope": "shop"}
    assert read["function"].samples[0].name == "function_total"


def test_distribution_is_a_summary_of_recent_values_and_the_rest_of_it_gauges() -> None:
    registry, scope = fresh_scope()
    sizes = scope.int_val("sizes")
    for size in range(101):
        sizes.observe(size)
    read = families(registry.typed_series())
    summary = values(read["sizes"])
    assert read["sizes"].type == "summary"
    assert (summary["_count"], summary["_sum"]) == (101.0, 5050.0)
    fields = {stat.field: stat.value for stat in sizes.stats()}
    assert [summary[quantile] for _, quantile in QUANTILES] == [fields[name] for name, _ in QUANTILES]
    assert (read["sizes_p99"].type, read["sizes_p99"].samples[0].value) == ("gauge", fields["p99"])
    assert "sizes_r50" not in read


def test_durations_are_in_seconds_and_say_so() -> None:
    registry, scope = fresh_scope()
    scope.duration_val("age").observe(0.25)
    read = families(registry.typed_series())
    assert (read["age_seconds"].unit, values(read["age_seconds"])["_sum"]) == ("seconds", 0.25)
    assert (read["age_max_seconds"].unit, read["age_max_seconds"].samples[0].value) == ("seconds", 0.25)
    assert "# UNIT age_seconds seconds\n" in text_of(registry.typed_series())
    assert "# UNIT" not in text_of(registry.typed_series(), is_openmetrics=False)


@BOTH
def test_distribution_without_a_value_has_a_count_and_a_sum_of_zero(histograms: bool) -> None:
    registry, scope = fresh_scope()
    scope.timer("decode")
    found = values(families(registry.typed_series(), histograms=histograms)["decode_seconds"])
    assert {found["_count"], found["_sum"]} == {0.0}
    assert len(found) == (len(DURATION_BOUNDS) + 3 if histograms else 2)


def test_histogram_has_rising_bounds_and_counts_what_is_below_them() -> None:
    registry, scope = fresh_scope()
    age = scope.duration_val("age")
    for seconds in (0, 1e-7, 0.0007, 0.0007, 0.3, 40, 4000):
        age.observe(float(seconds))
    read = families(registry.typed_series(), histograms=True)
    found = values(read["age_seconds"])
    assert read["age_seconds"].type == "histogram"
    counts = [found[f"_bucket{bound!r}"] for bound in DURATION_BOUNDS]
    assert counts == sorted(counts)
    assert (found["_bucket+Inf"], found["_count"]) == (7.0, 7.0)
    assert found["_sum"] == pytest.approx(4040.3014001)
    below = {0.0005: 2, 0.001: 4, 0.2: 4, 0.5: 5, 20.0: 5, 50.0: 6, 100.0: 6}
    assert {bound: found[f"_bucket{bound!r}"] for bound in below} == below
    assert "age_r50_seconds" in read
    assert list(DURATION_BOUNDS) == sorted(set(DURATION_BOUNDS))
    assert list(PLAIN_BOUNDS) == sorted(set(PLAIN_BOUNDS))


@BOTH
def test_distribution_with_values_below_zero_has_its_sum_and_quantiles_as_gauges(histograms: bool) -> None:
    registry, scope = fresh_scope()
    for number in (-5.0, 2.0):
        scope.float_val("balance").observe(number)
    read = families(registry.typed_series(), histograms=histograms)
    found = values(read["balance"])
    assert (found["_bucket+Inf"] if histograms else found["_count"]) == 2.0
    assert "_sum" not in found
    assert (read["balance_sum_gauge"].samples[0].value, read["balance_rmin"].samples[0].value) == (-3.0, -5.0)
    assert left_out(read) == 0


def test_environment_is_typed_too() -> None:
    registry = Registry()
    environment.register(registry)
    read = families(registry.typed_series())
    assert read["gc_pause_seconds"].type == "summary"
    assert read["gc_collections"].type == "counter"
    assert read["fds_count"].type == "gauge"


def test_view_with_transformers_has_gauges_only_as_they_may_change_anything() -> None:
    registry, scope = fresh_scope()
    scope.meter("requests").mark(5)
    view = registry.with_transformers(DeltaTransformer())
    list(view.typed_series())  # a difference needs a first look
    read = families(view.typed_series())
    assert (read["requests_total"].type, read["requests_total"].samples[0].value) == ("gauge", 5.0)
    assert "requests_delta" in read


def test_typed_series_are_the_series() -> None:
    registry, scope = fresh_scope()
    fill(registry, "plain")
    scope.chain(Source((Stat(SeriesKey("own"), "total", 1.0),)))
    environment.register(registry)
    typed = [row.series[:2] for row in registry.typed_series()]
    assert typed == [row[:2] for row in registry.series()]


# Names that clash, samples that are there twice, numbers that cannot be.


def test_kinds_that_share_a_name_are_told_apart_and_keep_their_names_in_both_modes() -> None:
    registry = Registry()
    registry.scope("a").int_val("x").observe(1)
    registry.scope("b").meter("x").mark(2)
    registry.scope("c").raw_val("x", Count, Sum).observe(3)
    registry.scope("d").gauge(LEFT_OUT.removesuffix("_out"), lambda: 1)
    for histograms in (False, True):
        read = families(registry.typed_series(), histograms=histograms)
        assert read["x"].type == ("histogram" if histograms else "summary")
        assert read["x_counter"].samples[0].name == "x_counter_total"
        assert (read["x_count_gauge"].samples[0].value, read["x_sum_gauge"].samples[0].value) == (1.0, 3.0)
        assert [sample.labels["scope"] for sample in read["x_recent"].samples] == ["a", "c"]
        assert left_out(read) == 0


def test_sample_that_is_there_already_is_left_out_and_counted() -> None:
    registry, scope = fresh_scope()
    scope.gauge("a", lambda: 1)
    scope.chain(Source((Stat(SeriesKey("a"), "value", 2.0), Stat(SeriesKey("a", {"tier": ""}), "value", 3.0))))
    scope.gauge("b_c", lambda: 4)
    scope.chain(Source((Stat(SeriesKey("b"), "c_value", 5.0),)))
    read = families(registry.typed_series())
    assert [sample.value for sample in read["a_value"].samples] == [1.0]
    assert [sample.value for sample in read["b_c_value"].samples] == [4.0]
    assert left_out(read) == 3


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf])
def test_counter_that_can_be_none_is_left_out_and_counted(value: float) -> None:
    registry, scope = fresh_scope()
    scope.chain(Source((Stat(SeriesKey("a"), "n", value),), frozenset({"n"})))
    read = families(registry.typed_series())
    assert set(read) == {LEFT_OUT}
    assert left_out(read) == 1


def test_gauge_without_a_number_is_spelt_as_both_formats_have_it() -> None:
    registry, scope = fresh_scope()
    for name, value in (("a", math.nan), ("b", math.inf), ("c", -math.inf), ("d", 1e300), ("e", 5e-324)):
        scope.gauge(name, lambda value=value: value)  # type: ignore[misc]
    lines = text_of(registry.typed_series()).splitlines()
    assert [line.rpartition(" ")[2] for line in lines if line[0] in "abcde"] == [
        "NaN", "+Inf", "-Inf", "1e+300", "5e-324",
    ]  # fmt: skip
    families(registry.typed_series())


def test_tag_that_a_distribution_needs_itself_is_spelt_out() -> None:
    distribution = Distribution(integral=True)
    distribution.observe(1)
    row = (SeriesKey("x", {"quantile": "a", "le": "b"}), *distribution.published())
    read = families([TypedSeries(row, distribution=distribution)])
    assert read["x"].samples[0].labels == {"U__quantile": "a", "le": "b", "quantile": "0.0"}
    read = families([TypedSeries(row, distribution=distribution)], histograms=True)
    assert read["x"].samples[0].labels == {"U__le": "b", "quantile": "a", "le": "0.0"}


class Odd:
    """A source whose attributes are no business of ours."""

    growing_fields = 7
    distribution = "none"

    def stats(self) -> Iterator[Stat]:
        yield Stat(SeriesKey("own"), "total", 1.0)


def test_source_whose_attributes_mean_something_else_is_shown_as_gauges(caplog: pytest.LogCaptureFixture) -> None:
    registry, scope = fresh_scope()
    scope.chain(Odd())
    assert families(registry.typed_series())["own_total"].type == "gauge"
    assert figures(registry.stats()) == [("own,scope=shop", "total", 1.0)]


# Whatever comes.


def test_the_help_text_has_the_name_as_it_was() -> None:
    registry, scope = fresh_scope()
    scope.meter('a."b"\\\n').mark()
    read = families(registry.typed_series())
    assert 'Field total of a."b"\\\n' in {family.documentation for family in read.values()}


@BOTH
@pytest.mark.parametrize("name", CORPUS)
def test_line_8_hostile_names_and_tags_break_out_of_no_line(name: str, histograms: bool) -> None:
    registry, usual = Registry(), Registry()
    fill(registry, CORPUS[name])
    fill(usual, "plain")
    read = families(registry.typed_series(), histograms=histograms)
    other = families(usual.typed_series(), histograms=histograms)
    assert sorted(len(family.samples) for family in read.values()) == sorted(
        len(family.samples) for family in other.values()
    )
    assert left_out(read) == 0


def test_line_8_the_whole_corpus_at_once() -> None:
    registry = Registry()
    for hostile in CORPUS.values():
        fill(registry, hostile)
    families(registry.typed_series(), histograms=True)


TEXTS = st.sampled_from(["", "a", "a_b", "b", "_", "total", "count", "sum", "bucket", "é", "a.b", "9", "U__a", "__x"])
NUMBERS = st.floats() | st.integers(-5, 5).map(float)


KEYS = st.builds(
    SeriesKey,
    TEXTS,
    st.dictionaries(TEXTS | st.sampled_from(["le", "quantile", "__name__"]), st.text(max_size=2), max_size=2),
)
DISTRIBUTIONS = st.tuples(st.booleans(), st.sampled_from([1.0, 1e9]), st.lists(st.integers(-3, 10**10), max_size=3))
FIGURES = st.dictionaries(TEXTS, st.tuples(NUMBERS, st.booleans()), min_size=1, max_size=3)


def row_of(key: SeriesKey, given: tuple[bool, float, list[int]] | dict[str, tuple[float, bool]]) -> TypedSeries:
    """A series out of what was drawn: a distribution, or fields with a number and whether they only grow."""
    if isinstance(given, dict):
        numbers = tuple(number for number, _ in given.values())
        return TypedSeries((key, tuple(given), numbers), frozenset(name for name, (_, grows) in given.items() if grows))
    integral, scale, observed = given
    distribution = Distribution(integral=integral, scale=scale)
    for number in observed:
        distribution.observe(number)
    return TypedSeries((key, *distribution.published()), distribution=distribution)


@settings(deadline=None)
@given(st.lists(st.tuples(KEYS, DISTRIBUTIONS | FIGURES), max_size=8), st.booleans())
def test_whatever_sources_give_both_formats_can_be_read(
    found: list[tuple[SeriesKey, tuple[bool, float, list[int]] | dict[str, tuple[float, bool]]]], histograms: bool
) -> None:
    """Of few names, so that they clash, with any numbers."""
    families([row_of(key, given) for key, given in found], histograms=histograms)


def test_large_families_come_in_pieces() -> None:
    registry, scope = fresh_scope()
    for number in range(1000):
        scope.counter("x", n=number).inc()
    pieces = list(openmetrics.chunks(registry.typed_series(), openmetrics=True))
    assert len(pieces) > 30
    assert max(map(len, pieces)) < 10_000
    assert pieces[-1] == "# EOF\n"
