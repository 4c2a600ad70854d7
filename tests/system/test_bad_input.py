"""What a user must fix: exit code 2, one clear message, no traceback, and nothing is written."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import uproot
from models import JETS, write_model, write_tagger
from runs import environment, receipts, run, snapshot, table
from streamed import without_streamers

from e2edist import submit
from e2edist.config.tagger import packaged

#: Address space of the process that looks at odd files: a branch there asks for 8 GiB.
MEMORY = 2 << 30


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Give a call that must be refused, in `tmp_path`, with all of `words` in its message; return that."""
    monkeypatch.chdir(tmp_path)

    def call(arguments, *words):
        before = snapshot(tmp_path)
        try:
            code = submit.main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse's way
            code = end.code
        message = capsys.readouterr().err
        assert code == 2, message
        assert "Traceback" not in message
        assert "error: " in message if "usage: " in message else message.startswith("e2edist: ")
        for word in words:
            assert str(word) in message, message
        assert snapshot(tmp_path) == before
        return message

    return call


@pytest.fixture
def file(events, tmp_path):
    """Copy of a good file, to be spoiled."""
    return shutil.copy(next(iter(sorted(events.glob("*.root")))), tmp_path / "some_events.root")


def _write(path, *branches, name="Events"):
    """Write a tree without entries, its branches are lists of numbers."""
    with uproot.recreate(path) as target:
        whole = {branch: "uint32" if branch.endswith("detid") else "float32" for branch in branches}
        target.mktree(name, {branch: f"var * {kind}" for branch, kind in whole.items()})


def _branches(**columns):
    return [f"{prefix}_{column}" for prefix, names in columns.items() for column in names.split()]


def _cut(path):
    os.truncate(path, path.stat().st_size - 1000)


def _text(path):
    path.write_text("run event\n1 2\n", encoding="utf-8")


def _no_tree(path):
    with uproot.recreate(path) as target:
        target["hist"] = np.histogram([1.0, 2.0])


def _missing_branch(path):
    names = _branches(EBRecHit="detid enrgy time eta phi", Electron="pt eta phi", Photon="pt eta phi")
    _write(path, *names, *_branches(Track="pt eta phi charge chi2 ndof dxy dz", PFJet="pt eta phi"))


FILES = {
    "absent": (lambda path: path.rename(path.with_name("sone_events.root")), "no such file", "sone_events"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (_text, "is not a ROOT file"),
    "cut": (_cut, "is cut short", "Copy"),
    "no tree": (_no_tree, "has no TTree", "hist"),
    "other tree": (lambda path: _write(path, "x", name="ntuple"), "no format fits", "ntuple"),
    "missing branch": (_missing_branch, "EBRecHit_energy", "nearest", "EBRecHit_enrgy"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "no"),
}


@pytest.mark.parametrize("fault", FILES)
def test_bad_files(fault, file, model, refused):
    spoil, *words = FILES[fault]
    spoil(file)
    refused(("--input", file, "--model", model, "--output", "out"), file, *words)


def test_all_bad_files_are_named_at_once(file, events, model, tmp_path, refused):
    _cut(file)
    _text(tmp_path / "b.root")
    inputs = (events, file, tmp_path / "b.root", tmp_path / "c.root")
    refused(("--input", *inputs, "--model", model, "--output", "out"), *inputs[1:], "3 of 5 input files")


def test_unsplit_files_that_do_not_describe_their_classes(data, model, tmp_path, refused):
    file = without_streamers(data / "edm" / "given_unsplit.root", tmp_path / "a.root")
    words = (file, "unsplit", "reducedEcalRecHitsEB", "StreamerInfo", "splitLevel")
    refused(("--input", file, "--model", model, "--output", "out"), *words)


@pytest.mark.parametrize(
    "inputs", [("x*.root",), ("list.txt",), ("nothing",), ("a.root", "a.root"), ("e.txt",)]
)
def test_inputs_that_name_no_file_or_one_twice(inputs, model, tmp_path, refused):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "none.txt").write_text("# no files\n", encoding="utf-8")
    refused(("--input", *inputs, "--model", model, "--output", "out"), inputs[0])


