"""Which site a command line means: files that extend each other, environment, options, and missing facts."""

import json
import re

import pytest

from e2edist.cli.arguments import site_options
from e2edist.cli.submit_options import parser
from e2edist.config.resolved_site import resolved_text
from e2edist.config.site import load_site
from e2edist.config.site_facts import find_fact_faults, require_facts
from e2edist.config.site_files import known_sites, site_folder, user_site_folder
from e2edist.config.site_options import SiteOptions, make_site
from e2edist.errors import ConfigError, UnknownNameError

IMAGE = "docker:group/e2edist:1.0"
OTHER = "docker:group/e2edist:2.0"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user without files or variables of his own; returns the folder of his sites."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("E2EDIST_ACCOUNT", raising=False)
    monkeypatch.delenv("E2EDIST_IMAGE", raising=False)
    folder = tmp_path / "config" / "e2edist" / "sites"
    folder.mkdir(parents=True)
    assert user_site_folder() == folder
    return folder


def site(name="perlmutter", **options):
    return make_site(SiteOptions(name, **options))


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def accounts(made):
    return {pool.job.account for pool in made.pools.values()} | {made.controller.account}


def images(made):
    return {name: pool.container.image for name, pool in made.pools.items()}


def test_a_users_file_extends_the_one_that_comes_with_us_and_goes_before_it(home):
    mine = written(
        home / "perlmutter.toml",
        f'extends = "perlmutter"\naccount = "m1"\nimage = "{IMAGE}"\n'
        "[pools.gpu]\nworkers = 4\n[pools.gpu.job]\ndirectives = ['--qos=mine']\n"
        "[pools.debug.job]\naccount = 'm2'\n",
    )
    ours = load_site("perlmutter")
    assert ours.pools["gpu"].workers == 4
    assert str(known_sites()["perlmutter"]) == mine
    shipped = load_site(str(site_folder() / "perlmutter.toml"))
    job = ours.pools["gpu"].job
    assert job.directives == ("--qos=mine",)
    assert job.model_copy(update={"account": "", "directives": ()}) == shipped.pools["gpu"].job.model_copy(
        update={"directives": ()}
    )
    assert {name: pool.job.account for name, pool in ours.pools.items()} == dict.fromkeys(
        ours.pools, "m1"
    ) | {"debug": "m2"}
    assert ours.controller.account == "m1"
    assert set(images(ours).values()) == {IMAGE}
    assert (ours.name, ours.default_pools) == ("perlmutter", ("gpu",))
    require_facts(make_site(SiteOptions("perlmutter")), "perlmutter", detached=True)


def test_files_extend_files_by_paths_from_where_they_lie(home, tmp_path, monkeypatch):
    (tmp_path / "group").mkdir()
    written(tmp_path / "group" / "ours.toml", 'extends = "slurm"\naccount = "g"\n[pools.cpu]\nworkers = 9\n')
    written(home / "mine.toml", f'extends = "{tmp_path}/group/ours.toml"\n[pools.cpu]\nthreads = 3\n')
    last = written(tmp_path / "last.toml", 'extends = "config/e2edist/sites/mine.toml"\ndescription = "x"\n')
    monkeypatch.chdir("/")
    made = site(last)
    pool = made.pools["cpu"]
    assert (pool.workers, pool.threads, pool.memory_gib, pool.job.account) == (9, 3, 6, "g")
    assert (made.name, site("mine").name) == ("last", "mine")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('extends = "mine.toml"', r"mine\.toml: extends: goes in a circle, .*mine\.toml -> .*mine\.toml"),
        ('extends = "perlmuter"', r"no site 'perlmuter'\. Did you mean 'perlmutter'\?.*path of a file"),
        ('extends = "none.toml"', r"mine\.toml: extends: there is no file .*/none\.toml\. Paths are taken"),
        (
            'extends = "pbs"\n[pools.gpus]\nthreads = 2',
            r"mine\.toml: pools\.gpus: there is no such pool.*'gpu'",
        ),
        ("extends = 3", r"mine\.toml: extends: should be a name or a path \(got 3\)"),
        ('name = "x"', r"mine\.toml: pools: missing"),
        ('default_pools = ["gpu"]\n[pools.cpu]', r"mine\.toml: default_pools: there is no pool 'gpu'"),
        (
            'extends = "slurm"\n[pools.cpu]\nworker = 3',
            r"mine\.toml: pools\.cpu\.worker: unknown key, did you",
        ),
        ('extends = "slurm"\npools = 3', r"mine\.toml: pools: should be a table \(got 3\)"),
        ('extends = "broken.toml"\n[pools.cpu]\nthreads = 2', r"broken\.toml: pools\.cpu\.kind: "),
        ('extends = "slurm"\nneeds = ["luck"]\n', r"mine\.toml: needs\.0: should be 'account' or 'image'"),
    ],
)
def test_faults_name_the_file_that_has_them(home, text, said):
    written(home / "broken.toml", "[pools.cpu]\nkind = 3\n")
    written(home / "mine.toml", text)
    with pytest.raises(ConfigError, match=said):
        site("mine")


