from __future__ import annotations

import os

import pytest

from monkit_core import ids
from tests.helpers import fresh_scope, run_python

FUNC_IDS = """
from monkit_core import Registry
scope = Registry().scope("shop")
print([scope.func("Orders.create").id, scope.func("Orders.create", tier="edge", zone=1).id])
"""

FORK = """
import os
import monkit_core
from monkit_core import ids
monkit_core.scope("s").task("before")(lambda: None)()
read, write = os.pipe()
child = os.fork()
drawn = [ids.span_id(), ids.trace_id()]
if child == 0:
    with monkit_core.scope("s").task("in the child"):
        monkit_core.scope("of the child").counter("c").inc()
    os.write(write, repr(drawn).encode())
    os._exit(0)
os.waitpid(child, 0)
others = eval(os.read(read, 1000))
print(set(drawn).isdisjoint(others), len(others))
"""


def test_span_ids_have_63_bits_and_trace_ids_128() -> None:
    spans, traces = {ids.span_id() for _ in range(2_000)}, {ids.trace_id() for _ in range(2_000)}
    assert len(spans) == len(traces) == 2_000
    assert max(number.bit_length() for number in spans) == 63
    assert max(number.bit_length() for number in traces) == 128
    assert min(min(spans), min(traces)) > 0


def test_no_id_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_bits", lambda bits: 0)
    assert (ids.span_id(), ids.trace_id()) == (1, 1)


def test_spans_and_traces_get_such_ids() -> None:
    _, scope = fresh_scope()
    with scope.task("a") as span, scope.task("b") as child:
        assert 0 < span.id < 2**63
        assert span.id != child.id
        assert 0 < span.trace.id < 2**128


def test_id_of_a_function_is_the_same_in_every_process() -> None:
    outputs = {run_python("-c", FUNC_IDS, PYTHONHASHSEED=seed) for seed in ("1", "2")}
    _, scope = fresh_scope("shop")
    own = [scope.func("Orders.create").id, scope.func("Orders.create", zone=1, tier="edge").id]
    assert outputs == {str(own)}
    assert all(0 < number < 2**63 for number in own)


def test_id_of_a_function_depends_on_name_and_tags() -> None:
    _, scope = fresh_scope()
    funcs = [scope.func("f"), scope.func("g"), scope.func("f", a=1), scope.func("f", a=2), scope.func("f", b=1)]
    assert len({func.id for func in funcs}) == len(funcs)
    assert ids.func_id("s", "\ud800", ()) != ids.func_id("s", "\ud801", ())
    assert ids.func_id("a", "b.c", ()) != ids.func_id("a.b", "c", ())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_ids_differ_after_a_fork_and_the_child_can_go_on() -> None:
    assert run_python("-c", FORK) == "True 2"
