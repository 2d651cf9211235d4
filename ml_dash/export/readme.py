"""The README of an exported session: says of this very dataset what is in it and how to load it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def readme(facts: Mapping[str, Any], notes: Sequence[str]) -> str:
    """The text.

    Args:
        facts: what `<session>_metadata.json` says.
        notes: what else there is to know.
    """
    parts = [_head(facts), _files(facts), _sample(facts), _columns(facts), _loading(facts)]
    if facts["parameters"]:
        text = json.dumps(facts["parameters"], indent=2, ensure_ascii=False)
        parts.append(f"## Parameters of the run\n\n```json\n{text}\n```")
    if notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _head(facts: Mapping[str, Any]) -> str:
    run = facts["run"]
    height, width, _ = facts["frame_shape"]
    rate = facts["sampling_rate_hz"]
    shown = "one sample" if rate is None else f"{rate:.6g} Hz"
    kind = "resampled to a fixed rate" if facts["fixed_rate"] else "the usual interval"
    about = f"\n\n{run['description']}" if run.get("description") else ""
    return (
        f"# {facts['session_id']}{about}\n\n"
        f"{facts['num_frames']:,} frames of {height}x{width} pixels (height x width) from"
        f" `{facts['camera']}`, each with its sample of"
        f" {', '.join(f'`{track}`' for track in facts['tracks']) or 'no track'}.\n\n"
        "| | |\n|---|---|\n"
        f"| run | `{run['prefix']}` ({run['status']}) |\n"
        f"| start | {facts['start_time'] or facts['start_timestamp']} |\n"
        f"| end | {facts['end_time'] or facts['end_timestamp']} |\n"
        f"| duration | {facts['duration_s']:.3f} s |\n"
        f"| rate | {shown}, {kind} |"
    )


def _files(facts: Mapping[str, Any]) -> str:
    files, count = facts["files"], facts["num_frames"]
    shape = ", ".join(map(str, (count, *facts["frame_shape"])))
    if facts["format"] == "npy":
        frames = f"| `{files['frames']}` | uint8 ({shape}): the frames, RGB |"
    else:
        first = files["frames"] % 0
        last = files["frames"] % (count - 1)
        frames = f"| `{first}` to `{last}` | the frames, RGB, 8 bits, without loss |"
    return (
        "## Files\n\n| file | what |\n|---|---|\n"
        f"{frames}\n"
        f"| `{files['timestamps']}` | float32 ({count},): milliseconds since the first frame |\n"
        f"| `{files['data']}` | {count:,} lines of JSON: line i is the sample of frame i |\n"
        f"| `{facts['session_id']}_metadata.json` | what this session is, for programs |\n"
        f"| `{files['readme']}` | this page |"
    )


def _sample(facts: Mapping[str, Any]) -> str:
    return (
        "## A sample\n\n"
        "Each line has `timestamp_ms` (milliseconds since the first frame), `time_elapsed_s` (the"
        " same in seconds), `timestamp` (seconds as recorded, usually since 1970), `step` where one"
        " was recorded, and the columns below; nested ones are written here with dots. A value"
        " that is not finite is `null`, and `_nonfinite` says by JSON pointer what it was."
    )


def _columns(facts: Mapping[str, Any]) -> str:
    if not facts["columns"]:
        return "## Columns\n\nNo track was exported with these frames."
    lines = [
        "## Columns",
        "",
        "| column | type | least | greatest | track |",
        "|---|---|---|---|---|",
    ]
    for name, column in facts["columns"].items():
        low, high = (_number(column.get(key)) for key in ("min", "max"))
        missing = ", not in every sample" if column.get("optional") else ""
        lines.append(
            f"| `{name}` | {column['type']}{missing} | {low} | {high} | `{column['track']}` |"
        )
    return "\n".join(lines)


def _loading(facts: Mapping[str, Any]) -> str:
    files = facts["files"]
    if facts["format"] == "npy":
        frames = (
            f'frames = np.load({_quoted(files["frames"])}, mmap_mode="r")  # nothing is read yet'
        )
        extra = ""
    else:
        names = f"[{_quoted(files['frames'])} % i for i in range({facts['num_frames']})]"
        frames = f"frames = [np.asarray(Image.open(name)) for name in {names}]"
        extra = "from PIL import Image\n"
    return (
        "## Loading\n\n```python\nimport json\n\nimport numpy as np\n"
        f"{extra}\n{frames}\n"
        f"timestamps = np.load({_quoted(files['timestamps'])})\n"
        f'lines = open({_quoted(files["data"])}, encoding="utf-8")\n'
        "samples = [json.loads(line) for line in lines]\n"
        "print(frames[0].shape, timestamps[0], samples[0])\n```\n\n"
        "or, with ML-Dash:\n\n```python\nimport ml_dash\n\n"
        f"session = ml_dash.load_session({_quoted(facts['session_id'] + '_metadata.json')})\n"
        'print(len(session), session[0]["frame"].shape, session[0]["frame_timestamp_ms"])\n'
        "```"
    )


def _quoted(name: str) -> str:
    """A file's name as Python writes it."""
    return json.dumps(name, ensure_ascii=False)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.6g}"
