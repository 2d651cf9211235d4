"""How fits end, and fits in several processes: one run, whole, with the right status."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from lightning_parts import SETUP, all_statuses, only_run
from scripts import finish, run, start, wait_for_line


def test_a_fit_that_nobody_ends_is_complete_when_the_process_ends(tmp_path: Path) -> None:
    """Neither `finalize` nor anybody else ends it; its last row is there."""
    script = (
        SETUP
        + """
logger = MLDashLogger(root, name="fit")
trainer(pl, logger, enable_checkpointing=False).fit(model(pl), data())
logger.log_metrics({"last": 1}, step=99)
"""
    )
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    found = only_run(tmp_path)
    assert found.status == "COMPLETED"
    assert found.metrics["lightning"].steps[-1] == 99


def test_checkpoints_are_whole_when_the_process_is_gone_after_the_fit(tmp_path: Path) -> None:
    """With the file that says which is the best, however much else is still to be encoded."""
    script = (
        SETUP
        + """
import os
import numpy as np
noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)
def log_pictures(module, index):
    logger.log_image("noise", [noise] * 4)
keeper = pl.callbacks.ModelCheckpoint(monitor="train/loss_epoch", save_last=True)
logger = MLDashLogger(root, name="fit", log_model=True)
trainer(pl, logger, callbacks=[keeper]).fit(model(pl, log_pictures), data())
os._exit(0)
"""
    )
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    found = only_run(tmp_path)
    (entry,) = found.files.read_json("checkpoints/checkpoints.json")
    kept = {Path(file["path"]).name for file in found.files.list("checkpoints/*.ckpt")}
    assert kept == {entry["best"], entry["last"]} == {*entry["scores"]}


def test_ctrl_c_makes_a_fit_cancelled(tmp_path: Path) -> None:
    """The trainer catches it and exits by itself; what was logged is there."""
    script = (
        SETUP
        + """
def wait(module, index):
    if index == 3:
        print("waiting", flush=True)
        time.sleep(60)
logger = MLDashLogger(root, name="fit")
trainer(pl, logger, enable_checkpointing=False).fit(model(pl, wait), data())
"""
    )
    process = start(tmp_path, script)
    wait_for_line(process, "waiting")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code != 0, err
    found = only_run(tmp_path)
    assert found.status == "CANCELLED", err
    assert found.metrics["lightning"].steps.tolist() == [0, 1, 2]


def test_an_exception_out_of_a_fit_makes_it_failed(tmp_path: Path) -> None:
    """Also when nobody catches it and the process ends by it."""
    script = (
        SETUP
        + """
def burst(module, index):
    raise RuntimeError("burst")
logger = MLDashLogger(root, name="fit")
trainer(pl, logger, enable_checkpointing=False).fit(model(pl, burst), data())
"""
    )
    code, _, err = run(tmp_path, script)
    assert code == 1 and "burst" in err
    found = only_run(tmp_path)
    assert found.status == "FAILED"
    assert "RuntimeError: burst" in found.sessions[0].error


def test_a_run_that_was_ended_is_not_failed_by_a_later_one(tmp_path: Path) -> None:
    """Folds of one process: the first is done when the second raises."""
    script = (
        SETUP
        + """
def burst(module, index):
    raise RuntimeError("burst")
for version, each in (("first", None), ("second", burst)):
    logger = MLDashLogger(root, name="fold", version=version)
    trainer(pl, logger, enable_checkpointing=False).fit(model(pl, each), data())
    logger.experiment.run.complete()
"""
    )
    code, _, err = run(tmp_path, script)
    assert code == 1 and "burst" in err
    assert all_statuses(tmp_path) == {"fold/first": "COMPLETED", "fold/second": "FAILED"}


SIGTERM = (
    SETUP
    + """
class Seen(pl.Callback):
    def on_exception(self, trainer, module, error):
        print("on_exception", type(error).__name__)
def terminate(module, index):
    if index == 3:
        os.kill(os.getpid(), signal.SIGTERM)
        print("goes on")
if sys.argv[2] == "bare":
    logger = False
else:
    logger = MLDashLogger(root, name="fit")
    if sys.argv[2] == "early":
        logger.log_hyperparams({"a": 1})
try:
    fit = trainer(pl, logger, enable_checkpointing=False, callbacks=[Seen()])
    fit.fit(model(pl, terminate), data())
except BaseException as error:
    print("left by", type(error).__name__, len(str(logger and logger.failures)))
    raise
"""
)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM kills at once")
def test_sigterm_in_a_fit_is_the_trainers(tmp_path: Path) -> None:
    """It ends the fit by an exception after the batch, as without a logger: CANCELLED."""
    _, bare, _ = run(tmp_path, SIGTERM, "bare")
    assert "on_exception SIGTERMException" in bare
    for when in ("late", "early"):
        folder = tmp_path / when
        folder.mkdir()
        code, out, err = run(folder, SIGTERM, when)
        assert code == 0, err
        assert out.split("left by")[0] == bare.split("left by")[0]
        found = only_run(folder)
        assert found.status == "CANCELLED"
        assert found.metrics["lightning"].steps.tolist() == [0, 1, 2, 3]


def test_sigterm_between_fits_cancels_the_run(tmp_path: Path) -> None:
    """Then the trainer is not at work: rows and status are written, and the process ends by it."""
    script = (
        SETUP
        + """
