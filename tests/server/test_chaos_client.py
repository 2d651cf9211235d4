"""The client is killed at random moments, and `sync` finishes what it began."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml_dash.sync import replicate

from .copies import check_equal, record, seeds
from .faults import FaultProxy
from .serving import Served
from .training import Training


@pytest.mark.parametrize("batch", seeds(0, 12, 4))
def test_a_training_is_killed_while_it_replicates(
    server: Served, tmp_path: Path, batch: range
) -> None:
    """Four at once, through a bad network, some with a child: the copies agree after `sync`."""
    person = server.person()
    with FaultProxy(server.port) as proxy:
        proxy.seed(batch.start)
        trainings = [
            Training(f"killed/c{seed}", tmp_path, proxy.url, person, fork=seed % 4 == 1)
            for seed in batch
        ]
        for training in trainings:
            training.wait_for_start()
        for training, seed in zip(trainings, batch, strict=True):
            time.sleep(random.Random(seed).uniform(0.0, 0.3))
            training.kill()
    for training in trainings:
        report = replicate(training.folder, server.client(person), patience=60.0)
        assert report.ok, (training.prefix, report)
        check_equal(training.folder, server.client(person), training.prefix)


@pytest.mark.parametrize("batch", seeds(100, 8, 4))
def test_sync_is_killed_again_and_again(server: Served, tmp_path: Path, batch: range) -> None:
    """Each time it goes on where the one before stood, and the last one finishes."""
    person = server.person()
    variables = {**os.environ, "ML_DASH_TOKEN": person.token, "ML_DASH_URL": server.url}
    for seed in batch:
        chance, prefix = random.Random(seed), f"killed/s{seed}"
        folder = record(tmp_path, prefix, 10 * seed)
        arguments = [sys.executable, "-m", "ml_dash", "sync", str(folder)]
        for moment in (chance.uniform(0.1, 0.5), chance.uniform(0.1, 0.7)):
            child = subprocess.Popen(
                arguments, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(moment)
            child.kill()
            child.wait()
        done = subprocess.run(arguments, env=variables, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        check_equal(folder, server.client(person), prefix)
