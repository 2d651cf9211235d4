"""The command line: `python -m benchmarks --help`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if not __package__:  # `python benchmarks`, from anywhere
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

# BLAS threads that wait for one another measure how busy the machine is. Before numpy is loaded.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from benchmarks.command import main  # noqa: E402

sys.exit(main())
