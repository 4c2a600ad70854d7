"""What people write: parsed strictly, all faults at once, and fingerprinted by what decides a number."""

import codecs
import copy
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import TAGGER, write_tagger

from e2edist.config.campaign import CampaignSpec, expand_inputs, load_campaign, take_group
from e2edist.config.dask_table import _flatten, _set_value, defaults
from e2edist.config.site import SiteSpec, load_site, site_folder
from e2edist.config.tagger import RESERVED, TaggerSpec, load_tagger, packaged
from e2edist.config.toml_models import parse, read_toml
from e2edist.errors import ConfigError, E2EError, InputError, ModelError, UnknownNameError
from e2edist.records.part_columns import PART_COLUMNS
from e2edist.reporting.scaling import read_scaling

SHA = "0123456789abcdef" * 4
#: Every key of a tagger file, none of them at its default.
FULL = {
    "name": "full",
    "description": "all keys",
    "module": "FullTagger",
    "objects": {
        "kinds": ["photon", "electron"],
        "pt_min": 10.0,
        "eta_max": 1.44,
        "collections": {"photon": ["a", "b"], "electron": ["c"]},
    },
    "seed": {"method": "eb_hottest", "window_rows": 5, "window_cols": 9, "edge": "drop", "no_hit": "axis"},
    "crop": {"frame": "EB", "size": 16},
    "channels": [
        {"layer": "EB_energy", "threshold": 0.25, "scale": 0.5, "offset": 0.125},
        {"layer": "EB_time", "threshold": 0.5, "scale": 2.0, "offset": 1.0},
    ],
    "model": {"path": "full.onnx", "sha256": SHA, "input": "images", "layout": "NHWC"},
    "outputs": [{"name": "a", "columns": ["x", "y"], "activation": "softmax"}],
    "tolerance": {"max_abs": 0.5, "max_mean": 0.25, "min_rank": 0.75, "max_auc_shift": 0.125},
    "track_quality": 2,
    "endcap_factor": 1.5,
    "chunk_events": 123,
    "batch": 4,
}
#: Path of a key -> another valid value. What decides a number, and the names that a result carries.
DECIDES = {
    "name": "other",
    "module": "OtherTagger",
    "objects.kinds": ["electron", "photon"],
    "objects.pt_min": 10.5,
    "objects.eta_max": 1.4,
    "objects.collections": {"photon": ["b", "a"], "electron": ["c"]},
    "seed.window_rows": 7,
    "seed.window_cols": 11,
    "seed.edge": "pad",
    "seed.no_hit": "reject",
    "crop.size": 17,
    "channels.0.layer": "ECAL_energy",
    "channels.0.threshold": 0.0,
    "channels.0.scale": 0.25,
    "channels.0.offset": -0.125,
    "channels": FULL["channels"][::-1],
    "model.sha256": SHA[::-1],
    "model.input": "picture",
    "model.layout": "NCHW",
    "outputs.0.name": "b",
    "outputs.0.columns": ["y", "x"],
    "outputs.0.activation": "none",
    "outputs": [],
    "track_quality": 4,
    "endcap_factor": 1.25,
}
FREE = {
    "description": "other words",
    "chunk_events": 124,
    "batch": 5,
    "model.path": "elsewhere/full.onnx",
    "tolerance.max_abs": 1.5,
    "tolerance.max_mean": 1.25,
    "tolerance.min_rank": 0.5,
    "tolerance.max_auc_shift": 0.25,
}
#: Keys that only change together: seed method and crop frame.
TOGETHER = {"seed.method", "crop.frame"}


def leaves(content, prefix=""):
    """Return the path of every key that holds a plain value or a list of words."""
    found = set()
    for key, value in content.items():
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        place = f"{prefix}{key}" + (".0" if inner is not value else "")
        plain = not isinstance(inner, dict) or key == "collections"
        found |= {place} if plain else leaves(inner, f"{place}.")
    return found


def changed(path, value):
    content = copy.deepcopy(FULL)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = content
    for part in way:
        place = place[part]
    place[last] = value
    return content


def tagger(content):
    return parse(TaggerSpec, content, "tagger.toml")


def message(model, content):
    with pytest.raises(ConfigError) as caught:
        parse(model, content, "some.toml")
    return str(caught.value)


# ---- files that come with the package


@pytest.mark.parametrize("name", sorted(packaged()))
def test_every_packaged_tagger_parses_and_is_named_after_its_file(name):
    spec = parse(TaggerSpec, read_toml(packaged()[name]), name)
    assert spec.name == name
    assert spec.columns()


def test_the_four_taggers_are_packaged():
    assert {"eg", "qg", "tau", "top"} <= packaged().keys()


