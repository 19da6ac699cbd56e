from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from monkit_core import Registry, Scope, current_span, default_registry
from tests.helpers import check_idle, fresh_scope

module_scope = Registry().scope("module")


@module_scope.task
def module_level(value: int) -> int:
    """Add one."""
    return value + 1


class Shop:
    """Methods of each kind, decorated in each order."""

    @module_scope.task
    def method(self, item: str) -> tuple[str, str]:
        return type(self).__name__, item

    @module_scope.task
    @classmethod
    def class_inner(cls, item: str) -> tuple[str, str]:
        return cls.__name__, item

    @classmethod
    @module_scope.task
    def class_outer(cls, item: str) -> tuple[str, str]:
        return cls.__name__, item

    @module_scope.task
    @staticmethod
    def static_inner(item: str) -> tuple[str, str]:
        return "", item

    @staticmethod
    @module_scope.task
    def static_outer(item: str) -> tuple[str, str]:
        return "", item

    @module_scope.task
    async def coroutine(self, item: str) -> tuple[str, str]:
        await asyncio.sleep(0)
        return type(self).__name__, item

    @module_scope.task(args=("item",), tier="edge")
    @classmethod
    def tagged(cls, item: str) -> tuple[str, ...]:
        span = current_span()
        assert span is not None
        return span.args


class SubShop(Shop):
    pass


def test_function_keeps_its_result_and_is_counted() -> None:
    registry, scope = fresh_scope()

    @scope.task
    def add(a: int, b: int = 2, *more: int, **named: int) -> int:
        return a + b + sum(more) + sum(named.values())

    assert add(1) == 3
    assert add(1, 2, 3, x=4) == 10
    func = scope.func("test_function_keeps_its_result_and_is_counted.add")
    assert (func.success_times.count, func.current, func.highwater) == (2, 0, 1)
    assert func.callers == {None: 2}
    check_idle(registry)


def test_coroutine_is_in_its_span_while_it_waits() -> None:
    registry, scope = fresh_scope()

    @scope.task("work")
    async def work() -> int:
        span = current_span()
        assert span is not None
        await asyncio.sleep(0)
        assert current_span() is span
        return scope.func("work").current

    assert asyncio.run(work()) == 1
    assert scope.func("work").success_times.count == 1
    check_idle(registry)


def test_coroutine_that_is_never_awaited_is_no_call() -> None:
    registry, scope = fresh_scope()

    @scope.task("work")
    async def work() -> None: ...

    work().close()
    assert scope.func("work").callers == {}
    check_idle(registry)


@pytest.mark.parametrize("name", ["method", "class_inner", "class_outer", "coroutine"])
def test_method_gets_its_object_or_class(name: str) -> None:
    bound = getattr(SubShop(), name)
    result = asyncio.run(bound("tea")) if name == "coroutine" else bound("tea")
    assert result == ("SubShop", "tea")
    assert bound.func.full_name == f"module.Shop.{name}"
    assert bound.func.success_times.count >= 1


@pytest.mark.parametrize("name", ["static_inner", "static_outer"])
def test_staticmethod_gets_its_arguments_only(name: str) -> None:
    for owner in (Shop, SubShop()):
        assert getattr(owner, name)("tea") == ("", "tea")
    assert getattr(Shop, name).func.full_name == f"module.Shop.{name}"


def test_classmethod_can_have_tags_and_recorded_arguments() -> None:
    assert Shop.tagged("tea") == ("item='tea'",)
    assert Shop.tagged.func.tags == (("tier", "edge"),)  # type: ignore[attr-defined]


def test_wrapper_looks_like_the_function() -> None:
    assert module_level.__doc__ == "Add one."
    assert module_level.__name__ == module_level.__qualname__ == "module_level"
    assert module_level.__module__ == __name__
    assert str(inspect.signature(module_level)) == "(value: 'int') -> 'int'"
    wrapped = module_level.__wrapped__  # type: ignore[attr-defined]
    assert wrapped(1) == 2
    assert wrapped is inspect.unwrap(module_level)
    assert not inspect.iscoroutinefunction(module_level)


def test_wrapper_of_a_coroutine_function_is_one() -> None:
    assert inspect.iscoroutinefunction(Shop.coroutine)
    assert not inspect.iscoroutinefunction(Shop.method)


def test_wrapper_is_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(module_level)) is module_level


def test_wrapper_knows_its_function_record() -> None:
    func = module_level.func  # type: ignore[attr-defined]
    before = func.success_times.count
    assert module_level(1) == 2
    assert func is module_scope.func("module_level")
    assert func.success_times.count == before + 1


def test_short_name_has_no_locals_noise() -> None:
    _, scope = fresh_scope()

    def outer() -> Callable[[], None]:
        @scope.task
        def inner() -> None: ...

        return inner

    name = "test_short_name_has_no_locals_noise.outer.inner"
    assert outer().func.full_name == f"shop.{name}"  # type: ignore[attr-defined]
    assert [func.short_name for func in scope.funcs()] == [name]


