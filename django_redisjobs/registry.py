"""All job functions of this process by dotted path; only these can ever run."""

from __future__ import annotations

import difflib
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from importlib import import_module
from inspect import iscoroutinefunction, isfunction, unwrap
from math import inf
from time import monotonic
from types import MappingProxyType, ModuleType
from typing import Any, Final

from django.apps import apps
from django.utils.module_loading import autodiscover_modules, module_has_submodule

from django_redisjobs import conf
from django_redisjobs.core.exceptions import in_words
from django_redisjobs.definitions import AsyncJobFunction, JobFunction, beneath
from django_redisjobs.exceptions import (
    DuplicateJobFunction,
    JobTimeout,
    RedisJobsError,
    UnknownJobFunction,
)
from django_redisjobs.options import JobOptions

_functions: dict[str, JobFunction[..., Any]] = {}
# Plain functions that some @job names as its callback, by dotted path.
_callbacks: set[str] = set()
# Modules that failed when a job named them: when (monotonic), and why.
_broken: dict[str, tuple[float, str]] = {}
# Imports that somebody does not wait for.
_loading: dict[str, Future[None]] = {}
_lock = threading.Lock()

BROKEN_SECONDS: Final = 60.0
"""Who runs jobs tries no sooner again to import a module that failed."""


def define(
    target: Callable[..., Any], path: str, options: JobOptions
) -> JobFunction[..., Any]:
    """Make a job function, of the kind that fits a plain or an ``async def`` one, and let
    workers of this process run it, and what it names as callbacks.

    Raises:
        DuplicateJobFunction: another function, from another place in the source,
            has the same path. Importing the same code again is no error, and neither is
            a module that was edited and reloaded: the newest counts.
    """
    kind = AsyncJobFunction if iscoroutinefunction(target) else JobFunction
    function: JobFunction[..., Any] = kind(target, path, options)
    with _lock:
        known = _functions.get(function.path)
        if (
            known is not None
            and _position(known) != _position(function)
            and not _is_newer(function, known)
        ):
            raise DuplicateJobFunction(
                f"There are two job functions {function.path}: at {_position(known)} "
                f"and at {_position(function)}. A worker could not tell which one to "
                "run: rename one of them."
            )
        _functions[function.path] = function
        options = function.options
        _callbacks.update(filter(None, (options.on_success, options.on_failure)))
    return function


def functions() -> Mapping[str, JobFunction[..., Any]]:
    """All that are registered now, by path."""
    return MappingProxyType(dict(_functions))


def resolve(path: str, within: float = inf) -> JobFunction[..., Any]:
    """The job function of a path that comes from Redis.

    What the path leads to has to be a job function, or the callback of one. No
    module is loaded for it but those that ``autodiscover`` stands for: who can write
    to Redis can make a worker neither call nor import anything else. Who may not be
    held up by what an import does says ``within`` how many seconds it waits for one; it
    goes on in a thread.

    Raises:
        UnknownJobFunction: there is none, or its module cannot be imported, whatever
            it raises; the message has the cause, or the nearest one that there is.
    """
    module_path = path.rpartition(".")[0]
    module = sys.modules.get(module_path)
    is_loading = _is_loading(module)
    if path in _functions and not is_loading:
        return _functions[path]
    _split(path)
    if module is None and not _holds_jobs(module_path):
        raise UnknownJobFunction(_not_loaded(path, module_path))
    if module is None or is_loading:
        # Another thread may be at it: then this waits for its end.
        _load_at_times(path, module_path, within)
    return _admit(path)


def _is_loading(module: ModuleType | None) -> bool:
    """Whether a part of it is not there yet, which its functions may need."""
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def load(path: str) -> JobFunction[..., Any]:
    """The job function of a path that code of this project, or its operator, names.

    Imports its module, wherever that is. Raises as ``resolve`` does.
    """
    found = _functions.get(path)
    if found is not None:
        return found
    _load(path, _split(path)[0])
    return _admit(path)


def autodiscover() -> None:
    """Import the modules of all installed apps that REDISJOBS["AUTODISCOVER"] names."""
    autodiscover_modules(*conf.get_settings().autodiscover)


def broken_modules() -> dict[str, str]:
    """``autodiscover``, also past modules that cannot be imported: why not, by name."""
    broken = {}
    for app in apps.get_app_configs():
        for name in conf.get_settings().autodiscover:
            path = f"{app.name}.{name}"
            try:
                if module_has_submodule(app.module, name):
                    _import(path)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is anybody's code
                broken[path] = in_words(error)
    return broken


def misconfigured() -> list[tuple[JobFunction[..., Any], str]]:
    """Job functions that could not enqueue under the present settings, and why.

    No I/O, but imports the callbacks that are given by path.
    """
    found = []
    for function in functions().values():
        try:
            function.check_configuration()
        except RedisJobsError as error:
            # Who tells of it names the function, as some of these messages do.
            reason = str(error).removeprefix(f"{function.path}: ")
            found.append((function, reason))
    return found


def decorated() -> list[str]:
    """Job functions that their modules have beneath another decorator, by path."""
    found = []
    for path in functions():
        module_path, _, name = path.rpartition(".")
        names = getattr(sys.modules.get(module_path), "__dict__", {})
        # What else may have the name, such as the function itself, hides nothing.
        hidden = beneath(names.get(name))
        if hidden is not None and hidden.path == path:
            found.append(path)
    return found


