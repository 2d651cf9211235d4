"""Aligned rows as a dataset: loaders for PyTorch and TensorFlow, windows, and data frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import os

    import pandas
    import polars
    import pyarrow
    from torch.utils.data import DataLoader

    from ml_dash.export import ExportReport
    from ml_dash.loaders.windows import Windows
    from ml_dash.reading.aligned import Aligned
    from ml_dash.reading.samples import AlignedSamples

Names = Sequence[str] | Mapping[str, str]
"""Columns by the names that they are to have, or a list of columns that keep theirs."""


class Dataset:
    """What can be done with aligned rows beside reading them. `Aligned` is one.

    A sample, and so a batch, is a dict of

    * `frame`, or with several cameras `frames`, a dict of them by camera;
    * the columns, by the names they were asked for: `robot/position.x` unless said otherwise;
    * `step` (-1 where there is none), `timestamp_ms` (since the run's first row), `episode_index`
      and `run_index`.

    Numbers and booleans are float32, NaN where they are missing. Text, arrays whose lengths differ,
    and all else that is no number come as a list with one value a sample, `None` where missing;
    `ml_dash.loaders.fields` has the table.
    """

    def to_torch(
        self,
        batch_size: int | None = 32,
        shuffle: bool = False,
        num_workers: int = 0,
        *,
        columns: Names | None = None,
        obs_horizon: int | None = None,
        action_horizon: int | None = None,
        actions: Sequence[str] | None = None,
        pad: bool = True,
        missing_frames: str | None = None,
        drop_missing: bool | Sequence[str] = False,
        size: tuple[int, int] | None = None,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        collate_fn: Callable[..., Any] | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> DataLoader[dict[str, Any]]:
        """A PyTorch DataLoader. Its `dataset` is map-style and can be pickled.

        Frames are read and decoded in the workers: float32 (B, C, H, W) in [0, 1]. Columns are
        float32 `(B, *shape)`. With a horizon they are windows: (B, To, …) and (B, Ta, …).

        Args:
            batch_size: samples a batch; `None` for samples one by one.
            shuffle: draw them in another order each time.
            num_workers: processes that load, forked or spawned; 0 loads in this one.
            columns: which, all by default; a dict gives them names of its own:
                `{"obs": "env/steps.observation"}`.
            obs_horizon, action_horizon, actions, pad: of windows over time; see `windows`.
            missing_frames: what becomes of rows for which a camera has no frame: `drop` leaves them
                out, `hold` shows the last frame before in the episode (rows before its first are
                left out), `zero` a black one. By default they are left out with a warning.
            drop_missing: leave out rows that lack any of the columns, or one of these. A row that
                lacks a number has NaN there otherwise.
            size: height and width that frames are scaled to.
            transform: called with each sample, a dict of tensors, in the worker, to replace it.
            collate_fn: makes a batch of samples, in place of `ml_dash.loaders.collate.Collate`.
            seed: makes the order of shuffling the same in each run of the program.
            options: whatever else `torch.utils.data.DataLoader` takes, such as `drop_last`,
                `pin_memory` or `multiprocessing_context`.

        Raises:
            ImportError: PyTorch is not installed; the text is the pip line.
            KeyError: no such column.
            ValueError: an argument has no such value, or no row has a frame.
        """
        from ml_dash.loaders.torch import torch_loader

        samples = self._chosen(
            columns, missing_frames, drop_missing, size, obs_horizon, action_horizon, actions, pad
        )
        options |= {"transform": transform, "collate_fn": collate_fn, "seed": seed}
        return torch_loader(
            samples, batch_size, shuffle=shuffle, num_workers=num_workers, **options
        )

    def to_tensorflow(
        self,
        batch_size: int | None = 32,
        shuffle: bool = False,
        *,
        columns: Names | None = None,
        obs_horizon: int | None = None,
        action_horizon: int | None = None,
        actions: Sequence[str] | None = None,
        pad: bool = True,
        missing_frames: str | None = None,
        drop_missing: bool | Sequence[str] = False,
        size: tuple[int, int] | None = None,
        seed: int | None = None,
        drop_last: bool = False,
    ) -> Any:
        """A `tf.data.Dataset` of batches: dicts with frames (B, H, W, C), float32 in [0, 1].

        Text is `tf.string`, empty where it is missing. Arrays whose lengths differ are ragged
        tensors, empty where they are missing; boxes of shape (n, 4) are (B, n, 4), but arrays that
        differ in more than their length are flat. Windows of them, and anything else that is no
        number, are JSON text. Frames are decoded in TensorFlow's threads. The arguments are those
        of `to_torch`; `drop_last` leaves out a last batch that is not full.

        Raises:
            ImportError: TensorFlow is not installed; the text is the pip line.
            KeyError: no such column.
            ValueError: an argument has no such value, or no row has a frame.
        """
        from ml_dash.loaders.tensorflow import tensorflow_dataset

        samples = self._chosen(
            columns, missing_frames, drop_missing, size, obs_horizon, action_horizon, actions, pad
        )
        return tensorflow_dataset(
            samples, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last
        )

    def samples(
        self,
        columns: Names | None = None,
        *,
        missing_frames: str | None = None,
        drop_missing: bool | Sequence[str] = False,
        size: tuple[int, int] | None = None,
    ) -> AlignedSamples:
        """The samples that the loaders load, as numpy: by number, one dict each; to be pickled.

        Frames are decoded when they are asked for, columns are held. See `to_torch` for the
        arguments.
        """
        from ml_dash.reading.selection import make_samples

        rows = cast("Aligned", self)
        return make_samples(rows, columns, missing_frames, size, drop_missing)

    def windows(
        self,
        obs_horizon: int = 1,
        action_horizon: int = 1,
        *,
        columns: Names | None = None,
        actions: Sequence[str] | None = None,
        pad: bool = True,
        missing_frames: str | None = None,
        drop_missing: bool | Sequence[str] = False,
        size: tuple[int, int] | None = None,
    ) -> Windows:
        """Samples that hold several rows each, as numpy: past observations, future actions.

        That of row t has the observations of the rows t - obs_horizon + 1 to t and the actions of t
        to t + action_horizon - 1. It never leaves its episode (see `episode_index`): where it
        would, the first observation or the last action is repeated, and `obs_is_pad` or
        `action_is_pad` is True there. `step`, `timestamp_ms` and the indices are those of row t.

        Rows that are left out, by `missing_frames` or `drop_missing`, are left out before windows
        are made; `missing_frames="hold"` keeps the rows evenly spaced. Rows without an action, such
        as the last one of an episode of Gymnasium, are left out always.

        Args:
            obs_horizon: how many rows of observations, row t included.
            action_horizon: how many rows of actions, row t included.
            columns: which, as in `to_torch`.
            actions: which of them are actions, with or without their track; by default those
                called `action` or `actions`, and those nested in such a one. Frames and all other
                columns are observations.
            pad: with False there are only the rows whose windows lie in their episode as a whole.
            missing_frames, drop_missing, size: as in `to_torch`.

        Raises:
            ValueError: a horizon is below 1, or there is no action to make windows of.
        """
        from ml_dash.reading.selection import make_windows

        rows, horizons = cast("Aligned", self), (obs_horizon, action_horizon)
        return make_windows(
            rows, horizons, columns, actions, pad, missing_frames, size, drop_missing
        )

    def to_pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """Columns as a pandas DataFrame, with `step`, `timestamp` and `episode_index` first.

        Needs pandas; see `Table.to_pandas` for what becomes of missing values.
        """
        from ml_dash.reading.tabular import aligned_parts, to_pandas

        frame: pandas.DataFrame = to_pandas(aligned_parts(cast("Aligned", self), columns))
        return frame

    def to_polars(self, columns: Sequence[str] | None = None) -> polars.DataFrame:
        """Columns as a polars DataFrame, with `step`, `timestamp` and `episode_index` first."""
        from ml_dash.reading.tabular import aligned_parts, to_polars

        frame: polars.DataFrame = to_polars(aligned_parts(cast("Aligned", self), columns))
        return frame

    def to_arrow(self, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """Columns as an Arrow table, with `step`, `timestamp` and `episode_index` first."""
        from ml_dash.reading.tabular import aligned_parts, to_arrow

        return to_arrow(aligned_parts(cast("Aligned", self), columns))

    def export(
        self,
        format: str,
        to: str | os.PathLike[str] | None = None,
        *,
        frames: str | Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        overwrite: bool = False,
        progress: Callable[[int, int], None] | None = None,
        **options: Any,
    ) -> ExportReport:
        """Write these rows as a dataset that other programs load, as `RunView.export` does::

            rows = run.aligned("robot/arm", frames="camera", on="timestamp")
            rows.resample(hz=10, method="linear").export("npy", "arm_10hz")

        Every format gets these rows: `parquet` and `mcap`, which have each track on its own, too.
        Interpolated columns are held in memory; all else is written as it goes.

        Args:
            format: `npy png video parquet lerobot minari hdf5 mcap`.
            to: the folder or file that is made; by default `<prefix>_<format>`.
            frames: some of the aligned cameras; all of them by default.
            size: height and width that frames are scaled to.
            overwrite: replace an older export.
            progress: called with how much is done, and of how much.
            options: of the format; `ml_dash.export` lists them.

        Raises:
            FileExistsError: there is something at that place.
            ImportError: the format's package is not installed; the text is the pip line.
            TypeError: `hz`, `on`, `tolerance` or `repeats`: rows are joined and resampled before.
            ValueError: rows of several runs or not in order of time, no such format, or the rows
                have not what it needs.
        """
        from ml_dash.export import export_run
        from ml_dash.reading.excerpt import Excerpt

        rows = cast("Aligned", self)
        if "hz" in options:
            raise TypeError("export: these rows have their rate; rows.resample(hz=…) has another")
        if joining := [name for name in ("on", "tolerance", "repeats") if name in options]:
            raise TypeError(f"export: these rows are joined; give {joining[0]}= to run.aligned")
        options |= {"frames": (rows.cameras or None) if frames is None else frames, "size": size}
        options |= {"overwrite": overwrite, "progress": progress}
        return export_run(Excerpt(rows), format, to, hz=rows.parts.hz, is_aligned=True, **options)

    def _chosen(
        self,
        columns: Names | None,
        missing_frames: str | None,
        drop_missing: bool | Sequence[str],
        size: tuple[int, int] | None,
        obs_horizon: int | None,
        action_horizon: int | None,
        actions: Sequence[str] | None,
        pad: bool,
    ) -> AlignedSamples | Windows:
        """Samples, or windows of them where a horizon is given."""
        if obs_horizon is None and action_horizon is None:
            if actions is not None:
                raise ValueError("actions is for windows: give action_horizon= or obs_horizon=")
            return self.samples(
                columns, missing_frames=missing_frames, drop_missing=drop_missing, size=size
            )
        return self.windows(
            1 if obs_horizon is None else obs_horizon,
            1 if action_horizon is None else action_horizon,
            columns=columns,
            actions=actions,
            pad=pad,
            missing_frames=missing_frames,
            drop_missing=drop_missing,
            size=size,
        )
