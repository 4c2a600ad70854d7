"""Workers inside the image that our own recipe makes, under real batch systems."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from batch import BatchLab, HTCondor, Slurm, cluster
from runs import ROOT, receipts

from e2edist import __version__, aggregate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCRIPTS = ROOT / "containers" / "test-clusters"
_UNPACKED = Path(os.environ.get("E2EDIST_TEST_APPTAINER", "/var/tmp/e2edist-test/apptainer"))
#: A pool of jobs whose Python is the image's: it finds nothing of this checkout, nor the gate of the tests.
POOL = """
[pools.{name}]
kind = "{kind}"
workers = {workers}
threads = 1
memory_gib = 2
[pools.{name}.container]
runtime = "{runtime}"
image = "{image}"
env = {{ PYTHONPATH = "" }}
[pools.{name}.job]
prologue = ["export PATH={path}:$PATH"]
walltime_min = 10
poll_s = 0.5
start_failures = 2
"""
SLURM = 'queue = "{name}"\nskip = ["--image=", "--module="]  # of a plug-in that is not here\n'
CONDOR = """disk_gib = 0.1
[pools.{name}.job.attributes]
requirements = 'NodeKind == "{name}"'
"""


def _need(name, there):
    if name in os.environ.get("E2EDIST_REQUIRE", "").split(","):
        return
    if not there:
        pytest.skip(f"{name} is not installed; with E2EDIST_REQUIRE={name} its script installs it")
    if os.geteuid():
        pytest.skip(f"{name} needs root here")


def _script(name, *words, seconds=850):
    """Run a script of the test clusters and return what its env file exports."""
    line = ["bash", str(SCRIPTS / name), *map(str, words)]
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        env=os.environ | {"PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    text = Path(done.stdout.strip()).read_text()
    return dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines())


class Image(NamedTuple):
    """What `apptainer-image` made: a SIF file, the folder of apptainer, the Debian system below."""

    file: Path
    tools: str
    base: str


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A SIF file with the versions of this environment, and the folder of apptainer."""
    _need("apptainer", bool(shutil.which("apptainer")) or (_UNPACKED / "complete").exists())
    versions = tmp_path_factory.mktemp("image") / "versions.txt"
    words = [sys.executable, "-m", "pip", "list", "--format=freeze", "--exclude-editable"]
    versions.write_text(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    found = _script("apptainer-image", "--versions", versions, "up")
    return Image(Path(found["E2EDIST_TEST_IMAGE"]), found["PATH"].split(":")[0], found["E2EDIST_TEST_BASE"])


@pytest.fixture
def buildah(image, tmp_path):
    """The command buildah with a store of its own, where localhost/base is the Debian system of the SIF."""
    real = shutil.which("buildah")
    _need("buildah", bool(real))
    assert real, "E2EDIST_REQUIRE names buildah, and it is not installed"
    command = tmp_path / "bin" / "buildah"
    command.parent.mkdir()
    # Neither overlay nor namespaces of its own: this may itself be a container.
    store = f"--root {tmp_path}/store --runroot {tmp_path}/run --storage-driver vfs"
    command.write_text(
        f"#!/bin/sh\nexport BUILDAH_ISOLATION=chroot\ncommand=$1\nshift\n"
        f'exec {real} {store} "$command" "$@"\n'
    )
    command.chmod(0o755)

    def call(*words):
        done = subprocess.run([command, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    container = call("from", "scratch")
    call("copy", "--quiet", container, image.base, "/")
    call("commit", "--quiet", container, "localhost/base")
    yield command, call
    call("rm", "--all")
    call("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def shifter(image, tmp_path_factory):
    """The stand-in for shifter, with our image as if it had been pulled."""
    _need("shifter", bool(shutil.which("ch-run")))
    base = tmp_path_factory.mktemp("shifter")
    found = _script("shifter-stand-in", "--base", base, "up", image.file, "e2edist/test:1")
    yield "docker:e2edist/test:1", found["PATH"].split(":")[0]
    subprocess.run(["bash", str(SCRIPTS / "shifter-stand-in"), "--base", str(base), "down"], check=True)
    assert not base.exists()


@pytest.fixture(scope="module")
def slurm():
    shape = ("--nodes", 2, "--gpu-nodes", 1, "--gpus", 2, "--cpus", 64, "--memory", 64000)
    with cluster(Slurm, *shape) as one:
        yield one


@pytest.fixture(scope="module")
def condor(image):
    with cluster(HTCondor, "--nodes", 1, "--gpu-nodes", 1, "--gpus", 2, "--cpus", 8) as one:
        yield one


def _pools(kind, runtime, image, path):
    more = {"slurm": SLURM, "htcondor": CONDOR}[kind]
    names = {"kind": kind, "runtime": runtime, "image": image, "path": path}
    pools = [(POOL + more).format(name=name, workers=n, **names) for name, n in (("cpu", 2), ("gpu", 1))]
    return "".join(pools)


def _runs(lab, site, clean):
    """Run a campaign whose workers can't see the gate, so that they end only if they are in the image."""
    code, said = lab.end(lab.start(site=site), 240)
    logs = "".join(path.read_text(errors="replace")[-2000:] for path in (lab.out / "logs").glob("*"))
    assert code == 0, said + lab.log() + logs
    lab.holds(clean)
    assert {receipt["pool"] for receipt in receipts(lab.out)} == {"cpu", "gpu"}
    return {receipt["image"] for receipt in receipts(lab.out)}


def _digest(path):
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


@pytest.fixture
def lab_on(tmp_path, source, tiny_model):
    labs = []

    def make(one):
        labs.append(BatchLab(tmp_path, source, tiny_model, one))
        return labs[-1]

    yield make
    for lab in labs:
        lab.clear_up()


def test_workers_in_the_apptainer_image_under_slurm_give_the_local_table(image, slurm, lab_on, clean):
    found = _runs(lab_on(slurm), _pools("slurm", "apptainer", image.file, image.tools), clean)
    assert found == {f"{image.file} ({_digest(image.file)})"}


@pytest.mark.parametrize("runtime", ["apptainer", "htcondor-apptainer", "htcondor-singularity"])
def test_workers_in_the_apptainer_image_under_htcondor_give_the_local_table(
    runtime, image, condor, lab_on, clean
):
    found = _runs(lab_on(condor), _pools("htcondor", runtime, image.file, image.tools), clean)
    assert found == {f"{image.file} ({_digest(image.file)})"}


def test_workers_in_the_stand_in_for_shifter_give_the_local_table(shifter, image, slurm, lab_on, clean):
    name, path = shifter
    lab = lab_on(slurm)
    os.environ["PATH"], before = f"{path}:{os.environ['PATH']}", os.environ["PATH"]
    try:
        found = _runs(lab, _pools("slurm", "shifter", name, path), clean)
    finally:
        os.environ["PATH"] = before
    assert found == {f"{name} ({_digest(image.file)})"}
    ran = (Path(path).parent / "log" / "shifter").read_text()
    assert "docker:e2edist/test:1 - python3 -m e2edist.pools._worker" in ran


def test_the_image_says_what_it_is(image):
    words = [f"{image.tools}/apptainer", "inspect", "--json", "--labels", str(image.file)]
    said = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    _check_labels(said["data"]["attributes"]["labels"])


def _check_labels(labels):
    words = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    assert labels["org.opencontainers.image.title"] == "e2edist-cpu"
    assert labels["org.opencontainers.image.version"] == __version__
    # An image is not built anew where only the commit is another.
    assert len(labels["org.opencontainers.image.revision"]) == len(commit)


def test_the_recipe_builds_an_oci_image_of_the_lock_that_runs_a_campaign(buildah, events, model, tmp_path):
    command, call = buildah
    line = [ROOT / "containers" / "build", "--tool", "buildah", "--offline", "--base", "localhost/base"]
    env = os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", *map(str, line), "--tag", "localhost/e2edist:t", "cpu"],
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip() == "localhost/e2edist:t"
    config = json.loads(call("inspect", "--type", "image", "localhost/e2edist:t"))["OCIv1"]["config"]
    _check_labels(config["Labels"])
    container = call("from", "localhost/e2edist:t")
    binds = [f"--volume={folder}:{folder}" for folder in (events, model.parent, tmp_path)]
    words = ("--input", events, "--model", model, "--output", tmp_path / "out", "--workers", 1)
    call("run", *binds, container, "--", "python3", "-m", "e2edist.submit", *words)
    assert aggregate.main([str(tmp_path / "out"), "--verify"]) == 0
