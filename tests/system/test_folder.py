"""What stands in a campaign's folder besides its parts, and what happens to it."""

import shutil

import pytest

from e2edist.submit import main


@pytest.fixture
def finished(campaign, tmp_path):
    """A copy of a finished campaign's folder."""
    shutil.copytree(campaign, tmp_path / "out")
    return tmp_path / "out"


def _again(events, model, out, *more):
    return main(["--input", str(events), "--model", str(model), "--output", str(out), *map(str, more)])


def test_tables_that_were_lost_are_written_again_and_others_are_left_alone(finished, events, model, capsys):
    tables = {name: (finished / name).read_bytes() for name in ("timing.parquet", "bad.parquet")}
    for name in tables:
        (finished / name).unlink()
    mine = finished / "predictions" / "my_merged.parquet"
    mine.write_bytes(b"mine")
    assert _again(events, model, finished) == 0
    assert {name: (finished / name).read_bytes() for name in tables} == tables
    assert mine.read_bytes() == b"mine"


def test_a_table_of_an_older_state_is_replaced(finished, events, model, capsys):
    shutil.copy(finished / "timing.parquet", finished / "bad.parquet")
    assert _again(events, model, finished) == 0
    assert (finished / "bad.parquet").read_bytes() != (finished / "timing.parquet").read_bytes()


def test_a_lost_plan_is_no_campaign_until_fresh(finished, events, model, capsys):
    (finished / "plan.json").unlink()
    assert _again(events, model, finished, "--dry-run") == 2
    assert "holds other files and no plan" in capsys.readouterr().err
    assert _again(events, model, finished, "--dry-run", "--fresh") == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tree", "Nope"), "belongs to another plan"),
        (("--format", "edm"), "belongs to another plan"),
        (("--batch", 10**8), "a batch of 100,000,000 images needs"),
        (("--max-drift", 0.1), "max_drift needs a reference"),
        (("--threads", 10**7), "GiB in 10,000,000 threads"),
    ],
)
def test_options_that_can_not_be_followed_are_refused(finished, events, model, capsys, options, said):
    assert _again(events, model, finished, *options, "--dry-run") == 2
    assert said in capsys.readouterr().err


def test_an_input_that_changed_since_it_was_planned_is_named(submit, events, model, tmp_path):
    copy = shutil.copytree(events, tmp_path / "events")
    line = ("--input", copy, "--model", model, "--output", "out", "--threads", 1)
    assert submit(*line).returncode == 0
    first, second = sorted(copy.glob("*.root"))
    shutil.copy(second, first)
    again = submit(*line)
    assert again.returncode == 0  # all is done, of the file that was there
    assert f"warning: {first} is not the file that was planned" in again.stdout
