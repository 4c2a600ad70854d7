"""The worked examples of docs/extend run, as the pages show them."""

import importlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import awkward as ak
import numpy as np
import onnx
import pyarrow.dataset
import pytest
import uproot
from inference_server import serve

from e2edist.config.site import load_site
from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.engines import EngineOptions, engine_options, make_engine
from e2edist.errors import ConfigError
from e2edist.formats import _file, inspect, open_events
from e2edist.pools import preview

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
#: Branch of the group's ntuple -> branches of a hit ntuple, whose rows it has one after the other.
GROUP = {
    "ecal_id": ("EBRecHit_detid", "EERecHit_detid"),
    "ecal_e": ("EBRecHit_energy", "EERecHit_energy"),
    "ecal_t": ("EBRecHit_time", "EERecHit_time"),
    **{f"pho_{name}": (f"Photon_{name}",) for name in ("pt", "eta", "phi")},
    "pho_truth": ("Photon_label",),
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A copy of docs/examples with the model that its script writes, installed as pip would do it."""
    folder = tmp_path_factory.mktemp("docs") / "examples"
    shutil.copytree(EXAMPLES, folder)
    subprocess.run([sys.executable, "make_model.py"], cwd=folder, check=True)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    metadata = folder / "my_e2e-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in points.items()) for group, points in groups]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def installed(examples, monkeypatch):
    monkeypatch.syspath_prepend(str(examples))
    _file._formats.cache_clear()  # a process lists the installed formats once
    yield examples
    _file._formats.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_e2e"]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    (path,) = make_events(tmp_path_factory.mktemp("events"), "eg", 200, seed=5, files=1)
    return path


@pytest.fixture(scope="module")
def group_file(events, tmp_path_factory):
    """The same events as an ntuple of the group."""
    tree = uproot.open(events)["Events"].arrays()
    branches = {name: ak.concatenate([tree[one] for one in ones], axis=1) for name, ones in GROUP.items()}
    path = tmp_path_factory.mktemp("group") / "group.root"
    with uproot.recreate(path) as file:
        types = {name: ak.type(values).content for name, values in branches.items()}
        file.mktree("evt", types).extend(branches)
    return path


#: LSF's commands as far as a test needs them: a job is a background process of this machine.
LSF = {
    "bsub": """
number=$(( $(ls "$LSF_JOBS" | wc -l) + 1 ))
cat >"$LSF_JOBS/$number.sh"
log=$(sed -n 's/^#BSUB -e //p' "$LSF_JOBS/$number.sh" | sed "s/%J/$number/")
setsid bash "$LSF_JOBS/$number.sh" </dev/null >"$log" 2>&1 &
mkdir "$LSF_JOBS/$number.pid.$!"
echo "Job <$number> is submitted to queue <hep>."
""",
    "bjobs": """
for job in "$LSF_JOBS"/*.pid.*; do
    [ -d "$job" ] || continue
    name=$(basename "$job")
    kill -0 "${name##*.}" 2>/dev/null && echo "${name%%.*} RUN"
done
true
""",
    "bkill": """
for number in "$@"; do
    for job in "$LSF_JOBS/$number".pid.*; do kill -TERM -- "-${job##*.}" 2>/dev/null; done
done
true
""",
}


@pytest.fixture
def lsf(tmp_path):
    """LSF's commands; returns the environment that has them."""
    commands, jobs = tmp_path / "bin", tmp_path / "jobs"
    commands.mkdir()
    jobs.mkdir()
    for name, text in LSF.items():
        (commands / name).write_text(f"#!/usr/bin/env bash{text}")
        (commands / name).chmod(0o755)
    return {"PATH": f"{commands}:{os.environ['PATH']}", "LSF_JOBS": str(jobs)}


def submit(folder, *words, **variables):
    """Run submit with the plug-ins of a folder."""
    environment = os.environ | {"PYTHONPATH": str(folder), "E2EDIST_PROFILES": str(folder / "profiles")}
    environment |= variables
    command = [sys.executable, "-m", "e2edist.submit", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)


def rows_of(folder):
    return pyarrow.dataset.dataset(folder / "predictions").to_table().to_pandas()


def test_the_model_of_the_tagger_is_what_its_script_says(examples):
    onnx.checker.check_model(onnx.load(examples / "photon_id.onnx"))
    assert load_tagger(str(examples / "photon_id.toml")).model.path == str(examples / "photon_id.onnx")


def test_the_jobs_of_the_site_are_what_its_file_says(examples):
    site = load_site(str(examples / "my_cluster.toml"))
    cpu, gpu = (preview(name, site.pools[name], Path("/out")) for name in ("cpu", "gpu"))
    assert "#SBATCH -p normal" in cpu
    assert "#SBATCH -A hep" in cpu
    assert "module load python/3.12" in cpu
    assert "#SBATCH --gres=gpu:1" in gpu


def test_the_format_is_recognised_and_gives_what_hit_ntuples_give(installed, events, group_file):
    tagger = load_tagger(str(installed / "photon_id.toml"))
    assert inspect(str(group_file)).format == "group_ntuple"
    with open_events(inspect(str(group_file)), tagger.columns()) as reader:
        found = reader.read(0, 200)
    with open_events(inspect(str(events)), tagger.columns()) as reader:
        expected = reader.read(0, 200)
    for name, value in expected["photon"].columns.items():
        np.testing.assert_array_equal(found["photon"][name], value)
    barrel = (found["EB"]["detid"] >> 25) & 7 == 1
    for name, value in expected["EB"].columns.items():
        np.testing.assert_array_equal(found["EB"][name][barrel], value)


def test_the_engine_asks_the_server_and_refuses_wrong_options(installed):
    tagger = load_tagger(str(installed / "remote_photon_id.toml"))
    pool = load_site(str(installed / "remote.toml")).pools["cpu"]
    images = np.random.default_rng(1).normal(size=(64, 2, 32, 32)).astype(np.float32)
    with serve(installed / "photon_id.onnx", name="photon_id") as (url, _):
        right = pool.model_copy(update={"engine_options": {"url": url}})
        remote = make_engine(tagger, engine_options(right)).predict(images)
    here = make_engine(tagger, EngineOptions()).predict(images)
    for name in ("prompt", "fake"):
        np.testing.assert_array_equal(remote[name], here[name])
    wrong = pool.model_copy(update={"engine_options": {"adress": url}})
    with pytest.raises(ConfigError, match="adress: unknown key"):
        make_engine(tagger, engine_options(wrong))


def test_the_job_of_the_batch_system_is_what_its_site_says(installed):
    (pool,) = load_site(str(installed / "lsf.toml")).pools.values()
    lines = preview("cpu", pool, Path("/out")).splitlines()
    for line in (
        "-q hep",
        "-n 4",
        "-W 02:00",
        "-M 8590",
        "-e /out/logs/e2edist-cpu-%J.err",
        "-R select[avx2]",
    ):
        assert f"#BSUB {line}" in lines
    text = (installed / "lsf.toml").read_text().replace("queue =", 'attributes = {a = "b"}\nqueue =')
    (installed / "wrong.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"attributes is not supported by kind .*: write job.directives"):
        load_site(str(installed / "wrong.toml"))


@pytest.mark.slow
def test_the_tagger_runs_as_its_page_says(examples, events, tmp_path):
    words = ("--tagger", examples / "photon_id.toml", "--input", events, "--output", tmp_path / "results")
    done = submit(examples, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(tmp_path / "results")
    good = rows[rows.status == "ok"]
    assert len(good) > 20
    assert set(rows.kind) == {"photon"}
    np.testing.assert_allclose(good.prompt + good.fake, 1, rtol=1e-5)


@pytest.mark.slow
def test_a_campaign_runs_with_the_format_and_the_engine_of_the_package(examples, group_file, tmp_path):
    tagger, site = examples / "remote_photon_id.toml", tmp_path / "remote.toml"
    with serve(examples / "photon_id.onnx", name="photon_id") as (url, _):
        site.write_text((examples / "remote.toml").read_text().replace("http://triton.example:8000", url))
        words = ("--tagger", tagger, "--site", site, "--input", group_file)
        done = submit(examples, *words, "--output", tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows_of(tmp_path / "results").query("status == 'ok'")) > 20


@pytest.mark.slow
def test_a_campaign_runs_as_jobs_of_the_batch_system(examples, events, lsf, tmp_path):
    site = tmp_path / "lsf.toml"
    text = (examples / "lsf.toml").read_text().replace("queue =", 'interface = "lo"\npoll_s = 1.0\nqueue =')
    site.write_text(text.replace("threads = 4", "threads = 1"))
    words = ("--tagger", examples / "photon_id.toml", "--site", site, "--input", events)
    done = submit(examples, *words, "--output", tmp_path / "results", **lsf)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows_of(tmp_path / "results").query("status == 'ok'")) > 20
    assert len([*Path(lsf["LSF_JOBS"]).glob("*.sh")]) == 2
