"""``/funcs/svg`` over HTTP: what it takes, what it refuses, and that it holds nobody up."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from monkit_core import Registry
from monkit_present import graph_page
from monkit_present.graph import dot_program
from monkit_present.graph.dot_program import DotLimits
from monkit_present.render.graph_svg import CONTENT_SECURITY_POLICY
from tests.helpers import BOUND_S, fresh_scope, in_fresh_context
from tests.http_helpers import SVG, Answer, ask, eventually, served


@pytest.fixture
def shop() -> Registry:
    registry, scope = fresh_scope()
    for number in range(100):
        for _ in range(number + 1):
            with scope.task("handle"), scope.task(f"leaf_{number:02}"):
                pass
    return registry


def boxes(answer: Answer) -> list[str]:
    """The names that are shown."""
    assert answer.status == 200, answer.text
    root = ET.fromstring(answer.body)
    return sorted(group.findtext(f"{SVG}text") or "" for group in root.iter(f"{SVG}g") if group.get("data-n"))


def program(folder: Path, *lines: str) -> str:
    """A program called ``dot`` in a folder of the test's own."""
    path = folder / "dot"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_page, "find_dot", lambda: None)


@pytest.mark.usefixtures("no_dot")
def test_eighty_heaviest_are_shown_with_a_line_about_the_rest(shop: Registry) -> None:
    with served(shop) as server:
        answer = ask(server, "/funcs/svg")
    assert (answer.status, answer.header("content-type")) == (200, "image/svg+xml; charset=utf-8")
    assert answer.header("content-security-policy") == CONTENT_SECURITY_POLICY
    assert len(boxes(answer)) == 80
    assert "Left out: the 21 lightest of 101 functions (" in answer.text.replace("\n", " ")


@pytest.mark.usefixtures("no_dot")
def test_parameters_choose(shop: Registry) -> None:
    with served(shop) as server:
        assert len(boxes(ask(server, "/funcs/svg?nodes=300"))) == 101
        assert boxes(ask(server, "/funcs/svg?nodes=3&by=count")) == ["handle", "leaf_98", "leaf_99"]
        assert boxes(ask(server, "/funcs/svg?focus=leaf_0%5b12%5d%24")) == ["handle", "leaf_01", "leaf_02"]
        assert len(boxes(ask(server, "/funcs/svg?ignore=leaf_%5b1-9%5d"))) == 11


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("nodes=0", 'invalid nodes "0": expected a whole number from 1 to 300'),
        ("nodes=301", 'invalid nodes "301": expected a whole number from 1 to 300'),
        ("by=size", 'invalid by "size": expected time or count or errors'),
        ("layout=neat", 'invalid layout "neat": expected auto or dot or own'),
        ("focus=(", 'invalid focus "(": error parsing regexp: '),
        ("ignore=(", 'invalid ignore "(": error parsing regexp: '),
        ("focus=leaf_000", 'focus "leaf_000" matches 0 of 101 functions; nearest: shop.leaf_00, '),
        ("focus=%3cb%3e%0a", 'focus "<b>\\n" matches 0 of 101 functions; see /funcs'),
        ("focus=leaf_05&ignore=leaf", 'focus "leaf_05" matches 0 of 101 functions; nearest: shop.leaf_05'),
    ],
)
def test_what_cannot_be_shown_is_refused(shop: Registry, query: str, words: str) -> None:
    with served(shop) as server:
        answer = ask(server, f"/funcs/svg?{query}")
    assert answer.status == 400
    assert answer.text.startswith(f"Bad Request: {words}")


@pytest.mark.usefixtures("no_dot")
def test_missing_dot_is_said_only_where_it_was_asked_for(shop: Registry) -> None:
    with served(shop) as server:
        assert "Graphviz" not in ask(server, "/funcs/svg").text
        assert "Laid out without Graphviz: dot is not installed." in ask(server, "/funcs/svg?layout=dot").text


