"""Tuning with real workers, and submit that takes what was found."""

import subprocess
import sys

from models import write_model
from runs import TIMEOUT_S, environment, receipts, table

from e2edist.spec.tagger import load_tagger


def verb(name, cwd, *arguments):
    command = [sys.executable, "-m", f"e2edist.{name}", *map(str, arguments)]
    where = environment() | {"E2EDIST_PROFILES": str(cwd / "profiles")}
    return subprocess.run(
        command, cwd=cwd, env=where, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


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


def test_a_model_that_does_not_fit_is_told_once_and_measured_never(tmp_path):
    write_model(tmp_path / "m.onnx", channels=3)
    done = verb("tune", tmp_path, "--model", "m.onnx", "--budget-s", 4)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has shape ['batch', 3, 32, 32], the tagger makes [batch, 1, 32, 32]" in done.stderr


def test_a_pool_that_is_not_there_and_a_file_that_is_none_are_told(tmp_path):
    assert "no pool of site local 'gpu'" in verb("tune", tmp_path, "--pool", "gpu").stderr
    done = verb("tune", tmp_path, "--input", "none.root")
    assert (done.returncode, "none.root" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
