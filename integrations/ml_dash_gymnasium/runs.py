"""Whose run it is that a wrapper records into: the user's, or one that the wrapper makes and ends.

Nothing is made before the first reset: environments are made, checked, pickled and closed without
ever being used.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ml_dash import Experiment, check_path
from ml_dash_gymnasium.guard import Guard

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(slots=True)
class _Shared:
    """An experiment that wrappers of this process started, and how many of them use it."""

    experiment: Experiment
    users: int = 0


_started: dict[tuple[int, str], _Shared] = {}
_known: weakref.WeakValueDictionary[str, Experiment] = weakref.WeakValueDictionary()
_ended: weakref.WeakSet[Experiment] = weakref.WeakSet()  # by wrappers, which may start them again
_lock = threading.RLock()


class RunOwner:
    """Starts a wrapper's run when it is needed first, and ends it if it was started here.

    Args:
        experiment: the user's; or the prefix of one; or `None` for a new one, named by `name`.
        name: of the environment.
        guard: told when no run can be started; recording is off then.

    Raises:
        TypeError: `experiment` is none of these.
        ValueError: the prefix cannot be one.
    """

    def __init__(self, experiment: Any, name: str, guard: Guard) -> None:
        if not (experiment is None or isinstance(experiment, (str, PurePath, Experiment))):
            raise TypeError(
                f"experiment is a {type(experiment).__name__}; it must be an Experiment, the prefix"
                " of one such as 'project/name', or None for a run named after the environment"
            )
        if isinstance(experiment, (str, PurePath)):
            # Touches nothing, and tells now of a prefix that cannot be.
            experiment = Experiment(experiment).prefix
            running = _known.get(experiment)
            if running is not None and running.run.status == "RUNNING":
                experiment = running  # of an environment that is made again from its spec
        elif experiment is not None:
            _known[experiment.prefix] = experiment
        self._given = experiment
        self._name = name
        self._guard = guard
        self._key: tuple[int, str] | None = None  # of what this wrapper has started, or shares
        self._failed = False

    @property
    def owned(self) -> bool:
        """Whether the run was started by wrappers, and this is one of them."""
        return self._key is not None and self._key[0] == os.getpid()

    def start(self) -> Experiment | None:
        """The started experiment; `None` where there is none to record into."""
        if self._failed:
            return None
        try:
            with _lock:
                return self._start()
        except Exception as error:  # noqa: BLE001 - a world that fails never fails the training
            self._failed = True
            self._guard("the environment", error)
            return None

    def _start(self) -> Experiment | None:
        given = self._given
        if isinstance(given, Experiment):
            if given.run.status == "RUNNING":
                # Another wrapper may have started it, and must not end it before this one is done.
                return self._share(f"object {id(given)}") or given
            if given.run.status != "NOT STARTED" and given not in _ended:
                self._guard("the environment", f"the run {given.prefix!r} has ended")
                return None
            key = f"object {id(given)}"
        else:
            key = f"prefix {given}" if given is not None else f"own {id(self)}"
            shared = self._share(key)
            if shared is not None:
                return shared
        experiment = given if isinstance(given, Experiment) else self._make()
        experiment.run.start()
        mine = (os.getpid(), key)
        # Those who shared it before somebody ended it share it again.
        users = _started[mine].users if mine in _started else 0
        _started[mine] = _Shared(experiment, users + (self._key != mine))
        self._key = mine
        return experiment

    def _share(self, key: str) -> Experiment | None:
        shared = _started.get((os.getpid(), key))
        if shared is None or shared.experiment.run.status != "RUNNING":
            return None
        if not self.owned:
            self._key = (os.getpid(), key)
            shared.users += 1
        return shared.experiment

    def _make(self) -> Experiment:
        if isinstance(self._given, str):
            return Experiment(self._given)
        return Experiment(run_name(self._name), metadata={"env": self._name})

    def end(self, error: BaseException | None = None) -> None:
        """Let go of the run, and end it if it was started here and nobody else uses it.

        Args:
            error: what the program is ended by; the run has failed then.
        """
        key, self._key = self._key, None
        if key is None or key[0] != os.getpid():
            return
        with _lock:
            shared = _started[key]
            shared.users -= 1
            if shared.users:
                return
            del _started[key]
        run = shared.experiment.run
        _ended.add(shared.experiment)
        if error is None:
            run.complete()
        elif isinstance(error, KeyboardInterrupt):
            run.cancel()
        else:
            run.fail(error)


def as_argument(experiment: Any) -> Any:
    """What names an experiment in an environment's spec, which is copied and kept as JSON."""
    return experiment.prefix if isinstance(experiment, Experiment) else experiment


def run_name(name: str) -> str:
    """A prefix for a run of an environment: its name, the time, four random characters."""
    # From the system: programs seed `random`, and must find it as they left it.
    tail = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(4))
    return f"{name}/{time.strftime('%Y%m%d-%H%M%S')}-{tail}"


def env_name(env: Any) -> str:
    """What to call an environment: the id it was made by, else its class; fit for a prefix."""
    spec = getattr(env, "spec", None)
    name = getattr(spec, "id", None) or type(getattr(env, "unwrapped", env)).__name__
    clean = re.sub(r"[^\w.-]+", "-", str(name))[:60].strip("-._")
    reserved = clean.casefold() in ("run", "params", "logs", "metrics", "tracks", "files")
    if reserved or not clean:
        return f"{clean}-env"
    try:
        return check_path(clean)
    except ValueError:  # a device on Windows, such as a class `Aux`
        return f"env-{clean}"


def error_on_its_way() -> BaseException | None:
    """The exception that is being handled where this is called from: in `finally`, `except`."""
    return sys.exc_info()[1]


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # a thread that is not here may hold the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
