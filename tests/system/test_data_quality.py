"""Data quality of real runs: in the receipts, in quality.json, against a reference."""

import json
import re
import subprocess
import sys

import onnx
import pytest
from models import write_model
from runs import receipts, table

from e2edist.accounting import quality as dq


def test_receipts_hold_small_histograms_that_add_up_to_the_campaign(campaign):
    total = {}
    for receipt in receipts(campaign):
        assert len(json.dumps(receipt["quality"])) < 6000
        total = dq.add_quality(total, receipt["quality"])
    scored = table(campaign).filter(table(campaign)["status"].to_numpy() == "ok")
    found = total["scores"]["electron"]
    assert found == dq.histogram_of(scored["electron"].to_numpy(), dq.SCORE_EDGES)
    assert total["inputs"]["EB_energy"]["pixels"]["n"] == scored.num_rows
    kept = json.loads((campaign / "quality.json").read_text(encoding="utf-8"))
    assert {"scores": kept["scores"], "inputs": kept["inputs"]} == total == dq.read_quality(campaign)
    assert kept["drift"] == {}


@pytest.mark.slow
def test_the_same_run_does_not_drift_and_another_model_does(submit, events, model, campaign, tmp_path):
    common = ("--input", events, "--workers", 1, "--threads", 1, "--reference", campaign)
    same = submit(*common, "--model", model, "--output", "same", "--max-drift", 0.1)
    assert (same.returncode, same.stderr) == (0, "")
    assert "drifted" not in same.stdout
    other = write_model(tmp_path / "other.onnx", seed=5)
    failed = submit(*common, "--model", other, "--output", "other", "--max-drift", 0.1)
    assert failed.returncode == 1
    assert "score electron: drifted from the reference, PSI" in failed.stdout
    assert "drifted further from the reference than 0.1: score electron by" in failed.stderr
    drift = json.loads((tmp_path / "other" / "quality.json").read_text(encoding="utf-8"))["drift"]
    assert drift["score electron"] > 0.1
    assert drift["input EB_energy, sum"] == 0


@pytest.mark.slow
def test_scores_that_are_not_numbers_are_told_by_submit_and_status_and_fail_by_threshold(
    submit, events, tmp_path
):
    path = write_model(tmp_path / "nan.onnx", twist="logits")
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "raw"
    model.graph.node.append(onnx.helper.make_node("Sqrt", ["raw"], ["modelOutput"]))
    onnx.save(model, path)
    options = ("--input", events, "--model", path, "--workers", 1, "--threads", 1, "--chunk-events", 200)
    done = submit(*options, "--output", "out")
    assert done.returncode == 0
    (line,) = (row for row in json.loads((tmp_path / "out" / "quality.json").read_text())["warnings"])
    assert re.fullmatch(r"score electron: [\d,]+ NaN and 0 infinite of [\d,]+", line)
    assert line in done.stdout
    assert "data quality: score electron: " in (tmp_path / "out" / "submit.log").read_text()
    beat = json.loads((tmp_path / "out" / "progress.json").read_text())
    assert beat["warnings"] == [line]
    state = subprocess.run(
        [sys.executable, "-m", "e2edist.status", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"worth a look  {line}" in state.stdout
    failed = submit(*options, "--output", "out", "--max-nan-fraction", 0.01)
    assert failed.returncode == 1
    assert "more than 1.000% of the scores are NaN or infinite: electron " in failed.stderr
    assert submit(*options, "--output", "out", "--max-nan-fraction", 1).returncode == 0


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_a_reference_that_is_none_is_refused_before_anything_is_written(
    submit, events, model, tmp_path, place
):
    done = submit("--input", events, "--model", model, "--output", "out", "--reference", place)
    assert done.returncode == 2
    assert "has no parts with their data quality" in done.stderr
    assert not (tmp_path / "out").exists()
