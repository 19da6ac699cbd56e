"""``/trace/remote``: the next match is marked as sampled when it begins, and its id is said at once."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

import monkit_present
from monkit_core import Registry, Scope, Span
from monkit_present.parameters import BadQuery
from monkit_present.query import CaptureQuery
from monkit_present.remote import MatchWaiter, check_viz, viz_address, viz_hosts
from monkit_present.render import redirect
from tests.helpers import BOUND_S, fresh_scope, in_fresh_context
from tests.http_helpers import PROMPT_S, Wait, ask, eventually, served

REMOTE = "/trace/remote?regex=handle"
TRACE_ID = 0xF23456789ABCDEF0_FEDCBA9876543210


def shop() -> tuple[Registry, Scope]:
    registry, scope = fresh_scope()
    scope.func("handle")
    return registry, scope


@in_fresh_context
def test_id_is_said_while_the_match_still_runs_and_its_trace_is_sampled_from_the_beginning() -> None:
    registry, scope = shop()
    with served(registry) as server, Wait(server, REMOTE) as wait:
        assert wait.header("content-type") == "application/json; charset=utf-8"
        with scope.func("handle").remote_trace(7, TRACE_ID) as span:
            assert span.trace.get("sampled") is True
            answer = wait.json()
        assert answer == {"trace_id": TRACE_ID & (2**63 - 1), "trace_id_hex": "f23456789abcdef0fedcba9876543210"}
        assert registry.watcher_count == 0


@in_fresh_context
def test_only_the_first_match_is_marked() -> None:
    registry, scope = shop()
    with served(registry) as server, Wait(server, REMOTE) as wait:
        with scope.func("other").reset_trace() as other:
            assert other.trace.get("sampled") is None
        with scope.func("handle").reset_trace() as first:
            pass
        with scope.func("handle").reset_trace() as second:
            assert second.trace.get("sampled") is None
        assert wait.json()["trace_id_hex"] == f"{first.trace.id:032x}"


@in_fresh_context
def test_request_of_another_process_is_marked_and_captured_by_its_trace_id() -> None:
    """The id that a caller's log shows is enough, the whole of it or its low half."""
    registry, scope = shop()
    for digits in (f"{TRACE_ID:032x}", f"{TRACE_ID & (2**64 - 1):x}"):
        query = f"trace_id={digits}"
        with (
            served(registry) as server,
            Wait(server, f"/trace/remote?{query}") as remote,
            Wait(server, f"/trace/json?{query}") as capture,
        ):
            with scope.func("handle").remote_trace(7, TRACE_ID + 1), scope.task("below"):
                pass
            with scope.func("handle").remote_trace(0xFFFF_FFFF_FFFF_FFFF, TRACE_ID), scope.task("below"):
                pass
            assert remote.json()["trace_id_hex"] == f"{TRACE_ID:032x}"
            rows = capture.json()
        assert [row["func"]["name"] for row in rows] == ["handle", "below"]
        assert rows[0]["parent_id_hex"] == "f" * 16
        assert {row["trace"]["id_hex"] for row in rows} == {f"{TRACE_ID:032x}"}


def asking(matcher: Callable[[Span], bool]) -> CaptureQuery:
    return CaptureQuery(matcher, funcs=None, traces=None, words="", max_spans=1, timeout_s=1.0)


def test_wait_of_many_threads_marks_one_trace() -> None:
    registry, scope = shop()
    for _ in range(20):
        waiter = MatchWaiter(registry, asking(lambda span: True))
        spans: list[Span] = []
        together = threading.Barrier(4)

        def call(together: threading.Barrier = together, spans: list[Span] = spans) -> None:
            together.wait(BOUND_S)
            with scope.task("handle") as span:
                spans.append(span)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND_S)
        marked = [span for span in spans if span.trace.get("sampled")]
        assert marked == [waiter.target]
        assert waiter._future.result().trace_id == marked[0].trace.id
        assert registry.watcher_count == 0


@in_fresh_context
def test_match_in_another_thread_at_the_same_moment_is_not_marked_too() -> None:
    registry, scope = shop()
    waiter = MatchWaiter(registry, asking(lambda span: True))
    with scope.func("handle").reset_trace() as first, scope.func("handle").reset_trace() as second:
        waiter.span_started(second)  # as if that thread had begun to tell before it was told to stop
        assert (first.trace.get("sampled"), second.trace.get("sampled")) == (True, None)
    assert waiter.target is first


