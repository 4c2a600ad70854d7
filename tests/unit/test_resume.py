"""Which inputs are those of a frozen plan: the files decide, not the spelling of their names."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from e2edist.campaign.planning import make_plan
from e2edist.campaign.resume import changed_files, match_inputs
from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.errors import InputError, OutputError
from e2edist.storage.input_lists import expand_inputs
from e2edist.storage.read_inputs import InputOptions


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Folder with the same two files in ``data`` and ``mirror``, ``link`` to the first, and two others."""
    folder = tmp_path_factory.mktemp("places")
    make_events(folder / "data", "eg", 20, seed=1)
    make_events(folder / "others", "eg", 20, seed=2)
    shutil.copytree(folder / "data", folder / "mirror")
    (folder / "link").symlink_to("data")
    return folder


def urls_of(*patterns):
    return [one.url for one in expand_inputs(map(str, patterns))]


@pytest.fixture(scope="module")
def plan(places):
    return make_plan(load_tagger("eg"), urls_of(places / "data"))


def match(plan, *patterns):
    return match_inputs(plan, urls_of(*patterns), "out", InputOptions())


@pytest.mark.parametrize(
    "spelling",
    [
        "{}/data",
        "{}/link",
        "{}/data/../data/./",
        "{}/data/*.root",
        "file://{}/data/*.root",
        "{}/mirror",
        "relative",
    ],
)
def test_another_spelling_or_place_of_the_same_files_goes_on(places, plan, spelling):
    other = os.path.relpath(places / "data") if spelling == "relative" else spelling.format(places)
    found = match(plan, other)
    assert (found.files, found.checksum) == (plan.files, plan.checksum)
    assert changed_files(found) == []
    assert all(Path(url).is_file() for url in found.addresses())


def test_other_files_are_refused_however_many_they_are(places, plan):
    with pytest.raises(OutputError, match=r"2 inputs are missing, as .*; 2 are new, as "):
        match(plan, places / "others")
    with pytest.raises(OutputError, match="1 inputs are missing"):
        match(plan, plan.files[0].url)
    with pytest.raises(OutputError, match="2 are new"):
        match(plan, places / "data", places / "mirror")


def test_only_what_is_left_over_is_opened(places, plan):
    """A file that can't be opened now goes on under its own name, and is asked for under another."""
    gone = [url.replace("/data/", "/gone/") for url in (file.url for file in plan.files)]
    with pytest.raises(InputError, match="no such file"):
        match_inputs(plan, gone, "out", InputOptions())
    nowhere = replace(plan, files=tuple(replace(f, url=url) for f, url in zip(plan.files, gone, strict=True)))
    assert match_inputs(nowhere, gone, "out", InputOptions()).access == {}


def test_what_could_not_be_planned_has_its_place_among_the_inputs(places, plan):
    first, second = plan.files
    with_skipped = replace(plan, files=(first,), skipped=((second.url, "was away"),))
    assert match(with_skipped, places / "data").access == {}
    with pytest.raises(OutputError, match="1 are new"):
        match(with_skipped, first.url, min((places / "others").iterdir()))


def test_secrets_are_in_memory_alone(places, plan, tmp_path):
    secret = {plan.files[0].uuid: "http://host/a.root?SECRET"}
    replace(plan, access=secret).write(tmp_path)
    assert "SECRET" not in (tmp_path / "plan.json").read_text()
    assert "SECRET" not in repr(replace(plan, access=secret))
    assert replace(plan, access=secret).checksum == plan.checksum
