from __future__ import annotations

import math
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import IncompleteRead

import pytest

from monkit_core import Func, Registry, Stat, readers
from monkit_core.series import Series
from monkit_present.access import Access
from monkit_present.pages import Address
from monkit_present.tokens import Token
from monkit_present.workers import Workers
from tests.helpers import BOUND_S, fresh_scope, in_fresh_context
from tests.http_helpers import (
    CHANGE,
    PLACES,
    READ,
    SVG,
    TOKEN,
    Answer,
    ask,
    busy_registry,
    connect,
    eventually,
    parse_dot,
    request,
    served,
)

PATHS = tuple(place.path for place in READ)
RUNNING_PROGRAM = tuple(place.path for place in READ if place.page.runs_program)


# Every page.


@pytest.mark.parametrize("place", READ, ids=lambda place: str(place.path))
def test_page_answers_with_its_media_type_with_and_without_a_slash(place: Address) -> None:
    with served(busy_registry()) as server:
        for path in (place.path, place.path.rstrip("/") + "/", place.path + "?"):
            answer = ask(server, path)
            assert (answer.status, answer.header("content-type")) == (200, place.formats[0].media_type)
            check_format(place.path, answer)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place.path))
def test_unknown_parameter_is_named_on_every_page(place: Address) -> None:
    with served(busy_registry(), access=Access(Token(TOKEN))) as server:
        method = "GET" if place.formats else "POST"
        headers = [("Authorization", f"Bearer {TOKEN}"), *(CHANGE if method == "POST" else [])]
        answer = ask(server, place.path + "?further%0a=1", method=method, headers=headers)
    assert answer.status == 400
    known = sorted(parameter.name for parameter in place.page.parameters) if place.formats else []
    end = f"known are {', '.join(known)}" if known else "none is taken here"
    assert answer.text == f'Bad Request: unknown parameter "further\\n": {end}\n'


def check_format(path: str, answer: Answer) -> None:
    if path.endswith("/json"):
        assert isinstance(answer.json, list)
    elif path.endswith("/svg"):
        assert ET.fromstring(answer.body).tag == f"{SVG}svg"
    elif path.endswith("/dot"):
        parse_dot(answer.text)
    elif answer.header("content-type").startswith("text/html"):
        assert answer.text.rstrip().endswith("</html>")
    else:
        assert answer.text == "" or answer.text.endswith("\n")


@pytest.mark.parametrize("path", PATHS)
def test_head_gives_the_headers_and_no_body(path: str) -> None:
    with served(busy_registry()) as server:
        head, page = ask(server, path, method="HEAD"), ask(server, path)
    assert (head.status, head.body) == (200, b"")
    assert [name for name, _ in head.headers] == [name for name, _ in page.headers]
    assert head.header("content-type") == page.header("content-type")


@pytest.mark.parametrize("path", RUNNING_PROGRAM)
def test_head_calls_no_gauge(path: str) -> None:
    registry, scope = fresh_scope()
    calls: list[int] = []
    scope.gauge("counted", lambda: len(calls.append(1) or calls))  # type: ignore[func-returns-value]
    with served(registry) as server:
        assert ask(server, path, method="HEAD").status == 200
    assert calls == []


@pytest.mark.parametrize(
    "path", ["/nope", "/PS", "/ps/xml", "/ps/json/further", "//", "//ps", "/ps//", "/favicon.ico", "/.."]
)
def test_unknown_path_is_named(path: str) -> None:
    with served(busy_registry()) as server:
        answer = ask(server, path)
    assert (answer.status, answer.text) == (404, f"Not Found: path not found: {path}\n")


@pytest.mark.parametrize("path", ["/a%0ab%09c%1b%00d", "/trace/a%0ab%09c%1b%00d?regex=outer"])
def test_unknown_path_is_named_in_one_line_without_control_characters(path: str) -> None:
    with served(busy_registry()) as server:
        text = ask(server, path).text
    assert text.splitlines(keepends=True) == [text]
    assert text.endswith("a\\nb\tc\\x1b\\x00d\n")


