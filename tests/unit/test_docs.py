"""The documentation is what the code is: its reference, its links, its examples."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from e2edist.imaging import geometry

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
#: A file or folder of ours in `code`.
PATH = re.compile(r"`((?:e2edist|tests|docs|workflows|site-configs|containers)/[\w./-]+)`")
#: Of Markdown: [text](target) and ![text](target), and the files that directives include.
LINK = re.compile(r"\]\(([^)\s]+)\)|\{(?:literal)?include\} (\S+)")


def load(name):
    """Import a script of docs/ from its file."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference():
    return load("reference")


def pages():
    return [page for page in PAGES if "_build" not in page.parts]


def headings(path):
    return [line.lstrip("# ").strip() for line in path.read_text().splitlines() if line.startswith("#")]


def test_the_reference_is_what_the_code_says(reference):
    assert reference.stale() == [], "run python docs/reference.py"


@pytest.mark.parametrize("name", ["tagger", "site", "campaign", "profile"])
def test_every_key_of_a_file_has_a_meaning(reference, name):
    content = reference.schema(reference.FILES[name][0])
    for part in (content, *content.get("$defs", {}).values()):
        for key, one in part.get("properties", {}).items():
            assert one.get("description"), f"{part['title']}.{key} has no '#:' text above it"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("site", "site-configs/*.toml"),
        ("site", "docs/examples/my_cluster.toml"),
        ("site", "docs/examples/lsf.toml"),
        ("site", "docs/examples/remote.toml"),
        ("tagger", "e2edist/taggers/*.toml"),
        ("tagger", "docs/examples/*photon_id.toml"),
        ("campaign", "workflows/*.toml"),
    ],
)
def test_the_schemas_take_the_files_that_come_with_us_and_refuse_unknown_keys(name, pattern):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((DOCS / "schemas" / f"{name}.json").read_text())
    files = sorted(ROOT.glob(pattern))
    assert files
    for path in files:
        content = tomllib.loads(path.read_text())
        jsonschema.validate(content, schema)
        with pytest.raises(jsonschema.ValidationError, match="colour"):
            jsonschema.validate(content | {"colour": 1}, schema)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page):
    for one in LINK.findall(page.read_text()):
        target = (one[0] or one[1]).partition("#")[0]
        if target and "://" not in target and not target.startswith(("mailto:", "_figures/")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_are_named_exist(page):
    for path in PATH.findall(page.read_text()):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


@pytest.mark.parametrize("edges", [geometry.EE_ETA_EDGES, geometry.HBHE_ETA_EDGES], ids=["EE", "HBHE"])
def test_the_images_page_has_the_edges_of_the_code(edges):
    blocks = re.findall(r"(?:^    [\d. ]+$\n)+", (DOCS / "images.md").read_text(), re.MULTILINE)
    assert [*edges] in [[float(word) for word in block.split()] for block in blocks]


def test_comments_cite_sections_of_the_images_page_that_exist():
    known = headings(DOCS / "images.md")
    cited = [
        (path, section)
        for path in sorted((ROOT / "e2edist").rglob("*.py"))
        for section in re.findall(r"docs/images\.md, ([A-Z][^.;:)\n]*\w)", path.read_text())
    ]
    assert len(cited) > 10
    assert [f"{path.name}: {section}" for path, section in cited if section not in known] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def _outcome(text):
    """Return the counts of a result, without what differs from machine to machine, and the stages."""
    counts = re.findall(r"^  ((?:objects|with scores|rejected|lost) .*\d.*)$", text, re.MULTILINE)
    events = re.findall(r"^  (events +[\d,]+)  [\d,]+ per second", text, re.MULTILINE)
    stages = re.findall(r"^(\w+) +[\d,.]+ +[\d,.]+(?: +[\d,]+ +[\d.]+)? *$", text, re.MULTILINE)
    return events + counts, stages


@pytest.mark.slow
def test_the_readme_shows_what_a_first_run_prints(tmp_path):
    environment = os.environ | {"E2EDIST_PROFILES": str(tmp_path), "COLUMNS": "100"}
    command = [sys.executable, "-m", "e2edist.submit", "--demo"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250, check=True
    )
    counts, stages = _outcome(done.stdout)
    assert len(counts) == 5
    page = (DOCS / "start" / "laptop.md").read_text()
    assert _outcome((ROOT / "README.md").read_text()) == (counts, [])
    assert _outcome(page) == (counts, stages)
    assert done.stdout.splitlines()[-2:] == re.findall("^(?:read|next).*$", page, re.MULTILINE)
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True)


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_network(tmp_path):
    if importlib.util.find_spec("sphinx") is None or importlib.util.find_spec("furo") is None:
        if "docs" in os.environ.get("E2EDIST_REQUIRE", "").split(","):
            pytest.fail("E2EDIST_REQUIRE names docs, and Sphinx is not installed")
        pytest.skip("Sphinx is not installed: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    for page in ("index", "images", "reference/tagger"):
        assert (tmp_path / "site" / f"{page}.html").is_file()
