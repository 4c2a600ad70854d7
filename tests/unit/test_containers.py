"""From a container to the words that start Python in it: exact, as a shell gets them."""

import hashlib
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pydantic import ValidationError

from e2edist.config.jobs import ContainerSpec, JobSpec
from e2edist.config.site import PoolSpec, SiteSpec, load_site
from e2edist.config.site_facts import require_facts
from e2edist.errors import ConfigError
from e2edist.pools import preview
from e2edist.pools._containers import python_command, worker_command
from e2edist.pools._image_digest import UNKNOWN, _digest, image_of
from e2edist.pools.htcondor import image_attributes

ODD = "/da ta/o'x"
WORDS = {
    "none": [sys.executable],
    "shifter": [
        "shifter",
        "--image=docker:r/e:1",
        "--module=gpu,cvmfs",
        f"--volume={ODD}:/in",
        "--env=A=b $c",
        "python3",
    ],
    "podman-hpc": [
        *("podman-hpc", "run", "--rm", "--gpu", "--net", "host", "--ipc=host"),
        *("-e", "CUDA_VISIBLE_DEVICES", "-v", f"{ODD}:/in", "-e", "A=b $c", "docker:r/e:1", "python3"),
    ],
    "apptainer": [
        *("apptainer", "exec", "--nv", "--bind", f"{ODD}:/in", "--env", "A=b $c", "docker:r/e:1", "python3"),
    ],
    "htcondor-apptainer": ["python3"],
    "htcondor-singularity": ["python3"],
}


def _spec(runtime, **changes):
    full = {"binds": (f"{ODD}:/in",), "env": {"A": "b $c"}, "modules": ("gpu", "cvmfs")}
    return ContainerSpec(runtime=runtime, image="docker:r/e:1", **full | changes)


@pytest.mark.parametrize("runtime", WORDS)
def test_the_words_are_those_of_the_runtime(runtime):
    command = python_command(_spec(runtime), gpu=True)
    assert shlex.split(command) == WORDS[runtime]


