"""Addresses with tokens open files, and are found nowhere; a file is known by more than its name."""

import json
import shutil
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
from lab import until
from runs import plan, run, status, table, verb
from servers import Web

from e2edist.demo import make_events
from e2edist.records.plan import read_plan

OLD, NEW = "SECRETold0123", "SECRETnew4567"
OPTIONS = ("--workers", 1, "--threads", 1, "--chunk-events", 100)


@pytest.fixture
def web(events):
    with Web(events) as server:
        server.tokens = {OLD}
        yield server


def addresses(web, *forms):
    """Return how the files are asked for, by turns as the forms have it, which may have a token somewhere."""
    names = sorted(path.name for path in web.folder.glob("*.root"))
    host = web.url.removeprefix("http://")
    return [form.format(host=host, name=name) for form, name in zip(cycle(forms), names, strict=False)]


def leaks(folder, *said):
    """Return every file below `folder`, and each of the texts, that has a part of a token, or is named so."""
    found = [path for path in folder.rglob("*") if "SECRET" in str(path.relative_to(folder))]
    found += [path for path in folder.rglob("*") if path.is_file() and b"SECRET" in path.read_bytes()]
    return found + [text for one in said for text in (one.stdout, one.stderr) if "SECRET" in text]


@pytest.mark.slow
@pytest.mark.parametrize(
    "forms",
    [
        ("http://{host}/{name}?authz=Bearer%20SECRETold0123", "http://me:SECRETold0123@{host}/{name}"),
        (
            "http://{host}/{name}?X-Amz-Signature=SECRETold0123#SECRETelse",
            "http://{host}/{name}?SECRETold0123",
        ),
    ],
)
def test_a_token_is_nowhere_after_a_campaign_and_all_that_reads_it(web, model, campaign, tmp_path, forms):
    words = ("--input", *addresses(web, *forms), "--model", model, "--output", "out", *OPTIONS)
    said = [run((*words, *more), tmp_path) for more in (("--dry-run",), ("--json",))]
    assert [one.returncode for one in said] == [0, 0], said[1].stderr
    assert table(tmp_path / "out").equals(table(campaign))
    for name, *more in (("aggregate", "--friend"), ("status",), ("report",)):
        said.append(verb(name, "out", *more, cwd=tmp_path))
        assert said[-1].returncode == 0, said[-1].stderr
    assert leaks(tmp_path, *said) == []
    friends = [path.name for path in (tmp_path / "out" / "aggregated" / "friends").iterdir()]
    assert sorted(name.partition("-")[0] for name in friends) == ["eg_1_000", "eg_1_001"]


@pytest.mark.slow
def test_a_token_that_expired_is_said_to_be_so_and_a_new_one_goes_on(web, model, campaign, tmp_path):
    forms = ("http://{host}/{name}?authz=Bearer%20TOKEN", "http://me:TOKEN@{host}/{name}")
    old, new = (addresses(web, *(form.replace("TOKEN", token) for form in forms)) for token in (OLD, NEW))
    words = ("--model", model, "--output", "out", *OPTIONS)
    assert run(("--input", *old, *words), tmp_path).returncode == 0
    for part in (tmp_path / "out" / "predictions").iterdir():
        part.unlink()
    web.tokens = {NEW}
    said = [run(("--input", *old, *words), tmp_path)]
    assert said[0].returncode != 0
    assert "token, proxy or certificate may have expired" in (tmp_path / "out" / "submit.log").read_text()
    assert "Access is refused: a token" in said[0].stderr
    said.append(run(("--input", *new, *words), tmp_path))
    assert said[1].returncode == 0, said[1].stderr
    assert table(tmp_path / "out").equals(table(campaign))
    assert leaks(tmp_path, *said) == []


@pytest.mark.slow
def test_a_token_that_is_refused_at_planning_is_not_shown(web, model, tmp_path):
    urls = addresses(web, "http://{host}/{name}?authz=Bearer%20SECRETwrong")
    words = ("--input", *urls, "--model", model, "--output", "out", *OPTIONS)
    said = [run(words, tmp_path), run((*words, "--max-bad-fraction", 1), tmp_path)]
    assert said[0].returncode == 2
    assert "may have expired" in said[0].stderr
    assert leaks(tmp_path, *said) == []


