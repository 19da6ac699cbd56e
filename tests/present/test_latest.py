"""What has ended: the last seconds, and captures that are kept."""

from __future__ import annotations

from monkit_core import Registry, watch_for_spans
from monkit_present.gather import latest_rows
from monkit_present.past_captures import MOST_CAPTURES, PastCaptures
from tests.helpers import fresh_scope, in_fresh_context
from tests.http_helpers import BROWSER, Wait, ask, served


@in_fresh_context
def test_last_seconds_have_kept_calls_and_those_below_a_root_that_runs() -> None:
    registry, scope = fresh_scope()
    with scope.task("done"), scope.task("below"):
        pass
    with scope.task("endless"):
        for _ in range(3):
            with scope.task("step"), scope.task("inner"):
                pass
        found = latest_rows(registry, 60)
    names = [[span.name for span in rows.spans] for rows in found]
    assert names == [["done", "below"], ["step", "inner"] * 3]
    for rows in found:
        ids = [span.id for span in rows.spans]
        assert len(set(ids)) == len(ids)
        for place, span in enumerate(rows.spans):
            assert span.parent_id not in ids or ids.index(span.parent_id or 0) < place


@in_fresh_context
def test_what_ended_earlier_is_left_out() -> None:
    registry, scope = fresh_scope()
    with scope.task("done"):
        pass
    assert latest_rows(registry, 0) == []
    with served(registry) as server:
        assert len(ask(server, "/trace/recent/json?seconds=3600").json) == 1
        assert ask(server, "/trace/recent/json?seconds=0").status == 400


@in_fresh_context
def test_capture_is_found_again_in_every_format_and_names_its_file() -> None:
    registry, scope = fresh_scope()
    task = scope.task("outer")
    assert task.func.current == 0
    with served(registry) as server:
        with Wait(server, "/trace/json?regex=outer") as wait:
            try:
                with task, scope.task("inner"):
                    raise LookupError("the text of the error")
            except LookupError:
                pass
            rows = wait.json()
        root = rows[0]["id_hex"]
        again = ask(server, f"/traces/{root}/json").json
        assert [row["id_hex"] for row in again] == [row["id_hex"] for row in rows]
        assert again[0]["err"] == "the text of the error"
        answer = ask(server, f"/traces/{root}/perfetto")
        assert answer.header("content-disposition") == f'attachment; filename="trace-{root}.perfetto.json"'
        page = ask(server, "/capture").text
        assert f"/traces/{root}" in page
        assert "regex=outer" in page


@in_fresh_context
def test_captures_are_bounded_in_number_and_spans() -> None:
    registry = Registry()
    scope = registry.scope("shop")
    past = PastCaptures()

    def capture() -> None:
        waiter = watch_for_spans(registry, lambda span: True)
        with scope.task("work"), scope.task("inner"):
            pass
        past.add(waiter.result(30), "work")

    for _ in range(MOST_CAPTURES + 3):
        capture()
    assert len(past.all()) == MOST_CAPTURES


@in_fresh_context
def test_running_call_is_shown_as_far_as_it_has_come() -> None:
    registry, scope = fresh_scope()
    with served(registry) as server, scope.task("handle") as root:
        with scope.task("query"):
            pass
        with scope.task("send") as inner:

            def calls(name: str) -> list[tuple[str, bool]]:
                found = ask(server, f"/traces/{name}/json").json
                return [(item["func"]["name"], item["finish"] is None) for item in found]

            assert calls(f"{root.id:016x}") == [("handle", True), ("query", False), ("send", True)]
            assert calls(f"{root.trace.id:032x}")[0] == ("handle", True)
            assert calls(f"{inner.id:016x}") == [("send", True)]
            page = ask(server, "/ps", headers=BROWSER).text
            assert f'href="/traces/{inner.id:016x}"' in page
            assert "1 unfinished" in ask(server, f"/traces/{inner.id:016x}", headers=BROWSER).text


def test_call_that_nobody_knows_is_not_found() -> None:
    registry, _ = fresh_scope()
    with served(registry) as server:
        assert ask(server, "/traces/00000000000000aa/json").status == 404