@in_fresh_context
def test_cancelled_wait_marks_nothing() -> None:
    registry, scope = shop()
    waiter = MatchWaiter(registry, asking(lambda span: True))
    waiter.cancel()
    assert registry.watcher_count == 0
    with scope.task("handle") as span:
        waiter.span_started(span)
        assert span.trace.get("sampled") is None
    with pytest.raises(CancelledError):
        waiter._future.result()


@in_fresh_context
def test_matcher_that_raises_ends_the_wait_and_not_the_call() -> None:
    registry, scope = shop()
    waiter = MatchWaiter(registry, asking(lambda span: bool(1 / 0)))
    with scope.task("handle"):
        pass
    assert isinstance(waiter._future.exception(), ZeroDivisionError)
    assert registry.watcher_count == 0
    assert scope.func("handle").success_times.count == 1


def test_leaving_client_frees_its_watcher() -> None:
    registry, _ = shop()
    with served(registry) as server:
        with Wait(server, REMOTE):
            assert registry.watcher_count == 1
        assert eventually(lambda: registry.watcher_count == 0, PROMPT_S)


def test_head_marks_nothing_and_never_waits() -> None:
    registry, _ = shop()
    with served(registry) as server:
        answer = ask(server, REMOTE, method="HEAD")
        assert (answer.status, answer.body, registry.watcher_count) == (200, b"", 0)


@pytest.mark.parametrize("query", ["", "regex=nothing", "regex=%5B", "regex=handle&max_spans=5", "regex=handle&x=1"])
def test_what_cannot_be_used_is_refused_before_the_wait(query: str) -> None:
    registry, _ = shop()
    with served(registry) as server:
        assert ask(server, f"/trace/remote?{query}").status == 400
        assert registry.watcher_count == 0


@pytest.mark.parametrize("viz", ["", "&viz=http://viz.test/trace"])
def test_time_out_ends_in_a_well_formed_body_that_says_so(viz: str) -> None:
    registry, _ = shop()
    with served(registry, viz_hosts=["viz.test"]) as server:
        answer = ask(server, f"{REMOTE}&timeout=0.01{viz}")
    if viz:
        assert "<p>No call matched regex=handle in 0 s.</p>" in answer.text
        assert "http-equiv" not in answer.text
    else:
        assert answer.json["timeout"] is True


# viz=.


@in_fresh_context
def test_viz_gives_a_page_that_leads_to_the_trace() -> None:
    registry, scope = shop()
    target = f"{REMOTE}&viz=https://viz.test:16686/search%3Fid%3D%7Btrace_id%7D%26x%3D1"
    with served(registry, viz_hosts=["viz.test"]) as server, Wait(server, target) as wait:
        assert wait.header("content-type") == "text/html; charset=utf-8"
        assert wait.header("content-security-policy") == redirect.CONTENT_SECURITY_POLICY
        assert wait.header("referrer-policy") == "no-referrer"
        with scope.func("handle").remote_trace(7, TRACE_ID):
            pass
        page = wait.rest().decode()
    address = f"https://viz.test:16686/search?id={TRACE_ID:032x}&x=1"
    assert page.startswith(" ")
    (refresh,) = re.findall(r'<meta http-equiv="refresh" content="0; url=([^"]*)">', page)
    (link,) = re.findall(r'<a href="([^"]*)">', page)
    assert unescape(refresh) == unescape(link) == address
    assert "script" not in page


@pytest.mark.parametrize(
    ("viz", "address"),
    [
        ("http://viz.test", "http://viz.test/{}"),
        ("http://viz.test/", "http://viz.test/{}"),
        ("http://viz.test/trace", "http://viz.test/trace/{}"),
        ("http://viz.test/trace/?a=b#c", "http://viz.test/trace/{}?a=b#c"),
        ("http://viz.test/?id={trace_id}", "http://viz.test/?id={}"),
        ("http://viz.test/{trace_id}/{trace_id}", "http://viz.test/{}/{}"),
    ],
)
def test_id_stands_where_viz_says_or_at_the_end_of_the_path(viz: str, address: str) -> None:
    assert viz_address(viz, 255) == address.replace("{}", f"{255:032x}")


