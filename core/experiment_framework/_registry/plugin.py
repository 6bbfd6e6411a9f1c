"""A backplane that was found and loaded, before anything is made of it."""

from __future__ import annotations

import inspect
from typing import Any

import attrs

from experiment_framework._problems import Problem
from experiment_framework._registry.calling import parameters_of
from experiment_framework._registry.checks import check_hooks
from experiment_framework._registry.containment import contained
from experiment_framework._registry.hooks import Hooks, resolve
from experiment_framework._registry.implementations import find_implementations
from experiment_framework.errors import HookError
from experiment_framework.plugin.options import options

__all__ = ["BackplanePlugin", "NoOptions"]


@options
class NoOptions:
    """The options of a backplane that has none."""


@attrs.frozen(kw_only=True)
class BackplanePlugin:
    """A backplane by its name.

    Attributes:
        name: What ``type`` selects it by, such as ``kafka``.
        distribution: The distribution it comes from; None where it was registered in code.
        version: That distribution's version.
        target: The class, object or module behind the name.
        options_class: What its options are.
    """

    name: str
    distribution: str | None = None
    version: str | None = None
    target: Any
    options_class: type[Any]

    @classmethod
    def of(
        cls, target: Any, *, name: str, distribution: str | None = None, version: str | None = None
    ) -> BackplanePlugin:
        """Check what a name stands for and find its options class.

        Raises:
            HookError: It does not follow the plugin API.
            BrokenPluginError: Its ``configuration`` hook raised.
        """
        check_hooks(target, name=name, distribution=distribution)
        with contained("backplane", name, distribution, "when it was asked for its options class"):
            found = _options_class(name, target)
        if not (isinstance(found, type) and attrs.has(found)):
            raise HookError(
                name,
                f"backplane '{name}': its options class {found!r} has to be made with @options",
                distribution=distribution,
            )
        return cls(
            name=name,
            distribution=distribution,
            version=version,
            target=target,
            options_class=found,
        )

    @property
    def takes_encoders(self) -> bool:
        """Whether it writes records in other encodings than JSON."""
        return any(each.hook == "encode_with" for each in find_implementations(self.target))

    def create(self, options: object) -> Hooks:
        """Make an instance with these options and resolve its hooks; nothing is opened.

        Raises:
            HookError: It does not follow the plugin API.
            BrokenPluginError: Its constructor raised.
        """
        with contained("backplane", self.name, self.distribution, "when it was made"):
            instance = _instance(self.target, options)
        return resolve(instance, name=self.name, options=options)

    def check(self, options: object) -> tuple[Problem, ...]:
        """Find what is wrong between options, offline.

        Raises:
            HookError: It does not follow the plugin API, or gave something else than problems.
            BrokenPluginError: Its constructor or its ``check`` raised.
        """
        hooks = self.create(options)
        with contained("backplane", self.name, self.distribution, "when it checked its options"):
            problems = hooks.check(options)
        for problem in problems:
            if not isinstance(problem, Problem):
                raise HookError(
                    self.name,
                    f"backplane '{self.name}': hook 'check' gave {problem!r}, which is no Problem",
                    distribution=self.distribution,
                )
            for path in (problem.path, *problem.involves):
                self._check_path(path)
        return problems

    def _check_path(self, path: object) -> None:
        if not isinstance(path, tuple):
            raise HookError(
                self.name,
                f"backplane '{self.name}': hook 'check' gave a Problem with the path {path!r}; "
                f"a path is a tuple of keys, such as ({path!r},)",
                distribution=self.distribution,
            )


def _options_class(name: str, target: Any) -> Any:
    declared = getattr(target, "options_class", None)
    if declared is not None:
        return declared
    for found in find_implementations(target):
        if found.hook != "configuration":
            continue
        owner = target
        if isinstance(target, type) and inspect.isfunction(found.function):
            if _takes_options(target):
                raise HookError(
                    name,
                    f"backplane '{name}': hook 'configuration' has to be a class method: it is "
                    "called before there are options to make an instance with",
                )
            owner = target()
        return getattr(owner, found.attribute)() or NoOptions
    return NoOptions


def _takes_options(cls: type) -> bool:
    return bool(parameters_of(cls))


def _instance(target: Any, options: object) -> Any:
    if not isinstance(target, type):
        return target
    return target(options) if _takes_options(target) else target()
