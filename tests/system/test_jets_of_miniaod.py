"""The tagger ``qg`` on MiniAOD with HCAL hits and packed candidates, as a user who allows them runs it."""

import shutil

import numpy as np
import oracle
import pytest
from edm_forms import FOLDER, FOR_JETS, compiler, made_for_jets, write_for_jets
from handmade import TRACKS, table
from packed_oracle import SIGNED_CHARGES, track
from runs import ROOT, receipts

from e2edist import InputError, make_images, open_results, predict
from e2edist.imaging.event_batch import EventBatch, Ragged

FILE = FOLDER / f"{FOR_JETS}.root"
TRACKS_OF = '\n[objects.collections]\ntracks = ["packedPFCandidates+lostTracks"]\n'
NOTES = {
    "HBHE, EB, EE: MiniAOD has hits round photons and electrons only",
    "tracks: made of packed candidates, with 16 bits a number",
}


@pytest.fixture
def tagger(tmp_path):
    """A user's copy of the packaged tagger, which allows packed candidates."""
    packaged = ROOT / "e2edist" / "taggers"
    text = (packaged / "qg.toml").read_text(encoding="utf-8")
    assert "[objects.collections]" not in text
    (tmp_path / "models").mkdir()
    shutil.copy(packaged / "models" / "qg.onnx", tmp_path / "models")
    (tmp_path / "mine.toml").write_text(text.replace("\n[seed]", f"{TRACKS_OF}\n[seed]"), encoding="utf-8")
    return str(tmp_path / "mine.toml")


def written():
    """Return the events that were written, with tracks by the slow words, and their arrays."""
    arrays, rows, positions = made_for_jets()
    tracks = [
        [track(one, vertices) for one in event if one["pdg"] in SIGNED_CHARGES]
        for event, vertices in zip(rows, positions, strict=True)
    ]
    tables = {
        name: Ragged(arrays[f"{name}_rows"], {c: arrays[f"{name}_{c}"] for c in ("detid", "energy")})
        for name in ("EB", "EE", "HBHE")
    }
    tables["tracks"] = table([[tuple(one[c] for c in TRACKS) for one in event] for event in tracks], TRACKS)
    return EventBatch(0, len(rows), tables), arrays


def expected():
    """Return (entry, object, status, images) of each jet, made the slow way of what was written."""
    batch, arrays = written()
    for event in range(batch.events):
        frames = (
            oracle.tracks(batch, event, "pt"),
            oracle.ecal(batch, event),
            oracle.upsampled(oracle.hbhe(batch, event)),
        )
        start, stop = arrays["jet_rows"][event : event + 2]
        for row in range(start, stop):
            jet = [arrays[f"jet_{name}"][row] for name in ("pt", "eta", "phi")]
            status, *seed = oracle.jet_seed(batch, event, jet, keep_empty=True)
            images = [oracle.crop(frame, *seed, 125) for frame in frames] if status == "ok" else []
            yield event, row - start, status, images


def test_images_and_scores_are_those_of_the_values_written(tagger):
    wanted = list(expected())
    scores = predict(str(FILE), tagger).to_pydict()
    places = zip(scores["entry"], scores["object"], scores["status"], strict=True)
    assert list(places) == [tuple(place) for *place, _ in wanted]
    images = make_images(str(FILE), tagger)
    assert all(
        (score is not None and 0 < score < 1) == (status == "ok")
        for score, status in zip(scores["quark"], scores["status"], strict=True)
    )
    ok = [made for *_, status, made in wanted if status == "ok"]
    assert len(images) == len(ok) > 5
    for channel, name in enumerate(("ECAL_tracksPt", "ECAL_energy", "HBHE_energy")):
        assert images.channels[channel] == name
        found = images.pixels[:, channel]
        assert np.count_nonzero(found, axis=(1, 2)).min() > 0, name
        np.testing.assert_array_equal(found, np.array([one[channel] for one in ok]), err_msg=name)


def test_the_packaged_tagger_is_refused_with_what_helps():
    reason = r"tracks: none has a label of generalTracks \(there are packedPFCandidates"
    with pytest.raises(InputError, match=reason) as caught:
        predict(str(FILE), "qg")
    assert 'tracks = ["packedPFCandidates+lostTracks"]' in caught.value.todo


@pytest.mark.slow  # about 10 s: a campaign
def test_a_campaign_says_what_its_images_are_made_of(tagger, submit, tmp_path):
    done = submit("--tagger", "qg", "--input", FILE, "--output", "refused")
    assert done.returncode == 2
    assert "packedPFCandidates+lostTracks" in done.stderr
    done = submit("--tagger", tagger, "--input", FILE, "--output", "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    (receipt,) = receipts(tmp_path / "out")
    assert set(receipt["notes"]) == NOTES
    rows = open_results(tmp_path / "out").table().to_pydict()
    assert rows["status"] == [status for *_, status, _ in expected()]
    for status, score in zip(rows["status"], rows["quark"], strict=True):
        assert (score is not None and 0 < score < 1) == (status == "ok")


@pytest.mark.slow  # about 20 s where the classes of CMS event data are yet to be compiled
def test_the_committed_file_is_what_root_writes(tmp_path, tagger):
    again = make_images(str(write_for_jets(compiler(), tmp_path)), tagger)
    assert np.array_equal(again.pixels, make_images(str(FILE), tagger).pixels)
