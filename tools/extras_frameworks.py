"""One small use of each adapter, in an environment with its framework and nothing else.

An adapter is imported before its framework: it is the adapter that says what is missing.
"""

from __future__ import annotations

from importlib import import_module

from ml_dash import Experiment, open_run

STEPS = 50
BALL = """
<mujoco><worldbody>
  <light pos="0 0 3"/><camera name="front" pos="0 -2 0.4" xyaxes="1 0 0 0 0 1"/>
  <body pos="0 0 1"><freejoint name="ball"/><geom size="0.1" rgba="0.9 0.2 0.2 1"/></body>
</worldbody></mujoco>"""


def gymnasium() -> None:
    """An environment that needs no further package, recorded and read back."""
    adapter = import_module("ml_dash_gymnasium")
    from gymnasium import make

    with Experiment("rl/cartpole", echo=False).run as experiment:
        env = adapter.RecordToDash(make("CartPole-v1"), experiment)
        env.reset(seed=1)
        for _ in range(STEPS):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        env.close()
    found = open_run("rl/cartpole")
    assert len(list(adapter.transitions(found))) == STEPS


def mujoco() -> None:
    """A simulation with one camera, recorded and read back."""
    adapter = import_module("ml_dash_mujoco")
    from mujoco import MjData, MjModel, mj_step

    model = MjModel.from_xml_string(BALL)
    data = MjData(model)
    with Experiment("robotics/ball", echo=False).run as experiment:
        hook = adapter.RenderHook(
            experiment, model, cameras=["front"], size=(48, 64), fps=30, state=["qpos"]
        )
        while data.time < 1:
            mj_step(model, data)
            hook(data)
    rows = open_run("robotics/ball").aligned("mujoco/state", frames="mujoco/front")
    assert len(rows) == 30, f"{len(rows)} rows of 30"
    assert rows.frame(0).shape == (48, 64, 3)


def lightning() -> None:
    """A fit with our logger, read back."""
    adapter = import_module("ml_dash_lightning")
    import torch
    from lightning import pytorch

    class Line(pytorch.LightningModule):
        """Learns twice what comes in."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            """Log the loss."""
            loss = torch.nn.functional.mse_loss(self.layer(batch), 2 * batch)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            """One that needs nothing."""
            return torch.optim.SGD(self.parameters(), 0.1)

    logger = adapter.MLDashLogger(name="line", version="first")
    trainer = pytorch.Trainer(
        logger=logger,
        max_epochs=2,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Line(), torch.utils.data.DataLoader(torch.rand(64, 1), batch_size=8))
    logger.experiment.run.complete()
    assert len(open_run("line/first").metrics["lightning"]["loss"]) == 16
