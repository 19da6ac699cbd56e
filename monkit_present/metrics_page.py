"""The page ``/metrics``: every figure for Prometheus and what scrapes like it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monkit_core.formats import openmetrics
from monkit_core.series import TypedSeries
from monkit_present.pages import Format, Page, PageRequest
from monkit_present.parameters import Parameter, Truth

__all__ = ["METRICS", "Scrape"]


@dataclass(frozen=True, slots=True)
class Scrape:
    """What is scraped, and whether distributions are to be histograms."""

    rows: Iterable[TypedSeries]
    histograms: bool


def _scrape(request: PageRequest) -> Scrape:
    return Scrape(request.served.registry.typed_series(), request.values["histograms"])


def _prometheus(scrape: Scrape) -> Iterator[str]:
    return openmetrics.chunks(scrape.rows, openmetrics=False, histograms=scrape.histograms)


def _openmetrics(scrape: Scrape) -> Iterator[str]:
    return openmetrics.chunks(scrape.rows, openmetrics=True, histograms=scrape.histograms)


METRICS: Page[Scrape] = Page(
    "/metrics",
    "every figure for Prometheus, OpenMetrics where it is accepted",
    _scrape,
    (
        Format("", openmetrics.PROMETHEUS, _prometheus, negotiated=True),
        Format("", openmetrics.OPENMETRICS, _openmetrics, negotiated=True),
    ),
    parameters=(Parameter("histograms", Truth(), "distributions as histograms instead of summaries", default=False),),
    runs_program=True,
)