@pytest.mark.parametrize("path", sorted(site_folder().glob("*.toml")), ids=lambda path: path.stem)
def test_every_packaged_site_parses_and_is_named_after_its_file(path):
    assert load_site(path.stem).name == path.stem
    assert load_site(str(path)) == load_site(path.stem)


# ---- faults


def test_all_faults_of_a_file_are_in_one_error_with_the_nearest_names(tmp_path, monkeypatch):
    file = tmp_path / "bad.toml"
    changes = {
        "objects": {"pt_min": None, "eta_max": "1.44", "kinds": ["foton"]},
        "seed": {"window_rws": 7, "window_cols": 12},
        "crop": {"size": 32.5},
        "channels": [{"layer": "EB_energi"}, {"layer": "EB_time", "scael": 1.0}],
        "module": None,
        "chunk_event": 10,
    }
    write_tagger(file, "no.onnx", **changes)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_tagger("bad.toml")
    text = str(caught.value)
    assert text.startswith("bad.toml: ")
    for fault in (
        "objects.pt_min: missing",
        "objects.eta_max: should be a valid number (got '1.44')",
        "objects.kinds.0: should be 'photon', 'electron' or 'jet' (got 'foton')",
        "seed.window_rws: unknown key, did you mean 'window_rows'",
        "seed.window_cols: must be odd",
        "crop.size: should be a valid integer",
        "channels.0.layer: no such layer, did you mean 'EB_energy'",
        "channels.1.scael: unknown key, did you mean 'scale'",
        "module: missing",
        "chunk_event: unknown key, did you mean 'chunk_events'",
    ):
        assert fault in text
    assert text.count("; ") == 9


