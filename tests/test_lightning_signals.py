"""Signals that reach a fit: what was logged is there, and the framework's own handling works."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightning_parts import SETUP, only_run
from scripts import finish, run, start, wait_for_line

from ml_dash import Experiment, open_run
from ml_dash_lightning import MLDashLogger, ending, logger

TOLD = (
    SETUP
    + """
class Told(MLDashLogger):
    def log_metrics(self, metrics, step=None):
        super().log_metrics(metrics, step)
        print("logged", step, flush=True)
"""
)
ENDLESS = (
    TOLD
    + """
logger = Told(root, name="fit", version=1)
trainer(pl, logger, epochs=10_000, enable_checkpointing=False).fit(model(pl), data())
"""
)


def logged(out: str) -> list[int]:
    """The steps that a script said its logger had recorded."""
    return [int(line.split()[1]) for line in out.splitlines() if line.startswith("logged ")]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_fit_that_is_killed_has_lost_no_row(tmp_path: Path) -> None:
    """Every row whose call had returned is there, in order, and the next process continues."""
    process = start(tmp_path, ENDLESS)
    wait_for_line(process, "logged 40")
    process.kill()
    code, out, err = finish(process)
    assert code == -signal.SIGKILL, err
    told = logged(out)
    steps = open_run(tmp_path / "dash" / "fit" / "1").metrics["lightning"].steps.tolist()
    after = steps[steps.index(40) :]
    assert steps[:2] == [0, 1] and sorted(steps) == steps
    assert len(told) <= len([step for step in after if step > 40]) <= len(told) + 2
    more = SETUP + 'MLDashLogger(root, name="fit", version=1).log_metrics({"more": 1}, step=7)'
    code, _, err = run(tmp_path, more)
    assert code == 0, err
    found = only_run(tmp_path)
    assert found.status == "COMPLETED"
    assert found.metrics["lightning"].steps.tolist() == [*steps, 7]


REQUEUED = (
    TOLD
    + """
from lightning.pytorch.plugins.environments import SLURMEnvironment
def requeue(module, index):
    if "first" in sys.argv and module.trainer.global_step == 11:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
logger = Told(root, name="fit", version=os.environ["SLURM_JOB_ID"])
fit = trainer(
    pl, logger, enable_checkpointing=False, default_root_dir=root.parent, devices=1,
    plugins=[SLURMEnvironment(auto_requeue=True, requeue_signal=signal.SIGUSR1)],
)
fit.fit(model(pl, requeue), data())
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="SLURM runs there")
def test_a_requeued_job_continues_its_run(tmp_path: Path) -> None:
    """The signal saves rows and a checkpoint; the job with the same id goes on where it ended."""
    bin = tmp_path / "bin"
    bin.mkdir()
    asked = bin / "scontrol"
    asked.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    asked.chmod(0o755)
    job = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "fit"}
    job |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    job |= {"SLURM_NODELIST": "localhost", "PATH": f"{bin}:/usr/bin:/bin"}
    _, first, err = run(tmp_path, REQUEUED, "first", **job)
    assert (tmp_path / "asked").read_text() == "requeue 77\n", err
    assert list(tmp_path.glob("hpc_ckpt_*.ckpt"))
    before = only_run(tmp_path)
    assert before.prefix == "fit/77" and before.status == "CANCELLED"
    assert before.metrics["lightning"].steps.tolist() == logged(first)
    code, second, err = run(tmp_path, REQUEUED, **job)
    assert code == 0, err
    found = only_run(tmp_path)
    assert found.status == "COMPLETED" and len(found.sessions) == 2
    assert logged(first)[-1] == 11 and logged(second)[0] > 10
    assert found.metrics["lightning"].steps.tolist() == logged(first) + logged(second)


def test_a_requeue_never_waits_for_what_it_interrupts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread may hold a lock when the signal comes, and goes on only after the handler."""
    monkeypatch.setattr(logger, "LAST_FLUSH", 0.05)
    lock, flushed = threading.Lock(), threading.Event()

    def flush(*_: Any, **__: Any) -> None:
        with lock:
            flushed.set()

    ours = MLDashLogger(tmp_path, environment=False)
    ours.log_metrics({"a": 1}, step=0)
    with monkeypatch.context() as patched:
        patched.setattr(Experiment, "flush", flush)
        with lock:
            ours.finalize("finished")
            assert not flushed.is_set()
        assert flushed.wait(30)
    ours.experiment.run.complete()


# -- SIGTERM ---------------------------------------------------------------------------------------


@pytest.fixture
def sigterm() -> Iterator[list[int]]:
    """What a handler of a package of ours is told; the former handler comes back."""
    told: list[int] = []

    def handler(number: int, frame: Any) -> None:
        told.append(number)

    handler.__module__ = "ml_dash.exits"
    former = signal.signal(signal.SIGTERM, handler)
    yield told
    signal.signal(signal.SIGTERM, former)


def called_from(module: str) -> None:
    """Call the handler of SIGTERM as code of `module` would."""
    space = {"__name__": module, "handler": signal.getsignal(signal.SIGTERM)}
    exec("handler(15, None)", space)


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_a_trainer_that_calls_our_handler_does_not_end_the_process(
    sigterm: list[int], package: str
) -> None:
    """It calls the one that it found; anybody else's call, and Python's own, is heard."""
    ending.leave_sigterm_to_the_trainer()
    called_from(f"{package}.trainer.connectors.signal_connector")
    assert sigterm == []
    called_from("__main__")
    signal.raise_signal(signal.SIGTERM)
    assert sigterm == [15, 15]


def test_a_handler_is_wrapped_once(sigterm: list[int]) -> None:
    """However often a trainer asks for the experiment."""
    ending.leave_sigterm_to_the_trainer()
    wrapped = signal.getsignal(signal.SIGTERM)
    ending.leave_sigterm_to_the_trainer()
    assert signal.getsignal(signal.SIGTERM) is wrapped


@pytest.mark.usefixtures("sigterm")
@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler])
def test_a_handler_of_the_programs_own_is_left_alone(handler: Any) -> None:
    """Only that of an open run is kept from the trainer."""
    signal.signal(signal.SIGTERM, handler)
    ending.leave_sigterm_to_the_trainer()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_handlers_are_set_by_the_main_thread_only(sigterm: list[int]) -> None:
    """Elsewhere Python has none set: a trainer in a thread is not stopped by that."""
    before = signal.getsignal(signal.SIGTERM)
    failures: list[BaseException] = []

    def fit() -> None:
        try:
            ending.leave_sigterm_to_the_trainer()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert failures == [] and signal.getsignal(signal.SIGTERM) is before
