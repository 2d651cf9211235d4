"""`Trainer(logger=MLDashLogger(...))`: a Lightning logger that records into an ML-Dash run."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Literal

from ml_dash import Experiment
from ml_dash_lightning import finished, ranks
from ml_dash_lightning.base import Logger, Nothing, adopt, rank_zero_only
from ml_dash_lightning.checkpoints import FOLDER, Checkpoints
from ml_dash_lightning.ending import (
    call_aside,
    end_by,
    exception,
    leave_sigterm_to_the_trainer,
)
from ml_dash_lightning.guard import count, harmless, harmless_as
from ml_dash_lightning.hyperparameters import hyperparameters
from ml_dash_lightning.link import Link, new_version
from ml_dash_lightning.media import Media
from ml_dash_lightning.models import Models
from ml_dash_lightning.plain import metric_value, row_of, short, whole
from ml_dash_lightning.recording import checked_prefix

KICK = 1.0
"""Seconds between two hints of `save` that rows may be written now."""

LAST_FLUSH = 5.0
"""Seconds that frames and files have before a job is requeued."""

SAVE_DIR = ".dash"
"""The folder of runs where nobody names another."""


class MLDashLogger(Media, Models, Logger):
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
    FAILED when a fit raised, CANCELLED after Ctrl-C. What is logged after that continues it. Where
    one process makes many runs, such as folds or trials, the last eight whose fits went well stay
    open; one before them is completed, and so is any of them when what comes after it crashes.
    `logger.experiment.run.complete()` ends one at once, with its threads and files.

    What goes wrong in recording never stops a training: it is told once, by the logger
    `ml_dash_lightning` of `logging`, and counted in `failures`.

    Args:
        save_dir: the folder that runs are kept in, local; by default that of `ML_DASH_ROOT`, else
            `.dash`. A run whose folder is given stays there, unless `dash_url` is given, too. A
            `LightningCLI` writes its `config.yaml` into it, and refuses to overwrite that of an
            earlier run unless it is given `save_config_kwargs={"overwrite": True}`.
        name: what is trained; may have several parts, such as `mnist/mlp`.
        version: of the run. That of an earlier run continues it, for example
            `os.environ["SLURM_JOB_ID"]`, which a requeued job keeps. By default, and for an empty
            text, the time at which the logger is made and four random characters.
        prefix: put in front of the names of metrics, tracks and files, to keep several trainers of
            one run apart.
        experiment: record into this one instead of one made from `name` and `version`. If it runs
            already, its end is its owner's affair.
        dash_url: a server to replicate to; without it that of `ML_DASH_URL`, or the one that
            `ml-dash login` has kept. `False`: none.
        log_model: keep checkpoints in the run: `True`, the best and the last when a fit ends;
            `"all"`, each one when it is written.
        description, tags, metadata: of the run; see `ml_dash.Experiment`.
        environment: record packages, git state and hardware at the start.

    Raises:
        ValueError, TypeError: a name, version or other argument that no run can have, or a setting
            in the environment or the configuration file. These are read by the constructor, which
            writes nothing and asks no server.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str] = SAVE_DIR,
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
        self._save_dir = _folder(save_dir)
        if not isinstance(name, str | None):
            raise TypeError(
                f"name is a {type(name).__name__}; give a text, such as 'mnist/mlp', or None"
            )
        if "://" in self._save_dir:
            raise ValueError(f"save_dir is {self._save_dir!r}; it must be a local folder")
        self._prefix = checked_prefix(prefix)
        self._log_model = log_model
        if experiment is None:
            parts = (name or "", new_version() if version in (None, "") else str(version))
            made = Experiment(
                "/".join(filter(None, parts)),
                # By default it is like any other run: it goes where ML_DASH_ROOT says, and to the
                # server that a login has kept.
                dash_root=None if self._save_dir == SAVE_DIR else self._save_dir,
                dash_url=dash_url,
                description=description,
                tags=tags,
                metadata=metadata,
                environment=environment,
            )
        self._link = Link(experiment or made, owned=experiment is None)
        self._reset()

    def _reset(self) -> None:
        """What a copy in another process begins anew."""
        self._reset_recording()
        self._metrics = self._path("lightning")
        self._checkpoints = Checkpoints(self._path(FOLDER), self._log_model == "all")
        self._reset_models()
        self._kicked = 0.0

    # -- the run ---------------------------------------------------------------------------------

    @property
    def experiment(self) -> Experiment:
        """The run's `ml_dash.Experiment`, started: `logger.experiment.track("a").append(...)`.

        On other ranks than zero something that swallows every call. A trainer asks for it before
        its first step.

        Raises:
            OSError: its folder cannot be made or written.
        """
        if getattr(rank_zero_only, "rank", 0):
            nothing: Any = Nothing()
            return nothing  # type: ignore[no-any-return]  # it stands in for one
        experiment = self._running()
        leave_sigterm_to_the_trainer()
        if self._link.owned:
            ranks.begin(experiment, sys._getframe(1).f_globals.get("__name__", ""))
        return experiment

    @property
    def name(self) -> str:
        """What is trained: the run's prefix without its last part."""
        return "/".join(self._link.prefix.split("/")[:-1])

    @property
    def version(self) -> str:
        """The last part of the run's prefix."""
        return self._link.prefix.split("/")[-1]

    @property
    def save_dir(self) -> str:
        """The folder that runs are kept in."""
        return self._link.root or self._save_dir

    @property
    def root_dir(self) -> str:
        """The folder of all versions."""
        return os.path.join(self.save_dir, self.name)  # noqa: PTH118 - as the framework has it

    @property
    def log_dir(self) -> str:
        """The run's folder. Checkpoints that the Trainer writes go below it by default."""
        return str(self._link.folder or os.path.join(self.root_dir, self.version))  # noqa: PTH118

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process records into the same run."""
        return {key: self.__dict__[key] for key in ("_save_dir", "_prefix", "_log_model", "_link")}

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
            row["metric/step"] = metric_value(step)
        if number is None and self._opened().current() is None:
            number = self._last_step + 1
        if number is not None:
            try:  # the usual row: numbers, under a step
                self._running().metrics(self._metrics).log(step=number, **row)
            except (TypeError, ValueError):
                pass  # a value that has to be made storable first
            else:
                self._last_step = number
                return
        try:
            self._last_step = self._record(number, metrics={self._metrics: row})
        except (TypeError, ValueError) as error:  # too long, as a rule: keep the others of the row
            count(self, "log_metrics", error)
            self._last_step = self._record(number, metrics={self._metrics: short(row)})

    @rank_zero_only
    @harmless
    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Record hyperparameters of any kind; what is no plain value as a text that says what."""
        plain = hyperparameters(params, self._prefix.replace("/", "."))
        self._running().params.set(plain)

    # -- the framework's calls -------------------------------------------------------------------

    @rank_zero_only
    @harmless
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Take over the checkpoints of a `ModelCheckpoint`, if `log_model` says so."""
        if self._log_model:
            self._checkpoints.note(checkpoint_callback, self._running())

    @rank_zero_only
    @harmless
    def save(self) -> None:
        """Hint that rows may be written now. Never waits: they are on their way already."""
        now = time.monotonic()
        if now - self._kicked > KICK and self._link.is_running:
            self._kicked = now
            self._link.experiment.flush(timeout=0)

    @rank_zero_only
    @harmless
    def finalize(self, status: str) -> None:
        """Called at the end of each fit, validate, test and predict, and when one of them raises.

        A success is not the end of the run; a failure is, and what is logged after it continues
        the run.
        """
        failed = status == "failed"
        # Where nothing was recorded, leave nothing. But ranks that this process has spawned may
        # have made the run, and cannot tell how they ended.
        made_elsewhere = failed and self._link.owned and self._link.exists and exception()
        if not self._link.is_running and not made_elsewhere:
            return
        if status == "finished":  # SLURM is about to end the process: called by a signal's handler
            call_aside(self._flush, LAST_FLUSH)
            return
        experiment = self._running()
        ranks.end(experiment)
        self._finish(experiment)
        if failed and self._link.owned:
            end_by(experiment.run, exception())
            return
        self.save()
        if status == "success" and self._link.owned:
            finished.finish(experiment)

    @harmless_as("finalize")
    def _flush(self) -> None:
        experiment = self._running()
        self._finish(experiment)
        experiment.flush(timeout=LAST_FLUSH)

    @harmless_as("finalize")  # how the run ends is told, too, where this cannot be done
    def _finish(self, experiment: Experiment) -> None:
        """Record what has been held back: at the end of a fit, and of the run."""
        self._finish_watches()
        if self._log_model:
            self._checkpoints.finish(experiment, final=self._ending)


def _folder(save_dir: Any) -> str:
    path = os.fspath(save_dir) if isinstance(save_dir, os.PathLike) else save_dir
    if not isinstance(path, str):
        kind = type(save_dir).__name__
        raise TypeError(f"save_dir is a {kind}; give a folder as a text or path, or leave it out")
    return path


adopt(MLDashLogger)
