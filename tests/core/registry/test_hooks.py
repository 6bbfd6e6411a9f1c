"""What the registry makes of a plugin instance, and what it refuses."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
from experiment_framework._registry import resolve
from experiment_framework._registry.calling import HOOKS
from experiment_framework.errors import HookError
from experiment_framework.plugin import (
    Backplane,
    Context,
    Health,
    Problem,
    Record,
    hookimpl,
    options,
)

RECORD = cast("Record", object())
CONTEXT = cast("Context", object())


@options
class Options:
    """Nothing to say."""


class Sink(Backplane[Options]):
    def write_batch(self, records: Sequence[Record]) -> None: ...


def faults(plugin: object) -> str:
    with pytest.raises(HookError) as caught:
        resolve(plugin, name="mine", options=Options())
    assert caught.value.plugin == "mine"
    return str(caught.value)


class TestABackplane:
    def test_has_its_public_methods_for_hooks_without_a_marker(self) -> None:
        sink = Sink(Options())
        hooks = resolve(sink, name="mine", options=sink.options)
        assert hooks.write_batch == sink.write_batch
        assert hooks.uses_batches
        assert hooks.publish is None

    def test_has_none_for_each_hook_that_it_lacks(self) -> None:
        hooks = resolve(Sink(Options()), name="mine", options=Options())
        lacking = (
            *("outstanding", "flush", "health", "close", "provision", "read", "after_fork"),
            "dead_letter",
        )
        assert [getattr(hooks, name) for name in lacking] == [None] * len(lacking)

    def test_has_its_context_before_it_is_opened_and_after(self) -> None:
        class Opened(Sink):
            def open(self) -> None:
                self.seen = self.context

        sink = Opened(Options())
        with pytest.raises(HookError, match="no context before"):
            _ = sink.context
        resolve(sink, name="mine", options=sink.options).open(CONTEXT)
        assert sink.seen is CONTEXT

    def test_gets_a_context_even_without_an_open_hook(self) -> None:
        sink = Sink(Options())
        resolve(sink, name="mine", options=sink.options).open(CONTEXT)
        assert sink.context is CONTEXT

    def test_is_given_its_options_by_the_name_of_the_argument(self) -> None:
        class Opened(Sink):
            def open(self, context: Context, options: Options) -> None:
                self.seen = (context, options)

        sink = Opened(Options())
        resolve(sink, name="mine", options=sink.options).open(CONTEXT)
        assert sink.seen == (CONTEXT, sink.options)

    def test_may_inherit_its_hooks(self) -> None:
        class Grandchild(Sink):
            def health(self) -> Health:
                return Health()

        hooks = resolve(Grandchild(Options()), name="mine", options=Options())
        assert hooks.uses_batches
        assert hooks.health is not None
        assert hooks.health().is_healthy

    def test_may_have_properties_class_methods_and_private_names(self) -> None:
        class Rich(Sink):
            factor = 3

            @property
            def records(self) -> list[Record]:
                raise AssertionError("nobody asked")

            @classmethod
            def from_url(cls, url: str) -> Rich:
                return cls(Options())

            def _flsh(self) -> None: ...

        resolve(Rich.from_url("x"), name="mine", options=Options())

    def test_is_not_registered_as_a_class(self) -> None:
        assert "is a class; make an instance" in faults(Sink)

    def test_may_be_served_by_several_data_planes(self) -> None:
        sink = Sink(Options())
        first, second = (resolve(sink, name="mine", options=sink.options) for _ in range(2))
        assert first.write_batch == second.write_batch


class TestPublish:
    def test_is_called_directly(self) -> None:
        class Client(Backplane[Options]):
            def publish(self, record: Record) -> None: ...

        client = Client(Options())
        hooks = resolve(client, name="mine", options=client.options)
        assert isinstance(hooks.publish, types.MethodType)
        assert hooks.publish.__self__ is client
        assert not hooks.uses_batches

    def test_excludes_write_batch(self) -> None:
        class Both(Sink):
            def publish(self, record: Record) -> None: ...

        assert "both 'publish' and 'write_batch'" in faults(Both(Options()))

    def test_or_write_batch_has_to_be_there(self) -> None:
        class Neither(Backplane[Options]):
            def flush(self, timeout: float) -> None: ...

        assert "neither 'publish' nor 'write_batch'" in faults(Neither(Options()))


class TestAMistake:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("flsh", "flush"),
            ("write_batches", "write_batch"),
            ("writeBatch", "write_batch"),
            ("healthy", "health"),
            ("on_close", "close"),
            ("afterFork", "after_fork"),
            ("provision_", "provision"),
        ],
    )
    def test_in_a_name_is_answered_with_the_nearest_hook(self, written: str, meant: str) -> None:
        cls = type("Misspelt", (Sink,), {written: lambda self: None})
        assert f"'{written}' is no hook; did you mean '{meant}'?" in faults(cls(Options()))

    def test_far_from_every_hook_is_answered_with_all_of_them(self) -> None:
        cls = type("Odd", (Sink,), {"zzz": lambda self: None})
        text = faults(cls(Options()))
        assert all(hook in text for hook in HOOKS)
        assert "'_zzz'" in text

    def test_in_an_argument_is_answered_with_the_nearest(self) -> None:
        class Wrong(Sink):
            def flush(self, timout: float) -> None: ...

        assert "hook 'flush' takes 'timout'" in faults(Wrong(Options()))
        assert "did you mean 'timeout'?" in faults(Wrong(Options()))

    def test_in_an_argument_with_a_default_is_not_passed_over(self) -> None:
        class Wrong(Sink):
            def flush(self, timout: float = 1.0) -> None: ...

        assert "did you mean 'timeout'?" in faults(Wrong(Options()))

    def test_is_an_argument_too_many(self) -> None:
        class Wrong(Sink):
            def after_fork(self, pid: int) -> None: ...

        assert "hook 'after_fork' takes 'pid', but the hook gives nothing" in faults(
            Wrong(Options())
        )

    def test_is_a_property_with_the_name_of_a_hook(self) -> None:
        class Wrong(Sink):
            @property
            def health(self) -> Health:
                raise AssertionError("nobody asked")

        assert "'health' is a hook and has to be a method, not a property" in faults(
            Wrong(Options())
        )

    def test_is_an_async_hook(self) -> None:
        class Wrong(Backplane[Options]):
            async def write_batch(self, records: Sequence[Record]) -> None: ...

        assert "'write_batch' is an async function" in faults(Wrong(Options()))

    def test_is_a_generator_that_nobody_would_iterate(self) -> None:
        class Wrong(Backplane[Options]):
            def write_batch(self, records: Sequence[Record]) -> Iterator[Record]:
                yield from records

        assert "'write_batch' is a generator" in faults(Wrong(Options()))

    def test_does_not_hide_the_next(self) -> None:
        class Wrong(Sink):
            def flsh(self) -> None: ...
            def close(self, tiemout: float) -> None: ...

        lines = faults(Wrong(Options())).splitlines()
        assert len(lines) == 2
        assert all(line.startswith("backplane 'mine': ") for line in lines)


class TestAPlainObject:
    def test_has_its_marked_functions_for_hooks(self) -> None:
        class Plain:
            @hookimpl
            def write_batch(self, records: Sequence[Record]) -> None: ...

            def helper(self) -> None: ...

        plain = Plain()
        assert resolve(plain, name="mine", options=None).write_batch == plain.write_batch

    def test_with_a_hook_that_is_not_marked_is_told_so(self) -> None:
        class Plain:
            @hookimpl
            def write_batch(self, records: Sequence[Record]) -> None: ...

            def close(self, timeout: float) -> None: ...

        assert "'close' has the name of a hook but is not marked" in faults(Plain())

    def test_with_a_marked_misspelt_hook_is_told_the_nearest(self) -> None:
        class Plain:
            @hookimpl
            def write_bath(self, records: Sequence[Record]) -> None: ...

        assert "did you mean 'write_batch'?" in faults(Plain())

    def test_may_have_a_hook_of_another_version_that_is_marked_optional(self) -> None:
        class Plain(_PlainSink):
            @hookimpl(optionalhook=True)
            def hook_of_the_future(self) -> None: ...

        resolve(Plain(), name="mine", options=None)

    def test_may_give_a_hook_another_name(self) -> None:
        class Plain:
            @hookimpl(specname="write_batch")
            def store(self, records: Sequence[Record]) -> None:
                self.stored = records

        plain = Plain()
        write_batch = resolve(plain, name="mine", options=None).write_batch
        assert write_batch is not None
        write_batch([RECORD])
        assert plain.stored == [RECORD]

    def test_may_wrap_its_own_hook(self) -> None:
        calls: list[str] = []

        class Plain:
            @hookimpl
            def write_batch(self, records: Sequence[Record]) -> None:
                calls.append("inside")

            @hookimpl(wrapper=True, specname="write_batch")
            def around(self, records: Sequence[Record]) -> Iterator[None]:
                calls.append("before")
                yield
                calls.append("after")

        write_batch = resolve(Plain(), name="mine", options=None).write_batch
        assert write_batch is not None
        write_batch([RECORD])
        assert calls == ["before", "inside", "after"]

    def test_may_be_a_module(self) -> None:
        module = types.ModuleType("somebodys_module")
        module.write_batch = hookimpl(lambda records: None)  # type: ignore[attr-defined]
        assert resolve(module, name="mine", options=None).uses_batches


class _PlainSink:
    @hookimpl
    def write_batch(self, records: Sequence[Record]) -> None: ...


class TestCheckAndSettings:
    def test_are_empty_where_a_plugin_has_none(self) -> None:
        hooks = resolve(Sink(Options()), name="mine", options=Options())
        assert hooks.check(Options()) == ()
        assert hooks.client_settings(Options(), 1, 1024) == {}

    @pytest.mark.parametrize("given", [None, [], (Problem(message="no"),)])
    def test_take_whatever_iterable_a_plugin_gives(self, given: Any) -> None:
        class Checking(Sink):
            def check(self, options: Options) -> Any:
                return given

        hooks = resolve(Checking(Options()), name="mine", options=Options())
        assert hooks.check(Options()) == tuple(given or ())

    def test_may_be_a_generator(self) -> None:
        class Checking(Sink):
            def check(self, options: Options) -> Iterator[Problem]:
                yield Problem(message="no")

        hooks = resolve(Checking(Options()), name="mine", options=Options())
        assert hooks.check(Options()) == (Problem(message="no"),)


@pytest.mark.parametrize(
    "hook", sorted({*HOOKS} - {"configuration", "check", "client_settings", "open"})
)
def test_a_hook_that_raises_raises_what_it_did(hook: str) -> None:
    # Nothing stands between core and the one plugin that it calls: core decides what follows.
    error = RuntimeError("its own")

    def raising(self: object) -> None:
        raise error

    functions: dict[str, Callable[..., Any]] = {hook: raising}
    if hook not in {"publish", "write_batch"}:
        functions["publish"] = lambda self: None
    hooks = resolve(type("Raising", (Backplane,), functions)(None), name="mine", options=None)
    with pytest.raises(RuntimeError) as caught:
        getattr(hooks, hook)(*range(len(HOOKS[hook])))
    assert caught.value is error
