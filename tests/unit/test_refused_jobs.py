"""Jobs that a batch system refuses or never starts: what is to blame, and where it is said."""

import copyreg
import pickle
from types import SimpleNamespace

import pytest
from tblib import pickling_support

from e2edist.cli.site_questions import Asker, Known, ask_site
from e2edist.config.site import load_site
from e2edist.config.site_options import SiteOptions, make_sources
from e2edist.config.site_sources import SiteSources
from e2edist.errors import RefusedJobError, ResourceError
from e2edist.pools import batch_system, keys_to_blame
from e2edist.pools._refusals import blaming
from e2edist.pools.htcondor import _too_large
from e2edist.pools.slurm import Slurm

ACCOUNT = ("pools.cpu.job.account",)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's own site file that extends slurm."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("E2EDIST_ACCOUNT", raising=False)
    path = tmp_path / "e2edist" / "sites" / "slurm.toml"
    path.parent.mkdir(parents=True)
    path.write_text('extends = "slurm"\naccount = "typo"\n[pools.cpu]\nthreads = 9\n', encoding="utf-8")
    return path


def test_advice_names_flag_variable_or_file(own, monkeypatch):
    def advise(*keys, **options):
        return make_sources(SiteOptions("slurm", **options)).advise(keys)

    assert advise(*ACCOUNT) == f"Change account (at the top of {own})."
    assert advise("controller.account") == f"Change account (at the top of {own})."
    assert advise("pools.cpu.threads") == f"Change threads (in [pools.cpu] of {own})."
    assert advise("pools.cpu.threads", threads=3) == "Change threads (from --threads)."
    other = f"or set pools.cpu.memory_gib (as by --set pools.cpu.memory_gib=VALUE, or in {own})."
    changed = advise("pools.cpu.threads", "pools.cpu.memory_gib", settings=("pools.cpu.threads=2",))
    assert changed == f"Change threads (from --set), {other}"
    monkeypatch.setenv("E2EDIST_ACCOUNT", "bogus")
    assert advise(*ACCOUNT) == "Change account (from E2EDIST_ACCOUNT)."
    assert advise(*ACCOUNT, account="m1") == "Change account (from --account)."
    assert SiteSources([], "my.toml").advise(ACCOUNT) == "Set account (as by --account NAME, or in my.toml)."


@pytest.mark.parametrize(
    ("said", "keys"),
    [
        ("Invalid account or account/partition combination specified", ("account", "queue")),
        ("allocation failure: Requested node configuration is not", ("queue", "account", "directives")),
        ("Requested node configuration is not available", ("threads", "memory_gib", "queue")),
        ("error: invalid partition specified: nope", ("queue",)),
        ("Memory specification can not be satisfied", ("memory_gib", "queue")),
    ],
)
def test_what_slurm_says_names_keys(said, keys):
    assert keys_to_blame(Slurm(), said) == keys


def test_no_queue_is_advised_where_there_is_none():
    for kind in ("htcondor", "sge", "pbs"):
        system = batch_system(kind)
        assert not set(keys_to_blame(system, "anything")) & set(system.unsupported)
    assert "queue" not in keys_to_blame(batch_system("htcondor"), "anything")


def test_a_refusal_becomes_an_error_with_keys():
    said = r"Change controller\.cores or controller\.queue"
    with pytest.raises(RefusedJobError, match=said) as caught, blaming(Slurm.signs):
        raise ResourceError("sbatch", "failed (1): CPU count per node can not be satisfied")
    assert caught.value.keys == ("controller.cores", "controller.queue")
    with pytest.raises(ResourceError, match="did not answer") as caught, blaming(Slurm.signs, "cpu"):
        raise ResourceError("sbatch", "did not answer in 60 s")
    assert type(caught.value) is ResourceError


