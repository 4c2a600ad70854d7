"""Sites: pools, and the table of Dask."""

import pytest
from test_config import message

from e2edist.config.dask_table import _flatten, _set_value, defaults
from e2edist.config.site import SiteSpec, load_site
from e2edist.config.toml_models import parse
from e2edist.errors import ConfigError, UnknownNameError


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
    with pytest.raises(UnknownNameError, match=r"no pool of site local 'cp'.*Did you mean 'cpu'"):
        site.with_pools({"cp": 1}, None)
    with pytest.raises(ConfigError, match=r"pools\.cpu\.workers"):
        site.with_pools({"cpu": -1}, None)


def test_faults_in_pools_are_named_with_their_pool():
    text = message(SiteSpec, {"name": "x", "pools": {"gpu": {"provder": "cuda"}, "b": {"provider": "rocm"}}})
    assert "pools.gpu.provder: unknown key, did you mean 'provider'" in text
    assert "pools.b.provider: should be 'cpu', 'cuda' or 'tensorrt'" in text
    assert "pools.gpu.memory_gib" in message(SiteSpec, {"name": "x", "pools": {"gpu": {"memory_gib": "4"}}})


def test_naming_pools_leaves_out_the_others_and_a_plain_number_is_for_all():
    site = load_site("perlmutter")
    assert set(site.with_pools({"gpu": 2, "cpu": 1}, None).pools) == {"gpu", "cpu"}
    everything = site.with_pools(dict.fromkeys(site.pools, 3), None)
    assert {pool.workers for pool in everything.pools.values()} == {3}
    assert site.with_pools({}, None).pools.keys() == site.pools.keys()
