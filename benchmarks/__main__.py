"""The command line: `python -m benchmarks --help`."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # `python benchmarks`, from anywhere
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.command import main

sys.exit(main())