MODELS = {
    "channels": ({"channels": 3}, "[batch, 1, 32, 32]"),
    "size": ({"size": 31}, "31", "[batch, 1, 32, 32]"),
    "layout": ({"layout": "NHWC"}, "[batch, 1, 32, 32]", "layout"),
    "rank": ({"twist": "rank2"}, "1024", "[batch, 1, 32, 32]"),
    "inputs": ({"twist": "two_inputs"}, "extra"),
    "type": ({"dtype": "uint8"}, "tensor(uint8)"),
    "rows": ({"twist": "meaned"}, "no row per image"),
}


#: What a tagger file of the user says; a packaged tagger takes these models as they are.
OWN_NAMES = {
    "input": ({"input_name": "images"}, "no input 'modelInput'", "images"),
    "output": ({"outputs": {"score": 1}}, "no output 'modelOutput'", "score"),
    "columns": ({"outputs": {"modelOutput": 2}}, "2 numbers", "outputs.columns"),
}


@pytest.mark.parametrize("fault", OWN_NAMES)
def test_models_with_other_names_than_the_users_tagger_file(fault, events, tmp_path, refused):
    options, *words = OWN_NAMES[fault]
    model = write_model(tmp_path / "model.onnx", **options)
    mine = shutil.copy(packaged()["eg"], tmp_path / "mine.toml")
    refused(("--input", events, "--tagger", mine, "--model", model, "--output", "out"), model, *words)


