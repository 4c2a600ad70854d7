"""Workflow files and lists of inputs."""

import codecs
from pathlib import Path

import pytest

from e2edist.config.campaign import CampaignSpec, load_campaign, take_group
from e2edist.config.site import load_site
from e2edist.errors import ConfigError, E2EError, InputError
from e2edist.reporting.scaling import read_scaling
from e2edist.storage.input_lists import expand_inputs


def test_paths_of_a_workflow_file_are_relative_to_it_and_urls_are_not(tmp_path):
    file = tmp_path / "w.toml"
    urls = '"a.root", "/abs/b.root", "root://host//c.root"'
    file.write_text(f'tagger = "my.toml"\nmodel = "m.onnx"\noutput = "out"\ninputs = [{urls}]\n')
    spec = load_campaign(str(file), {"batch": None})
    assert spec.inputs == (str(tmp_path / "a.root"), "/abs/b.root", "root://host//c.root")
    assert (spec.output, spec.model) == (str(tmp_path / "out"), str(tmp_path / "m.onnx"))
    assert spec.tagger == str(tmp_path / "my.toml")


def test_the_command_line_overrides_a_workflow_and_keeps_its_own_paths(tmp_path):
    file = tmp_path / "w.toml"
    file.write_text('tagger = "eg"\noutput = "out"\ninputs = ["a.root"]\nbatch = 3\n')
    spec = load_campaign(str(file), {"output": "here", "inputs": ["b.root"], "tagger": None, "batch": 5})
    assert spec == CampaignSpec(tagger="eg", inputs=("b.root",), output=str(Path("here").absolute()), batch=5)


