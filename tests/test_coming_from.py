"""What the pages of docs/coming-from show of other loggers, run where these are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import FENCE, ROOT

from ml_dash import open_run


def shown(document: str, word: str) -> str:
    """The block of a page in which a word stands; its last line, the call, is left out."""
    blocks = [code for _, code in FENCE.findall((ROOT / document).read_text()) if word in code]
    (code,) = blocks
    return code.rstrip().rpartition("\n")[0]


def test_event_files_of_tensorboard_become_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scalars of one step are one row, and images and texts keep their step."""
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path / "dash"))
    with SummaryWriter(str(tmp_path / "events")) as writer:
        for step in range(3):
            writer.add_scalar("train/loss", 1 / (step + 1), step)
            writer.add_scalar("train/accuracy", step / 4, step)
            writer.add_image("sample", np.full((3, 8, 8), step, np.uint8), step)
        writer.add_scalar("train/loss", 0.125, 1)  # a step comes again
        writer.add_text("note", "hello", 2)

    space: dict[str, Any] = {}
    exec(
        compile(shown("docs/coming-from/tensorboard.md", "EventAccumulator"), "page", "exec"), space
    )
    space["bring"](str(tmp_path / "events"), "brought")

    run = open_run("brought", root=tmp_path / "dash")
    assert run.metrics["train"].steps.tolist() == [0, 1, 2, 1]
    assert run.metrics["train"]["loss"].tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0.125])
    assert run.metrics["train"]["accuracy"][:3].tolist() == [0, 0.25, 0.5]
    assert run.frames("sample").steps.tolist() == [0, 1, 2]
    assert [(message["message"], message["step"]) for message in run.logs] == [("hello", 2)]
