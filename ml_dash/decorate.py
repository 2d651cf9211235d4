"""Functions that each call of is a run: `@experiment.run` and `@ml_dash_experiment(...)`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

NAME = "experiment"
"""The parameter that is given the experiment."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def decorated(
    function: Callable[..., Any], run: Callable[[], AbstractContextManager[Any]]
) -> Callable[..., Any]:
    """`function`, each call inside a context of its own.

    Args:
        function: may be a coroutine function; the context is left when it has been awaited.
        run: makes the context, which gives the experiment.

    Raises:
        TypeError: it is a generator function, whose body runs after the call.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function.__qualname__} is a generator: the run would end before its first value;"
            " write `with experiment.run:` inside of it instead"
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with run() as entered:
                args, kwargs = with_argument(function, entered, args, kwargs)
                return await function(*args, **kwargs)

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        with run() as entered:
            args, kwargs = with_argument(function, entered, args, kwargs)
            return function(*args, **kwargs)

    return called


def with_argument(
    function: Callable[..., Any], value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call with `value` among them, where the function takes it.

    As the parameter `experiment`, if there is one that the call leaves open; else as the first
    argument (of a method: after `self`), if the call has none for a parameter that needs one.
    """
    parameters = list(inspect.signature(function).parameters.values())
    kinds = {parameter.kind for parameter in parameters}
    names = [p.name for p in parameters if p.kind in _POSITIONAL]
    fits = len(args) < len(names) or inspect.Parameter.VAR_POSITIONAL in kinds
    if NAME in kwargs:
        return args, kwargs
    if NAME in names and len(args) >= names.index(NAME):
        return _inserted(args, names.index(NAME), value) if fits else args, kwargs
    named = any(p.name == NAME and p.kind in _KEYWORD for p in parameters)
    if named or inspect.Parameter.VAR_KEYWORD in kinds:
        return args, {**kwargs, NAME: value}
    place = 1 if names[:1] in (["self"], ["cls"]) and args else 0
    free = [p for p in parameters if p.kind in _POSITIONAL and p.name not in kwargs][place:]
    needed = len(free) > len(args) - place and free[0].default is inspect.Parameter.empty
    if needed or inspect.Parameter.VAR_POSITIONAL in kinds:
        return _inserted(args, place, value), kwargs
    return args, kwargs


def _inserted(args: tuple[Any, ...], place: int, value: Any) -> tuple[Any, ...]:
    return (*args[:place], value, *args[place:])