logger = MLDashLogger(root, name="fit")
trainer(pl, logger, epochs=1, enable_checkpointing=False).fit(model(pl), data())
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""
    )
    code, _, err = run(tmp_path, script)
    assert code in (-signal.SIGTERM, 128 + signal.SIGTERM), err
    assert only_run(tmp_path).status == "CANCELLED"


MODEL = """
import torch
class Model(pl.LightningModule):
    def __init__(self, lr: float = 0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        loss = self.layer(batch).pow(2).mean()
        self.log("loss", loss)
        if index == self.burst and self.global_rank >= self.first_to_burst:
            raise RuntimeError("burst")
        return loss
    burst, first_to_burst = None, 0
    def validation_step(self, batch, index):
        self.log("val_loss", self.layer(batch).pow(2).mean(), sync_dist=True)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)
    def train_dataloader(self):
        return data()
"""

DDP = (
    SETUP
    + MODEL
    + """
if __name__ == "__main__":
    logger = MLDashLogger(root, name="fit")
    fit = trainer(
        pl, logger, epochs=1, enable_checkpointing=False, strategy=sys.argv[2], devices=2,
        num_sanity_val_steps=0,
    )
    module = Model()
    if "burst" in sys.argv:
        module.burst, module.first_to_burst = 2, int(sys.argv[-1])
    logger.watch(module, log_freq=1)
    fit.fit(module, data(), data())
    if "more" in sys.argv:
        logger.log_metrics({"after": 1}, step=9)
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="gloo between processes")
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn"])
def test_ranks_write_one_run(tmp_path: Path, strategy: str) -> None:
    """Rank zero records; a script that each rank runs, and spawned ranks."""
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        code, out, err = run(folder, DDP, strategy, MASTER_ADDR="127.0.0.1")
        # What torch has rank one say, now and then, when it ends before a thread of its own has.
        if "terminate called without an active exception" not in err:
            break
    assert code == 0, out + err
    found = only_run(folder)
    assert found.status == "COMPLETED"
    losses = [row for row in found.metrics["lightning"].rows() if "loss" in row]
    assert [row["step"] for row in losses] == [0, 1, 2, 3]
    assert len([row for row in found.metrics["lightning"].rows() if "val_loss" in row]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="gloo between processes")
def test_forked_ranks_and_their_parent_write_one_run(tmp_path: Path) -> None:
    """The logger was made before the fork; its process goes on in the run afterwards."""
    code, out, err = run(tmp_path, DDP, "ddp_fork", "more", MASTER_ADDR="127.0.0.1")
    assert code == 0, out + err
    found = only_run(tmp_path)
    assert found.status == "COMPLETED"
    assert found.metrics["lightning"].steps.tolist()[-1] == 9
    assert len(list(found.metrics["lightning"].rows())) > 4
    assert found.metrics["norms"].steps.tolist() == [0, 1, 2, 3]


@pytest.mark.skipif(sys.platform != "linux", reason="gloo between processes")
@pytest.mark.parametrize(("strategy", "first"), [("ddp_fork", 0), ("ddp_spawn", 1)])
def test_a_failure_of_ranks_makes_the_run_failed(tmp_path: Path, strategy: str, first: int) -> None:
    """All ranks, or one that is not the recording one: their parent has the exception."""
    code, out, _ = run(tmp_path, DDP, strategy, "burst", first, MASTER_ADDR="127.0.0.1")
    assert code == 1, out
    found = only_run(tmp_path)
    assert found.status == "FAILED"
    assert any("burst" in (session.error or "") for session in found.sessions)
    losses = [row["step"] for row in found.metrics["lightning"].rows() if "loss" in row]
    assert losses == [0, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="there a rank is interrupted by a parent's end")
def test_ranks_whose_parent_is_ended_are_cancelled(tmp_path: Path) -> None:
    """They are interrupted, and torch keeps that to itself: the fit was not complete."""
    script = (
        SETUP
        + """
def wait(module, index):
    if index == 3:
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(60)
logger = MLDashLogger(root, name="fit")
fit = trainer(pl, logger, enable_checkpointing=False, strategy="ddp_fork", devices=1)
fit.fit(model(pl, wait), data())
"""
    )
    code, _, err = run(tmp_path, script, MASTER_ADDR="127.0.0.1")
    assert code == -signal.SIGTERM, err
    found = only_run(tmp_path)
    assert found.status == "CANCELLED"
    assert found.metrics["lightning"].steps.tolist() == [0, 1, 2]


CLI = (
    SETUP
    + MODEL
    + """
from lightning.pytorch.cli import LightningCLI
config = root.parent / "config.yaml"
config.write_text(f'''
trainer:
  accelerator: cpu
  max_epochs: 1
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_checkpointing: false
  logger:
    class_path: ml_dash_lightning.MLDashLogger
    init_args:
      save_dir: {root}
      name: fit
      version: 3
      log_model: all
      tags: [a, b]
model:
  lr: 0.05
''')
LightningCLI(Model, args=["fit", "--config", str(config)], save_config_kwargs={"overwrite": True})
"""
)


def test_a_command_line_makes_the_logger_from_plain_values(tmp_path: Path) -> None:
    """LightningCLI with `class_path` and `init_args` in a YAML file."""
    code, _, err = run(tmp_path, CLI)
    assert code == 0, err
    found = only_run(tmp_path)
    assert (found.prefix, found.tags, found.params["lr"]) == ("fit/3", ["a", "b"], 0.05)
    assert found.metrics["lightning"].steps.tolist() == list(range(8))