TEXTS = {"description", "model.path", "model.input", "outputs.0.name"}
WRONG = [True, "abc!", {"a": 1}, [[1]], float("nan")]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("path", sorted(leaves(FULL)))
def test_no_key_takes_a_value_of_the_wrong_type(path, wrong):
    wrong = 1 if isinstance(wrong, str) and path in TEXTS else wrong
    assert path.replace(".0", "") in message(TaggerSpec, changed(path, wrong)).replace(".0", "")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("objects.pt_min", -1.0),
        ("objects.pt_min", "10"),
        ("objects.eta_max", 3.0),
        ("objects.kinds", []),
        ("objects.collections", {"muon": ["m"]}),
        ("seed.window_rows", 171),
        ("seed.window_rows", -1),
        ("crop.size", 0),
        ("crop.size", 361),
        ("channels", []),
        ("channels.0.layer", "EE_plus"),
        ("channels.0.scale", float("inf")),
        ("channels.0.threshold", -0.1),
        ("model.sha256", SHA[1:]),
        ("outputs.0.columns", []),
        ("outputs.0.columns", ["1x"]),
        ("track_quality", 256),
        ("track_quality", -1),
        ("chunk_events", 0),
        ("batch", 0),
        ("name", "Full"),
        ("name", "a/b"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_key(path, value):
    assert path in message(TaggerSpec, changed(path, value))


def test_whole_numbers_do_for_numbers():
    assert tagger(changed("objects.pt_min", 10)).fingerprint() == tagger(FULL).fingerprint()


def test_faults_between_keys_are_all_reported():
    content = changed("crop.frame", "ECAL")
    content["outputs"] = [{"columns": ["x"]}, {"columns": ["x"]}]
    text = message(TaggerSpec, content)
    assert "crop.frame must be EB" in text
    assert "column names must differ" in text
    assert "each needs its name" in text


@pytest.mark.parametrize("column", ["label", "pt", "Label"])
def test_a_score_can_not_take_the_name_of_a_column_that_every_part_has(column):
    content = changed("outputs.0.columns", [column, "y"])
    assert column in message(TaggerSpec, content)


def test_the_reserved_names_are_the_columns_of_a_part():
    assert set(PART_COLUMNS) == RESERVED


def test_a_file_that_is_not_toml_is_named_with_line_and_column(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text('name = "a"\nseed = = 3\n')
    with pytest.raises(ConfigError, match=r"x\.toml: is not TOML: .*line 2"):
        load_tagger(str(file))
    file.write_text("a = " + "[" * 100_000)
    with pytest.raises(ConfigError, match=r"x\.toml: is not TOML"):
        load_tagger(str(file))
    with pytest.raises(ConfigError, match=r"none\.toml: can't be read: No such file"):
        load_site(str(tmp_path / "none.toml"))


# ---- fingerprint


def test_every_key_of_a_tagger_is_in_one_of_the_lists_of_this_file():
    assert leaves(FULL) == {p for p in {*DECIDES, *FREE, *TOGETHER} if p not in ("channels", "outputs")}

    def fields(model, prefix=""):
        return {prefix + name for name in model.model_fields}

    assert fields(TaggerSpec) == FULL.keys()


@pytest.mark.parametrize("path", DECIDES)
def test_the_fingerprint_changes_with(path):
    assert tagger(changed(path, DECIDES[path])).fingerprint() != tagger(FULL).fingerprint()


@pytest.mark.parametrize("path", FREE)
def test_the_fingerprint_does_not_change_with(path):
    assert tagger(changed(path, FREE[path])).fingerprint() == tagger(FULL).fingerprint()


def test_another_seed_method_is_another_fingerprint():
    content = changed("crop.frame", "ECAL")
    content["seed"]["method"] = "hcal_tower"
    assert tagger(content).fingerprint() != tagger(FULL).fingerprint()


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(numbers, numbers)
def test_fingerprints_are_equal_exactly_where_a_number_is(a, b):
    prints = [tagger(changed("channels.1.offset", x)).fingerprint() for x in (a, b)]
    assert (prints[0] == prints[1]) == (repr(a) == repr(b))


@settings(deadline=None, max_examples=20, derandomize=True, database=None)
@given(st.permutations(list(FULL)))
def test_the_order_of_keys_in_a_file_decides_nothing(order):
    assert tagger({key: FULL[key] for key in order}).fingerprint() == tagger(FULL).fingerprint()


def test_the_model_s_content_decides_and_its_name_does_not(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"one")
    (tmp_path / "b.onnx").write_bytes(b"one")
    (tmp_path / "c.onnx").write_bytes(b"two")
    prints = {}
    for name in "abc":
        file = write_tagger(tmp_path / f"{name}.toml", f"{name}.onnx")
        prints[name] = load_tagger(str(file)).fingerprint()
    assert prints["a"] == prints["b"] != prints["c"]


# ---- names and models


def test_a_mistyped_tagger_or_site_is_answered_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"no tagger 'taus'.*did you mean 'tau'.*known: .*eg.*top"):
        load_tagger("taus")
    with pytest.raises(UnknownNameError, match=r"no site 'locl'.*did you mean 'local'"):
        load_site("locl")


def test_a_model_with_another_sha256_is_refused_unless_given_by_hand(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"model")
    digest = hashlib.sha256(b"model").hexdigest()
    file = write_tagger(tmp_path / "t.toml", "m.onnx", model={"sha256": SHA})
    with pytest.raises(ModelError, match=f"m.onnx: has sha256 {digest}, .*t.toml names {SHA}"):
        load_tagger(str(file))
    given_by_hand = load_tagger(str(file), str(tmp_path / "m.onnx"))
    assert given_by_hand.model.sha256 == digest
    assert given_by_hand.model.path == str(tmp_path / "m.onnx")
    right = write_tagger(tmp_path / "r.toml", "m.onnx", model={"sha256": digest})
    assert load_tagger(str(right)) == given_by_hand


def test_a_missing_model_says_who_names_it(tmp_path):
    file = write_tagger(tmp_path / "t.toml", "gone.onnx")
    with pytest.raises(ModelError, match=r"gone\.onnx: can't be read.*t\.toml: model\.path names it"):
        load_tagger(str(file))
    with pytest.raises(ModelError, match=r"away\.onnx: can't be read.*--model names it"):
        load_tagger(str(file), str(tmp_path / "away.onnx"))


def test_a_tagger_reads_only_the_columns_that_its_layers_and_seeds_need():
    assert tagger(TAGGER | {"model": {"path": "m"}}).columns() == {
        "EB": {"detid", "energy"},
        "photon": {"pt", "eta", "phi", "label"},
        "electron": {"pt", "eta", "phi", "label"},
    }
    qg = parse(TaggerSpec, read_toml(packaged()["qg"]), "qg")
    assert qg.columns().keys() == {"EB", "EE", "HBHE", "tracks", "jet"}
    assert "quality" in qg.columns()["tracks"]


# ---- sites


def with_dask(table):
    return {"name": "mine", "pools": {"cpu": {}}, "dask": table}


@pytest.mark.parametrize(
    "table",
    [
        {"distributed.comm.timeouts.connect": "120s"},
        {"distributed": {"comm": {"timeouts": {"connect": "120s"}}}},
        {"distributed.comm": {"timeouts.connect": "120s"}},
    ],
)
def test_a_key_of_dask_is_written_with_dots_or_as_tables(table):
    wanted = {"distributed": {"comm": {"timeouts": {"connect": "120s"}}}}
    site = parse(SiteSpec, with_dask(table), "mine.toml")
    assert site.dask == wanted
    assert site.with_pools({"cpu": 3}, None).dask == site.attached("tcp://h:1", "").dask == wanted


def test_names_that_anybody_may_choose_are_kept_and_underscores_stand_for_hyphens():
    variables = {"MY_VARIABLE": "1", "OMP_NUM_THREADS": 2}
    table = {"distributed.nanny.pre_spawn_environ": variables, "distributed.scheduler.work_stealing": True}
    found = parse(SiteSpec, with_dask(table), "mine.toml").dask["distributed"]
    assert found == {"nanny": {"pre-spawn-environ": variables}, "scheduler": {"work-stealing": True}}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "distributed.comm.timeouts.conect",
            "1s",
            "no such key, did you mean 'distributed.comm.timeouts.connect'",
        ),
        ("comm.timeouts.connect", "1s", "no such key, did you mean 'distributed.comm.timeouts.connect'"),
        ("distributed.comm.timeouts.connect.x", "1s", "no such key"),
        ("distributed.comm.timeouts", "1s", "'1s' is not a table"),
        ("distributed.comm.timeouts.connect", "soon", "'soon' is not a time as \"30s\""),
        ("distributed.comm.shard", "64 pieces", "'64 pieces' is not a size as \"64MiB\""),
        ("distributed.scheduler.preload", "mine", "'mine' is not a list"),
        ("distributed.scheduler.allowed-failures", "many", "'many' is not a number"),
        ("jobqueue.slurm.queue", "regular", "jobs are described in [pools.NAME.job]"),
    ],
)
def test_a_key_that_dask_does_not_know_or_can_not_take_is_named(key, value, said):
    text = message(SiteSpec, with_dask({key: value, "distributed.nosuchkey": 1}))
    assert text.startswith(f"some.toml: dask: {key}: ")
    assert said in text
    assert "; distributed.nosuchkey: Dask knows no such key" in text


