"""TensorFlow: a `tf.data.Dataset` of batches."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import orjson

from ml_dash.errors import missing_extra
from ml_dash.loaders.collate import brightest
from ml_dash.loaders.fields import (
    EXACT,
    IMAGE,
    LIST,
    RAGGED,
    TEXT,
    Array,
    Field,
    Samples,
    Values,
    gather,
    nest,
)

_AT_ONCE = 32


def tensorflow_dataset(
    samples: Samples,
    batch_size: int | None = 32,
    *,
    shuffle: bool = False,
    seed: int | None = None,
    drop_last: bool = False,
) -> Any:
    """A `tf.data.Dataset` of batches, dicts of tensors; `len` tells how many there are.

    Samples are read and decoded in TensorFlow's threads while it works on the batch before.

    Args:
        samples: what to load.
        batch_size: how many samples a batch has; `None` for samples that are not batched.
        shuffle: draw all samples in another order each time.
        seed: makes the order of shuffling the same in each run of the program.
        drop_last: leave out the last batch if it is not full.

    Raises:
        ImportError: TensorFlow is not installed; the text is the pip line.
    """
    try:
        tf: Any = import_module("tensorflow")  # it ships no types that mypy can read
    except ImportError as error:
        raise missing_extra("tensorflow", "to_tensorflow", "tensorflow") from error
    dataset = tf.data.Dataset.range(len(samples))
    if shuffle:
        dataset = dataset.shuffle(max(len(samples), 1), seed=seed, reshuffle_each_iteration=True)
    if batch_size is None:  # read some at a time all the same
        dataset = dataset.batch(_AT_ONCE)
    else:
        dataset = dataset.batch(batch_size, drop_remainder=drop_last)
    dataset = dataset.map(_reader(tf, samples), num_parallel_calls=tf.data.AUTOTUNE)
    if batch_size is None:
        dataset = dataset.unbatch()
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(samples)))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _reader(tf: Any, samples: Samples) -> Callable[[Any], dict[str, Any]]:
    """What makes a batch of numbers of samples."""
    fields = dict(samples.fields)
    types = [getattr(tf, name) for field in fields.values() for name in _types(field)]

    def read(indices: Array) -> list[Array]:
        found = gather(samples, np.asarray(indices, np.int64))
        return [part for key, field in fields.items() for part in _parts(found[key], field)]

    def batch(indices: Any) -> dict[str, Any]:
        parts = iter(tf.numpy_function(read, [indices], types, stateful=False))
        return nest({key: _assembled(tf, field, parts) for key, field in fields.items()})

    return batch


def _is_ragged(field: Field) -> bool:
    """Whether a field is a RaggedTensor: arrays of any length, but not windows of them."""
    return field.kind == LIST and field.dtype == RAGGED and not field.shape


def _types(field: Field) -> list[str]:
    """The types of the arrays that a field is handed over in."""
    if _is_ragged(field):
        return ["float32", "int64"]
    if field.kind == LIST:
        return ["string"]
    return [field.dtype if field.kind == EXACT else "float32"]


def _parts(values: Values, field: Field) -> list[Array]:
    """A field of a batch as plain arrays."""
    if _is_ragged(field):
        rows = [np.asarray([] if value is None else value, np.float32) for value in values]
        rows = [row.reshape(-1, *field.inner) for row in rows]
        lengths = np.array([len(row) for row in rows], np.int64)
        return [np.concatenate([np.empty((0, *field.inner), np.float32), *rows]), lengths]
    if field.kind == LIST:
        texts = [_text(value, field) for value in _flat(values, field)]
        return [np.array(texts, object).reshape(len(values), *field.shape)]
    array = np.asarray(values)
    if field.kind == IMAGE:
        return [array.astype(np.float32) / np.float32(brightest(array))]
    return [array.astype(field.dtype if field.kind == EXACT else np.float32)]


def _flat(values: Values, field: Field) -> list[Any]:
    return [item for value in values for item in value] if field.shape else list(values)


def _text(value: Any, field: Field) -> bytes:
    if value is None:
        return b""
    if field.dtype == TEXT:
        return str(value).encode("utf-8", "surrogatepass")
    return orjson.dumps(value, default=str, option=orjson.OPT_SERIALIZE_NUMPY)


def _assembled(tf: Any, field: Field, parts: Any) -> Any:
    """A field's tensor from its parts, with the shape that TensorFlow could not know."""
    if _is_ragged(field):
        values, lengths = next(parts), next(parts)
        values.set_shape((None, *field.inner))
        lengths.set_shape((None,))
        return tf.RaggedTensor.from_row_lengths(values, lengths)
    tensor = next(parts)
    tensor.set_shape((None, *field.shape))
    return tensor
