"""The scraper itself: Prometheus and its ``promtool``, as Debian has them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from monkit_core import Registry, environment
from monkit_core.formats.metric_names import metric_name
from tests.helpers import BOUND_S, fresh_scope
from tests.http_helpers import ask, busy_registry, eventually, served
from tests.present.test_hostile import CORPUS, fill

pytestmark = pytest.mark.service

LINT = 3
"""How promtool ends where all can be read and it would have chosen other names."""


def tool(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, "make test-all installs it"
    return found


def promtool(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("query", ["", "?histograms=1"])
def test_promtool_has_nothing_to_say_of_an_ordinary_program(query: str) -> None:
    registry = busy_registry()
    scope = registry.scope("shop")
    scope.meter("requests").mark(3)
    scope.duration_val("age").observe(0.25)
    scope.int_val("sizes").observe(3)
    scope.float_val("balance").observe(3.5)
    with served(registry) as server:
        outcome = promtool(ask(server, f"/metrics{query}").text)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")


@pytest.mark.parametrize("query", ["", "?histograms=1"])
def test_promtool_can_read_whatever_there_is(query: str) -> None:
    registry = Registry()
    environment.register(registry)
    for hostile in CORPUS.values():
        fill(registry, hostile)
    with served(registry) as server:
        outcome = promtool(ask(server, f"/metrics{query}").text)
    assert outcome.returncode in (0, LINT), outcome.stderr[:2000]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def prometheus(folder: Path, target: str, query: dict[str, list[str]]) -> Iterator[int]:
    """A server that scrapes *target* once a second; its port."""
    port = free_port()
    job = {
        "job_name": "shop",
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "params": query,
        "static_configs": [{"targets": [target]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))  # JSON is YAML
    command = [
        tool("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield port
        finally:
            process.terminate()
            process.wait(BOUND_S)


def api(port: int, path: str) -> Any:
    """What the server's API answers; ``None`` while it does not."""
    connection = HTTPConnection("127.0.0.1", port, timeout=BOUND_S)
    try:
        connection.request("GET", f"/api/v1/{path}")
        response = connection.getresponse()
        return json.load(response)["data"] if response.status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


def found(port: int, query: str) -> list[tuple[dict[str, str], float]]:
    data = api(port, f"query?query={quote(query)}")
    return [(item["metric"], float(item["value"][1])) for item in data["result"]] if data else []


@pytest.mark.parametrize("histograms", [False, True])
def test_prometheus_scrapes_what_the_program_counts(tmp_path: Path, histograms: bool) -> None:
    registry, scope = fresh_scope()
    scope.meter("requests", route='/a"b\\c\nd').mark(3)
    scope.int_val("shop.sizes").observe(3)
    for hostile in CORPUS.values():
        fill(registry, hostile)
    with pytest.raises(TimeoutError), scope.task("handle"):
        raise TimeoutError
    query = {"histograms": ["1"]} if histograms else {}
    with served(registry) as server, prometheus(tmp_path, f"127.0.0.1:{server.port}", query) as port:

        def healthy() -> bool:
            targets = (api(port, "targets") or {"activeTargets": []})["activeTargets"]
            errors = [target["lastError"] for target in targets if "deadline" not in target["lastError"]]
            assert not any(errors), errors  # a busy machine may be late, which the next scrape mends
            return bool(targets) and targets[0]["health"] == "up" and bool(found(port, "requests_total"))

        assert eventually(healthy), (tmp_path / "log").read_text()
        ((labels, value),) = found(port, "requests_total")
        assert (labels["route"], labels["scope"], value) == ('/a"b\\c\nd', "shop", 3.0)
        ((labels, value),) = found(port, 'function_count_total{scope="shop"}')
        assert (labels["error_name"], value) == ("Timeout", 1.0)
        name = metric_name("shop.sizes")
        ((_, value),) = found(port, f"{name}_sum")
        assert value == 3.0
        kinds = {item["type"] for item in (api(port, f"metadata?metric={name}") or {}).get(name, [])}
        assert kinds == {"histogram" if histograms else "summary"}
        if histograms:
            ((_, value),) = found(port, f"{name}_bucket{{le='5.0'}}")
            assert value == 1.0
        scope.meter("requests", route='/a"b\\c\nd').mark(4)
        assert eventually(lambda: [value for _, value in found(port, "requests_total")] == [7.0])
