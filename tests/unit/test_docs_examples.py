"""The worked examples of docs/extend run, as the pages show them."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pyarrow.dataset
import pytest

from e2edist.config.site import load_site
from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.pools import preview
from e2edist.submit import main as submit

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A copy of docs/examples, with the model that its script writes."""
    folder = tmp_path_factory.mktemp("docs") / "examples"
    shutil.copytree(EXAMPLES, folder)
    subprocess.run([sys.executable, "make_model.py"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return make_events(tmp_path_factory.mktemp("events"), "eg", 200, seed=5, files=1)


def test_the_model_of_the_tagger_is_what_its_script_says(examples):
    model = onnx.load(examples / "photon_id.onnx")
    onnx.checker.check_model(model)
    assert load_tagger(str(examples / "photon_id.toml")).model.path == str(examples / "photon_id.onnx")


@pytest.mark.slow
def test_the_tagger_runs_as_its_page_says(examples, events, tmp_path):
    words = ["--tagger", str(examples / "photon_id.toml"), "--input", str(events[0])]
    assert submit([*words, "--output", str(tmp_path / "results")]) == 0
    rows = pyarrow.dataset.dataset(tmp_path / "results" / "predictions").to_table().to_pandas()
    good = rows[rows.status == "ok"]
    assert len(good) > 20
    assert set(rows.kind) == {"photon"}
    np.testing.assert_allclose(good.prompt + good.fake, 1, rtol=1e-5)


def test_the_jobs_of_the_site_are_what_its_file_says(examples):
    site = load_site(str(examples / "my_cluster.toml"))
    cpu, gpu = (preview(name, site.pools[name], Path("/out")) for name in ("cpu", "gpu"))
    assert "#SBATCH -p normal" in cpu
    assert "#SBATCH -A hep" in cpu
    assert "module load python/3.12" in cpu
    assert "#SBATCH --gres=gpu:1" in gpu
