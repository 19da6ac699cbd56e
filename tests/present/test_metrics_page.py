"""The page for scrapers: which of two formats is sent, and that it is whole."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from monkit_core.formats.openmetrics import OPENMETRICS, PROMETHEUS
from monkit_present.negotiation import preferred
from tests.helpers import fresh_scope
from tests.http_helpers import ask, busy_registry, served

OFFERED = (PROMETHEUS, OPENMETRICS)
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "place"),
    [
        ("", 0),
        ("*/*", 0),
        (PROMETHEUS_2, 1),
        (PROMETHEUS_3, 1),
        ("text/plain;version=0.0.4", 0),
        ("application/openmetrics-text", 1),
        ("application/openmetrics-text; version=0.0.1", 0),
        ("Application/OpenMetrics-Text; Version=1.0.0", 1),
        ('application/openmetrics-text;version="1.0.0"', 1),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 0),
        ("text/plain;q=0.4,application/openmetrics-text;q=0.5", 1),
        ("text/plain;q=0,*/*", 1),
        ("text/*;q=0.1,application/*;q=0.2", 1),
        ("text/plain;q=0, application/openmetrics-text;q=0", 0),
        ("application/json", 0),
        ("text/plain;q=nan,application/openmetrics-text;q=0.1", 1),
        ("text/plain;q=x,;;,=,application/openmetrics-text;q=1e999", 0),
    ],
)
def test_format_is_the_one_that_the_client_would_rather_have(accept: str, place: int) -> None:
    assert preferred(OFFERED, accept) == place


def test_scraper_gets_the_format_it_asks_for() -> None:
    with served(busy_registry()) as server:
        plain = ask(server, "/metrics")
        asked = ask(server, "/metrics", headers=[("Accept", PROMETHEUS_2)])
    assert (plain.header("content-type"), asked.header("content-type")) == OFFERED
    assert plain.header("vary") == asked.header("vary") == "Accept"
    names = [
        {family.name for family in read(answer.text)}
        for read, answer in (
            (text_string_to_metric_families, plain),
            (openmetrics_parser.text_string_to_metric_families, asked),
        )
    ]
    assert names[0] == names[1] >= {"used_value", "queue_value", "function", "function_times_seconds"}


def test_lines_of_accept_belong_together() -> None:
    with served(busy_registry()) as server:
        headers = [("Accept", "text/plain;q=0.1"), ("Accept", "application/openmetrics-text")]
        assert ask(server, "/metrics", headers=headers).header("content-type") == OPENMETRICS


def test_head_says_the_same_headers() -> None:
    with served(busy_registry()) as server:
        for accept in ("", PROMETHEUS_2):
            head, page = (
                ask(server, "/metrics", method=method, headers=[("Accept", accept)]) for method in ("HEAD", "GET")
            )
            assert head.body == b""
            assert head.header("content-type") == page.header("content-type")


def test_distributions_are_histograms_where_that_is_asked_for() -> None:
    registry, scope = fresh_scope()
    scope.int_val("sizes").observe(3)
    with served(registry) as server:
        for value, kind in (("0", "summary"), ("1", "histogram"), ("true", "histogram")):
            assert f"# TYPE sizes {kind}\n" in ask(server, f"/metrics?histograms={value}").text
        assert ask(server, "/metrics?histograms=x").status == 400
        assert ask(server, "/stats/text", headers=[("Accept", PROMETHEUS_2)]).all("vary") == []


def test_empty_registry_is_a_whole_page() -> None:
    registry, _ = fresh_scope()
    with served(registry) as server:
        assert ask(server, "/metrics", headers=[("Accept", PROMETHEUS_2)]).text.endswith("\n# EOF\n")
