"""Replication through a network that drops, delays, repeats and cuts requests and answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash.sync import replicate
from ml_dash.sync.trouble import BackOff

from .copies import check_equal, record, seeds
from .faults import KINDS, FaultProxy
from .serving import Served


@pytest.mark.parametrize("batch", seeds(1000, 54, 18))
def test_whatever_the_network_does_the_copies_are_equal(
    server: Served, tmp_path: Path, batch: range
) -> None:
    """Of each run every segment byte by byte, every file by its checksum."""
    person = server.person()
    direct = server.client(person)
    with FaultProxy(server.port) as proxy:
        client = server.client(person, proxy.url)
        for seed in batch:
            prefix = f"chaos/r{seed}"
            folder = record(tmp_path, prefix, seed)
            proxy.seed(seed)
            report = replicate(folder, client, patience=60.0, back_off=BackOff(0.01))
            assert report.ok, (seed, report)
            check_equal(folder, direct, prefix, thorough=seed % 5 == 0)
        assert set(proxy.seen) == set(KINDS), "no fault was left out"