@pytest.mark.parametrize("tblib", [False, True])
def test_other_advice_leaves_the_rest_of_an_error_as_it_is(monkeypatch, tblib):
    monkeypatch.delitem(copyreg.dispatch_table, RefusedJobError, raising=False)
    if tblib:  # distributed installs it: copy.copy then shares what it copies, and pickling is its own
        monkeypatch.setitem(copyreg.dispatch_table, RefusedJobError, pickling_support.pickle_exception)
    error, cause = RefusedJobError("sbatch", "failed", "Try x."), ValueError("why")
    error.keys, error.__cause__ = ("pools.cpu.threads",), cause
    for found, todo in ((error.with_advice("Try y."), "Try y."), (error.advising("Or y."), "Try x. Or y.")):
        assert (type(found), found.keys, found.__cause__) == (RefusedJobError, error.keys, cause)
        assert str(found) == str(pickle.loads(pickle.dumps(found))) == f"sbatch: failed. {todo}"


def test_a_slot_that_is_not_there_is_told():
    assert _too_large(6, 4, []).text == ""
    assert _too_large(6, 4, [(2.0, 1), (7.8, 4)]).text == ""
    found = _too_large(500, 4, [(2.0, 1), (7.8125, 4)])
    assert found.text.startswith("no slot has that much memory, the largest has 7.81 GiB")
    assert found.keys == ("memory_gib",)
    assert _too_large(1, 8, [(7.8, 4)]).keys == ("threads",)
    assert _too_large(6, 4, [(2.0, 4), (8.0, 1)]).keys == ("threads", "memory_gib")


@pytest.mark.parametrize(
    ("queue", "minutes", "text"),
    [
        ("", 121, "121 min are more than the default partition allows, 120 min"),
        ("", 120, ""),
        ("long", 9999, ""),
        ("short", 60, "60 min are more than partition short allows, 30 min"),
    ],
)
def test_a_walltime_over_the_limit_is_told_though_slurm_forecasts_a_start(monkeypatch, queue, minutes, text):
    said = "short|30:00\ncpu*|2:00:00\nlong|infinite\n"
    monkeypatch.setattr("e2edist.pools.slurm.call", lambda *_: said)
    job = SimpleNamespace(spec=SimpleNamespace(job=SimpleNamespace(queue=queue, walltime_min=minutes)))
    found = Slurm().objection(job).text
    assert found.startswith(text) if text else found == ""


@pytest.mark.parametrize(
    ("partitions", "answers", "content"),
    [
        ((["cpu", "gpu"], "cpu"), [""], {}),
        ((["cpu", "gpu"], "cpu"), ["nope", "gpu"], {"pools": {"cpu": {"job": {"queue": "gpu"}}}}),
        (
            (["a", "b"], ""),
            ["", "b"],
            {"pools": {"cpu": {"job": {"queue": "b"}}}, "controller": {"queue": "b"}},
        ),
        ((["cpu"], "cpu"), [], {}),
    ],
)
def test_init_asks_for_a_partition_where_there_is_a_choice(monkeypatch, partitions, answers, content):
    monkeypatch.setattr("e2edist.cli.site_questions.known_partitions", lambda: partitions)
    monkeypatch.setattr("e2edist.cli.site_questions.known_accounts", list)
    left = iter(answers)
    console = SimpleNamespace(input=lambda *_, **__: next(left), print=lambda *_: None)
    assert ask_site(load_site("slurm"), Known("", {}, ()), Asker(console, asks=True)) == content
    assert next(left, None) is None


def test_an_account_that_slurm_does_not_list_is_asked_about(monkeypatch):
    monkeypatch.setattr("e2edist.cli.site_questions.known_partitions", lambda: ([], ""))
    monkeypatch.setattr("e2edist.cli.site_questions.known_accounts", lambda: ["root", "e2e"])
    left = iter(["m9", "maybe", "n", "m9", "y"])
    console = SimpleNamespace(input=lambda *_, **__: next(left), print=lambda *_: None)
    asker = Asker(console, asks=True)
    assert ask_site(load_site("slurm"), Known("", {}, ()), asker) == {"account": "m9"}
    assert next(left, None) is None
