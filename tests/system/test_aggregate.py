"""Aggregating real campaigns: the numbers of all verbs agree; groups of files are as one campaign."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import uproot
from environments import python_with
from runs import KEY, environment, plain

from e2edist import aggregate
from e2edist.records.plan import read_plan
from e2edist.reporting.campaign_stats import read_stats

pytestmark = pytest.mark.slow


def cells(said):
    """Return the numbers of the result as name -> number, and those of rejected objects by status."""
    result = said[said.index("result\n") :]
    found = re.findall(r"^  ([a-z ]+?)  +([0-9,]+)(?:  (.*))?$", result, re.MULTILINE)
    numbers = {name: int(number.replace(",", "")) for name, number, _ in found}
    (why,) = [why for name, _, why in found if name == "rejected"]
    return numbers, {name: int(n.replace(",", "")) for name, n in re.findall(r"(\w+) ([0-9,]*\d)", why)}


def status_of(folder):
    line = [sys.executable, "-m", "e2edist.status", str(folder), "--json", "--offline"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), check=False)
    return json.loads(done.stdout)["counts"]


def test_submit_status_report_and_aggregate_tell_the_same_numbers(lab, tmp_path, source):
    lab.source = shutil.copytree(source, tmp_path / "source")
    content = (source / "a.root").read_bytes()
    (lab.source / "c.root").write_bytes(content[: len(content) // 2])
    faults = [{"at": "read", "do": "raise", "file": "a.root", "entry": 42}]
    code, said = lab.run("--max-bad-fraction", 0.5, faults=faults, fork=True)
    assert code == 0, said
    assert aggregate.main([str(lab.out), "--max-bad-fraction", "0.5"]) == 0
    total = json.loads((lab.out / "aggregated" / "summary.json").read_text())
    (told, rejected), counts, campaign = cells(said), status_of(lab.out), read_stats(lab.out)

    # One entry was given up, and a file could not be opened, which counts as large as the others.
    assert total["events"] == {"planned": 2 * 96, "skipped": 96, "done": 2 * 96 - 1, "lost": 96 + 1}
    assert counts["events"] == total["events"]["planned"]
    assert told["events"] == counts["events_done"] == campaign.total.events == 191
    assert (counts["events_failed"], counts["skipped"]) == (1, 1)
    assert told["objects"] == counts["rows"] == campaign.total.objects == total["objects"]
    assert counts["parts"] == campaign.total.chunks == total["chunks"]
    assert f"failed: {100 * 97 / 288:.4g} % of all events" in said
    assert (told["lost"], told["rejected"]) == (total["events"]["lost"], sum(rejected.values()))
    assert rejected | {"ok": told["with scores"]} == total["status"]
    # And they are what lies on disk.
    rows = pq.read_table(lab.out / "aggregated" / "table", columns=["status"])["status"].to_pylist()
    assert {name: rows.count(name) for name in set(rows)} == total["status"]
    assert campaign.total.facts() == {name: total[name] for name in campaign.total.facts()}
    for name, stage in total["stages"].items():
        printed = rf"\n{name} +{stage['wall_ms'] / 1e3:.2f} +{stage['cpu_ms'] / 1e3:.2f}\b"
        assert re.search(printed, said), (name, stage)
    bad = pq.read_table(lab.out / "aggregated" / "bad.parquet")
    assert bad.equals(pq.read_table(lab.out / "bad.parquet"))
    assert sum(bad["events"].to_pylist()) == total["events"]["lost"]
    assert pq.read_table(lab.out / "aggregated" / "timing.parquet").equals(
        pq.read_table(lab.out / "timing.parquet")
    )


def test_groups_of_files_come_to_what_one_campaign_comes_to(lab, tmp_path, source, clean, capsys):
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders, 1):
        lab.out = folder
        code, said = lab.run("--group", f"{number}/2", fork=True)
        assert code == 0, said
    out = tmp_path / "all"
    assert aggregate.main([str(folders[0]), "--output", str(out)]) == 2
    assert "groups 2/2 are missing" in capsys.readouterr().err
    assert aggregate.main([*map(str, folders), "--output", str(out), "--friend"]) == 0
    table = plain(pq.read_table(out / "table"))
    assert table.drop_columns(["dataset", "file"]).equals(clean)
    assert set(table["dataset"].to_pylist()) == {""}
    assert set(table["file"].to_pylist()) == {read_plan(folder).files[0].url for folder in folders}
    assert table.equals(table.sort_by([(name, "ascending") for name in KEY]))
    for folder in folders:
        (file,) = read_plan(folder).files
        check_friend(file, out / "friends")


def check_friend(file, friends):
    """Each object of a friend has the kinematics of the object that it names, in the same entry."""
    stem = file.url.rsplit("/", 1)[-1].removesuffix(".root")
    (path,) = friends.glob(f"{stem}-*.friend.root")
    with uproot.open(file.url) as theirs, uproot.open(path) as ours:
        assert ours[file.tree].num_entries == theirs[file.tree].num_entries == file.entries
        scores, inputs = ours[file.tree].arrays(), theirs[file.tree].arrays(["Photon_pt", "Photon_eta"])
    seen = 0
    for mine, event in zip(scores, inputs, strict=True):
        photons = [i for i, device in enumerate(mine["eg_kind"]) if device == 0]
        assert [mine["eg_object"][i] for i in photons] == list(range(len(event["Photon_pt"])))
        assert [mine["eg_pt"][i] for i in photons] == event["Photon_pt"].tolist()
        assert [mine["eg_eta"][i] for i in photons] == event["Photon_eta"].tolist()
        seen += len(photons)
    assert seen > 20


def test_root_itself_joins_inputs_and_friends_by_entry(clean_folder, clean, tmp_path):
    python = python_with("root")
    assert aggregate.main([str(clean_folder), "--output", str(tmp_path), "--friend"]) == 0
    files = read_plan(clean_folder).files
    friends = [next((tmp_path / "friends").glob(f"*-{file.uuid[:8]}.friend.root")) for file in files]
    pairs = [(file.tree, file.url, str(path)) for file, path in zip(files, friends, strict=True)]
    line = [python, Path(__file__).with_name("root_friend.py"), json.dumps(pairs)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = clean.to_pylist()
    for file, found in zip(files, json.loads(done.stdout), strict=True):
        scores = [row["electron"] for row in rows if row["uuid"] == file.uuid and row["status"] == "ok"]
        assert found["entries"] == file.entries
        wanted = [file.entries, file.entries, sum(scores), len(scores)]
        assert found["values"] == pytest.approx(wanted, rel=1e-5)
