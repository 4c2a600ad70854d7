"""Every kind of pool and every batch system keeps its contract (`e2edist.pools.api`), new ones too.

A new batch system needs a site file with its golden job, and in ``queues`` what its queue answers: JSON with
the command, its exit code and output, the states of jobs in it, and numbers of jobs that are gone.
"""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_package import announce

from e2edist.config.controller import ControllerSpec
from e2edist.config.jobs import BATCH_RUNTIMES, JobSpec
from e2edist.config.site import PoolSpec, load_site
from e2edist.config.site_files import site_folder
from e2edist.config.toml_models import parse
from e2edist.errors import ConfigError, ResourceError
from e2edist.plugins import find, load
from e2edist.pools import batch_system, is_batch, make_controller, preview
from e2edist.pools.api import BatchSystem, PoolJob, TaskOutcome

KINDS = sorted(name for name, module in find("pools").items() if module.startswith("e2edist."))
SYSTEMS = [kind for kind in KINDS if is_batch(kind)]
QUEUES = Path(__file__).with_name("queues")
HEAVY = ("dask", "distributed", "dask_jobqueue", "numba", "onnxruntime", "uproot")

each_kind = pytest.mark.parametrize("kind", KINDS)
each_system = pytest.mark.parametrize("kind", SYSTEMS)


def _script(kind, folder, name="cpu-0", **job):
    spec = PoolSpec.model_validate({"kind": kind, "threads": 2, "job": job})
    return preview("cpu", spec, folder) if name == "cpu-0" else _other(spec, folder, name)


def _other(spec, folder, name):
    return batch_system(spec.kind).job_script(PoolJob("cpu", spec, folder), name)


def _controller(kind, folder=Path("/out")):
    spec = parse(ControllerSpec, {"kind": kind}, "test")
    return make_controller(spec, folder, ("-m", "e2edist.submit", "--resume"), {"TOKEN": "x"})


@each_kind
def test_a_kind_of_pool_is_found_without_importing_dask(kind):
    line = f"import sys; from e2edist.plugins import load; load('pools', {kind!r}); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(said.stdout.split())


@each_kind
def test_a_kind_has_a_batch_system_or_makes_its_pools_itself(kind):
    module = load("pools", kind)
    assert isinstance(getattr(module, "SYSTEM", None), BatchSystem) != callable(getattr(module, "make", None))


def test_the_interface_is_no_kind_of_pool():
    assert "api" not in find("pools")


@each_kind
def test_only_batch_jobs_have_a_preview(kind, tmp_path):
    assert bool(preview("cpu", PoolSpec(kind=kind), tmp_path)) == (kind in SYSTEMS)


@each_system
def test_a_batch_system_says_what_it_can_do(kind):
    system = batch_system(kind)
    assert system.title
    assert len(system.commands) == len(set(system.commands)) > 1
    assert system.probe[0] in system.commands
    assert not system.dry_run or system.dry_run[0] in system.commands
    assert isinstance(system.grows, bool)
    assert set(system.unsupported) <= set(JobSpec.model_fields)
    assert all(system.unsupported.values())


@each_system
def test_scripts_are_made_by_pure_functions(kind, tmp_path):
    before = dict(os.environ)
    assert _script(kind, tmp_path) == _script(kind, tmp_path)
    assert _script(kind, tmp_path) != _script(kind, tmp_path, "cpu-1")
    controller = _controller(kind, tmp_path)
    assert batch_system(kind).controller_script(controller) == batch_system(kind).controller_script(
        controller
    )
    assert batch_system(kind).controller_probe(controller)
    assert list(tmp_path.iterdir()) == []
    assert dict(os.environ) == before


@each_system
def test_the_script_of_a_worker_starts_it_where_its_scheduler_is(kind):
    said = _script(kind, Path("/out"), prologue=("module load x",), worker_args=("--worker-port", "1:2"))
    for words in ("-m e2edist.pools._worker tls://SCHEDULER:PORT", "module load x", "--worker-port 1:2"):
        assert words in said
    assert "cpu-0." in said  # and something new at each start, or a requeued job passed for its former self