HOSTS = viz_hosts(["viz.test", "Jaeger.test:16686", "[2001:DB8:0::1]:80", "secure.test:443", "127.0.0.1"])


@pytest.mark.parametrize(
    "viz",
    [
        "http://viz.test",
        "HTTPS://VIZ.test:1/x",
        "http://jaeger.test:16686/trace",
        "http://[2001:db8::1]/",
        "http://[2001:db8::1]:80/",
        "https://secure.test/x",
        "http://127.0.0.1:9411/zipkin/traces",
        "http://viz.test/a%20b?c=d&e={trace_id}#f",
    ],
)
def test_address_on_a_listed_host_is_taken(viz: str) -> None:
    assert check_viz(viz, HOSTS) == viz


NOT_LISTED = (
    "http://evil.test http://viz.test.evil.test http://evil.test/viz.test http://jaeger.test http://jaeger.test:16687 "
    "https://[2001:db8::1]/ http://secure.test http://localhost http://evil.test#viz.test http://evil.test?viz.test"
)
UNREADABLE = (
    "viz.test //viz.test ftp://viz.test javascript:alert(1) javascript://viz.test/%0aalert(1) data:text/html,x "
    "http:viz.test http:/viz.test http:///viz.test http://viz.test\\@evil.test http://user@viz.test "
    "http://viz.test:99999 http://viz.test@evil.test http://viz.test:80@evil.test http://viz.test.:80:80 "
    'http://[ http://viz.test/<script> http://viz.test/"x http://viz.test/é http://viz.tést'
)


@pytest.mark.parametrize("viz", NOT_LISTED.split())
def test_address_on_another_host_is_refused(viz: str) -> None:
    with pytest.raises(BadQuery, match=r"^invalid viz .*: host not allowed; name it with viz_hosts= when serving$"):
        check_viz(viz, HOSTS)


@pytest.mark.parametrize("viz", [*UNREADABLE.split(), "http://viz.test/a b", "http://viz.test/\n", " http://viz.test"])
def test_address_that_cannot_be_read_is_refused(viz: str) -> None:
    with pytest.raises(BadQuery, match=r"^invalid viz .*: (expected an address|host and port cannot be read)"):
        check_viz(viz, HOSTS)


@given(st.text("htps:/viz.test@evil?#[]\\{}%0123456789\" <>'", max_size=40).map(lambda text: "http://" + text))
def test_address_that_is_taken_leads_to_a_listed_host_and_stands_harmless_in_a_page(text: str) -> None:
    try:
        viz = check_viz(text, HOSTS)
    except BadQuery:
        return
    address = viz_address(viz, 1)
    assert re.match(r"http://(viz\.test|127\.0\.0\.1)(:\d+)?(/|\?|#|$)", address)
    assert not set(address) & set(" <>\"'\\")


def test_without_listed_hosts_every_viz_is_refused() -> None:
    registry, _ = shop()
    with served(registry) as server:
        answer = ask(server, f"{REMOTE}&viz=http://localhost/")
    assert answer.status == 400
    assert answer.text == (
        'Bad Request: invalid viz "http://localhost/": host not allowed; name it with viz_hosts= when serving\n'
    )


@pytest.mark.parametrize("name", ["", "http://viz.test", "viz.test/x", "user@viz.test", "viz.test:x", "a b"])
def test_host_that_cannot_be_listed_is_a_wrong_declaration(name: str) -> None:
    with pytest.raises(TypeError, match=r"^viz_hosts= takes a sequence of hosts, such as "):
        monkit_present.app(Registry(), insecure=True, viz_hosts=name)
    with pytest.raises(ValueError, match=r"^viz_hosts= takes host or host:port, found "):
        monkit_present.app(Registry(), insecure=True, viz_hosts=[name])
    handle = monkit_present.serve(Registry(), port=0, viz_hosts=[name])
    assert isinstance(handle.error, ValueError)
    assert handle.url is None


def test_json_of_the_id_is_exact_where_scripts_round() -> None:
    registry, scope = shop()
    with served(registry) as server, Wait(server, REMOTE) as wait:
        with scope.func("handle").remote_trace(7, 2**128 - 1):
            pass
        assert json.loads(wait.rest()) == {"trace_id": 2**63 - 1, "trace_id_hex": "f" * 32}
