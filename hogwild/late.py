"""Imports transformers' modelling base, and puts off what no step of a language model calls.

In: nothing. Out: `transformers.modeling_utils` is imported, in half of its time. The base imports torch's compiler and
scipy's optimisers for a few decorators and one loss of object detection; both stand in `sys.modules` as themselves, not
yet executed, and are executed when anything of them is touched. Above: `loading.py`, `runner.py`, `seam.py`, which
import this first. Below: transformers.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

_IMPORT_SYSTEM: Any = importlib.import_module("importlib._bootstrap")
NEEDED = ("__path__", "__all__")
"""Of names with two underscores only these execute a module: others are asked of everything in `sys.modules`."""


class _Late(ModuleType):
    """A module that is executed when something is asked of it that is not in `_answers`."""

    _answers: dict[str, Any]
    """Names that can be given without the module."""
    _after: list[Callable[[], object]]
    """What was asked of the module and is done as soon as it has been executed."""
    _by: int | None
    """The thread that executes it; for all others it has nothing before it has everything."""

    def __getattribute__(self, name: str) -> Any:
        by = None if name.startswith("__") else ModuleType.__getattribute__(self, "__dict__").get("_by")
        if by not in (None, threading.get_ident()):
            execute(self)
        return ModuleType.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        answers = self.__dict__.get("_answers", {})
        if name in answers:
            return answers[name]
        unasked = name.startswith("__") and name not in NEEDED
        if unasked or isinstance(execute(self), _Late):  # or it is being executed, and has not got the name yet
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self, name)

    def __dir__(self) -> list[str]:
        return sorted(execute(self).__dict__)

    def __reduce__(self) -> Any:
        return importlib.import_module, (self.__name__,)


def execute(module: ModuleType) -> ModuleType:
    """The module, executed if it was put off; then it is an ordinary one. One thread executes, the others wait, by the
    import system's own lock: it knows when threads would wait for each other; then one gets what there is so far."""
    if not isinstance(module, _Late):
        return module
    lock = _IMPORT_SYSTEM._get_module_lock(module.__name__)
    try:
        lock.acquire()
    except _IMPORT_SYSTEM._DeadlockError:
        return module
    try:
        if isinstance(module, _Late) and module._by is None:
            _execute(module)
    finally:
        lock.release()
    return module


def _execute(module: _Late) -> None:
    spec, after = module.__spec__, module._after
    assert spec is not None
    assert spec.loader is not None
    answers, module._answers = module._answers, {}
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    spec._initializing, module._by = True, threading.get_ident()  # type: ignore[attr-defined]  # who imports it waits
    try:
        spec.loader.exec_module(module)
    except BaseException:
        module._answers = answers
        module.__dict__.pop("__path__", None)
        raise
    finally:
        module._by = None
        spec._initializing = False  # type: ignore[attr-defined]
    module.__class__ = ModuleType  # type: ignore[assignment]  # nothing of the class is needed any more
    for name in ("_answers", "_after", "_by"):
        delattr(module, name)
    for do in after:
        do()


@contextmanager
def put_off(name: str, answers: Callable[[_Late], dict[str, Any]]) -> Iterator[None]:
    """Within, importing the module `name` does not execute it; nothing happens where it is there already or missing."""
    try:
        spec = find_spec(name) if name not in sys.modules else None
    except ModuleNotFoundError:  # its package is not installed
        spec = None
    if spec is None:
        yield
        return
    module = module_from_spec(spec)
    module.__class__ = _Late
    assert isinstance(module, _Late)
    module._by, module._after = None, []
    module._answers = answers(module)
    package, _, own = name.rpartition(".")
    sys.modules[name] = module
    setattr(sys.modules[package], own, module)
    try:
        yield
    finally:
        if type(module) is _Late and vars(module).get("_by", 0) is None:
            module.__dict__.pop("__path__", None)  # from now on the import of one of its submodules executes it first


def _compiler(module: _Late) -> dict[str, Any]:
    """The decorators of `torch._dynamo` that transformers uses: a mark on a function is made as soon as there is a
    compiler to see it, and a function that is not to be compiled needs nothing before that."""
    after = module._after

    def at_hand(function: Any) -> bool:
        return (
            not isinstance(function, FunctionType)
            or not isinstance(module, _Late)
            or vars(module).get("_by", 0) is not None
        )

    def mark(name: str) -> Callable[[Any], Any]:
        def decorate(function: Any) -> Any:
            if at_hand(function):
                return getattr(execute(module), name)(function)
            after.append(lambda: getattr(module, name)(function))
            return function

        return decorate

    def disable(function: Any = None, recursive: bool = True, **how: Any) -> Any:
        if function is None:
            return lambda function: disable(function, recursive, **how)
        if at_hand(function):
            return execute(module).disable(function, recursive, **how)
        apart: Any = function

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            return apart(*args, **kwargs)

        def keep_apart() -> None:
            nonlocal apart
            apart = module.disable(function, recursive, **how)

        after.append(keep_apart)
        return called

    return {
        "allow_in_graph": mark("allow_in_graph"),
        "assume_constant_result": mark("assume_constant_result"),
        "disable": disable,
    }


def _optimisers(module: _Late) -> dict[str, Any]:
    """The one function of `scipy.optimize` that transformers' losses call."""

    def linear_sum_assignment(*args: Any, **kwargs: Any) -> Any:
        return execute(module).linear_sum_assignment(*args, **kwargs)

    return {"linear_sum_assignment": linear_sum_assignment}


@contextmanager
def _one_walk() -> Iterator[None]:
    """transformers reads the head of each of its two thousand files to know what they define, once for itself and once
    for `transformers.models`, which are the same: within, what was read is used again."""
    from transformers.utils import import_utils

    read = getattr(import_utils, "create_import_structure_from_path", None)
    if read is None:
        yield
        return

    def read_once(path: str | Path) -> Any:
        place = Path(path)
        return read(place.parent if place.parts[-3:] == ("transformers", "models", "__init__.py") else path)

    import_utils.create_import_structure_from_path = read_once  # type: ignore[assignment]
    try:
        yield
    finally:
        import_utils.create_import_structure_from_path = read


def _import_modelling() -> None:
    if "transformers.modeling_utils" in sys.modules:
        return
    importlib.import_module("torch")
    importlib.import_module("transformers")
    with _one_walk(), put_off("torch._dynamo", _compiler), put_off("scipy.optimize", _optimisers):
        for name in ("transformers.modeling_utils", "transformers.generation.utils"):  # every model imports the second
            with suppress(ImportError):  # told where it is imported in earnest
                importlib.import_module(name)


_import_modelling()
