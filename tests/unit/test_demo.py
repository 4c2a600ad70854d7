"""Demo events are deterministic, labelled, and as full as real ones."""

import awkward as ak
import numpy as np
import pytest
import uproot

from e2edist.config.tagger import load_tagger
from e2edist.demo import LABELS, ensure_events, make_events
from e2edist.demo.networks import are_demo_events, demo_note, is_demo_network
from e2edist.demo.writer import BRANCHES
from e2edist.errors import ConfigError, InputError, OutputError, UnknownNameError

EVENTS = 1000


def read(paths):
    return ak.concatenate([uproot.open(path)["Events"].arrays() for path in paths])


@pytest.fixture(scope="module", params=sorted(LABELS))
def sample(request, tmp_path_factory):
    paths = make_events(tmp_path_factory.mktemp(request.param), request.param, EVENTS, 7)
    return request.param, paths, read(paths)


@pytest.fixture(scope="module")
def eg(tmp_path_factory):
    return read(make_events(tmp_path_factory.mktemp("eg"), "eg", EVENTS, 3))


def flat(events, name):
    return ak.flatten(events[name]).to_numpy()


def test_same_seed_gives_the_same_events_and_another_seed_others(tmp_path):
    first, again, other = (
        read(make_events(tmp_path / str(i), "top", 300, s)) for i, s in enumerate((1, 1, 2))
    )
    assert ak.array_equal(first, again)
    assert not ak.array_equal(first, other)


def test_events_that_are_there_are_taken_if_they_are_those_that_are_wanted(tmp_path):
    folder = tmp_path / "events"
    files = ensure_events(folder, "qg", 6, seed=1)
    assert [file.name for file in files] == ["qg_1_000.root", "qg_1_001.root"]
    times = [file.stat().st_mtime_ns for file in files]
    assert [file.stat().st_mtime_ns for file in ensure_events(folder, "qg", 6, seed=1)] == times
    for sample, events, seed in (("qg", 8, 1), ("qg", 6, 2), ("eg", 6, 1)):
        what = f"holds other events than {events} of sample {sample} with seed {seed}. Use another folder"
        with pytest.raises(OutputError, match=what):
            ensure_events(folder, sample, events, seed)
    files[1].write_bytes(b"no ROOT file")
    with pytest.raises(InputError, match=r"qg_1_001.root: can't be read .* Delete .*: it is made anew"):
        ensure_events(folder, "qg", 6, seed=1)


def test_an_empty_folder_gets_events_and_another_one_is_left_alone(tmp_path):
    folder = tmp_path / "events"
    folder.mkdir()
    assert len(ensure_events(folder, "qg", 4, seed=1)) == 2
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"other: can't be written \(Directory not empty\)"):
        ensure_events(other, "qg", 4, seed=1)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]


def test_each_file_has_several_clusters_and_all_branches(sample):
    _, paths, events = sample
    assert len(paths) == 2
    assert len(events) == EVENTS
    for path in paths:
        tree = uproot.open(path)["Events"]
        columns = {f"{table}_{column}" for table, names in BRANCHES.items() for column in names}
        assert columns | {"run", "luminosityBlock", "event"} <= set(tree.keys())
        assert list(tree.common_entry_offsets()) == [0, 250, 500]
    assert sorted(events["event"].to_numpy()) == list(range(1, EVENTS + 1))


@pytest.mark.parametrize(
    ("tables", "expected"), [(["EB"], 367), (["EE"], 253), (["HB", "HE"], 52), (["Track"], 129)]
)
def test_eg_is_as_full_as_open_data_of_2012(eg, tables, expected):
    names = [t + ("_pt" if t == "Track" else "RecHit_energy") for t in tables]
    mean = sum(float(ak.mean(ak.num(eg[name]))) for name in names)
    assert 0.7 * expected < mean < 1.3 * expected


def test_a_tenth_of_the_hits_is_negative(eg):
    for table in ("EB", "EE", "HB", "HE"):
        assert 0.06 < np.mean(flat(eg, f"{table}RecHit_energy") <= 0) < 0.15


def test_some_events_hold_a_detid_twice(eg):
    twice = [len(set(row)) < len(row) for row in eg["EBRecHit_detid"].to_list()]
    assert 0 < sum(twice) < EVENTS / 20