@each_system
def test_the_script_of_a_controller_becomes_it_and_its_log_is_found(kind):
    controller = _controller(kind)
    said = batch_system(kind).controller_script(controller)
    assert "-m e2edist.submit --resume" in said
    assert "TOKEN=x" in said
    assert str(controller.log) in said
    assert batch_system(kind).controller_grace_s(controller.spec) > 0


def _other_than(default):
    values = {bool: not default, int: 1, str: "x", tuple: ["x"], dict: {"a": "b"}}
    return values[type(default)]


@each_system
def test_what_a_batch_system_cant_honour_is_refused_with_its_key(kind):
    for key, why in batch_system(kind).unsupported.items():
        default = JobSpec.model_fields[key].get_default(call_default_factory=True)
        content = {"kind": kind, "job": {key: _other_than(default)}}
        with pytest.raises(ConfigError) as refusal:
            parse(PoolSpec, content, "site.toml")
        assert f'job.{key} is not supported by kind "{kind}": {why}' in str(refusal.value)


@each_kind
def test_pools_grow_where_their_kind_can(kind):
    content = {"kind": kind, "workers": 1, "workers_most": 2}
    if is_batch(kind) and batch_system(kind).grows:
        assert parse(PoolSpec, content, "site.toml").workers_most == 2
    else:
        with pytest.raises(ConfigError, match=f'workers_most is not supported by kind "{kind}"'):
            parse(PoolSpec, content, "site.toml")


@each_kind
@pytest.mark.parametrize("runtime", BATCH_RUNTIMES)
def test_an_image_that_a_kind_would_not_start_is_refused(kind, runtime):
    content = {"kind": kind, "container": {"runtime": runtime, "image": "x"}}
    if is_batch(kind) and runtime in batch_system(kind).runtimes:
        assert parse(PoolSpec, content, "site.toml").container.image == "x"
    else:
        with pytest.raises(ConfigError, match=f'container.runtime "{runtime}" is not supported by kind'):
            parse(PoolSpec, content, "site.toml")


