"""What only a GPU can show: needs onnxruntime-gpu and a device. No GPU has run these tests yet.

There: ``pip install -e '.[gpu,test]'``, then ``E2EDIST_REQUIRE=gpu pytest tests/system/test_gpu.py``.
"""

import json
import os

import numpy as np
import pytest
from runs import receipts, table

from e2edist.config.tagger import packaged
from e2edist.engines import _cuda

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PROVIDER, NAME = "cuda", "CUDAExecutionProvider"


@pytest.fixture(scope="module", autouse=True)
def device():
    """The GPU as the driver shows it."""
    try:
        return _cuda.find_device()
    except _cuda.DriverError as error:
        if "gpu" in os.environ.get("E2EDIST_REQUIRE", "").split(","):
            pytest.fail(f"E2EDIST_REQUIRE names gpu: {error}")
        pytest.skip(f"no GPU: {error}")


def site(folder, name, *pools):
    """Write a site of pools of one worker, each (name, provider, images)."""
    lines = [f'name = "{name}"']
    for pool, provider, images in pools:
        lines += [f"[pools.{pool}]", 'kind = "local"', "workers = 1", "threads = 2"]
        lines += [f'provider = "{provider}"', f'images = "{images}"', 'profile = "none"']
    (folder / f"{name}.toml").write_text("\n".join(lines))
    return folder / f"{name}.toml"


@pytest.fixture
def score(submit, events, model, tmp_path):
    """Run a campaign over some pools."""

    def call(output, *pools):
        file = site(tmp_path, output, *pools)
        options = ("--chunk-events", 50, "--input", events, "--model", model)
        done = submit("--site", file, *options, "--output", output)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout

    return call


def assert_on_device(engine, device):
    assert (engine["provider"], engine["device"], engine["uuid"]) == (NAME, device.name, device.uuid)
    assert engine["capability"] == str(device.capability / 10)
    assert (engine["tf32"], engine["driver"] != "", engine["build"] != "") == ("off", True, True)
    assert f"on {NAME}" in engine["nodes"]


@pytest.mark.parametrize("name", sorted(packaged()))
def test_demo_taggers_pass_the_gate_on_the_device_dense_and_sparse(verb, tmp_path, device, name):
    done = verb("validate", "--tagger", name, "--json", "v.json")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    rows = {row["name"]: row for row in json.loads((tmp_path / "v.json").read_text())["variants"]}
    for variant in ("CUDA", "CUDA, sparse images"):
        assert rows[variant]["verdict"] == "pass"
        assert_on_device(rows[variant]["facts"], device)


@pytest.mark.parametrize("images", ["dense", "sparse"])
def test_a_campaign_on_the_device_gives_the_scores_of_the_cpu(score, campaign, tmp_path, device, images):
    score("out", ("gpu", PROVIDER, images))
    ours, theirs = table(tmp_path / "out"), table(campaign)
    assert ours.drop(["electron"]).equals(theirs.drop(["electron"]))
    pairs = [t["electron"].drop_null().to_numpy() for t in (ours, theirs)]
    assert np.abs(pairs[0] - pairs[1]).max() < 1e-4
    for receipt in receipts(tmp_path / "out"):
        assert_on_device(receipt["engine"], device)


def test_sparse_images_give_the_scores_of_dense_ones_on_the_device(score, tmp_path):
    for images in ("dense", "sparse"):
        score(images, ("gpu", PROVIDER, images))
    pairs = [table(tmp_path / name)["electron"].drop_null().to_numpy() for name in ("dense", "sparse")]
    assert np.abs(pairs[0] - pairs[1]).max() < 1e-6


def test_a_campaign_over_both_kinds_of_pools_compares_them_on_one_chunk(score, tmp_path):
    score("out", ("cpu", "cpu", "dense"), ("gpu", PROVIDER, "sparse"))
    assert {receipt["pool"] for receipt in receipts(tmp_path / "out")} == {"cpu", "gpu"}


def test_tune_measures_the_device_and_says_from_where_on_it_pays(verb, tmp_path, monkeypatch):
    monkeypatch.setenv("E2EDIST_PROFILES", str(tmp_path / "profiles"))
    file = site(tmp_path, "both", ("cpu", "cpu", "auto"), ("gpu", PROVIDER, "auto"))
    done = verb("tune", "--site", file, "--tagger", "qg", "--budget-s", 30)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "times the events/s of the CPU pool" in done.stdout
    assert len(list((tmp_path / "profiles").glob("*.toml"))) == 2
