"""From gathered numpy arrays to the tensors of a batch, and the collate function for PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ml_dash.loaders.fields import EXACT, IMAGE, LIST, RAGGED, Array, Field, Key, Values, nest


def brightest(images: Array) -> float:
    """What full brightness is in images of this type."""
    return float(np.iinfo(images.dtype).max) if images.dtype.kind in "ui" else 1.0


def to_tensor(values: Values, field: Field) -> Any:
    """The values of a field as PyTorch gets them."""
    import torch

    if isinstance(values, list):
        return [_of_list(value, field) for value in values]
    if field.kind == IMAGE:
        images = np.moveaxis(values, -1, -3)
        # In numpy, because the threads of torch get into each other's way on a busy machine
        scaled = np.empty(images.shape, np.float32)
        np.divide(images, np.float32(brightest(values)), out=scaled, casting="unsafe")
        return torch.from_numpy(scaled)
    dtype = field.dtype if field.kind == EXACT else "float32"
    return torch.from_numpy(np.array(values, dtype, order="C"))


def _of_list(value: Any, field: Field) -> Any:
    if field.dtype != RAGGED or value is None:
        return value
    if field.shape:  # a window of them
        return [_of_list(item, Field(LIST, field.shape[1:], RAGGED)) for item in value]
    import torch

    return torch.from_numpy(np.array(value, np.float32, order="C"))


class Gathered(Sequence[dict[str, Any]]):
    """Samples that were gathered together: tensors by field, and a sample when one is asked for."""

    def __init__(self, values: Mapping[Key, Values], fields: Mapping[Key, Field]) -> None:
        self.tensors = {key: to_tensor(found, fields[key]) for key, found in values.items()}
        self._count = len(next(iter(values.values()), ()))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        return nest({key: tensor[index] for key, tensor in self.tensors.items()})


class Collate:
    """Makes a batch of samples. It is what `to_torch` gives to its DataLoader.

    Images, numbers and exact fields are stacked. Fields of the kind `list`, which are text, arrays
    whose lengths differ, and all else that is no number, become a list with one value a sample;
    `None` stays where a value is missing. What a transform added is stacked by PyTorch's own rules.
    """

    def __init__(self, fields: Mapping[Key, Field]) -> None:
        self._lists = {key for key, field in fields.items() if field.kind == LIST}

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch, by field."""
        if isinstance(samples, Gathered):
            return nest(samples.tensors)
        from torch.utils.data import default_collate

        batch: dict[str, Any] = {}
        for key in samples[0]:
            values = [sample[key] for sample in samples]
            batch[key] = values if key in self._lists else default_collate(values)
        return batch