def test_name_can_be_given() -> None:
    _, scope = fresh_scope()

    @scope.task("given")
    def work() -> None: ...

    work()
    assert scope.func("given").success_times.count == 1


def test_tags_make_a_function_of_their_own() -> None:
    _, scope = fresh_scope()

    @scope.task("f")
    def plain() -> None: ...

    @scope.task("f", tier="edge", tags={"a-b": "c"})
    def tagged() -> None: ...

    plain()
    tagged()
    tagged()
    assert scope.func("f").success_times.count == 1
    func = scope.func("f", tags={"a-b": "c"}, tier="edge")
    assert func is tagged.func  # type: ignore[attr-defined]
    assert func.success_times.count == 2
    assert func.id != scope.func("f").id


class CallableObject:
    def __call__(self, value: int) -> int:
        return value + 1


class AsyncCallableObject:
    async def __call__(self, value: int) -> int:
        return value + 1


def add(a: int, b: int) -> int:
    return a + b


@pytest.mark.parametrize("nameless", [functools.partial(add, 1), CallableObject()], ids=["partial", "object"])
def test_callable_without_a_name_needs_one(nameless: Callable[[int], int]) -> None:
    _, scope = fresh_scope()
    with pytest.raises(TypeError, match=r'objects have no name; write mon.task\("name"\)'):
        scope.task(nameless)
    with pytest.raises(TypeError, match="objects have no name"):
        scope.task()(nameless)
    assert scope.task("increment")(nameless)(2) == 3
    assert scope.func("increment").success_times.count == 1


def test_callable_object_with_a_coroutine_call_is_awaited_in_its_span() -> None:
    registry, scope = fresh_scope()
    monitored = scope.task("increment")(AsyncCallableObject())
    assert inspect.iscoroutinefunction(monitored)
    assert asyncio.run(monitored(2)) == 3
    assert scope.func("increment").success_times.count == 1
    check_idle(registry)


def test_builtin_and_bound_method_can_be_monitored() -> None:
    _, scope = fresh_scope()
    assert scope.task(len)("abc") == 3
    assert scope.task("".join)(["a", "b"]) == "ab"
    assert [func.short_name for func in scope.funcs()] == ["len", "str.join"]


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("thing", [Shop, 5, property(lambda self: 1)])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    _, scope = fresh_scope()
    with pytest.raises(TypeError, match=r"mon\.task takes a function, found"):
        scope.task()(thing)
    with pytest.raises(TypeError, match=r"mon\.task takes a function, found"):
        scope.task("name")(thing)


def test_function_and_arguments_in_one_call_are_refused() -> None:
    _, scope = fresh_scope()
    with pytest.raises(TypeError, match="above the function"):
        scope.task(add, tier="edge")  # type: ignore[call-overload]


def test_mapping_of_arguments_is_for_blocks_only() -> None:
    _, scope = fresh_scope()
    with pytest.raises(TypeError, match="a mapping is for a block"):
        scope.task("name", args={"a": 1})(add)


@pytest.mark.parametrize("args", ["a", ("a", "c")])
def test_wrong_names_of_arguments_are_refused_at_once(args: Any) -> None:
    _, scope = fresh_scope()
    with pytest.raises(
        TypeError, match="sequence of parameter names" if args == "a" else "no parameter 'c'; it has a, b"
    ):
        scope.task(args=args)(add)


def test_reserved_tag_is_refused() -> None:
    _, scope = fresh_scope()
    with pytest.raises(ValueError, match="'kind' is set by the engine"):
        scope.task("name", kind="x")


def test_nothing_is_declared_by_what_was_refused() -> None:
    _, scope = fresh_scope()
    for refused in (Shop, CallableObject()):
        with pytest.raises(TypeError):
            scope.task(refused)
    with pytest.raises(TypeError):
        scope.task(args=("c",))(add)
    assert scope.funcs() == []


def test_function_is_known_from_its_decoration_and_a_block_from_its_first_entry() -> None:
    _, scope = fresh_scope()
    scope.task(add)
    block = scope.task("block")
    assert [func.short_name for func in scope.funcs()] == ["add"]
    with block:
        pass
    assert [func.short_name for func in scope.funcs()] == ["add", "block"]


def test_scope_of_the_program_is_the_default_registry_s() -> None:
    scope = default_registry.scope("tests.core.test_task.only-here")
    assert isinstance(scope, Scope)
    assert scope in default_registry.scopes()


def test_coroutine_closed_in_another_context_is_a_success_and_leaves_nothing() -> None:
    registry, scope = fresh_scope()

    @scope.task("pause")
    async def pause() -> None:
        await asyncio.sleep(0)

    coroutine = pause()
    contextvars.Context().run(coroutine.send, None)
    assert scope.func("pause").current == 1
    coroutine.close()
    assert scope.func("pause").success_times.count == 1
    assert current_span() is None
    check_idle(registry)
