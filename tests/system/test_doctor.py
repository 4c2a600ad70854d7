"""A site that works passes; whatever is broken is named, with what to do, before any campaign starts."""

import json
import os
import re
import subprocess
import sys
import time
from threading import Event
from types import SimpleNamespace

import pytest
from receipts import make_receipt
from runs import TIMEOUT_S, environment

from e2edist import __version__
from e2edist.checks.container_images import check_images, ours
from e2edist.checks.host import check_folders, check_gpus, check_network
from e2edist.checks.smoke_test import _finished, _Watch
from e2edist.config.site import SiteSpec
from e2edist.config.toml_models import parse

LOCAL = 'name = "test"\n[pools.cpu]\nkind = "local"\nworkers = 1\nthreads = 1\n'
SLURM = 'name = "test"\n[pools.cpu]\nkind = "slurm"\n[pools.cpu.job]\n'


@pytest.fixture
def doctor(tmp_path):
    """Run the verb on the text of a site file, with stand-ins first on the path."""

    def call(site, *arguments, commands=None):
        for name, text in (commands or {}).items():
            path = tmp_path / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            path.chmod(0o755)
        (tmp_path / "site.toml").write_text(site, encoding="utf-8")
        env = environment()
        env["PATH"] = os.pathsep.join([str(tmp_path / "bin"), env["PATH"]])
        words = ("--site", "site.toml", "--output", "out", *arguments)
        return subprocess.run(
            [sys.executable, "-m", "e2edist.doctor", *map(str, words)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return call


def lines(result):
    """Return topic -> (level, rest) of each finding."""
    assert "Traceback" not in result.stderr + result.stdout
    findings = result.stdout.partition("\n\n")[0]
    rows = [line for line in findings.splitlines() if not line.startswith(" ")]
    return {row[5:24].strip(): (row[:5].strip(), row[24:]) for row in rows}


def site_of(**tables):
    pool = {"kind": "slurm"} | tables
    return parse(SiteSpec, {"name": "test", "pools": {"cpu": pool}}, "test")


def fake_slurm(sbatch):
    return {"sbatch": sbatch, "squeue": "exit 0", "scancel": "exit 0"}


def test_this_machine_passes_with_a_real_chunk_and_leaves_nothing(doctor, model, tmp_path):
    result = doctor(LOCAL, "--model", model)
    assert (result.returncode, result.stderr) == (0, "")
    found = lines(result)
    assert {level for level, _ in found.values()} == {"ok"}
    assert "40 events on" in found["demo on cpu"][1]
    assert f"all {len(found)} checks passed\nnext: python -m e2edist.submit --site site.toml" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["site.toml"]


def test_a_model_that_does_not_load_fails_the_demo_by_its_name(doctor, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    result = doctor(LOCAL, "--model", "broken.onnx")
    assert result.returncode == 2
    level, text = lines(result)["demo on cpu"]
    assert level == "fail"
    assert "broken.onnx" in text


def test_an_output_that_can_not_be_written_is_named(doctor, tmp_path):
    (tmp_path / "out").touch()
    result = doctor(LOCAL, "--no-run")
    assert result.returncode == 2
    assert lines(result)["output"] == ("fail", f"{tmp_path / 'out'} is not a folder")
    assert "-> Name a folder" in result.stdout
    assert re.search(r"^1 of \d+ checks failed\nnext: mend what failed", result.stdout, re.MULTILINE)


def test_an_unwritable_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.NamedTemporaryFile", _refuse)
    finding = next(iter(check_folders(parse(SiteSpec, {"name": "t", "pools": {"cpu": {}}}, "t"), tmp_path)))
    assert (finding.level, finding.topic) == ("fail", "output")
    assert "can't be written (Permission denied)" in finding.text


def test_variables_in_the_folder_of_logs_are_those_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    found = {f.topic: f.text for f in check_folders(site_of(job={"log_directory": "$HERE/logs"}), tmp_path)}
    assert found["logs of cpu"].startswith(f"{tmp_path}/logs writable")


def _refuse(**_):
    raise PermissionError(13, "Permission denied")


def test_missing_commands_of_a_batch_system_are_named(doctor, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    result = doctor(SLURM, "--no-run")
    assert result.returncode == 2
    assert lines(result)["slurm"] == ("fail", "there is no sbatch, squeue, scancel here")


def test_a_batch_system_that_does_not_answer_is_told_with_its_words(doctor):
    commands = fake_slurm("exit 0") | {"squeue": "echo 'squeue: error: Unable to contact' >&2; exit 1"}
    result = doctor(SLURM, "--no-run", commands=commands)
    assert lines(result)["slurm"] == ("fail", "squeue: error: Unable to contact")


def test_a_missing_account_is_named_with_its_key(doctor):
    refusal = "echo 'sbatch: error: Invalid account or account/partition combination' >&2; exit 1"
    result = doctor(SLURM, "--no-run", commands=fake_slurm(refusal))
    assert result.returncode == 2
    level, text = lines(result)["job of cpu"]
    assert level == "fail"
    assert text.startswith(
        "1 thread, 2 GiB, 60 min, no account given; refused: sbatch: error: Invalid account"
    )
    todo = "-> Set account or pools.cpu.job.queue (as by --account NAME, or in site.toml)."
    assert todo in result.stdout


def test_a_site_without_account_and_image_says_what_to_write_and_starts_nothing(doctor, tmp_path):
    needy = 'extends = "perlmutter"\n[inputs]\nredirectors = []\n'
    commands = {"sbatch": "touch called", "squeue": "exit 0", "scancel": "exit 0"}
    result = doctor(needy, commands=commands)
    assert result.returncode == 2
    found = lines(result)
    assert found["account"] == ("fail", "has no account (gpu, controller)")
    assert found["image"] == ("fail", "has no image (gpu)")
    assert found["slurm"][0] == "ok"
    assert not {"job of gpu", "image of gpu", "demo on gpu", "grid access"} & found.keys()
    assert not (tmp_path / "called").exists()
    assert 'site.toml the lines account = "ACCOUNT"' in result.stdout
    chosen = doctor(needy, "--pools", "cpu", "--account", "m1", "--image", "docker:x/e2edist:1", "--no-run")
    assert not {"account", "image"} & lines(chosen).keys()
    assert lines(chosen)["image of cpu"] == ("fail", "there is no shifter, shifterimg here")


def test_a_job_that_would_be_taken_says_when(doctor):
    estimate = "cat >/dev/null; echo 'sbatch: Job 9 to start at 2026-11-23T10:00:00 on cpu1' >&2"
    result = doctor(SLURM + 'account = "m1"\n', "--no-run", commands=fake_slurm(estimate))
    asked = "1 thread, 2 GiB, 60 min, account m1"
    text = f"{asked}; Job 9 to start at 2026-11-23T10:00:00 on cpu1"
    assert lines(result)["job of cpu"] == ("ok", text)


def test_an_unknown_interface_is_named_with_those_there_are():
    findings = list(check_network(site_of(job={"interface": "hsn9"})))
    assert (findings[0].level, findings[0].topic) == ("fail", "network")
    assert "hsn9" in findings[0].text
    assert "lo" in findings[0].todo


def test_a_folder_for_logs_that_only_another_host_has_is_a_warning(tmp_path):
    def found(folder):
        findings = check_folders(site_of(job={"log_directory": str(folder)}), tmp_path)
        return next(finding for finding in findings if finding.topic == "logs of cpu")

    assert found(tmp_path / "new").level == "ok"  # which submit makes
    warning = found("/nosuchdisk/lpc1/3DayLifetime/me")
    assert warning.level == "warn"
    assert warning.text.startswith("/nosuchdisk/lpc1/3DayLifetime/me is not on this host")


def test_ports_that_are_all_taken_are_a_fault(monkeypatch):
    monkeypatch.setattr("e2edist.checks.host._opens", lambda address, port: port != 10000)
    job = {"interface": "lo", "scheduler_ports": [10000, 10000]}
    assert next(iter(check_network(site_of(job=job)))).text.startswith("no port of 10000-10000")
    job["scheduler_ports"] = [10000, 10003]
    assert "3 of 4 ports free" in next(iter(check_network(site_of(job=job)))).text


def test_a_gpu_pool_without_a_gpu_is_a_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = list(check_gpus(site_of(kind="local", provider="cuda")))
    assert [(f.level, f.topic) for f in found] == [("fail", "GPU of cpu")]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Return a function that puts a stand-in for a container runtime on the path."""

    def put(name, text):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")

    return put


def image(runtime, name, **more):
    kind = "htcondor" if runtime.startswith("htcondor") else "slurm"
    return site_of(kind=kind, container={"runtime": runtime, "image": str(name)} | more)


def test_a_missing_runtime_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = list(check_images(image("shifter", "docker:x")))
    assert [f.text for f in found] == ["there is no shifter, shifterimg here"]


def test_an_image_that_was_not_pulled_is_named_with_the_command(stand_in):
    stand_in("shifter", "exit 1")
    stand_in("shifterimg", "exit 1")
    (found,) = check_images(image("shifter", "docker:x:1"))
    assert (found.level, found.todo) == ("fail", "Run shifterimg pull docker:x:1.")


@pytest.mark.parametrize("content", [None, b"not a SIF"])
def test_a_missing_or_broken_sif_is_named(stand_in, tmp_path, content):
    stand_in("apptainer", "echo 'FATAL: image format not recognized' >&2; exit 255")
    path = tmp_path / "x.sif"
    if content is not None:
        path.write_bytes(content)
    (found,) = check_images(image("apptainer", path))
    assert found.level == "fail"
    assert ("not recognized" if content else "no such file") in found.text


def test_an_empty_tree_on_cvmfs_is_a_fault(tmp_path):
    (tmp_path / "tree").mkdir()
    (found,) = check_images(image("htcondor-apptainer", tmp_path / "tree"))
    assert (found.level, "empty" in found.text) == ("fail", True)
    (tmp_path / "tree" / "usr").mkdir()
    (found,) = check_images(image("htcondor-apptainer", tmp_path / "tree"))
    assert (found.level, "seen in" in found.text) == ("ok", True)


@pytest.mark.parametrize(
    ("change", "level", "told"),
    [
        ({}, "ok", "the same inside and outside"),
        ({"python": "2.7.1"}, "fail", "python 2.7.1 inside"),
        ({"distributed": "2020.1"}, "fail", "distributed 2020.1 inside"),
        ({"e2edist": ""}, "fail", f"e2edist none inside, {__version__} outside"),
    ],
)
def test_versions_inside_are_held_against_those_outside(stand_in, tmp_path, change, level, told):
    (tmp_path / "x.sif").touch()
    answer = json.dumps(ours() | change)
    stand_in("apptainer", f"[ $1 = inspect ] || echo '{answer}'")
    found = list(check_images(image("apptainer", tmp_path / "x.sif")))
    assert [f.level for f in found] == ["ok", level]
    assert told in found[1].text


@pytest.mark.parametrize(("version", "level"), [(ours()["python"], "ok"), ("3.9.18", "fail")])
def test_a_python_of_its_own_is_held_against_ours_too(tmp_path, version, level):
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\necho '{json.dumps(ours() | {'python': version})}'\n", encoding="utf-8")
    python.chmod(0o755)
    (found,) = check_images(site_of(container={"python": str(python)}))
    assert (found.level, found.topic) == (level, "versions in cpu")
    assert level == "ok" or "or use Python 3.9 out here" in found.todo


def test_a_worker_whose_clock_is_off_is_told():
    def found(offset):
        receipt = make_receipt(started=time.time() + offset, versions=ours())
        result = SimpleNamespace(events=40, seconds=1.0, ledger=SimpleNamespace(done={"a": receipt}))
        return _finished("demo on cpu", result, _Watch(Event()))

    assert [found(offset).level for offset in (0, -1000, 1000)] == ["ok", "warn", "warn"]
    assert "its clock is 1000 s off" in found(-1000).text


def test_workers_without_our_disk_are_not_given_events_that_lie_on_it(doctor, model):
    far = 'name = "test"\n[pools.cpu]\nkind = "htcondor"\n[pools.cpu.job]\nshared_disk = false\n'
    result = doctor(far, "--model", model)
    assert lines(result)["demo on cpu"] == (
        "warn",
        "not run: its workers don't see made-up events on this disk",
    )
    assert "-> Give --input with a root:// address." in result.stdout