def test_a_file_may_add_a_pool(home):
    written(home / "mine.toml", 'extends = "slurm"\n[pools.big]\nkind = "slurm"\nmemory_gib = 90\n')
    assert list(site("mine").pools) == ["cpu"]  # the site's default, which the file does not change
    assert list(site("mine", pools=("all",)).pools) == ["cpu", "big"]
    assert list(site("mine", pools=("big",)).pools) == ["big"]


@pytest.mark.parametrize("name", sorted(path.stem for path in site_folder().glob("*.toml")))
def test_a_pool_that_is_added_to_a_shipped_site_does_not_run_unasked(home, name):
    before = list(load_site(name).default_pools)
    written(home / "mine.toml", f'extends = "{name}"\n[pools.fast]\nkind = "local"\n')
    assert list(load_site("mine").default_pools) == before != []


def test_keys_of_dask_are_merged_however_they_are_written(home):
    first = '[dask]\n"distributed.comm.timeouts.connect" = "1s"\n"distributed.comm.timeouts.tcp" = "2s"\n'
    written(home / "base.toml", f"{first}[pools.cpu]\n")
    written(home / "mine.toml", 'extends = "base.toml"\n[dask.distributed.comm.timeouts]\nconnect = "9s"\n')
    made = site("mine", settings=("dask.distributed.comm.timeouts.tcp=8s",))
    assert made.dask == {"distributed": {"comm": {"timeouts": {"connect": "9s", "tcp": "8s"}}}}


def test_options_go_before_environment_before_the_users_file(home, monkeypatch):
    written(home / "perlmutter.toml", 'extends = "perlmutter"\naccount = "file"\nimage = "docker:file"\n')
    assert accounts(site()) == {"file"}
    monkeypatch.setenv("E2EDIST_ACCOUNT", "variable")
    monkeypatch.setenv("E2EDIST_IMAGE", IMAGE)
    assert (accounts(site()), images(site())) == ({"variable"}, {"gpu": IMAGE})
    made = site(account="flag", images=(f"gpu={OTHER}",), pools=("gpu", "cpu"))
    assert (accounts(made), images(made)) == ({"flag"}, {"gpu": OTHER, "cpu": IMAGE})
    made = site(account="flag", settings=("pools.gpu.job.account=m7",))
    assert (made.pools["gpu"].job.account, made.controller.account) == ("m7", "flag")


def test_an_option_goes_before_what_a_file_says_of_one_pool(home):
    written(home / "mine.toml", 'extends = "perlmutter"\n[pools.gpu.job]\naccount = "pool"\n')
    assert site("mine", images=(IMAGE,)).pools["gpu"].job.account == "pool"
    assert site("mine", images=(IMAGE,), account="m1").pools["gpu"].job.account == "m1"


def test_one_image_is_for_all_pools_and_one_of_a_pool_counts_there_in_any_order():
    made = site("lpc", images=("gpu=/cvmfs/g", "/cvmfs/c"), pools=("gpu", "cpu"))
    assert images(made) == {"gpu": "/cvmfs/g", "cpu": "/cvmfs/c"}
    assert images(site("lpc", images=("/cvmfs/a@sha256=b",))) == {"cpu": "/cvmfs/a@sha256=b"}


