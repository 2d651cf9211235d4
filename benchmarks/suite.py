"""What is measured, in the order of the table."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator

from benchmarks import (
    calls,
    environments,
    files,
    images,
    lightning,
    loops,
    memory,
    pages,
    rates,
    reading,
    server,
    server_queries,
    server_sync,
    simulations,
    starting,
    vector,
)
from benchmarks.recording import Bench, DataLost
from benchmarks.table import Result

Measurement = Callable[[Bench], Iterator[Result]]

SUITE: dict[str, Measurement] = {
    "append": calls.append,
    "names": calls.names,
    "arrays": calls.arrays,
    "metrics": calls.metrics,
    "log": calls.log,
    "rows": rates.rows,
    "log-lines": rates.log_lines,
    "save-image": images.save_image,
    "jpeg": images.jpeg_rate,
    "png": images.png_rate,
    "small-frames": files.small_frames,
    "small-files": files.small_files,
    "python-loop": loops.python_loop,
    "numpy-loop": loops.numpy_loop,
    "memory-frames": memory.frame_memory,
    "memory-rows": memory.row_memory,
    "memory-file": memory.file_memory,
    "import": starting.import_time,
    "size": starting.install_size,
    "start": starting.run_start,
    "reading": reading.columns,
    "cartpole": environments.cartpole,
    "pixels": environments.pixels,
    "vector": vector.vector_steps,
    "lightning": lightning.fits,
    "mujoco-hook": simulations.hook_calls,
    "mujoco-loop": simulations.hook_loop,
    "server-rows": server.appended_rows,
    "server-clients": server.many_clients,
    "server-sync-rows": server_sync.replicated_rows,
    "server-sync-frames": server_sync.replicated_frames,
    "server-list": server_queries.run_list,
    "server-chart": server_queries.chart,
    "pages-slider": pages.slider,
    "pages-curve": pages.first_curve,
    "pages-table": pages.table,
}


def chosen(patterns: Iterable[str], skipped: Iterable[str] = ()) -> dict[str, Measurement]:
    """The measurements that any of the patterns names, or is part of the name of; all without any.

    Args:
        patterns: what to measure.
        skipped: patterns, too: what of that to leave out.

    Raises:
        ValueError: a pattern names none.
    """
    wanted, left_out = _named(patterns) or set(SUITE), _named(skipped)
    return {name: measure for name, measure in SUITE.items() if name in wanted - left_out}


def _named(patterns: Iterable[str]) -> set[str]:
    named: set[str] = set()
    for pattern in patterns:
        found = {pattern} & set(SUITE) or {name for name in SUITE if pattern in name}
        if not found:
            raise ValueError(f"no measurement is called {pattern!r}; there are {', '.join(SUITE)}")
        named |= found
    return named


def run(
    bench: Bench, measurements: dict[str, Measurement], say: Callable[[str], None]
) -> Iterator[Result]:
    """Measure. What fails becomes a line that says so, and the others go on."""
    for name, measure in measurements.items():
        begin = time.perf_counter()
        try:
            yield from measure(bench)
        except DataLost as error:
            yield Result(name, failed=f"data lost: {error}")
        except Exception as error:  # noqa: BLE001 - one defect must not cost the whole table
            yield Result(name, failed=f"{type(error).__name__}: {error}")
        say(f"{name}: {time.perf_counter() - begin:.1f} s")
        gc.collect()