def test_a_model_with_other_names_resumes_and_is_another_plan_than_its_twin(
    events, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    one = write_model(tmp_path / "one.onnx", input_name="images", outputs={"score": 1})
    two = write_model(tmp_path / "two.onnx", input_name="pixels", outputs={"score": 1})
    line = ["--input", str(events), "--output", "out", "--workers", "1", "--threads", "1"]
    assert submit.main([*line, "--model", str(one)]) == 0
    assert "electron" in table(tmp_path / "out").column_names
    assert submit.main([*line, "--model", str(one)]) == 0
    assert submit.main([*line, "--model", str(two)]) == 2
    assert "another plan: its tagger differs in model" in capsys.readouterr().err


@pytest.mark.parametrize("fault", MODELS)
def test_models_that_do_not_fit(fault, events, tmp_path, refused):
    options, *words = MODELS[fault]
    model = write_model(tmp_path / "model.onnx", **options)
    refused(("--input", events, "--model", model, "--output", "out"), model, *words)


def test_models_that_do_not_load(file, events, refused):
    refused(("--input", events, "--model", file, "--output", "out"), file, "does not load")
    refused(("--input", events, "--model", "x.onnx", "--output", "out"), "x.onnx", "--model")


def test_folders_of_other_plans(campaign, events, model, tmp_path, refused):
    shutil.copytree(campaign, tmp_path / "out")
    other = write_model(tmp_path / "other.onnx", seed=5)
    tagger = write_tagger(tmp_path / "t.toml", model)
    one = next(events.glob("*.root"))
    base = ("--output", "out", "--input")
    refused((*base, events, "--model", other), "out", "another plan", "model", "--output")
    refused((*base, events, "--tagger", tagger), "out", "another plan", "name", "--output")
    refused((*base, one, "--model", model), "out", "another plan", "1 inputs are missing")
    plan = tmp_path / "out" / "plan.json"
    plan.write_text(plan.read_text("utf-8").replace('"entries": 300', '"entries": 301'), "utf-8")
    refused((*base, events, "--model", model), "out/plan.json", "changed")
    plan.write_text(plan.read_text("utf-8")[:100], "utf-8")
    refused((*base, events, "--model", model), "out/plan.json", "can't be read")


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/e2edist", "full"])
def test_folders_that_cannot_be_written(folder, events, model, tmp_path, refused):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    refused(("--input", events, "--model", model, "--output", folder), folder, "--output")


NAMES = {
    "tagger": (("--tagger", "egg"), "'egg'", "Did you mean 'eg'"),
    "site": (("--site", "lokal"), "'lokal'", "Did you mean 'local'"),
    "format": (("--format", "hist"), "'hist'", "Did you mean 'hits'"),
    "tree": (("--tree", "Evnts"), "'Evnts'", "Did you mean 'Events'"),
    "pool": (("--workers", "cqu=2"), "'cqu'", "Did you mean 'cpu'"),
    "workers": (("--workers", "many"), "--workers", "'many'", "gpu=4"),
    "worker pairs": (("--workers", "cpu=1=2"), "--workers", "'cpu=1=2'", "gpu=4"),
    "negative": (("--workers=-1",), "workers", "-1"),
    "batch": (("--batch=-1",), "batch", "-1"),
    "threads": (("--threads", "x"), "--threads", "'x'"),
    "flag": (("--inptu", "x"), "--inptu"),
    "tagger file": (("--tagger", "mine.toml"), "mine.toml"),
    "site file": (("--site", "mine.toml"), "mine.toml"),
    "workflow file": (("--workflow", "mine.toml"), "mine.toml"),
}


@pytest.mark.parametrize("fault", NAMES)
def test_words_that_are_not_known(fault, events, model, refused):
    options, *words = NAMES[fault]
    refused(("--input", events, "--model", model, "--output", "out", *options), *words)


def test_what_is_missing_on_the_command_line_is_named(events, model, refused):
    refused(("--input", events, "--model", model), "output")
    refused(("--tagger", "none"), "nothing to run over", "--input", "--workflow", "--demo")
    refused(("--demo", "--tagger", "none"), "none", "eg, qg, top, tau")


def test_all_faults_of_a_tagger_file_at_once(events, model, tmp_path, refused):
    changes = {"cuts": 3, "batch": "8", "objects": {"pt_min": -1.0}, "crop": {"size": 0}}
    tagger = write_tagger(tmp_path / "t.toml", model, **changes, channels=[{"layer": "EB_enegy"}])
    words = ("cuts", "batch", "objects.pt_min", "crop.size", "channels.0.layer", "'EB_energy'")
    refused(("--input", events, "--tagger", tagger, "--output", "out"), tagger, *words)
    tagger.write_text("name = small\n", encoding="utf-8")
    refused(("--input", events, "--tagger", tagger, "--output", "out"), tagger, "line 1")


def test_all_faults_of_site_and_workflow_files_at_once(events, model, tmp_path, refused):
    site = tmp_path / "site.toml"
    site.write_text('name = "x"\n[pools.cpu]\nworkrs = 1\nprovider = "gpu"\nthreads = -1\n', encoding="utf-8")
    words = ("pools.cpu.workrs", "'workers'", "pools.cpu.provider", "cuda", "pools.cpu.threads")
    refused(("--input", events, "--model", model, "--output", "out", "--site", site), site, *words)
    flow = tmp_path / "flow.toml"
    flow.write_text('taggr = "eg"\ninputs = []\noutput = 3\n', encoding="utf-8")
    refused(("--workflow", flow), flow, "taggr", "'tagger'", "inputs", "output")


def test_tracks_without_quality_are_not_taken_for_good_ones(data, tmp_path, refused):
    model = write_model(tmp_path / "jets.onnx", size=125)
    tagger = write_tagger(tmp_path / "jets.toml", model, **JETS, channels=[{"layer": "ECAL_tracksPt"}])
    file = data / "root" / "hits_given_a.root"
    words = (file, "Track_quality", "track_quality = 0")
    refused(("--input", file, "--tagger", tagger, "--output", "out"), *words)


_LOOK = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
from e2edist import submit
for path in sys.argv[2:]:
    print(path, file=sys.stderr)
    code = submit.main(["--input", path, "--model", sys.argv[1], "--output", "out", "--dry-run"])
    print("CODE", code, file=sys.stderr)
"""


def test_odd_files_cost_little_memory_and_one_message(data, model, tmp_path):
    files = sorted(map(str, (data / "odd").glob("*.root")))
    command = [sys.executable, "-c", _LOOK, model, *files]
    seen = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    lines = iter(seen.stderr.splitlines())
    for path in files:
        assert next(lines) == path
        message, code = next(lines), next(lines)
        assert message.startswith(f"e2edist: {path}: ")
        assert len(message) < 1000
        assert code == "CODE 2"
    assert not list(lines)
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_entries_gives_a_part_without_rows(model, tmp_path, submit):
    names = _branches(EBRecHit="detid energy", Electron="pt eta phi", Photon="pt eta phi")
    _write(tmp_path / "none.root", *names)
    done = submit("--input", "none.root", "--model", model, "--output", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert [receipt["rows"] for receipt in receipts(tmp_path / "out")] == [0]
    rows = table(tmp_path / "out")
    assert rows.num_rows == 0
    assert {"uuid", "entry", "status", "electron"} <= set(rows.column_names)


def test_a_process_tells_the_same(file, model, tmp_path):
    _cut(file)
    before = snapshot(tmp_path)
    done = run(("--input", file, "--model", model, "--output", "out"), tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"e2edist: {file}: is cut short")
    assert snapshot(tmp_path) == before
