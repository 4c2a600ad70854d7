"""Tuning with real workers, and submit that takes what was found."""

import subprocess
import sys

import pytest
from models import write_model
from runs import TIMEOUT_S, environment, receipts, table

from e2edist.config.tagger import load_tagger
from e2edist.engines import processor
from e2edist.tuning.profile import read_profile


def verb(name, cwd, *arguments, **more):
    command = [sys.executable, "-m", f"e2edist.{name}", *map(str, arguments)]
    where = environment() | {"E2EDIST_PROFILES": str(cwd / "profiles")} | more
    return subprocess.run(
        command, cwd=cwd, env=where, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@pytest.mark.slow
def test_tune_writes_a_profile_that_submit_takes_and_scores_stay_the_same(events, model, campaign, tmp_path):
    file = sorted(events.glob("*.root"))[0]
    done = verb("tune", tmp_path, "--model", model, "--input", file, "--budget-s", 8)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No GPU pool was measured" in done.stdout
    assert "sparse, batch 1:" in done.stdout
    # Whenever the time is up, the best is not worse than what runs without a profile.
    assert f"dense, batch {load_tagger('eg').batch}:" in done.stdout.splitlines()[0]
    (profile,) = (tmp_path / "profiles").glob("*.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["profiles"]
    again = verb("submit", tmp_path, "--input", events, "--model", model, "--output", "out")
    assert (again.returncode, again.stderr) == (0, "")
    assert f"as tuned ({profile})" in again.stdout.replace("\n", "")
    assert table(tmp_path / "out").equals(table(campaign))
    assert {r["engine"]["profile"] for r in receipts(tmp_path / "out")} == {str(profile)}


@pytest.mark.slow
def test_the_pool_of_a_batch_system_is_measured_on_its_own_jobs(system, model, events, tmp_path):
    (tmp_path / "site.toml").write_text('name = "lab"\n' + system.pool("cpu", 2))
    file = sorted(events.glob("*.root"))[0]
    options = ("--site", "site.toml", "--model", model, "--input", file, "--events", 100)
    done = verb("tune", tmp_path, *options, "--budget-s", 6, **system.env)
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = (tmp_path / "profiles").glob("*.toml")
    profile = read_profile(path)
    assert (profile.kind, profile.pool) == (system.kind, "cpu")
    # The jobs are what the site file says; only what happens in them is chosen.
    assert (profile.settings.workers, profile.settings.threads) == (2, 1)
    assert profile.device == processor()
    assert not system.queue()
    again = verb("submit", tmp_path, *options[:4], "--input", events, "--output", "out", **system.env)
    assert (again.returncode, again.stderr) == (0, "")
    assert {r["engine"]["profile"] for r in receipts(tmp_path / "out")} == {str(path)}


def test_a_model_that_does_not_fit_is_told_once_and_measured_never(tmp_path):
    write_model(tmp_path / "m.onnx", channels=3)
    done = verb("tune", tmp_path, "--model", "m.onnx", "--budget-s", 4)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has shape ['batch', 3, 32, 32], the tagger makes [batch, 1, 32, 32]" in done.stderr


def test_a_pool_that_is_not_there_and_a_file_that_is_none_are_told(tmp_path):
    assert "no pool of site local 'gpu'" in verb("tune", tmp_path, "--pools", "gpu").stderr
    done = verb("tune", tmp_path, "--input", "none.root")
    assert (done.returncode, "none.root" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_pool_that_does_not_see_this_disk_is_not_measured(tmp_path):
    (tmp_path / "far.toml").write_text('name = "far"\n[pools.cpu.job]\nshared_disk = false\n')
    done = verb("tune", tmp_path, "--site", "far.toml")
    assert done.returncode == 2
    assert "pool cpu: its workers see neither model nor events of this host" in done.stderr
