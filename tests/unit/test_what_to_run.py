"""What submit runs over where nothing, or a workflow file of the folder, or a demo is named."""

import re

import pytest

from e2edist.cli.console import make_console
from e2edist.cli.demo_campaign import DEMO_EVENTS
from e2edist.cli.submit_options import parser
from e2edist.cli.what_to_run import choose
from e2edist.errors import ConfigError

FACTS = ("--account", "m1234", "--image", "docker:group/e2edist:1.0")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder, and a user without files or variables of his own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("E2EDIST_ACCOUNT", raising=False)
    monkeypatch.delenv("E2EDIST_IMAGE", raising=False)
    for tagger in DEMO_EVENTS:
        monkeypatch.setitem(DEMO_EVENTS, tagger, 4)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def chosen(*words):
    return choose(parser().parse_args(list(map(str, words))), make_console())


def refused(*words):
    with pytest.raises(ConfigError) as caught:
        chosen(*words)
    return str(caught.value)


def test_without_anything_named_the_choices_are_told(folder):
    said = refused()
    assert said == (
        "there is nothing to run over. Name files with --input, a workflow file with --workflow or as "
        "campaign.toml here, or give --demo."
    )
    said = refused("--site", "perlmutter")
    assert re.search("no account .* no image .* nothing to run over.*--account ACCOUNT --image IMAGE", said)
    assert said.endswith("or give --demo.")
    assert refused("--site", "perlmutter", *FACTS).startswith("there is nothing to run over")
    assert list(folder.iterdir()) == []


def test_the_workflow_file_of_the_folder_is_taken_and_options_go_before_its_keys(folder, capsys):
    text = 'site = "mine.toml"\ntagger = "top"\ninputs = ["a.root"]\noutput = "out"\n'
    (folder / "campaign.toml").write_text(text, encoding="utf-8")
    (folder / "mine.toml").write_text("[pools.cpu]\nthreads = 3\n", encoding="utf-8")
    site, spec = chosen()
    assert "workflow campaign.toml of this folder" in capsys.readouterr().out
    assert (site.name, spec.tagger, spec.inputs) == ("mine", "top", ("a.root",))
    assert spec.output == str(folder / "out")
    site, spec = chosen("--site", "local", "--tagger", "eg", "--output", "other")
    assert (site.name, spec.tagger, spec.output) == ("local", "eg", str(folder / "other"))
    site, spec = chosen("--input", "b.root", "--output", "other")  # which is a campaign of its own
    assert (site.name, spec.tagger, spec.inputs) == ("local", "eg", ("b.root",))
    assert capsys.readouterr().out.count("workflow") == 1


def test_a_site_of_a_workflow_file_lies_beside_it(folder):
    (folder / "sub").mkdir()
    text = 'site = "mine.toml"\ntagger = "eg"\ninputs = ["/a.root"]\noutput = "out"\n'
    (folder / "sub" / "w.toml").write_text(text, encoding="utf-8")
    (folder / "sub" / "mine.toml").write_text("[pools.cpu]\n", encoding="utf-8")
    site, spec = chosen("--workflow", "sub/w.toml")
    assert (site.name, spec.site) == ("mine", "sub/mine.toml")
    text = text.replace("mine.toml", "perlmutter")
    (folder / "sub" / "w.toml").write_text(text, encoding="utf-8")
    assert refused("--workflow", "sub/w.toml").startswith("site perlmutter: has no account (gpu)")


@pytest.mark.parametrize(
    ("words", "pool", "workers"),
    [
        (("--site", "local"), "cpu", 0),
        (("--site", "perlmutter", *FACTS), "gpu_shared", 1),
        (("--site", "perlmutter", *FACTS, "--pools", "debug,gpu"), "debug", 4),
        (("--site", "perlmutter", *FACTS, "--pools", "cpu"), "cpu", 8),
        (("--site", "perlmutter", *FACTS, "--workers", "gpu=8,cpu=8"), "cpu", 8),
        (("--site", "lxplus", "--image", "/cvmfs/a"), "cpu", 1),
        (("--site", "slurm", "--workers", "3"), "cpu", 3),
        (("--site", "pbs"), "cpu", 1),
        (("--site", "pbs", "--pools", "gpu"), "gpu", 1),
    ],
)
def test_a_demo_runs_on_the_smallest_pool_with_the_workers_of_one_job(
    folder, capsys, monkeypatch, words, pool, workers
):
    # This host is of none of these sites: test_host_limits.py.
    monkeypatch.setattr("e2edist.control.detach.check_host_of", lambda site, detached: None)
    site, spec = chosen("--demo", *words)
    assert {name: spec.workers for name, spec in site.pools.items()} == {pool: workers}
    assert f"demo on pool {pool} of site {site.name}, {workers or 1} worker" in capsys.readouterr().out
    events = folder / "e2edist-demo" / "eg-events"
    assert spec.inputs == tuple(f"e2edist-demo/eg-events/eg_2_00{n}.root" for n in (0, 1))
    assert sorted(events.iterdir()) == [folder / one for one in spec.inputs]
    assert spec.output == str(folder / "e2edist-demo" / "eg")


def test_a_dry_run_of_a_demo_leaves_nothing(folder):
    _, spec = chosen("--demo", "--dry-run", "--tagger", "qg", "--output", "out")
    assert spec.output == str(folder / "out")
    assert len(spec.inputs) == 2
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--input", "a.root"), "--demo: has its own events, and --input names others"),
        (("--dataset", "a=b.root"), "--demo: has its own events, and --dataset names others"),
        (("--workflow", "w.toml"), "--demo: has its own events, and --workflow names others"),
        (("--tagger", "mine"), "--demo: has no events for tagger mine. Name ROOT files with --input"),
        (("--site", "lpc", "--image", "/cvmfs/a"), "lie on a disk that workers of pool cpu don't see"),
        (
            ("--site", "podman.toml"),
            r"containers of pool cpu don't see\. Bind it: --set 'pools\.cpu\.cont",
        ),
    ],
)
def test_a_demo_that_can_not_run_is_refused_before_events_are_made(folder, words, said):
    text = '[pools.cpu.container]\nruntime = "podman-hpc"\nimage = "a/b:c"\nbinds = ["/none:/none"]\n'
    (folder / "podman.toml").write_text(text, encoding="utf-8")
    assert re.search(said, refused("--demo", *words))
    assert not (folder / "e2edist-demo").exists()


def test_a_folder_that_is_bound_is_seen(folder):
    text = f'[pools.cpu.container]\nruntime = "podman-hpc"\nimage = "a/b:c"\nbinds = ["{folder}:{folder}"]\n'
    (folder / "podman.toml").write_text(text, encoding="utf-8")
    assert chosen("--demo", "--site", "podman.toml")[1].tagger == "eg"


def test_an_output_is_wanted_with_inputs():
    assert refused("--input", "a.root").startswith("--output: is missing")
