"""Names of files that libraries take for addresses or patterns, and what can't be opened."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from receipts import make_receipt

from e2edist import submit
from e2edist.config.campaign import load_campaign
from e2edist.demo import make_events
from e2edist.errors import ConfigError, InputError, OutputError
from e2edist.formats import inspect
from e2edist.records.parts import (
    UnreadableError,
    read_columns,
    read_part,
    read_receipt,
    write_part,
    write_table,
)
from e2edist.storage.input_lists import expand_inputs
from e2edist.storage.publish import publish
from e2edist.storage.read_inputs import InputOptions, stage
from e2edist.urls import named_path

ODD = (
    "run:1",
    "a::b",
    "s3:",
    "sp ace",
    "q'uo\"te",
    "50%25",
    "we?x=1",
    "st*r",
    "br[a]",
    "-dash",
    "new\nline",
    "üñ",
    "k=v",
)
TABLE = pa.table({"entry": [1, 2]})


@pytest.fixture(scope="module")
def hits(tmp_path_factory):
    """A file of 20 events."""
    return make_events(tmp_path_factory.mktemp("hits"), "eg", 20, seed=1, files=1)[0]


@pytest.fixture(params=ODD)
def odd(request, tmp_path, monkeypatch):
    """A folder of an odd name, relative to where we are."""
    monkeypatch.chdir(tmp_path)
    Path(request.param).mkdir()
    return Path(request.param)


def test_parts_are_written_and_read_under_any_name(odd):
    part = odd / "a.parquet"
    write_part(part, TABLE, lambda: make_receipt(rows=2))
    assert read_receipt(part).rows == 2
    assert read_part(part).rows.equals(TABLE)
    write_table(odd / "b.parquet", TABLE)
    assert read_columns(odd / "b.parquet").equals(TABLE)  # no column of a folder k=v
    assert sorted(file.name for file in odd.iterdir()) == ["a.parquet", "b.parquet"]


def test_inputs_of_any_name_are_found_by_name_by_folder_and_by_pattern(odd):
    file = odd / "a[1]?.root"
    file.touch()
    wanted = [str(file.absolute())]
    for pattern in (file, file.absolute(), odd, odd / "*.root", f"{odd.absolute().as_uri()}/*.root"):
        assert [one.url for one in expand_inputs((str(pattern),))] == wanted


@pytest.mark.parametrize("name", ["a.root", "a::b.root", "file:a.root", "s3:a.root"])
def test_inputs_of_any_name_are_copied_and_opened(odd, hits, name):
    path = str(shutil.copy(hits, odd / name))
    assert inspect(path).entries == 20
    with stage(path, InputOptions(stage="always", scratch=str(odd))) as copy:
        assert copy.parent.parent == odd
        assert inspect(str(copy)).entries == 20


@pytest.mark.parametrize("length", [240, 255])
def test_the_longest_name_can_be_published(tmp_path, length):
    path = tmp_path / ("é" * (length // 2)).ljust(length - length // 2, "x")
    assert len(os.fsencode(path.name)) == length
    with publish(path) as draft:
        draft.write_text("x")
        assert draft.name.startswith(".")
        assert draft.name.endswith(".draft")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text", ["s3://bucket/out", "http://host/out", "root://host//out", "file://host/out", "a\0b", "\udcff"]
)
def test_an_output_that_is_no_path_here_is_refused_at_once(text):
    with pytest.raises(ConfigError, match=r"^--output: "):
        load_campaign(None, {"tagger": "eg", "inputs": ["a.root"], "output": text})


def test_outputs_are_absolute_and_may_be_file_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named_path("run:1", "--output") == tmp_path / "run:1"
    assert named_path("file:///data/a%20b/../c", "--output") == Path("/data/c")
    (tmp_path / "far" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/below")
    assert named_path("link/../out", "--output") == tmp_path / "far" / "out"  # as the system has it


@pytest.mark.parametrize("name", ["x" * 300 + ".root", "\udcff.root"])
def test_a_name_that_no_disk_can_have_is_the_users_mistake(name):
    with pytest.raises(InputError):
        expand_inputs((name,))


@pytest.mark.parametrize(
    "other", ["./a.root", "sub/../a.root", "file://{}/a.root", "file:{}/a.root", "{}/./a.root"]
)
def test_two_spellings_of_one_file_are_refused_together(tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.root").touch()
    with pytest.raises(ConfigError, match=r"named more than once: .*a\.root"):
        expand_inputs(("a.root", other.format(tmp_path)))


@pytest.mark.parametrize("make", ["missing", "folder", "unlisted"])
def test_a_part_that_can_not_be_opened_is_not_called_damaged(tmp_path, make):
    path = tmp_path / "a.parquet"
    if make == "folder":
        path.mkdir()
    elif make == "unlisted":
        path.symlink_to(path.name)  # too many levels: as good as a handle that is stale
    for read in (read_part, read_receipt) if make != "folder" else (read_part,):
        with pytest.raises(UnreadableError, match="can't be read now"):
            read(path)


def test_a_part_is_not_called_damaged_where_no_more_files_can_be_opened(tmp_path):
    import resource

    path = tmp_path / "a.parquet"
    write_part(path, TABLE, lambda: make_receipt(rows=2))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        for read in (read_part, read_receipt):
            with pytest.raises(UnreadableError, match="Too many open files"):
                read(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert read_part(path).rows.equals(TABLE)


def test_a_part_of_wrong_bytes_is_damaged(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1" + b"x" * 100 + b"PAR1")
    for read in (read_part, read_receipt):
        with pytest.raises(OutputError, match="damaged") as raised:
            read(path)
        assert not isinstance(raised.value, UnreadableError)


@pytest.mark.parametrize(
    "words",
    [
        ["--inputs", "http://us:SECRETword@h/x.root?authz=SECRETtoken"],
        ["http://us:SECRETword@h/x.root?authz=SECRETtoken"],
        ["--site", "https://us:SECRETword@h/s.toml"],
        ["--workflow", "https://us:SECRETword@h/s.toml"],
        ["--tagger", "https://us:SECRETword@h/s.toml", "--input", "a.root", "--output", "out"],
    ],
)
def test_a_command_line_that_is_wrong_is_told_without_its_secrets(words, capsys):
    try:
        code = submit.main(words)
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    assert code == 2
    assert "h/" in said.err
    assert "SECRET" not in said.out + said.err
