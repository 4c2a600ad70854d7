"""Workers of a local pool, each with a GPU of its own: what their processes see."""

import os
import time

import pytest

from e2edist.config.site import PoolSpec
from e2edist.pools import PoolEnvironment, Setup, open_pool


def _seen():
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(
    ("workers", "shared", "given"), [(2, 1, ["3", "GPU-a"]), (3, 2, ["3", "3", "GPU-a"])]
)
def test_each_worker_sees_one_gpu_also_after_a_restart(tmp_path, monkeypatch, workers, shared, given):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-a")
    content = {"workers": workers, "threads": 1, "provider": "cuda", "workers_per_gpu": shared}
    environment = PoolEnvironment(tmp_path)
    pool = open_pool("gpu", PoolSpec.model_validate(content), Setup(divmod, (7, 2)), environment)
    try:
        assert sorted(pool._client.run(_seen).values()) == given
        pool._client.restart_workers(list(pool._client.scheduler_info()["workers"]))
        deadline = time.monotonic() + 180
        while pool.slots() < workers and time.monotonic() < deadline:
            time.sleep(0.1)
        assert sorted(pool._client.run(_seen).values()) == given
    finally:
        pool.close()
        environment.close()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,GPU-a"
