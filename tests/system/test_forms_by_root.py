"""The 659 real events give the same cells in every form that is read; real ROOT writes CMS event data."""

import awkward as ak
import numpy as np
import pytest
import uproot
from edm_forms import ALL, columns_of, compiler, differences, read, real, write
from ntuples import HITS
from rhtree_files import content_of, save_for_root
from test_rhtree_by_root import write_by_root

from e2edist import predict
from e2edist.config.tagger import load_tagger
from e2edist.formats import open_events
from e2edist.imaging.event_batch import TABLES

pytestmark = pytest.mark.slow
#: Events whose images are in memory together, a basket of most files.
_PART = 128
_NUMBERS = ("run", "luminosityBlock", "event")
_HITS = HITS | {"electron": {column: f"GsfElectron_{column}" for column in TABLES["electron"]}}
#: Tables of all forms are compared; scores of those that CMSSW writes most, which takes longer.
AOD = ("split", "object_wise", "member_wise", "run1")


@pytest.fixture(scope="module")
def forms(data, tmp_path_factory):
    """Events as arrays, and form -> the file that ROOT wrote of them."""
    events = real(data)
    return events, write(compiler(), events, tmp_path_factory.mktemp("forms"), *ALL)


def test_tables_of_real_events_are_the_same_in_every_form(forms):
    events, files = forms
    split = read(files["split"], "split")
    assert len(split.event) == 659
    for form, file in files.items():
        batch = read(file, form)
        differing, cells = differences(batch, events)
        assert differing == 0, form
        assert cells > 800_000
        assert batch.tables.keys() == columns_of(form).keys()
        for column, values in split["tracks"].columns.items() if "mini" not in form else ():
            assert np.array_equal(batch["tracks"][column], values), (form, column)


@pytest.mark.parametrize("form", ["object_wise", "member_wise", "run1"])
def test_ranges_of_several_baskets_are_parts_of_all(forms, form):
    path, random = forms[1][form], np.random.default_rng(1)
    whole = read(path, form)
    for start, stop in np.sort(random.integers(0, whole.events, (8, 2))).tolist():
        part = read(path, form, start, stop)
        assert np.array_equal(part.event, whole.event[start:stop])
        for table, ragged in part.tables.items():
            edges = whole[table].offsets[start : stop + 1]
            assert np.array_equal(ragged.offsets, edges - edges[0])
            for column, values in ragged.columns.items():
                assert np.array_equal(values, whole[table][column][edges[0] : edges[-1]])


@pytest.mark.parametrize("name", ["eg", "qg"])
def test_scores_of_real_events_are_the_same_in_every_form(data, forms, name, tmp_path):
    given = sorted((data / "edm").glob("given_[12].root"))
    expected = scores(name, *given)
    assert (expected["status"] == "ok").sum() > 100
    others = {form: [forms[1][form]] for form in AOD} | flat_forms(forms[1]["split"], name, tmp_path)
    if name == "eg":  # the hit ntuples have no quality of tracks, which qg wants
        others["given hits"] = sorted((data / "root").glob("hits_given_?.root"))
    for form, paths in others.items():
        got = scores(name, *paths)
        assert len(got) == len(expected), form
        assert [c for c in expected if not expected[c].equals(got[c])] == [], form


def scores(name, *paths):
    """Return the table of scores, without what names the file."""
    table = predict([str(path) for path in paths], name).to_pandas()
    kept = table.drop(columns=["uuid", "file", "entry", "label"], errors="ignore")
    keys = [key for key in ("run", "lumi", "event", "kind", "object") if key in kept]
    return kept.sort_values(keys, ignore_index=True)


def flat_forms(path, name, folder):
    """Write the events as hits, in a TTree and in an RNTuple, and as images by ROOT; return form -> files."""
    tagger, images = load_tagger(name), []
    layers = dict.fromkeys(channel.layer for channel in tagger.channels)
    with open_events(str(path), tagger.columns(), tagger.objects.collections) as reader:
        whole = reader.read(0, reader.info.entries)
        for start in range(0, whole.events, _PART):
            batch = reader.read(start, min(start + _PART, whole.events))
            arrays = save_for_root(folder / "arrays.npz", content_of(batch, tagger, layers))
            images.append(write_by_root(compiler(), arrays, folder / f"images_{start}.root"))
    content = {"run": whole.run, "luminosityBlock": whole.lumi, "event": whole.event}
    for table, ragged in whole.tables.items():
        for column in tagger.columns()[table]:
            content[_HITS[table][column]] = ak.unflatten(ragged[column], ragged.counts())
    with uproot.recreate(folder / "hits.root") as tree, uproot.recreate(folder / "rntuple.root") as tuples:
        types = {key: one.dtype if key in _NUMBERS else one.type.content for key, one in content.items()}
        tree.mktree("Events", types).extend(content)
        tuples.mkrntuple("Events", content)
    return {"hits": [folder / "hits.root"], "RNTuple": [folder / "rntuple.root"], "RHTree": images}
