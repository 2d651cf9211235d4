"""PyTorch Lightning records into ML-Dash.

from lightning.pytorch import Trainer
from ml_dash_lightning import MLDashLogger

trainer = Trainer(logger=MLDashLogger(name="mnist/mlp"))
"""

from __future__ import annotations

from ml_dash_lightning.logger import MLDashLogger

__all__ = ["MLDashLogger"]