def test_unknown_path_is_cut() -> None:
    with served(busy_registry()) as server:
        for path in ("/" + "x" * 5000, "/trace/" + "x" * 5000 + "?regex=outer"):
            assert len(ask(server, path).text) < 300


# Figures.


def test_unused_counter_is_null_in_json_and_nan_in_text_and_the_page_is_whole() -> None:
    registry, scope = fresh_scope()
    scope.counter("unused")
    scope.counter("used").inc(2)
    with served(registry) as server:
        figures = {(item[0], item[2]): item[3] for item in ask(server, "/stats/json").json}
        lines = ask(server, "/stats").text.splitlines()
    assert figures == {
        ("unused", "high"): None,
        ("unused", "low"): None,
        ("unused", "value"): 0,
        ("used", "high"): 2,
        ("used", "low"): 2,
        ("used", "value"): 2,
    }
    assert lines[:3] == [
        "unused,scope=shop high=NaN",
        "unused,scope=shop low=NaN",
        "unused,scope=shop value=0.000000000",
    ]
    assert len(lines) == 6


def test_gauge_without_a_number_leaves_the_page_whole() -> None:
    registry, scope = fresh_scope()
    scope.gauge("infinite", lambda: math.inf)
    scope.gauge("no number", lambda: math.nan)
    scope.gauge("plain", lambda: 1)
    with served(registry) as server:
        assert [item[3] for item in ask(server, "/stats/json").json] == [None, None, 1]
        assert ask(server, "/stats").text.splitlines() == [
            "infinite,scope=shop value=inf",
            "no\\ number,scope=shop value=NaN",
            "plain,scope=shop value=1.000000000",
        ]


def test_everything_is_listed_in_sorted_order() -> None:
    registry = Registry()
    for scope_name in ("zoo", "bar", "shop"):
        scope = registry.scope(scope_name)
        for name in ("z", "a", "m"):
            scope.counter(name, zone="b", area="a").inc()
            scope.counter(name, zone="a", area="a").inc()
            with scope.task(f"f{name}"), scope.task("leaf"):
                pass
        for error in (ValueError, KeyError, TimeoutError):
            with pytest.raises(error), scope.task("fails"):
                raise error
    with served(registry) as server:
        functions = [line for line in ask(server, "/funcs").text.splitlines() if line.startswith("[")]
        names = [line.split("] ")[1] for line in functions]
        assert names == sorted(names)
        assert [item["name"] for item in ask(server, "/funcs/json").json] == [name.split(".", 1)[1] for name in names]
        errors = [line for line in ask(server, "/funcs").text.splitlines() if "  error" in line]
        assert errors == ["  error KeyError: 1", "  error Timeout: 1", "  error ValueError: 1"] * 3
        counters = [
            (item[1]["scope"], item[0], item[1]["zone"])
            for item in ask(server, "/stats/json").json
            if item[2] == "value"
        ]
        assert counters == sorted(counters)
        leaf = next(item for item in ask(server, "/funcs/json").json if item["name"] == "leaf")
        by_id = {item["id"]: item["name"] for item in ask(server, "/funcs/json").json}
        assert [by_id[parent] for parent in leaf["parent_ids"]] == ["fa", "fm", "fz"]


def test_two_looks_at_an_idle_program_are_equal() -> None:
    with served(busy_registry()) as server:
        for path in ("/funcs", "/funcs/dot", "/funcs/json", "/stats", "/stats/json"):
            assert ask(server, path).body == ask(server, path).body


