"""What saving looks like to the user: one method for each kind of value."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_dash import lazy
from ml_dash.backends.blobs import Bytes
from ml_dash.files import serializers
from ml_dash.files.arguments import as_details, as_text, check_source
from ml_dash.files.movies import Movies
from ml_dash.files.place import Metadata
from ml_dash.files.serializers import PathLike, suffix_of
from ml_dash.files.shelves import Draft
from ml_dash.files.spool import HELD
from ml_dash.values import kind_name


class Savers(Movies):
    """Turns values into files of a run. `Files` is the one to use.

    Every `save…` returns the file's metadata (`id`, `path`, `size`, `sha256`, …) when it is on
    disk, and `{"status": "queued", "id": …, "path": …}` while it is still on its way. What the disk
    would not take is `{"status": "lost", …}`, and counted by `flush()`.

    All of them take, beside what is to be saved:
        to: the path below the prefix; its suffix says the format where there is a choice.
        step: the step that the file belongs to, a whole number. An image whose name ends in an
            integer has that one, unless a step is given.
        timestamp: the time that it belongs to, seconds; by default now.
    """

    def save(
        self,
        value: Any,
        *,
        to: PathLike | None = None,
        step: int | None = None,
        timestamp: float | None = None,
        background: bool = False,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Metadata:
        """Save a file, an array, a dict, bytes, text, a figure, an image, a model.

        | value | saved as |
        |---|---|
        | a path, or text that names a file | a copy of that file; see `save_file` |
        | other text, with `to` | `save_text` |
        | bytes | `save_blob` |
        | array, tensor, PIL image | what `to` says: `.png .jpg .npy .npz .pt .json` |
        | anything, `to` ends in `.pt` `.pth` `.ckpt` | `save_torch` |
        | anything, `to` ends in `.pkl` `.pickle` | `save_pkl` |
        | matplotlib figure | `save_fig` |
        | dict, list, dataclass | `save_json` |

        Args:
            value: what to save.
            to: the path below the prefix. For a file the default is its own name.
            step: the step that it belongs to.
            timestamp: the time that it belongs to, seconds; by default now.
            background: for a file, do not wait until it is copied; leave it alone until then.
            description: for this file; by default the handle's. So with `tags` and `metadata`.
            tags: short texts to find it by.
            metadata: what else there is to know, anything that JSON can hold.
            options: passed on, such as `quality` for an image.

        Raises:
            TypeError: no file form is known for the value's type.
            ValueError: `to` is missing where it is needed, or refused, or leaves the form open.
            FileNotFoundError: the value looks like a path and there is no such file.
        """
        target = self
        if description is not None or tags is not None or metadata is not None:
            details = {**self._details, **as_details(description, tags, metadata)}
            target = Savers(self._store, self._parts, details)
        kind = serializers.kind_of(value, to)
        if kind == "path":
            return target.save_file(
                value, to=to, step=step, timestamp=timestamp, background=background, **options
            )
        if background:
            raise ValueError("save: background= is for files; every other value is queued anyway")
        if to is None:
            raise ValueError(f"save: to= is missing, the path for this {kind_name(value)}")
        saver = getattr(target, f"save_{kind}")
        result: Metadata = saver(value, to=to, step=step, timestamp=timestamp, **options)
        return result

    def save_file(
        self,
        path: PathLike,
        *,
        to: PathLike | None = None,
        step: int | None = None,
        timestamp: float | None = None,
        background: bool = False,
    ) -> Metadata:
        """Copy a file into the run. It is never moved, changed or removed.

        Returns when the bytes are in the run, so that the file may be overwritten next. This is the
        one kind of saving that the caller waits for, and where the file system can share blocks
        (btrfs, XFS) the wait is short. Memory use does not depend on the file's size.

        Args:
            path: an existing file.
            to: its path in the run, below the prefix; the default is its own name, and one that
                ends in `/` is a folder for it.
            step: the step that it belongs to.
            timestamp: the time that it belongs to, seconds; by default now.
            background: queue the copy. What is copied is the file as it is at that time.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is a folder or a device, or `to` is refused.
            OSError: it cannot be opened.
        """
        source = Path(path).absolute()  # the program may change its folder before it is copied
        check_source(source)
        name = source.name if to is None else as_text(to)
        name = f"{name}{source.name}" if name.endswith("/") else name

        def copy(draft: Draft) -> None:
            file = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                draft.copy(file)
            finally:
                os.close(file)

        saving = self._saving(name, step, timestamp, copy)
        if background:
            return self._store.queue(saving, 0)
        os.close(os.open(source, os.O_RDONLY))  # a file that may not be read: say so
        return self._store.save(saving)

    def upload(self, fpath: PathLike, **options: Any) -> Metadata:
        """Another name for `save(fpath, …)` of a file, with the same options."""
        return self.save(Path(fpath), **options)

    def save_image(
        self,
        array: Any,
        *,
        to: PathLike,
        quality: int = 95,
        optimize: bool = False,
        size: tuple[int, int] | None = None,
        layout: str | None = None,
        step: int | None = None,
        timestamp: float | None = None,
    ) -> Metadata:
        """Save an image: a numpy array, a torch tensor, a PIL image.

        Args:
            array: `HxW`, `HxWx1`, `HxWx3` or `HxWx4`. uint8 as it is; bool as 0 and 255; floats in
                [0, 1] times 255; other ranges scaled to 0–255; 16-bit gray PNG stays 16-bit. NaN
                becomes 0, warned once. May be changed as soon as this returns.
            to: ends in `.png`, `.jpg` or `.jpeg`.
            quality: of a JPEG, 1–100.
            optimize: a smaller file of the same picture, for several times the time. A JPEG's
                encoder then holds the interpreter lock, which slows the program's other threads.
            size: height and width in pixels that the image is scaled to.
            layout: `"CHW"` when the channels come first.
            step: the step that it belongs to; by default the integer that ends its name.
            timestamp: the time that it belongs to, seconds; by default now.

        Raises:
            ValueError: the suffix, the shape, the type or the quality cannot be.
            ImportError: the encoder is not installed.
        """
        image = lazy.images()

        saving = self._saving(to, step, timestamp)
        where = f"save_image {saving.path!r}"
        kind = image.check_format(saving.parts[-1], quality, optimize=optimize)
        size = None if size is None else image.check_size(size)
        if size is not None or optimize:
            lazy.pillow()  # which does these; a worker thread must not import it
        if isinstance(array, image.Snapshot):  # taken by the recorder
            shot = dataclasses.replace(array, where=where, format=kind, size=size or array.size)
        else:
            shot = image.snapshot(array, layout=layout, format=kind, size=size, where=where)
        saving.facts |= {"width": shot.width, "height": shot.height, "channels": shot.channels}

        def encode() -> bytes:
            pixels, nonfinite = image.pixels(shot)
            if nonfinite:
                self._store.buffer.warn_once(
                    f"nonfinite {self._parts}",
                    f"{where}: {nonfinite:,} values are NaN or infinite and became 0; further"
                    " images with such values are not mentioned",
                )
            data: bytes = image.encode(pixels, kind, quality=quality, optimize=optimize)
            return data

        return self._store.queue(saving, shot.nbytes, encode)

    def save_text(
        self,
        content: str,
        *,
        to: PathLike,
        step: int | None = None,
        timestamp: float | None = None,
    ) -> Metadata:
        """Save text, as UTF-8."""
        if not isinstance(content, str):
            raise TypeError(f"save_text: content must be a text, not {kind_name(content)}")
        try:
            data = content.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"save_text: content is no valid Unicode text: {error.reason} at character"
                f" {error.start}; encode it as you mean it and use save_blob"
            ) from None
        return self._save_bytes(data, to, step, timestamp)

    def save_blob(
        self,
        data: Bytes,
        *,
        to: PathLike,
        step: int | None = None,
        timestamp: float | None = None,
    ) -> Metadata:
        """Save bytes."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"save_blob: data must be bytes, not {kind_name(data)}")
        return self._save_bytes(data, to, step, timestamp)

    def save_json(
        self,
        content: Any,
        *,
        to: PathLike,
        step: int | None = None,
        timestamp: float | None = None,
    ) -> Metadata:
        """Save anything that JSON can hold, indented; also arrays, dataclasses, enums and paths.

        NaN and infinities are written as Python's `json` writes and reads them.

        Raises:
            TypeError: a value has no JSON form; the message says where.
        """
        return self._save_bytes(serializers.encode_json(content), to, step, timestamp)

    def save_numpy(
        self,
        array: Any,
        *,
        to: PathLike,
        step: int | None = None,
        timestamp: float | None = None,
    ) -> Metadata:
        """Save an array as `.npy`, or a dict of arrays as `.npz`.

        Arrays of more than 64 MiB are written before this returns, instead of being copied first.

        Raises:
            ValueError: another suffix, or an array of Python objects.
        """
        suffix = suffix_of(as_text(to))
        size, write = serializers.numpy_writer(array, suffix, copy_up_to=HELD)
        saving = self._saving(to, step, timestamp, write)
        return self._store.save(saving) if size > HELD else self._store.queue(saving, size)

    def save_torch(
        self,
        model: Any,
        *,
        to: PathLike,
        step: int | None = None,
        timestamp: float | None = None,
    ) -> Metadata:
        """Save a model, a state dict or a tensor with `torch.save`.

        It is serialised here and now; beyond 64 MiB straight into the run, before this returns.

        Raises:
            ImportError: torch is not installed.
        """
        saving = self._saving(to, step, timestamp)
        where = f"save_torch {saving.path!r}"
        return self._store.spool(saving, lambda sink: serializers.write_torch(model, sink, where))

    def save_pkl(
        self,
        content: Any,
        *,
        to: PathLike,
        step: int | None = None,
        timestamp: float | None = None,
    ) -> Metadata:
        """Save any Python object that `pickle` takes, serialised here and now.

        Raises:
            TypeError: something in it cannot be pickled; the message says what and what to do.
        """
        saving = self._saving(to, step, timestamp)
        where = f"save_pkl {saving.path!r}"
        return self._store.spool(
            saving, lambda sink: serializers.write_pickle(content, sink, where)
        )

    def save_fig(
        self,
        fig: Any = None,
        *,
        to: PathLike,
        step: int | None = None,
        timestamp: float | None = None,
        close: bool = True,
        **options: Any,
    ) -> Metadata:
        """Save a matplotlib figure, drawn here and now, in the format of `to`'s suffix.

        Args:
            fig: the figure; by default pyplot's current one.
            to: ends in `.png`, `.pdf`, `.svg` or what else matplotlib writes.
            step: the step that it belongs to.
            timestamp: the time that it belongs to, seconds; by default now.
            close: take it off pyplot's list of figures, which else grows with every one.
            options: passed to `savefig`, such as `dpi`.

        Raises:
            ImportError: no figure is given and matplotlib is not installed.
        """
        figure = serializers.current_figure() if fig is None else fig
        if not hasattr(figure, "savefig"):
            raise TypeError(f"save_fig: fig must be a matplotlib figure, not {kind_name(figure)}")
        saving = self._saving(to, step, timestamp)
        suffix = suffix_of(as_text(to))
        result = self._store.spool(
            saving, lambda sink: serializers.write_figure(figure, suffix, sink, options)
        )
        if close:
            serializers.close_figure(figure)
        return result
