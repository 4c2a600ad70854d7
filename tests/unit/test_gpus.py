"""Which GPU each worker of a local pool gets; no GPU is needed."""

import pytest

from e2edist.config.site import PoolSpec
from e2edist.errors import ResourceError
from e2edist.pools import check_host
from e2edist.pools._gpus import VARIABLE, gpus_of_workers, visible_gpus


def pool(workers, **more):
    return PoolSpec.model_validate({"workers": workers, "provider": "cuda"} | more)


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        ("0,1", ("0", "1")),
        ("3, GPU-8f2a", ("3", "GPU-8f2a")),
        ("", ()),
        ("-1", ()),
        ("2,-1,0", ("2",)),
        ("MIG-a/b", ("MIG-a/b",)),
    ],
)
def test_gpus_are_those_that_cuda_would_see(named, seen):
    assert visible_gpus({VARIABLE: named}) == seen


def test_without_the_variable_they_are_counted_by_their_device_files(tmp_path):
    for name in ("nvidia4", "nvidia7", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ("0", "1")  # CUDA numbers those that are there


@pytest.mark.parametrize(
    ("workers", "more", "given"),
    [
        (1, {}, ("5",)),
        (2, {}, ("5", "6")),
        (4, {"workers_per_gpu": 2}, ("5", "6", "5", "6")),
        (3, {"workers_per_gpu": 4}, ("5", "6", "5")),
        (4, {"provider": "cpu"}, ()),
    ],
)
def test_workers_get_the_visible_gpus_in_turn(monkeypatch, workers, more, given):
    monkeypatch.setenv(VARIABLE, "5,6")
    assert gpus_of_workers("gpu", pool(workers, **more)) == given


def test_workers_share_gpus_only_where_that_is_asked_for(monkeypatch):
    monkeypatch.setenv(VARIABLE, "5,6")
    with pytest.raises(ResourceError) as refusal:
        check_host("gpu", pool(3))
    assert str(refusal.value) == (
        "pool gpu: 3 workers on 2 GPUs: 2 would share one. "
        "Take at most 2 workers, or write workers_per_gpu = 2 in [pools.gpu]."
    )


def test_a_host_without_gpus_is_left_to_the_engine_which_knows_why(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    assert gpus_of_workers("gpu", pool(3)) == ()