def test_variables_are_for_all_sites_and_mean_nothing_to_one_without_jobs(monkeypatch):
    plain = site("local"), site("htcondor")
    monkeypatch.setenv("E2EDIST_ACCOUNT", "m1")
    monkeypatch.setenv("E2EDIST_IMAGE", IMAGE)
    assert (site("local"), site("htcondor")) == plain
    assert site("slurm").pools["cpu"].job.account == "m1"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("local", {"account": "m1"}, "--account: no job of site local is charged to an account"),
        ("lpc", {"account": "m1"}, "--account: no job of site lpc is charged"),
        ("slurm", {"account": ""}, "--account: is empty"),
        ("slurm", {"images": (IMAGE,)}, "--image: no pool of site slurm runs in a container"),
        ("perlmutter", {"images": ("gp=docker:x",)}, "--image: gp=docker:x: there is no pool.*Did you mean"),
        ("perlmutter", {"images": ("gpu=",)}, "--image: 'gpu=' names no image"),
        ("perlmutter", {"pools": ("gp",)}, "no pool of site perlmutter 'gp'. Did you mean 'gpu'"),
        (
            "perlmutter",
            {"pools": ("cpu",), "workers": {"gpu": 1}},
            "names pool 'gpu', which --pools leaves out",
        ),
        ("perlmutter", {"workers": {"gpu": 0}}, "--workers: leaves no pool to run on. Give one"),
        ("perlmutter", {"workers": 0}, "--workers: leaves no pool to run on"),
        ("perlmutter", {"workers": {"gpu": 4, "cp": 0}}, "no pool of site perlmutter 'cp'"),
        ("perlmuter", {}, "no site 'perlmuter'. Did you mean 'perlmutter'"),
    ],
)
def test_options_that_mean_nothing_are_refused(name, options, said):
    with pytest.raises(ConfigError, match=said):
        site(name, **options)


def test_only_default_pools_run_unless_others_are_named():
    assert list(site().pools) == ["gpu"]
    assert list(site(workers={"cpu": 3, "gpu": 1}).pools) == ["cpu", "gpu"]
    assert list(site(pools=("debug", "cpu"), workers=3).pools) == ["debug", "cpu"]
    made = site(pools=("gpu", "cpu"), workers={"gpu": 5}, threads=7)
    assert [(p.workers, p.threads) for p in made.pools.values()] == [(5, 7), (16, 7)]
    assert list(make_site(SiteOptions("perlmutter", scheduler="tcp://h:1")).pools) == ["attach"]


@pytest.mark.parametrize(
    ("scheduler", "folder", "said"),
    [
        ("gateway://x", "", "--scheduler: gateway://x: a Dask Gateway can't be attached to"),
        (
            "127.0.0.1:18786",
            "",
            "--scheduler: 127.0.0.1:18786 is no address of a scheduler: write tcp://host:8786",
        ),
        ("tcp://h", "", "--scheduler: tcp://h is no address of a scheduler"),
        ("tcp://h:port", "", "--scheduler: tcp://h: is no address of a scheduler"),
        (
            "tls://h:1",
            "",
            "--scheduler: tls://h:1 asks for certificates, and --tls-folder or tls_folder is missing",
        ),
        ("", "/certificates", "--tls-folder: goes with --scheduler"),
    ],
)
def test_a_scheduler_that_can_not_be_attached_to_is_refused_at_once(scheduler, folder, said):
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}"):
        make_site(SiteOptions("local", scheduler=scheduler, tls_folder=folder))


@pytest.mark.parametrize("address", ["tcp://[::1]:8786", "ws://h:1", "inproc://192.168.0.1/1/1"])
def test_addresses_that_dask_connects_to_are_taken(address):
    assert make_site(SiteOptions("local", scheduler=address)).pools["attach"].scheduler == address


def test_no_workers_on_the_command_line_leave_a_pool_out(tmp_path):
    assert list(site(workers={"gpu": 4, "cpu": 0}).pools) == ["gpu"]
    assert list(site(pools=("gpu", "cpu"), workers={"gpu": 0}).pools) == ["cpu"]
    assert len(site(pools=("all",), workers={"debug": 0}).pools) == 4
    path = tmp_path / "a.site.json"  # of a controller, whose line has --workers too
    path.write_text(resolved_text(site(workers={"gpu": 4, "cpu": 0})))
    assert list(site(str(path), workers={"gpu": 4, "cpu": 0}).pools) == ["gpu"]


def test_a_file_without_default_pools_starts_all_of_them(home):
    written(home / "old.toml", 'name = "old"\n[pools.a]\n[pools.b]\n')
    assert list(site("old").pools) == ["a", "b"]


@pytest.mark.parametrize("name", sorted(path.stem for path in site_folder().glob("*.toml")))
def test_no_site_of_ours_starts_more_than_one_pool_by_itself(name):
    assert len(make_site(SiteOptions(name)).pools) == 1