@in_fresh_context
def test_every_row_of_text_is_one_line_whatever_the_names_hold() -> None:
    registry = Registry()
    scope = registry.scope("a\nb")
    scope.counter("c\nd", tags={"e\nf": "g\nh"}).inc()
    with scope.task("i\nj", args={"k\nl": "m\nn"}, tags={"o\np": "q\r\u2028r"}) as span:
        span.annotate("s\nt", "u\nv")
        with served(registry) as server:
            live = ask(server, "/ps").text.splitlines()
            stats = ask(server, "/stats").text.splitlines()
            functions = ask(server, "/funcs").text.splitlines()
    assert len(live) == 3
    assert live[0].split("] ")[1].startswith("a\\nb.i\\nj(k\\nl='m\\nn') (elapsed: ")
    assert live[1:] == ["  s\\nt: u\\nv", ""]
    assert stats[0] == "c\\nd,e\\nf=g\\nh,scope=a\\nb high=1.000000000"
    assert all(re.fullmatch(r".+ [a-z0-9]+=[-0-9.NaN]+", line) for line in stats)
    assert functions[0].endswith("] a\\nb.i\\nj,o\\np=q\\x0d\\u2028r")
    assert len(functions) == 30  # name, parents, counts, twice a title and twelve figures, a blank line


@in_fresh_context
def test_live_spans_are_trees_in_every_format() -> None:
    registry, scope = fresh_scope()
    with scope.func("remote").remote_trace(2**64 - 1, 2**128 - 1), scope.task("child") as child:
        child.annotate("user", "bob")
        with served(registry) as server:
            page = ask(server, "/ps").text.splitlines()
            rows = ask(server, "/ps/json").json
            graph = parse_dot(ask(server, "/ps/dot").text)
    assert page[0].startswith("[")
    assert page[1].startswith(f" [{child.id:016x},{'f' * 32}] shop.child() (elapsed: ")
    assert page[2] == "   user: bob"
    assert [row["func"]["name"] for row in rows] == ["remote", "child"]
    assert rows[0]["parent_id"] == 2**64 - 1
    assert rows[0]["parent_id_hex"] == "f" * 16
    assert rows[0]["trace"] == {"id": 2**63 - 1, "id_hex": "f" * 32}
    assert rows[1]["parent_id_hex"] == rows[0]["id_hex"]
    assert rows[1]["annotations"] == [["user", "bob"]]
    assert graph.edges == {(f"f{rows[0]['id']}", f"f{rows[1]['id']}")}
    assert graph.labels[f"f{rows[1]['id']}"][2] == "user: bob"


@in_fresh_context
def test_annotations_that_were_dropped_are_counted_on_the_page() -> None:
    registry, scope = fresh_scope()
    with served(registry) as server, scope.task("noted") as span:
        for number in range(300):
            span.annotate("n", number)
        lines = ask(server, "/ps").text.splitlines()
    assert lines[-2:] == ["  …: 44 more annotations were dropped", ""]
    assert len(lines) == 1 + 256 + 2


def test_call_graph_has_an_edge_from_each_caller() -> None:
    registry, scope = fresh_scope()
    with scope.task("a", tier="edge"), scope.task("b"):
        pass
    with scope.task("b"):
        pass
    with served(registry) as server:
        graph = parse_dot(ask(server, "/funcs/dot").text)
        functions = {item["name"]: item for item in ask(server, "/funcs/json").json}
    a, b = functions["a"], functions["b"]
    assert graph.edges == {
        (f"r{a['id']}", f"f{a['id']}"),
        (f"r{b['id']}", f"f{b['id']}"),
        (f"f{a['id']}", f"f{b['id']}"),
    }
    assert graph.labels[f"r{a['id']}"] == ["entry"]
    assert graph.labels[f"f{a['id']}"][:2] == ["shop.a", "tier=edge"]
    assert a["tags"] == {"tier": "edge"}
    assert b["parent_ids_hex"] == [a["id_hex"]]


# Code of the program that fails, or never comes back.


def test_gauge_that_raises_leaves_the_page_whole() -> None:
    registry, scope = fresh_scope()
    scope.counter("after").inc()
    scope.gauge("broken", lambda: 1 / 0)
    scope.counter("zuletzt").inc()
    with served(registry) as server:
        for path in RUNNING_PROGRAM:
            answer = ask(server, path)
            assert answer.status == 200
            assert "zuletzt" in answer.text
            assert "broken" not in answer.text


@contextmanager
def hanging_gauge(registry: Registry) -> Iterator[threading.Event]:
    """A gauge that hangs until the end of the block; the event says that it was called."""
    called, release = threading.Event(), threading.Event()

    def hang() -> float:
        called.set()
        release.wait(BOUND_S)
        return 1.0

    registry.scope("shop").gauge("hangs", hang)
    try:
        yield called
    finally:
        release.set()


