"""PyTorch: a map-style Dataset of samples, and a DataLoader over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_dash.errors import missing_extra
from ml_dash.loaders.collate import Collate, Gathered
from ml_dash.loaders.fields import Field, Key, Samples, gather

if TYPE_CHECKING:
    from torch.utils.data import DataLoader, Dataset

Transform = Callable[[dict[str, Any]], Any]


def torch_loader(
    samples: Samples,
    batch_size: int | None = 32,
    *,
    shuffle: bool = False,
    num_workers: int = 0,
    transform: Transform | None = None,
    collate_fn: Callable[..., Any] | None = None,
    seed: int | None = None,
    **options: Any,
) -> DataLoader[dict[str, Any]]:
    """A DataLoader over samples, which are read and decoded in its workers.

    Args:
        samples: what to load.
        batch_size: how many samples a batch has; `None` for samples that are not batched.
        shuffle: draw them in another order each time.
        num_workers: processes that load; 0 loads in this one.
        transform: called with each sample, a dict of tensors, in the worker; its result takes the
            sample's place. With workers that are spawned it must be picklable.
        collate_fn: makes a batch of a list of samples, in place of `collate.Collate`.
        seed: makes the order of shuffling the same in each run of the program.
        options: whatever else `torch.utils.data.DataLoader` takes, such as `pin_memory` or
            `drop_last`.

    Raises:
        ImportError: PyTorch is not installed; the text is the pip line.
    """
    dataset = torch_dataset(samples, transform)
    import torch
    from torch.utils.data import DataLoader

    if seed is not None:
        options["generator"] = torch.Generator().manual_seed(seed)
    if collate_fn is None:
        collate_fn = Collate(samples.fields) if batch_size is not None else _as_it_is
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle and len(samples) > 0,  # PyTorch refuses to shuffle nothing
        num_workers=num_workers,
        collate_fn=collate_fn,
        **options,
    )


def torch_dataset(samples: Samples, transform: Transform | None = None) -> Dataset[dict[str, Any]]:
    """A map-style Dataset of samples: `len`, and a dict of tensors by number. It can be pickled.

    Raises:
        ImportError: PyTorch is not installed; the text is the pip line.
    """
    dataset: Dataset[dict[str, Any]] = _dataset_class()(samples, transform)
    return dataset


@cache
def _dataset_class() -> Any:
    """The class, made at first use: its base class is PyTorch's."""
    try:
        from torch.utils.data import Dataset
    except ImportError as error:
        raise missing_extra("torch", "to_torch", "torch") from error

    class SampleDataset(Dataset[dict[str, Any]]):
        """Samples as PyTorch wants them."""

        def __init__(self, samples: Samples, transform: Transform | None) -> None:
            self.samples = samples
            self.transform = transform

        def __reduce__(self) -> Any:
            # Pickle finds no class that was made inside a function, but it finds who makes it.
            return torch_dataset, (self.samples, self.transform)

        @property
        def fields(self) -> Mapping[Key, Field]:
            """What there is in each sample."""
            return self.samples.fields

        def __len__(self) -> int:
            return len(self.samples)

        def __iter__(self) -> Iterator[Any]:
            return (self[index] for index in range(len(self)))

        def __getitem__(self, index: int) -> Any:
            index = range(len(self))[index]
            return self.__getitems__([index])[0]

        def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
            """Many at once, which the DataLoader asks for: much faster than one by one."""
            found = gather(self.samples, np.asarray(indices, np.int64))
            each = Gathered(found, self.samples.fields)
            return each if self.transform is None else [self.transform(sample) for sample in each]

    return SampleDataset


def _as_it_is(sample: Any) -> Any:
    return sample
