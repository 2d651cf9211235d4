"""`Trainer(logger=MLDashLogger(...))`: a Lightning logger that records into an ML-Dash run."""

from __future__ import annotations

import os
import secrets
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ml_dash import Experiment, Recorder
from ml_dash_lightning.base import Logger, Nothing, adopt, rank_zero_only
from ml_dash_lightning.checkpoints import FOLDER, Checkpoints
from ml_dash_lightning.guard import count, harmless
from ml_dash_lightning.media import Media
from ml_dash_lightning.plain import hyperparameters, row_of, whole
from ml_dash_lightning.watch import Watch

KICK = 1.0
"""Seconds between two hints of `save` that rows may be written now."""


class MLDashLogger(Media, Logger):
    """Records what a `Trainer` or `Fabric` logs into the run `<save_dir>/<name>/<version>`.

    | Lightning | in the run |
    |---|---|
    | `log_metrics`, `self.log` | `metrics("lightning")`: a row a call, in order, with its step |
    | hyperparameters | `params` |
    | `log_image`, `log_video` | files and tracks `images/<key>`, `videos/<key>` |
    | `log_text`, `log_table` | tracks `texts/<key>`, `tables/<key>` |
    | `log_graph` | the file `model.txt` |
    | `watch` | `metrics("norms")` |
    | checkpoints (`log_model`) | files `checkpoints/…`, with `checkpoints.json` |

    Metrics called `step` or `timestamp`, or beginning with `_`, are stored as `metric/<name>`. The
    run starts when something is first recorded, by rank zero; a logger that is never used leaves
    nothing. It goes on over `fit`, `test` and further fits until the process ends: COMPLETED then,
    FAILED when a fit raised, CANCELLED after Ctrl-C. What is logged after that continues it.

    What goes wrong in recording never stops a training: it is told once, by the logger
    `ml_dash_lightning` of `logging`, and counted in `failures`.

    Args:
        save_dir: the folder that runs are kept in, local.
        name: what is trained; may have several parts, such as `mnist/mlp`.
        version: of the run. That of an earlier run continues it, for example
            `os.environ["SLURM_JOB_ID"]`, which a requeued job keeps. By default the time of the
            first use and four random characters.
        prefix: put in front of the names of metrics, tracks and files, to keep several trainers of
            one run apart.
        experiment: record into this one instead of one made from `name` and `version`. If it runs
            already, its end is its owner's affair.
        dash_url: a server to replicate to.
        log_model: keep checkpoints in the run: `True`, the best and the last when a fit ends;
            `"all"`, each one when it is written.
        description, tags, metadata: of the run; see `ml_dash.Experiment`.
        environment: record packages, git state and hardware at the start.

    Raises:
        ValueError, TypeError: a name, version or other argument that no run can have. Nothing is
            read or written by the constructor.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str] = ".dash",
        name: str | None = "lightning",
        version: int | str | None = None,
        prefix: str = "",
        experiment: Experiment | None = None,
        *,
        dash_url: str | bool | None = None,
        log_model: bool | Literal["all"] = False,
        description: str | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        environment: bool | None = None,
    ) -> None:
        super().__init__()
        if experiment is not None and not isinstance(experiment, Experiment):
            raise TypeError(
                f"experiment must be an ml_dash.Experiment, not {type(experiment).__name__}; a run"
                " is named by save_dir, name and version"
            )
        if log_model not in (True, False, "all"):
            raise ValueError(f"log_model is {log_model!r}; it must be True, False or 'all'")
        self._save_dir = os.fspath(save_dir)
        self._name = name or ""
        self._version = None if version is None else str(version)
        self._prefix = prefix.strip("/")
        self._arguments: dict[str, Any] = {
            "dash_root": self._save_dir,
            "dash_url": dash_url,
            "description": description,
            "tags": tags,
            "metadata": metadata,
            "environment": environment,
        }
        self._experiment = experiment
        self._owned = experiment is None
        self._log_model = log_model
        if experiment is None:
            self._make(self._version or "0")  # what is wrong with the arguments is told here
        self._reset()

    def _reset(self) -> None:
        """What a copy in another process begins anew."""
        self.failures: dict[str, int] = {}
        self._recorder: Recorder | None = None
        self._recorder_of: Any = None
        self._checkpoints = Checkpoints(self._path(FOLDER), self._log_model == "all")
        self._watches: list[Watch] = []
        self._graph = ""
        self._kicked = 0.0

    # -- the run ---------------------------------------------------------------------------------

    @property
    def experiment(self) -> Experiment:
        """The run's `ml_dash.Experiment`, started: `logger.experiment.track("a").append(...)`.

        On other ranks than zero something that swallows every call.
        """
        if getattr(rank_zero_only, "rank", 0):
            nothing: Any = Nothing()
            return nothing  # type: ignore[no-any-return]  # it stands in for one
        return self._running()

    def _running(self) -> Experiment:
        if self._experiment is None:
            self._experiment = self._make(self.version)
        if self._experiment.run.status != "RUNNING":
            self._owned = True  # started by us, so ended by us
            self._experiment.run.start()
        return self._experiment

    def _make(self, version: str) -> Experiment:
        return Experiment(f"{self._name}/{version}".strip("/"), **self._arguments)

    @property
    def name(self) -> str:
        """What is trained: the first part of the run's prefix."""
        return self._name if self._experiment is None else str(Path(self._experiment.prefix).parent)

    @property
    def version(self) -> str:
        """The last part of the run's prefix; made up, once, where none was given."""
        if self._experiment is not None:
            return Path(self._experiment.prefix).name
        if self._version is None:
            self._version = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        return self._version

    @property
    def save_dir(self) -> str:
        """The folder that runs are kept in."""
        if self._experiment is not None and self._experiment.folder is not None:
            parts = len(Path(self._experiment.prefix).parts)
            return str(self._experiment.folder.parents[parts - 1])
        return self._save_dir

    @property
    def root_dir(self) -> str:
        """The folder of all versions."""
        return os.path.join(self.save_dir, self.name)  # noqa: PTH118 - as the framework has it

    @property
    def log_dir(self) -> str:
        """The run's folder. Checkpoints that the Trainer writes go below it by default."""
        return os.path.join(self.root_dir, self.version)  # noqa: PTH118 - as above

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process records into the same run."""
        self._version = self.version
        mine = ("failures", "_recorder", "_recorder_of", "_checkpoints", "_watches", "_graph")
        return {key: value for key, value in self.__dict__.items() if key not in mine}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    # -- recording -------------------------------------------------------------------------------

    @rank_zero_only
    @harmless
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record metrics: one row, under the trainer's step, whatever came before it."""
        row = row_of(metrics)
        number = whole(step)
        if number is None and step is not None:
            row["metric/step"] = step
        self._record(number, metrics={self._path("lightning"): row})

    @rank_zero_only
    @harmless
    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Record hyperparameters of any kind; what is no plain value as a text that says what."""
        experiment = self._running()
        plain = hyperparameters(params)
        if self._prefix:
            plain = {self._prefix.replace("/", "."): plain}
        try:
            experiment.params.set(plain)
        except (TypeError, ValueError):
            for key, value in plain.items():  # one of them is odd: keep the others as they are
                try:
                    experiment.params.set({key: value})
                except (TypeError, ValueError) as error:
                    count(self, f"log_hyperparams({key!r})", error)
                    experiment.params.set({f"param/{key}".replace(".", "/"): repr(value)})

    @rank_zero_only
    @harmless
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Save the model's structure as the text file `model.txt`, when it is a new one."""
        text = f"{model}\n\n{sum(p.numel() for p in model.parameters()):,} parameters\n"
        if text != self._graph:
            self._graph = text
            self._running().files.save_text(text, to=self._path("model.txt"))

    @rank_zero_only
    def watch(self, model: Any, log: str = "gradients", log_freq: int = 100) -> None:
        """Record the norms of a module's gradients, parameters, or both while it is trained.

        Rows of `metrics("norms")`: `gradients/<parameter>`, `parameters/<parameter>`, and over all
        of them `gradients` and `parameters`.

        Args:
            model: the module; that of a trainer gives the rows its `global_step`.
            log: `gradients`, `parameters` or `all`.
            log_freq: backward passes between two rows.

        Raises:
            ValueError: `log` or `log_freq` is none of these.
        """
        if log not in ("gradients", "parameters", "all"):
            raise ValueError(f"watch: log is {log!r}; give 'gradients', 'parameters' or 'all'")
        if log_freq < 1:
            raise ValueError(f"watch: log_freq is {log_freq}; it counts from 1 on")
        self._watches.append(Watch(model, log, log_freq, self._emit_norms))

    @harmless
    def _emit_norms(self, step: int | None, norms: dict[str, Any]) -> None:
        self._record(step, metrics={self._path("norms"): norms})

    def unwatch(self) -> None:
        """Stop recording norms."""
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.close()

    def _record(self, step: int | None, **what: Any) -> int:
        experiment = self._running()
        handle = experiment.metrics
        if self._recorder is None or self._recorder_of is not handle:  # started anew meanwhile
            self._recorder = experiment.recorder(strict=False, format="png")
            self._recorder_of = handle
        return self._recorder.record(step, **what)

    def _path(self, kind: str, key: str = "") -> str:
        return "/".join(filter(None, (self._prefix, kind, key.strip("/"))))

    # -- the framework's calls -------------------------------------------------------------------

    @rank_zero_only
    @harmless
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Take over the checkpoints of a `ModelCheckpoint`, if `log_model` says so."""
        if self._log_model:
            self._checkpoints.note(checkpoint_callback, self._running())

    @rank_zero_only
    def save(self) -> None:
        """Hint that rows may be written now. Never waits: they are on their way already."""
        now = time.monotonic()
        if self._experiment is not None and now - self._kicked > KICK:
            self._kicked = now
            self._experiment.flush(timeout=0)

    @rank_zero_only
    @harmless
    def finalize(self, status: str) -> None:
        """Called at the end of each fit, validate, test and predict, and when one of them raises.

        A success is not the end of the run; a failure is, and what is logged after it continues
        the run.
        """
        experiment = self._experiment
        if experiment is None or experiment.run.status != "RUNNING":
            return  # nothing was recorded: leave nothing
        for watch in self._watches:
            watch.finish()
        if self._log_model:
            self._checkpoints.finish(experiment)
        if status == "failed" and self._owned:
            error = _error()
            if isinstance(error, KeyboardInterrupt):
                experiment.run.cancel()
            else:
                experiment.run.fail(error)
        else:
            self.save()


def _error() -> BaseException | None:
    """The exception that is being handled: the trainer calls `finalize` while it handles one."""
    import sys

    return sys.exc_info()[1]


adopt(MLDashLogger)