@pytest.mark.parametrize(
    ("setting", "get", "wanted"),
    [
        ("pools.gpu.job.walltime_min=240", lambda s: s.pools["gpu"].job.walltime_min, 240),
        ("pools.gpu.memory_gib = 7.5", lambda s: s.pools["gpu"].memory_gib, 7.5),
        ("pools.gpu.job.queue=regular", lambda s: s.pools["gpu"].job.queue, "regular"),
        ("pools.gpu.job.queue=2026", lambda s: s.pools["gpu"].job.queue, "2026"),
        ('pools.gpu.job.queue=""', lambda s: s.pools["gpu"].job.queue, ""),
        ("pools.gpu.job.directives=['-q a','-b']", lambda s: s.pools["gpu"].job.directives, ("-q a", "-b")),
        ("pools.gpu.tls=true", lambda s: s.pools["gpu"].tls, True),
        ("inputs.stage=always", lambda s: s.inputs.stage, "always"),
        ("inputs.scratch=$TMPDIR/a=b", lambda s: s.inputs.scratch, "$TMPDIR/a=b"),
        ("controller.kind=process", lambda s: s.controller.kind, "process"),
        ('pools.gpu.container.env."A.B"=1', lambda s: s.pools["gpu"].container.env, {"A.B": "1"}),
        (
            "dask.distributed.scheduler.allowed-failures=9",
            lambda s: s.dask,
            {"distributed": {"scheduler": {"allowed-failures": 9}}},
        ),
        ('default_pools=["cpu"]', lambda s: list(s.pools), ["cpu"]),
    ],
)
def test_any_key_can_be_set(setting, get, wanted):
    assert get(site(settings=(setting,))) == wanted


def test_a_setting_may_make_a_container_for_the_image():
    options = ("pools.cpu.container.runtime=apptainer",)
    assert images(site("slurm", images=("my.sif",), settings=options)) == {"cpu": "my.sif"}
    assert find_fact_faults(site("slurm", settings=options))[0].what == "has no image"


def test_settings_may_be_right_only_together():
    options = ("pools.cpu.job.workers_per_job=2", "pools.cpu.job.launcher=srun -n2")
    assert site("slurm", settings=options).pools["cpu"].job.launcher == "srun -n2"
    with pytest.raises(ConfigError, match=r"--set: pools\.cpu\.job: launcher: missing for 2 workers"):
        site("slurm", settings=options[:1])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "pools.gpu.job.waltime_min=1",
            "--set: pools.gpu.job.waltime_min: unknown key, did you mean 'walltime",
        ),
        (
            "pools.gpu.walltime_min=1",
            "unknown key, did you mean pools.gpu.job.walltime_min or pools.gpu_",
        ),
        (
            "threads=1",
            "--set: threads: unknown key, did you mean pools.gpu.threads or pools.gpu_",
        ),
        ("redirectors=['a']", "redirectors: unknown key, did you mean inputs.redirectors"),
        ("pools.gp.job.walltime_min=1", "--set: there is no pool .*Did you mean 'gpu'"),
        ("pool.gpu.workers=1", "--set: pool.gpu.workers: unknown key, did you mean pools.gpu.workers"),
        ("pools.gpu.workers", "--set: 'pools.gpu.workers' is not understood. Write KEY=VALUE"),
        ("=3", "is not understood"),
        ("", "is not understood"),
        ("a b=3", "is not understood"),
        ("pools..workers=3", "is not understood"),
        ("pools.gpu.workers=many", "pools.gpu.workers: should be a valid integer .got 'many'"),
        ("pools.gpu.workers=-1", "pools.gpu.workers: should be greater than or equal to 0"),
        ("pools.gpu=3", "pools.gpu: should be a table"),
        ("inputs.redirectors=root://h/", "inputs.redirectors: should be a list"),
        ("extends=local", "extends: stands in site files alone"),
        ("dask.distributed.comm.timeouts.conect=1s", "did you mean 'distributed.comm.timeouts.connect'"),
        ("pools.gpu.workers=1\nname = 'x'", "pools.gpu.workers: should be a valid integer"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting, said):
    with pytest.raises(ConfigError, match=said):
        site(settings=(setting,))


def test_missing_facts_are_told_with_what_to_write_where(home):
    with pytest.raises(ConfigError) as caught:
        require_facts(site(), "perlmutter")
    assert str(caught.value) == (
        "site perlmutter: has no account (gpu) and has no image (gpu). "
        "Give --account ACCOUNT --image IMAGE, or set E2EDIST_ACCOUNT and E2EDIST_IMAGE, or write into "
        f'{home}/perlmutter.toml the lines extends = "perlmutter", account = "ACCOUNT", image = "IMAGE" '
        "(python -m e2edist.init perlmutter does it)."
    )
    mine = written(home / "perlmutter.toml", 'extends = "perlmutter"\naccount = "m1"\n')
    with pytest.raises(ConfigError, match=rf'has no image \(gpu\)\..* {mine} the lines image = "IMAGE"\.'):
        require_facts(site(), "perlmutter")