def test_faults_of_a_workflow_are_all_named(tmp_path):
    file = tmp_path / "w.toml"
    file.write_text('inputs = "a.root"\nouptut = "out"\nbatch = -1\n')
    with pytest.raises(ConfigError) as caught:
        load_campaign(str(file), {})
    for fault in ("tagger: missing", "output: missing", "inputs: ", "ouptut: unknown key", "batch: "):
        assert fault in str(caught.value)
    with pytest.raises(ConfigError, match=r"command line: .*inputs"):
        load_campaign(None, {"tagger": "eg", "output": "x", "inputs": []})


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("a.root", "b.root", "c.txt", "sub/d.root", "e[1].root"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(found, tree):
    return [one.url.removeprefix(f"{tree}/") for one in found]


def test_inputs_are_files_globs_folders_lists_and_urls_in_the_order_given(tree):
    (tree / "list.txt").write_text("# comment\n\n  sub/*.root \nroot://host//x.root\n")
    found = expand_inputs(("b.root", "list.txt", "a*"))
    assert names(found, tree) == ["b.root", "sub/d.root", "root://host//x.root", "a.root"]
    assert names(expand_inputs((".",)), tree) == ["a.root", "b.root", "e[1].root", "sub/d.root"]
    assert names(expand_inputs((f"{tree}/**/*.root",)), tree) == [
        "a.root",
        "b.root",
        "e[1].root",
        "sub/d.root",
    ]
    assert names(expand_inputs(("e[1].root",)), tree) == ["e[1].root"]


def test_a_file_that_is_missing_is_left_to_the_plan_which_names_all_of_them(tree):
    assert names(expand_inputs(("a.root", "gone.root")), tree) == ["a.root", "gone.root"]


def test_a_file_named_twice_is_refused(tree):
    for patterns in (("a.root", "a*.root"), ("root://h//x", "root://h//x"), (".", str(tree / "b.root"))):
        with pytest.raises(ConfigError, match=r"more than once: .*(a.root|x|b.root)"):
            expand_inputs(patterns)


def test_twenty_thousand_inputs_with_doubles_are_refused_at_once():
    urls = tuple(f"root://host//{i % 19_999}.root" for i in range(20_000))
    with pytest.raises(ConfigError, match=r"more than once: root://host//0\.root\."):
        expand_inputs(urls)


@pytest.mark.parametrize("pattern", ["z*.root", "empty", "gone.txt", "none.txt", "self.txt"])
def test_a_pattern_without_files_is_an_error_that_names_it(tree, pattern):
    (tree / "empty").mkdir()
    (tree / "none.txt").write_text("# nothing\n\n")
    (tree / "self.txt").write_text("a.root\nself.txt\n")
    with pytest.raises(InputError, match=pattern.replace("*", r"\*")):
        expand_inputs((pattern,))


ODD_TEXTS = {
    "bytes": (b"a.root\nroot\xff", "is not UTF-8: byte 0xff in line 2"),
    "latin": ("größe.root".encode("latin-1"), "is not UTF-8: byte 0xf6 in line 1"),
    "utf-16": ("a.root\n".encode("utf-16"), "is UTF-16, not UTF-8"),
    "utf-16 without a mark": ("\n\na.root\n".encode("utf-16-be"), "is not text: zero byte in line 1"),
    "utf-32": ("a.root\n".encode("utf-32"), "is UTF-32, not UTF-8"),
    "zeros": (b"a.root\n\0\0\0", "is not text: zero byte in line 2"),
    "folder": (None, "is a folder, not a file"),
}


@pytest.mark.parametrize("kind", ODD_TEXTS)
@pytest.mark.parametrize("name", ["list.txt", "x.toml", "x.json"])
def test_a_file_that_is_not_text_is_an_error_that_says_so(tree, name, kind):
    content, what = ODD_TEXTS[kind]
    file = tree / name
    file.mkdir() if content is None else file.write_bytes(content)
    readers = {
        "list.txt": lambda: expand_inputs((name,)),
        "x.toml": lambda: load_site(name),
        "x.json": lambda: read_scaling(Path(name)),
    }
    with pytest.raises(E2EError) as caught:
        readers[name]()
    assert f"{name}: {what}" in str(caught.value)


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_editor_may_write_lists_and_toml_files(tree, mark, end):
    lines = ["# my files  ", "", "  a.root\t ", "b.root   # the other", "~nobody-of-that-name/x.root", "#"]
    (tree / "list.txt").write_bytes(mark + end.join(lines).encode())
    found = names(expand_inputs(("list.txt",)), tree)
    assert found == ["a.root", "b.root", "~nobody-of-that-name/x.root"]
    site = ["# mine", 'name = "größe"', "[pools.cpu] # here", 'kind = "local"', ""]
    (tree / "x.toml").write_bytes(mark + end.join(site).encode())
    assert load_site("x.toml").name == "größe"
    (tree / "x.json").write_bytes(mark + end.join(["{", '"series": []', "}"]).encode())
    with pytest.raises(ConfigError, match="series: Tuple should have at least 1 item"):
        read_scaling(Path("x.json"))


@pytest.mark.parametrize("groups", [1, 2, 3, 7])
def test_groups_of_input_files_are_disjoint_and_are_all_of_them(groups):
    urls = [f"f{i}.root" for i in (3, 1, 2, 6, 5, 4, 0)]
    found = [url for k in range(groups) for url in take_group(urls, f"{k + 1}/{groups}")]
    assert sorted(found) == sorted(urls)


@pytest.mark.parametrize("group", ["3/2", "3/3"])
def test_a_group_that_is_empty_is_refused(group):
    with pytest.raises(ConfigError, match="is empty"):
        take_group(["a.root", "b.root"], group)


def test_datasets_are_named_in_a_file_or_on_the_command_line(tmp_path):
    file = tmp_path / "w.toml"
    file.write_text(
        'tagger = "eg"\noutput = "out"\n[datasets]\nTTbar = ["tt/", "root://h//x"]\nQCD = ["/q"]\n'
    )
    spec = load_campaign(str(file), {})
    assert spec.datasets == {"TTbar": (f"{tmp_path}/tt/", "root://h//x"), "QCD": ("/q",)}
    given = {"tagger": "eg", "output": "x", "datasets": ["A=a*.root", "B=b=1.root", "A=c.root"]}
    spec = load_campaign(None, given)
    assert spec.datasets == {"A": ("a*.root", "c.root"), "B": ("b=1.root",)}
    assert load_campaign(str(file), {"inputs": ["b.root"]}).datasets == {}
    for fault, what in (("a.root", "is not NAME=PATTERN"), ("my set=a.root", "datasets")):
        with pytest.raises(ConfigError, match=what):
            load_campaign(None, given | {"datasets": [fault]})
    with pytest.raises(ConfigError, match="names no inputs: give files, folders or lists"):
        load_campaign(None, {"tagger": "eg", "output": "x"})