def test_ecal_detids_name_crystals(sample):
    events = sample[2]
    eb = flat(events, "EBRecHit_detid")
    assert set(eb >> 25) == {(3 << 3) | 1}
    assert (((eb >> 9) & 0x7F).min(), ((eb >> 9) & 0x7F).max()) == (1, 85)
    assert ((eb & 0x1FF).min(), (eb & 0x1FF).max()) == (1, 360)
    ee = flat(events, "EERecHit_detid")
    assert set(ee >> 25) == {(3 << 3) | 2}
    radius = np.hypot(((ee >> 7) & 0x7F) - 50.5, (ee & 0x7F) - 50.5)
    assert radius.max() < 52
    assert radius.min() > 10
    assert len(set(ee)) <= 14648


def test_hcal_detids_name_towers_of_their_branch(sample):
    name, _, events = sample
    for branch, subdetector, low, high in (("HB", 1, 1, 16), ("HE", 2, 17, 28)):
        ids = flat(events, f"{branch}RecHit_detid").astype(np.int64)
        assert set(ids >> 25) == {(4 << 3) | subdetector}
        new = ids & 0x1000000 != 0
        assert np.all(new == (name in {"top", "tau"}))
        ieta = np.where(new, (ids >> 10) & 0x1FF, (ids >> 7) & 0x3F)
        iphi = np.where(new, ids & 0x3FF, ids & 0x7F)
        depth = np.where(new, (ids >> 20) & 0xF, (ids >> 14) & 0x1F)
        assert (ieta.min(), ieta.max()) == (low, high)
        assert (iphi.min(), iphi.max()) == (1, 72)
        assert np.all(iphi[ieta > 20] % 2 == 1)
        assert depth.min() == 1
        assert depth.max() <= 6


def test_tracks_are_in_range(sample):
    events = sample[2]
    assert flat(events, "Track_pt").min() > 0.25
    assert np.abs(flat(events, "Track_phi")).max() <= np.pi + 1e-6
    assert np.abs(flat(events, "Track_eta")).max() < 2.6
    assert set(flat(events, "Track_quality")) == {0, 4}
    near = np.abs(flat(events, "Track_dz")) < 0.1
    assert 0.1 < near.mean() < 0.9


def test_labels_are_balanced_and_strangers_have_none(sample):
    name, _, events = sample
    labels = flat(events, "Photon_label" if name == "eg" else "PFJet_label")
    assert set(labels) == {-1, 0, 1}
    true = labels[labels >= 0]
    assert 0.9 * EVENTS < len(true) < EVENTS
    assert 0.4 < true.mean() < 0.6


def test_electrons_are_photon_candidates_too(eg):
    assert set(flat(eg, "GsfElectron_label")) == {-1, 1}
    assert np.sum(flat(eg, "GsfElectron_label") == 1) == np.sum(flat(eg, "Photon_label") == 1)


def test_some_candidates_fail_each_cut(eg):
    assert (flat(eg, "Photon_pt") < 10).any()
    assert (np.abs(flat(eg, "Photon_eta")) > 1.44).any()
    assert ak.any(ak.num(eg["Photon_pt"]) == 0)


def test_energy_of_a_photon_is_found_round_its_impact(tmp_path):
    events = read(make_events(tmp_path, "eg", 400, 5, files=1, pileup=0.0))
    energy = ak.sum(events["EBRecHit_energy"], axis=1).to_numpy()
    true = ak.any(events["Photon_label"] == 0, axis=1).to_numpy()
    sent = ak.sum(events["Photon_pt"] * np.cosh(events["Photon_eta"]), axis=1).to_numpy()
    assert 0.9 < np.median(energy[true] / sent[true]) < 1.05


def test_unknown_samples_and_empty_files_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'top'"):
        make_events(tmp_path, "topp", 10, 1)
    with pytest.raises(ConfigError, match="can't fill 3 files"):
        make_events(tmp_path, "eg", 2, 1, files=3)


@pytest.mark.parametrize("name", ["eg", "qg", "top", "tau"])
def test_the_networks_that_come_with_us_are_demo_networks_and_named_so_on_other_events(name, tmp_path):
    model = load_tagger(name).model.sha256
    made = [str(path) for path in make_events(tmp_path / "x y", name, 2, seed=1)]
    assert is_demo_network(model)
    assert are_demo_events(made)
    assert demo_note(model, made) == ""
    assert demo_note(model, [*made, "root://host//store/eg_1.root"]).startswith("demo network:")
    assert demo_note("0" * 64, ["a.root"]) == ""
    assert not is_demo_network("")
    assert not are_demo_events([])