def test_gauge_that_hangs_costs_its_page_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "HANGS_AFTER_NS", -1)
    registry = busy_registry()
    with (
        served(registry, workers=Workers(deadline_s=0.2)) as server,
        hanging_gauge(registry) as called,
        connect(server) as slow,
    ):
        slow.sendall(request(server, "/stats"))
        assert called.wait(BOUND_S)
        for path in ("/", "/ps", "/funcs", "/funcs/json", "/stats", "/stats/json"):
            answer = ask(server, path)
            assert answer.status == 200, path
            assert "hangs" not in answer.text
        with slow.makefile("rb") as body:
            head, _, rest = body.read().decode().partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 503 ")
        assert "Service Unavailable: a gauge or source has not come back in 0 s" in rest


def test_gauge_that_came_back_is_shown_again() -> None:
    registry = busy_registry()
    with served(registry, workers=Workers(deadline_s=0.05)) as server:
        with hanging_gauge(registry):
            assert ask(server, "/stats").status == 503
        assert eventually(lambda: "hangs" in ask(server, "/stats").text)


def test_pages_that_hang_take_no_more_than_their_threads() -> None:
    registry = busy_registry()
    with served(registry, workers=Workers(most=1, deadline_s=0.05)) as server:
        with hanging_gauge(registry):
            assert ask(server, "/stats").status == 503
            answer = ask(server, "/stats")
            assert (answer.status, answer.header("retry-after")) == (503, "5")
            assert answer.text.startswith("Service Unavailable: 1 pages wait for a gauge or source")
            assert ask(server, "/funcs").status == 200
        assert eventually(lambda: ask(server, "/stats").status == 200)


def test_thread_that_cannot_be_started_costs_its_page_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with served(busy_registry(), workers=Workers(most=1)) as server:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            for _ in range(3):
                answer = ask(server, "/stats")
                assert (answer.status, answer.header("retry-after")) == (503, "5")
                assert answer.text == "Service Unavailable: the system has no thread left for this page\n"
        assert ask(server, "/stats").status == 200


class Broken(Registry):
    """A registry whose every page fails."""

    problem: BaseException = RuntimeError("secret of the program")

    def stats(self) -> Iterator[Stat]:
        raise self.problem

    def series(self) -> Iterator[Series]:
        raise self.problem

    def funcs(self) -> list[Func]:
        raise self.problem


@pytest.mark.parametrize("path", ["/stats", "/stats/json", "/funcs", "/funcs/dot", "/trace/svg?regex=x"])
def test_page_that_fails_is_a_500_without_a_trace_of_the_program(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with served(Broken()) as server:
        answer = ask(server, path)
    assert (answer.status, answer.text) == (
        500,
        "Internal Server Error: the page failed; the log of the process says why\n",
    )
    (record,) = caplog.records
    assert (record.name, record.message) == ("monkit.present", "a page failed")
    assert "secret of the program" in caplog.text


@in_fresh_context
def test_page_that_fails_half_way_is_cut_and_not_passed_off_as_whole(caplog: pytest.LogCaptureFixture) -> None:
    registry, scope = fresh_scope()
    scope.func("outer").id = 1 << 70  # no number that JSON can hold here
    with served(registry) as server:
        with pytest.raises(IncompleteRead) as caught:
            ask(server, "/funcs/json")
        assert b"Traceback" not in caught.value.partial
        assert ask(server, "/funcs").status == 200
    (record,) = caplog.records
    assert record.message == "a page failed"


@pytest.mark.parametrize("problem", [SystemExit(3), KeyboardInterrupt(), StopIteration()])
def test_exit_in_a_gauge_ends_neither_the_server_nor_its_threads(
    problem: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Broken()
    registry.problem = problem
    with served(registry, workers=Workers(most=1)) as server:
        assert [ask(server, "/stats").status for _ in range(3)] == [500, 500, 500]
    assert type(problem).__name__ in caplog.text
