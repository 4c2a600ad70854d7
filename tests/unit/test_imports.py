"""Every verb answers before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"dask", "distributed", "dask_jobqueue", "onnxruntime", "uproot", "awkward", "numba", "pyarrow"}
ROOT = Path(__file__).parents[2]


def imported_by(*arguments):
    """Return exit code, output and the top-level names of all modules that Python imported."""
    command = [sys.executable, "-X", "importtime", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    return ended.returncode, ended.stdout, {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


def test_the_listing_of_imports_sees_a_heavy_module():
    code, _, modules = imported_by("-c", "import pyarrow")
    assert code == 0
    assert HEAVY & modules == {"pyarrow"}


@pytest.mark.parametrize(
    "module",
    [
        "",
        ".submit",
        ".errors",
        ".plugins",
        ".status",
        ".doctor",
        ".demo",
        ".pools",
        ".config.site",
        ".config.campaign",
    ],
)
def test_importing_imports_nothing_heavy(module):
    code, _, modules = imported_by("-c", f"import e2edist{module}")
    assert code == 0
    assert "e2edist" in modules
    assert not HEAVY & modules


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["-m", "e2edist.submit", "--help"], "--site"),
        (["-m", "e2edist", "--help"], "submit"),
        (["-m", "e2edist", "--version"], "e2edist "),
        (["-m", "e2edist", "submit", "--help"], "--site"),
    ],
)
def test_asking_for_help_imports_nothing_heavy(arguments, answer):
    code, output, modules = imported_by(*arguments)
    assert code == 0
    assert answer in output
    assert not HEAVY & modules


@pytest.mark.parametrize("group", ["formats", "engines", "pools"])
def test_listing_plug_ins_imports_none_of_them(group):
    code, output, modules = imported_by(
        "-c", f"from e2edist.plugins import find; print(sorted(find({group!r})))"
    )
    assert code == 0
    known = {"formats": "hits", "engines": "onnx", "pools": "local"}
    assert repr(known[group]) in output
    assert not HEAVY & modules