@pytest.mark.parametrize("runtime", ["shifter", "podman-hpc", "apptainer"])
def test_a_shell_takes_nothing_apart(runtime, tmp_path):
    """A real shell runs the line; the runtime is a stand-in that prints its words."""
    words = WORDS[runtime]
    program = tmp_path / words[0]
    program.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)
    line = python_command(_spec(runtime), gpu=True)
    said = subprocess.run(
        ["/bin/sh", "-c", line], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert said.stdout.split("\0")[:-1] == words[1:]


@pytest.mark.parametrize("runtime", ["shifter", "podman-hpc", "apptainer"])
def test_without_a_gpu_none_is_asked_for(runtime):
    line = python_command(_spec(runtime, modules=()), gpu=False)
    assert not {"--gpu", "--nv", "--module=gpu", "CUDA_VISIBLE_DEVICES"} & set(shlex.split(line))
    assert "--cleanenv" not in line


def test_shifter_takes_the_gpu_module_by_itself():
    assert "--module=gpu " in python_command(_spec("shifter", modules=()), gpu=True)


def test_another_python_inside():
    assert python_command(_spec("apptainer", python="/opt/v/bin/python"), gpu=False).endswith(
        " /opt/v/bin/python"
    )
    assert python_command(ContainerSpec(python="module-python"), gpu=False) == "module-python"


def test_htcondor_starts_its_own_containers():
    assert image_attributes(_spec("htcondor-apptainer")) == {"+ApptainerImage": '"docker:r/e:1"'}
    assert image_attributes(_spec("htcondor-singularity")) == {"MY.SingularityImage": '"docker:r/e:1"'}
    assert image_attributes(_spec("apptainer")) == {}


def test_variables_of_containers_that_a_batch_system_starts_are_set_inside(tmp_path):
    container = {"runtime": "htcondor-apptainer", "image": "/cvmfs/i", "env": {"CERTS": "/a b/$c"}}
    pool = PoolSpec.model_validate({"kind": "htcondor", "container": container})
    assert "export CERTS=''/a b/$(DOLLAR)c''; exec python3" in preview("cpu", pool, tmp_path)
    own = {"container": container | {"runtime": "apptainer"}}
    assert "export CERTS" not in preview("cpu", PoolSpec.model_validate({"kind": "htcondor"} | own), tmp_path)


@pytest.mark.parametrize("site", ["lpc", "lxplus"])
def test_images_on_cvmfs_find_the_certificates_of_grid_sites_where_they_are(site, tmp_path):
    for pool in load_site(site).pools.values():
        (line,) = pool.job.prologue
        for there in (False, True):
            here = line.replace("/cvmfs", str(tmp_path))
            said = subprocess.run(
                ["/bin/sh", "-ec", f'{here}; echo "${{X509_CERT_DIR-none}}"'],
                env={},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            folder = tmp_path / "grid.cern.ch" / "etc" / "grid-security" / "certificates"
            assert said == (str(folder) if there else "none")
            folder.mkdir(parents=True, exist_ok=True)
        folder.rmdir()


def test_a_runtime_without_an_image_is_refused():
    site = SiteSpec(name="s", pools={"cpu": PoolSpec(container=ContainerSpec(runtime="shifter"))})
    with pytest.raises(ConfigError, match=r"site s: has no image \(cpu\)\. Give --image IMAGE, or set"):
        require_facts(site, "mine.toml")


def test_several_workers_without_a_launcher_are_refused():
    with pytest.raises(ValidationError, match="launcher: missing for 4 workers in a job"):
        JobSpec(workers_per_job=4)


#: Stands for srun: starts what it is given twice, as tasks 0 and 1.
LAUNCHER = """#!/bin/sh
for task in 0 1; do SLURM_LOCALID=$task SLURM_PROCID=$task "$@"; done
"""
#: Stands for Python: prints its GPU and its words.
PYTHON = """#!/bin/sh
echo "$CUDA_VISIBLE_DEVICES: $*"
"""


def _run(line, folder):
    for name, text in (("launch", LAUNCHER), ("py thon", PYTHON)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    done = subprocess.run(["/bin/bash", "-c", line], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_each_worker_of_a_job_gets_its_name_and_its_gpu_before_python_starts(tmp_path):
    job = JobSpec(workers_per_job=2, launcher="./launch", visible_gpus="$((3-SLURM_LOCALID))")
    container = ContainerSpec(python=shlex.quote("./py thon"))
    command = worker_command(container, job, "gpu-7", gpu=True, rank="SLURM_PROCID")
    line = command + " -m dask_worker --name gpu-7 'a b'"
    assert _run(line, tmp_path) == [
        "3: -m dask_worker --name gpu-7 a b --name gpu-7.0",
        "2: -m dask_worker --name gpu-7 a b --name gpu-7.1",
    ]


def test_one_worker_takes_the_place_of_the_shell(tmp_path):
    job = JobSpec(visible_gpus="GPU-$((1+1))")
    line = worker_command(ContainerSpec(python="./py*"), job, "gpu-7", gpu=True)
    assert _run(f"{line} -m x; echo never", tmp_path) == ["GPU-2: -m x"]
    assert worker_command(ContainerSpec(python="p"), JobSpec(), "w", gpu=False) == "exec p"


# ---- which image it was


def _tool(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_digest_of_a_sif_is_that_of_the_file(tmp_path):
    image = tmp_path / "a.sif"
    image.write_bytes(b"SIF")
    digest = hashlib.sha256(b"SIF").hexdigest()
    assert image_of(ContainerSpec(runtime="apptainer", image=str(image))) == f"{image} (sha256:{digest})"


def test_an_unpacked_tree_is_where_its_links_lead(tmp_path):
    flat = tmp_path / ".flat" / "ab" / "abcd"
    flat.mkdir(parents=True)
    (tmp_path / "e2edist:1").symlink_to(flat)
    spec = ContainerSpec(runtime="htcondor-apptainer", image=str(tmp_path / "e2edist:1"))
    assert image_of(spec) == f"{spec.image} ({flat})"


@pytest.mark.parametrize(
    ("runtime", "tool", "script", "digest"),
    [
        ("shifter", "shifterimg", f'test "$1 $2" = "lookup docker:r/e:1" && echo {"0a" * 32}', "0a" * 32),
        ("podman-hpc", "podman-hpc", f"echo sha256:{'1b' * 32}", "1b" * 32),
        ("shifter", "shifterimg", "echo no such image >&2; exit 1", ""),
        ("shifter", "shifterimg", "echo 7", ""),
        ("shifter", "other", "", ""),
    ],
)
def test_a_registry_s_image_is_what_the_runtime_has_pulled(
    runtime, tool, script, digest, tmp_path, monkeypatch
):
    _digest.cache_clear()
    _tool(tmp_path, tool, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    wanted = f"sha256:{digest}" if digest else UNKNOWN
    assert image_of(ContainerSpec(runtime=runtime, image="docker:r/e:1")) == f"docker:r/e:1 ({wanted})"


def test_what_is_not_to_be_seen_from_here_is_said_to_be_unknown_and_no_container_is_no_image(tmp_path):
    spec = ContainerSpec(runtime="htcondor-singularity", image=str(tmp_path / "elsewhere"))
    assert image_of(spec) == f"{spec.image} ({UNKNOWN})"
    assert image_of(ContainerSpec()) == ""


@pytest.mark.parametrize(("flavour", "extra"), [("cpu", "cpu"), ("cu13", "gpu"), ("cu12-legacy", "gpu-cu12")])
def test_a_lock_names_all_that_the_package_needs(flavour, extra):
    """Whoever adds a dependency runs containers/lock; workers read root:// and https:// too."""
    root = Path(__file__).resolve().parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = project["dependencies"] + extras[extra] + extras["xrootd"] + extras["http"]
    needed = [Requirement(text) for text in texts]
    lines = (root / "containers" / "locks" / f"{flavour}.txt").read_text().splitlines()
    pins = dict(line.split(";")[0].rstrip(" \\").split("==") for line in lines if line[:1].isalnum())
    for requirement in needed:
        name = requirement.name.lower().replace("_", "-")
        assert pins.get(name, "").strip() in requirement.specifier, f"{requirement} in {flavour}"