def test_an_account_is_wanted_of_the_controller_where_it_is_a_job():
    made = site("perlmutter", images=(IMAGE,), settings=("pools.gpu.job.account=m1",))
    assert find_fact_faults(made) == []
    (fault,) = find_fact_faults(made, detached=True)
    assert (fault.fact, fault.pools) == ("account", ("controller",))
    assert find_fact_faults(site("slurm"), detached=True) == []


@pytest.mark.parametrize(
    "image",
    [
        "docker:REPO/e2edist:TAG",
        "/cvmfs/unpacked.cern.ch/REGISTRY/ORG/e2edist:TAG",
        "/cvmfs/unpacked.cern.ch/registry.hub/ORG/e2edist:1.0",
        "docker:me/e2edist:TAG-cu13",
        "docker:<you>/e2edist:1.0",
        "docker:…",
        "IMAGE",
    ],
)
def test_an_image_of_an_example_is_no_image(image):
    (fault,) = find_fact_faults(site(account="m1", images=(image,)))
    assert fault.what == f"has {image!r} for image, which is no real one"


@pytest.mark.parametrize("account", ["ACCOUNT", "YOUR_ACCOUNT", "<account>", "mXXXX", "…", "PROJECT"])
def test_an_account_of_an_example_is_no_account(account):
    (fault,) = find_fact_faults(site(account=account, images=(IMAGE,)))
    assert fault.fact == "account"


@pytest.mark.parametrize(
    "image", [IMAGE, "docker:REPOS/e2e:1", "/data/ORGANS/TAGGER.sif", "my.sif", "a:latest"]
)
def test_other_images_are_taken(image):
    assert find_fact_faults(site(account="m1234", images=(image,))) == []


def test_placeholders_in_an_old_copy_are_refused_too(tmp_path):
    old = (site_folder() / "perlmutter.toml").read_text(encoding="utf-8")
    old = old.replace('needs = ["account", "image"]\n', "").replace(
        "[pools.gpu.container]\n", '[pools.gpu.container]\nimage = "docker:REPO/e2edist:TAG"\n'
    )
    mine = written(tmp_path / "mine.toml", old)
    with pytest.raises(
        ConfigError, match=rf"has 'docker:REPO/e2edist:TAG' for image.*into {mine} the lines image"
    ):
        require_facts(site(mine), mine)


def test_a_resolved_site_needs_nothing_of_ours(tmp_path, monkeypatch):
    made = site(account="m1", images=(IMAGE,), settings=("dask.distributed.comm.timeouts.tcp=8s",), threads=3)
    path = written(tmp_path / ".site.json", resolved_text(made))
    monkeypatch.setenv("E2EDIST_ACCOUNT", "other")
    assert site(path) == made
    assert site(path, threads=3, workers={"gpu": 8}) == made
    require_facts(site(path), path, detached=True)
    written(tmp_path / ".site.json", json.dumps([1]))
    with pytest.raises(ConfigError, match="is no site that a campaign wrote"):
        site(path)


def test_the_words_of_a_command_line():
    words = ["--site", "s", "--account", "a", "--image", "i", "--image", "gpu=j", "--pools", "gpu, cpu"]
    words += ["--set", "a.b=1", "--set", "c=2", "--workers", "gpu=4,cpu=8", "--threads", "2"]
    assert site_options(parser().parse_args(words)) == SiteOptions(
        "s", "a", ("i", "gpu=j"), ("gpu", "cpu"), ("a.b=1", "c=2"), {"gpu": 4, "cpu": 8}, 2
    )
    assert site_options(parser().parse_args([])) == SiteOptions()
    with pytest.raises(ConfigError, match="--pools: names no pool"):
        site_options(parser().parse_args(["--pools", " , "]))
    with pytest.raises(ConfigError, match="--workers: 'gpu=x' is not understood"):
        site_options(parser().parse_args(["--workers", "gpu=x"]))


def test_a_home_that_nobody_knows_is_no_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_site_folder() == tmp_path / ".config" / "e2edist" / "sites"
    with pytest.raises(UnknownNameError):
        load_site("nosuch")