def test_every_default_of_dask_is_a_value_that_may_be_written():
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in _flatten(defaults(), "")}
    written = {}
    for name, value in given.items():
        _set_value(written, name, value, defaults())
    assert len(given) > 100
    assert dict(_flatten(written, "")) == given


def test_a_site_takes_other_numbers_of_workers_and_threads():
    site = load_site("local").with_pools({"cpu": 3}, 2)
    assert (site.pools["cpu"].workers, site.pools["cpu"].threads) == (3, 2)
    with pytest.raises(UnknownNameError, match=r"no pool of site local 'cp'.*did you mean 'cpu'"):
        site.with_pools({"cp": 1}, None)
    with pytest.raises(ConfigError, match=r"pools\.cpu\.workers"):
        site.with_pools({"cpu": -1}, None)


def test_faults_in_pools_are_named_with_their_pool():
    text = message(SiteSpec, {"name": "x", "pools": {"gpu": {"provder": "cuda"}, "b": {"provider": "rocm"}}})
    assert "pools.gpu.provder: unknown key, did you mean 'provider'" in text
    assert "pools.b.provider: should be 'cpu', 'cuda' or 'tensorrt'" in text
    assert "pools.gpu.memory_gib" in message(SiteSpec, {"name": "x", "pools": {"gpu": {"memory_gib": "4"}}})


# ---- campaigns


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
    return [url.removeprefix(f"{tree}/") for url in found]


def test_inputs_are_files_globs_folders_lists_and_urls_in_the_order_given(tree):
    (tree / "list.txt").write_text("# comment\n\n  sub/*.root \nroot://host//x.root\n")
    found = expand_inputs(("b.root", "list.txt", "a*"))
    assert names(found, tree) == ["b.root", "sub/d.root", "root://host//x.root", "a.root"]
    assert names(expand_inputs((".",)), tree) == ["a.root", "b.root", "e[1].root"]
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
    with pytest.raises(InputError, match="series: is empty"):
        read_scaling(Path("x.json"))


def test_naming_pools_leaves_out_the_others_and_a_plain_number_is_for_all():
    site = load_site("perlmutter")
    assert set(site.with_pools({"gpu": 2, "cpu": 1}, None).pools) == {"gpu", "cpu"}
    everything = site.with_pools(dict.fromkeys(site.pools, 3), None)
    assert {pool.workers for pool in everything.pools.values()} == {3}
    assert site.with_pools({}, None).pools.keys() == site.pools.keys()


@pytest.mark.parametrize("groups", [1, 2, 3, 7])
def test_groups_of_input_files_are_disjoint_and_are_all_of_them(groups):
    urls = [f"f{i}.root" for i in (3, 1, 2, 6, 5, 4, 0)]
    found = [url for k in range(groups) for url in take_group(urls, f"{k + 1}/{groups}")]
    assert sorted(found) == sorted(urls)


@pytest.mark.parametrize("group", ["3/2", "3/3"])
def test_a_group_that_is_empty_is_refused(group):
    with pytest.raises(ConfigError, match="is empty"):
        take_group(["a.root", "b.root"], group)