def _is_newer(function: JobFunction[..., Any], known: JobFunction[..., Any]) -> bool:
    """Whether it comes from the same file, edited, whose module runs once more:
    importlib.reload(), which notebooks call by themselves, or an import of what
    sys.modules had no longer.
    """
    now, before = unwrap(function.function), unwrap(known.function)
    module = sys.modules.get(now.__module__)
    if not (
        isfunction(now)
        and isfunction(before)
        and now.__code__.co_filename == before.__code__.co_filename
        and now.__globals__ is getattr(module, "__dict__", None)
    ):
        return False
    if now.__globals__ is not before.__globals__:
        return True
    # In its first run, or in a script, there are two of them.
    return now.__module__ != "__main__" and not _is_loading(module)


def _position(function: JobFunction[..., Any]) -> str:
    code = getattr(unwrap(function.function), "__code__", None)
    if code is None:
        return repr(function.function)
    return f"{code.co_filename}:{code.co_firstlineno}"


def _split(path: str) -> tuple[str, str]:
    module_path, _, name = path.rpartition(".")
    if not module_path or not all(map(str.isidentifier, path.split("."))):
        raise UnknownJobFunction(
            f'{path!r} is no dotted path of a function, such as "shop.jobs.charge".'
        )
    return module_path, name


def _holds_jobs(module_path: str) -> bool:
    """Whether it is a module that ``autodiscover`` names, or within one."""
    return any(
        module_path == own or module_path.startswith(f"{own}.")
        for app in apps.get_app_configs()
        for own in (f"{app.name}.{name}" for name in conf.get_settings().autodiscover)
    )


def _load_at_times(path: str, module_path: str, within: float) -> None:
    """``_load``, but not anew for each job of a module that fails: that may take long, and
    who asks may have to renew leases meanwhile.
    """
    failed_at, reason = _broken.get(module_path, (-inf, ""))
    if monotonic() < failed_at + BROKEN_SECONDS:
        raise UnknownJobFunction(
            f"{path}: its module could not be imported: {reason}.{_nearest(path)}"
        )
    try:
        if within == inf:
            _load(path, module_path)
        else:
            _load_beside(path, module_path, within)
    except UnknownJobFunction as error:
        if error.__cause__ is not None:
            _broken[module_path] = monotonic(), in_words(error.__cause__)
        raise


def _load_beside(path: str, module_path: str, within: float) -> None:
    """``_load`` in a thread. Only who begins it waits: one that does not end is no longer
    waited for. Who has no time to wait begins none.
    """
    loading = _loading.get(module_path)
    if loading is None and within <= 0:
        raise UnknownJobFunction(f"{path}: its module is not imported yet.")
    if loading is None:
        loading = _loading[module_path] = Future()
        arguments = (loading, path, module_path)
        threading.Thread(target=_load_for, args=arguments, daemon=True).start()
        wait([loading], within)
    if not loading.done():
        raise UnknownJobFunction(
            f"{path}: the import of its module has not ended yet.{_nearest(path)}"
        )
    _loading.pop(module_path, None)
    loading.result()


def _load_for(loading: Future[None], path: str, module_path: str) -> None:
    try:
        _load(path, module_path)
    except BaseException as error:  # noqa: BLE001 - it is raised where it is heard
        loading.set_exception(error)
    else:
        loading.set_result(None)


def _load(path: str, module_path: str) -> None:
    try:
        _import(module_path)
    except JobTimeout:
        # It is over for the job that runs here and names the path.
        raise
    except (Exception, SystemExit) as error:
        reason = str(error) if isinstance(error, ImportError) else in_words(error)
        raise UnknownJobFunction(
            f"{path}: its module cannot be imported: {reason}.{_nearest(path)}"
        ) from error


def _import(module_path: str) -> None:
    try:
        import_module(module_path)
    except BaseException:
        if module_path not in sys.modules:
            _forget(module_path)
        raise


def _forget(module_path: str) -> None:
    """Of a module that failed to load no function may run: the rest of it is not there."""
    with _lock:
        for path in list(_functions):
            if path.rpartition(".")[0] == module_path:
                del _functions[path]


def _admit(path: str) -> JobFunction[..., Any]:
    """The job function of a path whose module is loaded."""
    found = _functions.get(path)
    if found is not None:
        return found
    module_path, name = _split(path)
    # Not getattr(): a module may have one that imports what it is asked for.
    names = vars(sys.modules.get(module_path, ModuleType(module_path)))
    if name not in names:
        raise UnknownJobFunction(f"{module_path} has no {name!r}.{_nearest(path)}")
    target = names[name]
    if isinstance(target, JobFunction):
        return target
    if path in _callbacks and isfunction(target):
        return define(target, path, JobOptions())
    raise UnknownJobFunction(
        f"{path} is {_kind(target)}, not a job function. Put @job above it."
    )


def _not_loaded(path: str, module_path: str) -> str:
    names = " or ".join(conf.get_settings().autodiscover)
    return (
        f"{path}: {module_path} is not loaded here, and is no module named {names} of "
        "an installed app: no other is imported for a job. Import it in one of those, "
        f"or add its name to REDISJOBS['AUTODISCOVER'].{_nearest(path)}"
    )


def _nearest(path: str) -> str:
    near = difflib.get_close_matches(path, _functions, n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _kind(target: object) -> str:
    return "a plain function" if isfunction(target) else f"a {type(target).__name__}"
