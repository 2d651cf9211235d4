"""`minari`: a folder that `minari.load_dataset` takes. See `hdf5` for what is in it."""

from __future__ import annotations

from ml_dash.export.hdf5 import KINDS
from ml_dash.export.hdf5 import write_minari as write

__all__ = ["KINDS", "write"]
