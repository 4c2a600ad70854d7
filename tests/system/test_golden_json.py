"""Campaigns under a golden JSON: real events, resumed, aggregated; and where the JSON may lie."""

import json
import re

import pytest
from runs import parts, receipts, run, table, verb
from servers import Web


@pytest.mark.slow
def test_a_campaign_under_a_golden_json_is_the_unmasked_one_filtered(data, model, tmp_path):
    inputs = str(data / "root" / "hits_given_*.root")
    files = ("--input", inputs, "--model", model, "--workers", 1, "--threads", 2)
    assert run((*files, "--output", "all"), tmp_path).returncode == 0
    everything = table(tmp_path / "all")
    lumis = sorted({*zip(everything["run"].to_pylist(), everything["lumi"].to_pylist(), strict=True)})
    chosen = set(lumis[::3])
    mask = {}
    for number, lumi in chosen:
        mask.setdefault(str(number), []).append([lumi, lumi])
    (tmp_path / "golden.json").write_text(json.dumps(mask))
    (tmp_path / "campaign.toml").write_text(
        f'tagger = "eg"\nmodel = "{model}"\ninputs = ["{inputs}"]\noutput = "out"\n'
        'lumi_mask = "golden.json"\n'
    )
    line = ("--workflow", "campaign.toml", "--workers", 1, "--threads", 2)
    done = run(line, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = table(tmp_path / "out")
    pairs = zip(everything["run"].to_pylist(), everything["lumi"].to_pylist(), strict=True)
    assert rows.equals(everything.filter([pair in chosen for pair in pairs]))
    assert 0 < len(rows) < len(everything)

    found = receipts(tmp_path / "out")
    inside = sum(receipt["events_in_mask"] for receipt in found)
    assert sum(receipt["events"] for receipt in found) == 659 > inside > 0
    assert re.search(rf"in the lumi mask +{inside} ", done.stdout)
    assert (
        f"lumi mask: runs {min(map(int, mask))} to {max(map(int, mask))}, {len(mask)} of them" in done.stdout
    )

    # The same luminosity blocks in another order are the same mask, and nothing is done again.
    before = {path: path.stat().st_mtime_ns for path in parts(tmp_path / "out")}
    (tmp_path / "golden.json").write_text(json.dumps(dict(reversed(mask.items())), indent=4))
    assert run(line, tmp_path).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in parts(tmp_path / "out")} == before

    assert verb("aggregate", "out", cwd=tmp_path).returncode == 0
    folder = tmp_path / "out" / "aggregated"
    processed = json.loads((folder / "processed_lumis.json").read_text())
    told = {(int(r), n) for r, some in processed.items() for a, b in some for n in range(a, b + 1)}
    assert {*zip(rows["run"].to_pylist(), rows["lumi"].to_pylist(), strict=True)} <= told <= chosen
    assert json.loads((folder / "summary.json").read_text())["events_in_mask"] == inside


@pytest.mark.slow
def test_another_mask_is_refused_by_a_folder_and_one_that_nothing_passes_is_warned_of(
    events, model, tmp_path
):
    line = ("--input", events, "--model", model, "--output", "out", "--workers", 1, "--lumi-mask")
    (tmp_path / "none.json").write_text('{"999999": [[1, 2]]}')
    (tmp_path / "other.json").write_text('{"1": [[1, 9999999]]}')
    done = run((*line, "none.json"), tmp_path)
    assert (done.returncode, table(tmp_path / "out").num_rows) == (0, 0)
    assert "none of the 600 events is in the lumi mask" in " ".join(done.stdout.split())
    again = run((*line, "other.json"), tmp_path)
    assert again.returncode == 2
    assert "was planned with another lumi mask: run 999999, sha256" in again.stderr
    assert "Choose another --output" in again.stderr
    without = run(line[:-1], tmp_path)
    assert without.returncode == 2
    assert "was planned with a lumi mask (run 999999, sha256" in without.stderr
    assert "Name it with --lumi-mask." in without.stderr


@pytest.mark.slow
def test_a_golden_json_may_lie_on_a_web_server(events, model, tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "golden.json").write_text('{"1": [[1, 1]]}')
    (tmp_path / "web" / "login.json").write_text("<html>Log in</html>")
    line = ("--input", events, "--model", model, "--output", "out", "--dry-run", "--lumi-mask")
    with Web(tmp_path / "web") as web:
        done = run((*line, f"{web.url}/golden.json"), tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "run 1, sha256" in done.stdout
        login = run((*line, f"{web.url}/login.json"), tmp_path)
        gone = run((*line, f"{web.url}/gone.json"), tmp_path)
    assert login.returncode == gone.returncode == 2
    assert f"{web.url}/login.json: is no JSON: Expecting value in line 1, column 1" in login.stderr
    assert "gone.json" in gone.stderr
    assert "Traceback" not in gone.stderr