@each_system
def test_nothing_is_asked_about_no_job(kind, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert batch_system(kind).states([]) == {}
    batch_system(kind).cancel([])


@each_system
def test_a_host_without_the_batch_system_is_told_from_a_queue_without_jobs(kind, monkeypatch):
    monkeypatch.setenv("PATH", "")
    for ask in (batch_system(kind).states, batch_system(kind).cancel):
        with pytest.raises(ResourceError, match="there is no such command here"):
            ask(["1"])
    with pytest.raises(ResourceError, match="there is no such command here"):
        batch_system(kind).submit_text("")


def _fake(folder, monkeypatch, command, output, code=0, special=None):
    """Put a command on the path that prints `output`, or that of the first special word it is given."""
    folder.mkdir(exist_ok=True)
    cases = {word: folder / f"{command}{i}" for i, word in enumerate(special or {})}
    for word, path in cases.items():
        path.write_text(special[word])
    (folder / f"{command}.said").write_text(output)
    lines = [f'case " $* " in *" {word} "*) exec cat {path};; esac' for word, path in cases.items()]
    text = "\n".join(["#!/bin/sh", *lines, f"cat {folder / command}.said", f"exit {code}", ""])
    (folder / command).write_text(text)
    (folder / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


@each_system
def test_states_are_read_from_what_a_queue_answers(kind, tmp_path, monkeypatch):
    recorded = json.loads((QUEUES / f"{kind}.json").read_text(encoding="utf-8"))
    answer = recorded["output"], recorded["code"], recorded.get("with")
    _fake(tmp_path / "bin", monkeypatch, recorded["command"], *answer)
    assert batch_system(kind).states([*recorded["states"], *recorded["gone"]]) == recorded["states"]
    for state in recorded["states"].values():
        assert state in {"queued", "running", "ending"} or state.startswith(("held: ", "queued: "))


@each_system
def test_a_queue_that_fails_is_not_taken_for_an_empty_one(kind, tmp_path, monkeypatch):
    recorded = json.loads((QUEUES / f"{kind}.json").read_text(encoding="utf-8"))
    _fake(tmp_path / "bin", monkeypatch, recorded["command"], "", 1)
    with pytest.raises(ResourceError, match=f"{recorded['command']}: failed"):
        batch_system(kind).states(["1"])


@each_system
def test_the_end_of_a_log_is_shown(kind, tmp_path):
    job = PoolJob("cpu", PoolSpec(kind=kind), tmp_path)
    assert batch_system(kind).log_tail(job, "1.0") == ""
    job.logs.mkdir()
    (job.logs / batch_system(kind).log_names(job, "1.0")[-1]).write_text("first\nno such module\n\n")
    assert batch_system(kind).log_tail(job, "1.0").endswith("no such module")


@each_system
def test_a_site_shows_how_a_batch_system_is_used_and_its_jobs_are_golden(kind):
    sites = [load_site(path.stem) for path in site_folder().glob("*.toml")]
    golden = {path.name for path in (Path(__file__).parents[1] / "golden" / "jobs").iterdir()}
    pools = [f"{site.name}.{name}.txt" for site in sites for name, p in site.pools.items() if p.kind == kind]
    assert pools
    assert set(pools) <= golden


def test_outcomes_and_jobs_travel():
    for one in (TaskOutcome("a", "lost", error=ConnectionError("x")), PoolJob("cpu", PoolSpec(), Path("/"))):
        assert pickle.loads(pickle.dumps(one)).__class__ is one.__class__


PBS2 = """\
from e2edist.pools.pbs import Pbs

class Pbs2(Pbs):
    title = "PBS 2"

SYSTEM = Pbs2()
"""
USES = """\
from pathlib import Path
from e2edist.accounting.usage import pool_facts
from e2edist.config.toml_models import parse
from e2edist.config.site import SiteSpec
from e2edist.checks.batch_systems import check_batch
from e2edist.control.controller_record import ControllerRecord
from e2edist.control.stop import _sweep_jobs
from e2edist.control.detach import preview_controller
from e2edist.pools import controller_grace_s
from e2edist.records.submitted_jobs import SubmittedJob, record_job

content = {"name": "x", "controller": {"kind": "pbs2"}}
pool = {"kind": "pbs2", "workers": 1, "workers_most": 4}
site = parse(SiteSpec, content | {"pools": {"cpu": pool}}, "site.toml")
assert controller_grace_s(site.controller) == 300
assert "#PBS -N e2e-ctrl-out" in preview_controller(site.controller, Path("/a/out"), [])
assert pool_facts(site.pools["cpu"])["nodes"] == 1
assert ControllerRecord("pbs2", "7.s", "h", "t", 0, 0.0, "log").name == "PBS 2 job 7.s"
found = {one.topic: one.text for one in check_batch(site, Path("/a/out"))}
assert found["pbs2"].startswith("answers in"), found
assert "PBS 2 does not judge" in found["job of cpu"], found
record_job(Path(), SubmittedJob("pbs2", "cpu", "7.s", "cpu-0"))
told = []
assert not _sweep_jobs(Path(), told.append)  # asked of its queue, where there is none
"""


def test_a_batch_system_of_another_package_counts_everywhere(tmp_path, monkeypatch):
    for command in ("qsub", "qstat", "qdel", "qsig"):
        _fake(tmp_path / "bin", monkeypatch, command, "")
    (tmp_path / "odd_batch.py").write_text(PBS2)
    announce(tmp_path, "pools", "pbs2", "odd_batch", package="odd_batch")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", USES], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
