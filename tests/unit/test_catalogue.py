"""``list`` and ``show``: what there is by name, ours, the user's and that of plug-ins."""

import json
import re

import pytest
from plugin_package import FORMAT, install

from e2edist import list as list_verb
from e2edist import show
from e2edist.cli import catalogue
from e2edist.config.site_files import known_sites
from e2edist.config.tagger import packaged
from e2edist.imaging.layers import LAYERS


def listed(capsys, *words):
    assert list_verb.main([*words, "--json"]) == 0
    return {(one["kind"], one["name"]): one for one in json.loads(capsys.readouterr().out)}


def shown(capsys, name):
    assert show.main([name, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_everything_is_listed_with_a_text_and_can_be_shown(capsys):
    found = listed(capsys)
    assert {name for kind, name in found if kind == "tagger"} == set(packaged())
    assert {name for kind, name in found if kind == "layer"} == set(LAYERS)
    assert {name for kind, name in found if kind == "site"} >= {"local", "perlmutter", "lpc", "lxplus"}
    assert {("format", "edm"), ("engine", "onnx"), ("kind of pool", "slurm")} <= found.keys()
    assert [key for key, one in found.items() if not one["text"]] == []
    for name in {name for _, name in found}:
        assert shown(capsys, name)
    assert tuple(catalogue.KINDS) == list_verb.KINDS


def test_kinds_can_be_chosen_and_lines_fit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert list_verb.main(["taggers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["eg", "qg", "tau", "top"]
    assert list_verb.main([]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for kind in list_verb.KINDS:
        assert f"{kind}\n" in text
    assert list_verb.main(["taggrs"]) == 2
    assert "there is no 'taggrs'. Did you mean taggers?" in capsys.readouterr().err


def test_a_tagger_shows_what_decides_its_numbers(capsys):
    ((one,), (other,)) = shown(capsys, "top"), shown(capsys, str(packaged()["top"]))
    facts = one["facts"]
    assert facts == other["facts"]
    assert facts["objects"] == "jet"
    assert facts["cuts"] == "pT >= 35 GeV, |eta| < 2.4"
    assert facts["file"] == str(packaged()["top"])
    (eg,) = shown(capsys, "eg")
    assert eg["facts"]["cuts"] == "pT >= 10 GeV, |eta| <= 1.44"
    assert facts["crop"] == "125x125 pixels of ECAL (280x360)"
    channels = [(row["layer"], row["unit"], row["x scale"]) for row in facts["channels"]]
    assert channels[0] == ("ECAL_tracksPt", "GeV", "0.02")
    assert len(channels) == 5
    assert "demo network" in facts["model"]
    assert len(facts["sha256"]) == 64


def test_a_site_shows_its_pools_and_what_it_needs(capsys, tmp_path, monkeypatch):
    ((one,)) = shown(capsys, "perlmutter")
    assert one["facts"]["default pools"] == "gpu"
    assert [text.split(":")[0] for text in one["facts"]["needs"]] == ["account", "image"]
    assert "gpu_shared" in one["facts"]["needs"][0]
    assert "none yet (--account, $E2EDIST_ACCOUNT" in one["facts"]["needs"][0]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    mine = tmp_path / "e2edist" / "sites" / "perlmutter.toml"
    mine.parent.mkdir(parents=True)
    mine.write_text('extends = "perlmutter"\naccount = "m1234"\n')
    assert known_sites()["perlmutter"] == mine
    (one,) = shown(capsys, "perlmutter")
    assert one["origin"] == str(mine)
    assert one["facts"]["needs"][0] == "account: m1234"
    (mine.parent / "torn.toml").write_text("pools = [")
    assert "can't be read" in listed(capsys, "sites")["site", "torn"]["text"]
    assert show.main(["torn"]) == 2
    assert str(mine.parent / "torn.toml") in capsys.readouterr().err


def test_plugins_of_others_are_named_as_such(capsys, tmp_path, monkeypatch):
    install(tmp_path, "formats", f'"""Odd files."""\n{FORMAT}')
    monkeypatch.syspath_prepend(tmp_path)
    one = listed(capsys, "formats")["format", "odd"]
    assert (one["text"], one["origin"]) == ("Odd files.", "odd_plugin 1.0")
    (one,) = shown(capsys, "odd")
    assert one["facts"]["from"] == "plug-in of odd_plugin 1.0"


def test_one_name_may_be_of_several_things(capsys):
    assert [one["kind"] for one in shown(capsys, "slurm")] == ["site", "kind of pool"]
    assert show.main(["slurm"]) == 0
    text = capsys.readouterr().out
    assert "site slurm\n" in text
    assert "\nkind of pool slurm\n" in text


@pytest.mark.parametrize(
    ("name", "meant"), [("perlmuter", "perlmutter"), ("EB_enrgy", "EB_energy"), ("hist", "hits")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, meant, capsys):
    assert show.main([name]) == 2
    assert (
        f"there is no tagger, site, layer or plug-in {name!r}. Did you mean {meant!r}"
        in capsys.readouterr().err
    )


def test_families_of_layers_are_a_line_each(capsys):
    assert list_verb.main(["layers"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^BPIX1-4 +hits of the tracker layer BPIX1-4 ", text, re.M)
    assert "BPIX2" not in text
    assert len(text.splitlines()) < 20
    assert {("layer", f"BPIX{n}") for n in range(1, 5)} <= listed(capsys, "layers").keys()
