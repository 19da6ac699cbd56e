from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from monkit_core import DeltaTransformer, Registry, SeriesKey, Stat
from tests.helpers import check_figures, figures, vectors

RECORDED = vectors("delta_transformer")
EVENTS: list[dict[str, Any]] = RECORDED["events"]
ORDER = "transformer_call_order_for_WithTransformers(first,second).WithTransformers(third)"


def stats(events: Iterable[dict[str, Any]]) -> list[Stat]:
    """What went into the original's transformer."""
    return [Stat(SeriesKey(event["in"]["K"]), event["in"]["F"], event["in"]["V"]) for event in events]


def expected(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What came out of it."""
    return [stat for event in events for stat in event["out"]]


def test_deltas_of_one_reading_are_the_original_s() -> None:
    check_figures(figures(DeltaTransformer().transform(stats(EVENTS))), expected(EVENTS))


def test_deltas_over_several_readings_are_the_original_s() -> None:
    transformer = DeltaTransformer()
    for event in EVENTS[:3]:
        check_figures(figures(transformer.transform(stats([event]))), event["out"])


def test_series_that_a_reading_lacks_is_forgotten() -> None:
    """DIFFERS: the original remembers every series that there ever was. Here two readings have no total of ``b``."""
    transformer = DeltaTransformer()
    for event in EVENTS[3:6]:
        check_figures(figures(transformer.transform(stats([event]))), event["out"])
    total, delta = EVENTS[6]["out"]
    assert delta["field"] == "delta"
    check_figures(figures(transformer.transform(stats([EVENTS[6]]))), [total])


def test_transformer_given_last_sees_a_figure_first_as_in_the_original() -> None:
    seen: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def transform(self, stats: Iterable[Stat]) -> Iterator[Stat]:
            for stat in stats:
                seen.append(self.name)
                yield stat

    registry = Registry()
    registry.scope("s").gauge("g", lambda: 1)
    view = registry.with_transformers(Named("first"), Named("second")).with_transformers(Named("third"))
    assert figures(view.stats()) == [("g,scope=s", "value", 1.0)]
    assert seen == RECORDED[ORDER]


@pytest.mark.parametrize("field", sorted({event["in"]["F"] for event in EVENTS} - {"total"}))
def test_other_fields_pass_unchanged_as_in_the_original(field: str) -> None:
    others = [event for event in EVENTS if event["in"]["F"] == field]
    check_figures(figures(DeltaTransformer().transform(stats(others))), expected(others))


def test_every_recorded_case_is_compared() -> None:
    assert set(RECORDED) == {"events", ORDER}
