"""What ``submit --dry-run`` shows on a terminal of 80 columns: a change shows as a difference.

After a wanted change write it anew, and read the difference before you commit it:

    E2EDIST_GOLDEN=write python -m pytest tests/golden
"""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from e2edist.demo import make_events
from e2edist.submit import main

FOLDER = Path(__file__).with_name("dry_run")
LINE = ("--account", "m1234", "--image", "docker:me/e2edist:1.0-cu13", "--dry-run", "--output", "out")


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    make_events(folder / "events", "eg", 600, seed=1)
    return folder


@pytest.fixture(autouse=True)
def place(events, tmp_path, monkeypatch):
    """Run beside the events, with a home of its own."""
    monkeypatch.chdir(events)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("E2EDIST_ACCOUNT", "E2EDIST_IMAGE", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("COLUMNS", "80")


def shown(capsys, events, *words):
    assert main(["--site", "perlmutter", "--input", "events", *words, *LINE]) == 0
    assert sorted(path.name for path in events.iterdir()) == ["events"]  # nothing is written
    text = capsys.readouterr().out.replace(str(events), "/FOLDER").replace(sys.executable, "PYTHON")
    # How well files are compressed is a library's business.
    return re.sub(r"[\d.]+ MB", "5.29 MB", text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("perlmutter", ()),
        (
            "perlmutter-detached",
            ("--workers", "gpu=16,cpu=8", "--detach", "--estimate"),
        ),
    ],
)
def test_a_dry_run_is_as_written_down(capsys, events, name, words):
    path = FOLDER / f"{name}.txt"
    text = shown(capsys, events, *words)
    if os.environ.get("E2EDIST_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    plan = text.partition("\njob of")[0].splitlines()
    assert max(len(line) for line in plan if "/FOLDER" not in line and "note:" not in line) <= 80


def test_machines_get_the_same_as_one_event(capsys, events):
    lines = shown(capsys, events, "--json").splitlines()
    plan, end = map(json.loads, lines)
    assert (plan["what"], end["what"], end["exit_code"]) == ("plan", "end", 0)
    assert (plan["site"], plan["tagger"], plan["demo_network"]) == ("perlmutter", "eg", True)
    assert (plan["events"], len(plan["files"]), plan["folder"]) == (600, 2, "/FOLDER/out")
    assert plan["chunks"] == sum(file["chunks"] for file in plan["files"])
    (pool,) = plan["pools"]
    assert (pool["pool"], pool["jobs"], pool["workers"], pool["node_h"], pool["gpu_h"]) == (
        "gpu",
        2,
        4,
        4.0,
        16.0,
    )
    assert (plan["node_h_at_most"], plan["gpu_h_at_most"]) == (4.0, 16.0)
    assert plan["jobs"]["pool gpu"].startswith("#!/usr/bin/env bash")
    assert "--dry-run" not in plan["command"]