@pytest.mark.slow
def test_a_detached_campaign_has_no_token_on_its_command_line_nor_in_its_files(
    web, model, campaign, tmp_path
):
    urls = addresses(web, "http://{host}/{name}?authz=Bearer%20SECRETold0123")
    words = ("--input", *urls, "--model", model, "--output", "out", *OPTIONS)
    said = [run((*words, "--detach"), tmp_path)]
    assert said[0].returncode == 0, said[0].stderr
    pid = json.loads((tmp_path / "out" / "controller.json").read_text())["id"]
    line = Path(f"/proc/{pid}/cmdline")
    assert not line.exists() or b"SECRET" not in line.read_bytes()
    until(lambda: status(tmp_path)["state"] == "done")
    assert table(tmp_path / "out").equals(table(campaign))
    said.append(verb("status", "out", "--json", cwd=tmp_path))
    assert leaks(tmp_path, *said) == []


@pytest.mark.slow
def test_a_plan_of_before_with_tokens_in_it_goes_on(web, model, campaign, tmp_path):
    urls = addresses(web, "http://{host}/{name}?authz=Bearer%20SECRETold0123")
    words = ("--model", model, "--output", "out", *OPTIONS)
    assert run(("--input", *urls, *words), tmp_path).returncode == 0
    spoil(tmp_path / "out", "?authz=Bearer%20SECRETolder")
    min((tmp_path / "out" / "predictions").iterdir()).unlink()
    said = [run(("--input", *urls, *words), tmp_path)]
    said += [verb(name, "out", cwd=tmp_path) for name in ("aggregate", "status")]
    assert [one.returncode for one in said] == [0, 0, 0]
    assert leaks(tmp_path / "out" / "aggregated", *said) == []
    assert table(tmp_path / "out").equals(table(campaign))


def spoil(folder, token):
    """Give a plan addresses with a token, as versions of before wrote them."""
    old = read_plan(folder)
    replace(old, files=tuple(replace(file, url=file.url + token) for file in old.files)).write(folder)
    assert token in plan(folder)["files"][0]["url"]


# --- other spellings


@pytest.fixture(scope="module")
def moved(tmp_path_factory, events):
    """Folder with the files of `events` under several names."""
    folder = tmp_path_factory.mktemp("moved")
    shutil.copytree(events, folder / "data")
    (folder / "link").symlink_to("data")
    shutil.copytree(events, folder / "mirror")
    return folder


@pytest.mark.slow
def test_files_that_moved_to_a_server_go_on_and_others_of_their_number_are_refused(
    moved, model, tmp_path, campaign
):
    words = ("--model", model, "--output", "out", *OPTIONS)
    assert run(("--input", moved / "data", *words), tmp_path).returncode == 0
    min((tmp_path / "out" / "predictions").iterdir()).unlink()
    others = tmp_path / "others"
    others.mkdir()
    make_events(others, "eg", 100, seed=9)
    said = run(("--input", others, *words), tmp_path)
    assert said.returncode == 2
    assert "belongs to another plan: 2 inputs are missing" in said.stderr
    with Web(moved / "data") as server:
        said = run(("--input", *addresses(server, "http://{host}/./{name}"), *words), tmp_path)
        assert (said.returncode, said.stderr) == (0, "")
    assert table(tmp_path / "out").equals(table(campaign))


@pytest.mark.slow
def test_names_behind_the_question_mark_are_other_files(events, model, campaign, tmp_path):
    """Some servers name a file by a parameter: two of them are two inputs, with or without a token."""
    with Web(events) as server:
        server.by_parameter = True
        names = sorted(path.name for path in events.glob("*.root"))
        urls = [f"{server.url}/get?file={name}&authz=Bearer%20{OLD}" for name in names]
        words = ("--model", model, "--output", "out", *OPTIONS)
        said = run(("--input", *urls, *words), tmp_path)
        assert (said.returncode, said.stderr) == (0, "")
        min((tmp_path / "out" / "predictions").iterdir()).unlink()
        again = run(("--input", *(url.replace(OLD, NEW) for url in urls), *words), tmp_path)
        assert (again.returncode, again.stderr) == (0, "")
    assert table(tmp_path / "out").equals(table(campaign))
    assert leaks(tmp_path, said, again) == []