@in_fresh_context
def test_dot_gets_numbers_only_and_what_it_answers_is_never_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, scope = fresh_scope('"]; a <b> \\N')
    with scope.task('"]} digraph {<script>'), scope.task("\\L<table>"):
        pass
    answer = "<svg><script>alert(1)</script></svg>"
    path = program(tmp_path, f"echo \"$@\" > {tmp_path}/arguments; cat > {tmp_path}/text; echo '{answer}'; echo stop")
    monkeypatch.setattr(graph_page, "find_dot", lambda: path)
    with served(registry) as server:
        page = ask(server, "/funcs/svg")
    assert (tmp_path / "arguments").read_text() == "-Tplain\n"
    text = (tmp_path / "text").read_text()
    assert text.isascii()
    assert not set("<>\\") & set(text.replace("->", ""))
    assert text.count('"') == 2  # the empty label of all
    assert len(boxes(page)) == 2
    assert "alert" not in page.text
    assert "Laid out without Graphviz: dot answered" in page.text


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["exit 3"], "dot ended with status 3"),
        (["kill -9 $$"], "dot ended with status -9"),
        (["cat > /dev/null"], "dot answered what cannot be read: ValueError"),
        (["cat > /dev/null; echo stop"], "dot answered with other boxes or arrows than it was asked for"),
        (["cat > /dev/null; echo 'node 0 nan 1 1 1'; echo stop"], "dot answered with a place that is none"),
        (["cat > /dev/null; echo 'edge 7 9 4 1 1'; echo stop"], "dot answered what cannot be read: KeyError"),
    ],
)
def test_dot_that_fails_costs_no_picture(
    lines: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop: Registry
) -> None:
    path = program(tmp_path, *lines)
    monkeypatch.setattr(graph_page, "find_dot", lambda: path)
    with served(shop) as server:
        answer = ask(server, "/funcs/svg")
    assert len(boxes(answer)) == 80
    assert f"Laid out without Graphviz: {words}." in answer.text


def test_dot_that_cannot_be_started_costs_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop: Registry
) -> None:
    monkeypatch.setattr(graph_page, "find_dot", lambda: str(tmp_path))
    with served(shop) as server:
        assert "dot could not be started: Permission denied." in ask(server, "/funcs/svg").text


def test_slow_dot_holds_up_no_other_page_and_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shop: Registry
) -> None:
    path = program(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/pid; wait")
    monkeypatch.setattr(graph_page, "find_dot", lambda: path)
    release = threading.Event()
    run = dot_program.run_dot

    def run_briefly(program: str, text: str) -> str:
        assert release.wait(BOUND_S)
        return run(program, text, DotLimits(seconds=0.3))

    monkeypatch.setattr(graph_page, "run_dot", run_briefly)
    answers: list[Answer] = []
    with served(shop) as server:
        reader = threading.Thread(target=lambda: answers.append(ask(server, "/funcs/svg")))
        reader.start()
        assert ask(server, "/health").status == 200
        release.set()
        reader.join(BOUND_S)
    assert "Laid out without Graphviz: dot took more than 0.3 s." in answers[0].text
    for name in ("pid", "child"):
        assert eventually(lambda name=name: ended(int((tmp_path / name).read_text())))  # type: ignore[misc]


def test_two_pictures_are_made_at_once_and_one_more_is_refused(monkeypatch: pytest.MonkeyPatch, shop: Registry) -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def wait(program: str, text: str) -> str:
        begun.release()
        assert release.wait(BOUND_S)
        raise dot_program.DotFailed("it was let go")

    monkeypatch.setattr(graph_page, "find_dot", lambda: "dot")
    monkeypatch.setattr(graph_page, "run_dot", wait)
    answers: list[Answer] = []
    with served(shop) as server:
        readers = [threading.Thread(target=lambda: answers.append(ask(server, "/funcs/svg"))) for _ in range(2)]
        for reader in readers:
            reader.start()
            assert begun.acquire(timeout=BOUND_S)
        refused = ask(server, "/funcs/svg")
        assert ask(server, "/funcs").status == 200
        release.set()
        for reader in readers:
            reader.join(BOUND_S)
    assert (refused.status, refused.header("retry-after")) == (503, "5")
    assert refused.text == "Service Unavailable: 2 pages wait for a picture that has not come back\n"
    assert [answer.status for answer in answers] == [200, 200]


def ended(pid: int) -> bool:
    """Whether a process is gone, or dead and only waits to be noticed by its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_one_dot_runs_at_a_time() -> None:
    with dot_program._ONE, pytest.raises(dot_program.DotFailed, match="dot was busy with other pictures"):
        dot_program.run_dot("dot", "", DotLimits(seconds=0.01))
