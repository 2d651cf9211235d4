"""Copies the segments and files of a run's folder to a server, in the background or at once.

The disk is the truth: what is still to be sent is the difference between the folder and what the
server says it has. So an outage needs no memory, and whoever goes on later needs no notes.
"""

from __future__ import annotations

from ml_dash.sync.replicate import replicate
from ml_dash.sync.replicator import Replicator
from ml_dash.sync.report import ReplicaReport

__all__ = ["ReplicaReport", "Replicator", "replicate"]
