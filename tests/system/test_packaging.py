"""Wheel and sdist as they are published: built without a network, installed apart from this checkout."""

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from environments import OWN, PYTHONS, python_with
from jsonschema import Draft202012Validator

from e2edist import __version__

ROOT = Path(__file__).resolve().parents[2]
#: Nothing of this checkout, and of the tests that run here.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("PY", "E2E"))}


def _run(*command, cwd, code=0, **env):
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=PLAIN | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _build(kind, source, folder):
    _run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder, cwd=source)
    (made,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return _build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The unpacked sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(_build("sdist", ROOT, folder)) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"e2edist-{__version__}"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Folder of the programs of an environment with the wheel in it, and our packages behind it."""
    folder = tmp_path_factory.mktemp("venv")
    _run(sys.executable, "-m", "venv", folder, cwd=folder)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "-q", "--no-index", "--no-deps")
    _run(*pip, wheel, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "tests.pth").write_text(f"import site; site.addsitedir({OWN!r})\n")
    return folder / "bin"


def _content(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
def test_the_sdist_has_docs_and_tests_and_makes_the_same_wheel(wheel, sources, tmp_path):
    for name in ("docs/index.md", "tests/unit", "site-configs", "workflows", "CITATION.cff", ".ci/run"):
        assert (sources / name).exists(), name
    assert _content(_build("wheel", sources, tmp_path)) == _content(wheel)


@pytest.mark.slow
def test_the_wheel_has_all_that_is_read_at_run_time_and_no_tests(wheel):
    names = set(_content(wheel))
    for folder in (ROOT / "e2edist", ROOT):
        for pattern in ("taggers/*.toml", "reporting/*.jinja", "site-configs/*.toml"):
            assert {f"e2edist/{path.relative_to(folder)}" for path in folder.glob(pattern)} <= names
    assert {f"e2edist/schemas/{path.name}" for path in (ROOT / "docs" / "schemas").glob("*.json")} < names
    assert not [name for name in names if name.startswith(("tests", "docs")) or "__pycache__" in name]


_LOOK = """
import importlib.resources, json, pathlib
import e2edist
from e2edist.config.site_files import known_sites
from e2edist.config.tagger import load_tagger
from e2edist.install_hint import pip_install
package = importlib.resources.files("e2edist")
print(json.dumps({
    "place": e2edist.__file__,
    "sites": {name: str(path) for name, path in known_sites().items()},
    "taggers": [load_tagger(path.stem).name for path in (package / "taggers").glob("*.toml")],
    "schemas": {path.stem: json.loads(path.read_text()) for path in (package / "schemas").glob("*.json")},
    "install": pip_install("cpu"),
}))
"""


@pytest.mark.slow
def test_an_installed_wheel_runs_in_an_empty_folder_with_its_own_files(installed, tmp_path):
    bare = {"XDG_CONFIG_HOME": str(tmp_path / "none"), "COLUMNS": "100"}
    assert _run(installed / "e2edist", "--version", cwd=tmp_path).split()[-1] == __version__
    found = json.loads(_run(installed / "python", "-c", _LOOK, cwd=tmp_path, **bare))
    assert found["place"].startswith(str(installed.parent))
    assert found["install"] == f"{installed / 'python'} -m pip install 'e2edist[cpu]'"
    assert set(found["sites"]) == {path.stem for path in (ROOT / "site-configs").glob("*.toml")}
    assert set(found["taggers"]) == {path.stem for path in (ROOT / "e2edist" / "taggers").glob("*.toml")}
    for name, path in found["sites"].items():
        assert path.startswith(str(installed.parent))
        content = tomllib.loads(Path(path).read_text()) | {"name": name}
        Draft202012Validator(found["schemas"]["site"]).validate(content)
    _run_demo(installed / "e2edist", tmp_path, **bare)


def _run_demo(program, cwd, *words, **env):
    told = _run(program, *words, "submit", "--demo", cwd=cwd, **env)
    assert "8,000" in told
    assert len(list((cwd / "e2edist-demo" / "eg" / "predictions").glob("*.parquet"))) > 0


#: What tells most of a new Python in least time: dataclasses, pydantic, numba, files, property tests.
_SAMPLE = ("test_lumi_mask", "test_plan", "test_records", "test_run_chunk")


@pytest.mark.slow
@pytest.mark.parametrize("name", PYTHONS)
def test_the_wheel_runs_and_tests_pass_on_every_python_that_it_names(name, wheel, sources, tmp_path):
    if name == f"python{sys.version_info.major}.{sys.version_info.minor}":
        return  # all of these tests run on it
    python = python_with(name)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    site = str(tmp_path / "site")
    where = _run(python, "-c", "import e2edist; print(e2edist.__file__)", cwd=tmp_path, PYTHONPATH=site)
    assert where.startswith(site)
    _run_demo(python, tmp_path, "-m", "e2edist", PYTHONPATH=site)
    files = [path for path in (sources / "tests" / "unit").glob("*.py") if path.stem in _SAMPLE]
    told = _run(python, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *files, cwd=sources)
    assert "passed" in told
    assert "failed" not in told


def test_the_citation_is_of_this_version_and_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert (citation["version"], citation["title"]) == (__version__, project["name"])
    assert citation["license"] == project["license"]
    assert [one["name"] for one in citation["authors"]] == [one["name"] for one in project["authors"]]
    (paper,) = citation["references"]
    assert paper["identifiers"][0]["value"] == "arXiv:2309.14254"
    assert paper["url"] in project["urls"].values()
    assert all(author["family-names"] and author["given-names"] for author in paper["authors"])


def test_versions_of_python_are_those_that_are_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if ":: Python :: 3." in line]
    assert [f"python{one}" for one in named] == list(PYTHONS)
    assert project["requires-python"] == f">={named[0]}"


def test_the_extra_all_has_what_goes_together_and_nothing_that_excludes_another():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (line,) = extras["all"]
    inner = set(line.removeprefix("e2edist[").removesuffix("]").split(","))
    assert inner == {"cpu", "validate", "convert", "report", "notebook", "xrootd", "http"}
    assert not any("gpu" in package or "torch" in package for name in inner for package in extras[name])
