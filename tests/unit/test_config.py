"""Taggers: what is refused and how it is said, what a fingerprint stands for, which models do."""

import copy
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import TAGGER, write_tagger

from e2edist.config.site import load_site
from e2edist.config.site_files import site_folder
from e2edist.config.tagger import RESERVED, TaggerSpec, load_tagger, packaged
from e2edist.config.toml_models import parse, read_toml
from e2edist.errors import ConfigError, ModelError, UnknownNameError
from e2edist.records.part_columns import AGGREGATED_COLUMNS, PART_COLUMNS

SHA = "0123456789abcdef" * 4
#: Every key of a tagger file, none of them at its default.
FULL = {
    "name": "full",
    "description": "all keys",
    "classes": ["background", "signal"],
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
    "classes": ["QCD", "top"],
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
        ("objects.collections", {"photon": []}),
        ("objects.collections", {"photon": [""]}),
        ("objects.collections", {"photon": ["a", " b "]}),
        ("objects.collections", {"tracks": ["a+"]}),
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
    assert {*PART_COLUMNS, *AGGREGATED_COLUMNS} == RESERVED


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


def test_classes_of_one_name_are_refused():
    assert "classes: names must differ: QCD, QCD" in message(TaggerSpec, changed("classes", ["QCD", "QCD"]))


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
    with pytest.raises(UnknownNameError, match=r"no tagger 'taus'.*Did you mean 'tau'.*Known: .*eg.*top"):
        load_tagger("taus")
    with pytest.raises(UnknownNameError, match=r"no site 'locl'.*Did you mean 'local'"):
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
        "pixels:EB_energy": {"row", "col", "value"},
        "photon": {"pt", "eta", "phi", "label"},
        "electron": {"pt", "eta", "phi", "label"},
    }
    qg = parse(TaggerSpec, read_toml(packaged()["qg"]), "qg")
    pixels = {"pixels:ECAL_energy", "pixels:ECAL_tracksPt", "pixels:HBHE_energy", "pixels:HBHE_depth1"}
    assert qg.columns().keys() == {"EB", "EE", "HBHE", "tracks", "jet"} | pixels
    assert "quality" in qg.columns()["tracks"]
