"""Tuning: ladders end at the plateau, profiles fill only what is left open and only where they fit."""

import pytest

from e2edist.config.site import PoolSpec, SiteSpec
from e2edist.engines import EngineOptions, engine_options
from e2edist.errors import ConfigError, ModelError
from e2edist.tuning import profile as tp
from e2edist.tuning.measure import Speed, passes_per_s
from e2edist.tuning.search import Measurement, Search, Shape, TimeBudget, best_of, climb, crossover, shapes

SHA = "ab" * 32


@pytest.mark.parametrize(
    ("rates", "steps"),
    [
        ([100, 150, 200, 300, 400], 5),
        ([100, 101, 102, 300, 400], 3),
        ([100, 90, 200, 205, 203, 900], 5),
        ([100, 104, 108, 112], 4),
        ([0, 0, 100], 2),
    ],
)
def test_a_ladder_ends_after_two_steps_that_gain_less_than_three_percent(rates, steps):
    seen = []
    climb(range(len(rates)), lambda i: seen.append(i) or rates[i])
    assert len(seen) == steps


def measured(rate, *, images="dense", batch=8, provider="cpu", setup=0.1, **shape):
    facts = {"device": tp.processor(), "engine": f"onnxruntime {tp.runtime_release()}", "batch": str(batch)}
    options = EngineOptions(images=images, batch=batch, provider=provider)
    speed = Speed(rate, rate, setup, 1.0, 99, facts) if rate else None
    return Measurement(
        Shape(**{"workers": 1, "threads": 2} | shape), options, speed, "" if rate else "no memory"
    )


def test_of_equal_rows_the_first_is_best_and_rows_that_do_not_run_never_are():
    measurements = [
        measured(0),
        measured(100),
        measured(102, images="sparse"),
        measured(150, batch=16),
        measured(0),
    ]
    assert best_of(measurements) is measurements[3]
    assert best_of(measurements[:3]) is measurements[1]
    assert best_of([measured(0)]) is None


def test_shapes_share_all_cores_and_never_more():
    for cores in (1, 2, 8, 64):
        found = shapes(PoolSpec(), cores)
        assert found[0] == Shape(1, cores)
        assert len(set(found)) == len(found)
        assert all(s.workers * s.threads * s.intra_op == cores for s in found)
    assert {s.sessions for s in shapes(PoolSpec(provider="cuda"), 16)} == {1, 2}
    assert {s.workers for s in shapes(PoolSpec(provider="cuda"), 16)} == {1, 2, 4}


def test_batch_jobs_keep_the_workers_that_the_site_gives_them():
    assert shapes(PoolSpec(kind="slurm", workers=3, threads=5), 64) == [Shape(3, 5)]


@pytest.mark.parametrize(
    ("gpu", "message"),
    [
        (None, "No GPU pool was measured. One pays where it does more than 1,000 events/s"),
        (measured(500, provider="cuda"), "0.50 times the events/s of the CPU pool: it does not pay"),
        (
            measured(10_000, provider="cuda", setup=5.0),
            "10.0 times the events/s .* it pays from 5,444 events on",
        ),
    ],
)
def test_the_crossover_is_told_in_events(gpu, message):
    import re

    measurements = {"cpu": measured(1000)} | ({"gpu": gpu} if gpu else {})
    specs = {"cpu": PoolSpec(), "gpu": PoolSpec(provider="cuda")}
    assert re.search(message, crossover(measurements, specs))


def search(*measurements, cut=False):
    budget, nothing = TimeBudget(1.0), lambda _: None
    return Search("cpu", PoolSpec(), None, budget, nothing, [measured(0), *measurements], incomplete=cut)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Keep a profile of sparse images in batches of 16, and return its path."""
    monkeypatch.setenv(tp.FOLDER, str(tmp_path / "profiles"))
    best = measured(150, images="sparse", batch=16, workers=2, threads=3)
    return tp.write_profile(tp.make_profile(("home", "cpu"), "local", ("eg", SHA), best, search(best)))


def site(**pool):
    return SiteSpec(name="home", pools={"cpu": PoolSpec(**pool)})


def test_a_profile_is_read_as_it_was_written(kept):
    found = tp.read_profile(kept)
    assert (found.model_sha256, found.device, found.settings.batch) == (SHA, tp.processor(), 16)
    assert [item.get("fault") for item in found.measured] == ["no memory", None]


def test_a_profile_fills_what_is_left_open_and_the_engine_gets_it(kept):
    tuned, messages = tp.apply_profiles(site(), SHA)
    pool = tuned.pools["cpu"]
    assert (pool.workers, pool.threads, pool.batch, pool.images, pool.intra_op) == (2, 3, 16, "sparse", 1)
    assert messages == [
        f"pool cpu: workers 2, sessions 1, batch 16, images sparse, threads 3, intra_op 1, as tuned ({kept})"
    ]
    options = engine_options(pool)
    assert (options.images, options.batch, options.profile) == ("sparse", 16, str(kept))


@pytest.mark.parametrize(
    ("given", "batch", "left"),
    [
        ({"batch": 5}, 0, {"batch": 5}),
        ({}, 7, {"batch": 0}),
        ({"images": "dense"}, 0, {"images": "dense"}),
        ({"workers": 1}, 0, {"workers": 1, "threads": 0, "intra_op": 0}),
        ({"threads": 1}, 0, {"threads": 1}),
        ({"sessions": 4}, 0, {"sessions": 4}),
    ],
)
def test_what_a_person_chose_stays(kept, given, batch, left):
    pool = tp.apply_profiles(site(**given), SHA, batch)[0].pools["cpu"]
    assert {key: getattr(pool, key) for key in left} == left


@pytest.mark.parametrize(
    ("pool", "sha", "name"),
    [
        ({}, "cd" * 32, "home"),
        ({"provider": "cuda"}, SHA, "home"),
        ({"profile": "none"}, SHA, "home"),
        ({"kind": "slurm"}, SHA, "home"),
        ({}, SHA, "elsewhere"),
    ],
)
def test_a_profile_of_something_else_is_not_taken(kept, pool, sha, name):
    given = SiteSpec(name=name, pools={"cpu": PoolSpec(**pool)})
    assert tp.apply_profiles(given, sha) == (given, [])


def test_a_profile_of_another_runtime_or_processor_is_not_taken(kept, monkeypatch):
    monkeypatch.setattr(tp, "runtime_release", lambda: "1.0")
    assert tp.apply_profiles(site(), SHA)[1] == []
    monkeypatch.undo()


def test_a_profile_that_is_named_must_be_for_the_model(kept):
    with pytest.raises(ConfigError, match=r"is for another model \(ababab.*Run tune again"):
        tp.apply_profiles(site(profile=str(kept)), "cd" * 32)
    assert tp.apply_profiles(site(profile=str(kept)), SHA)[1]


def test_a_damaged_profile_is_as_good_as_none(kept):
    kept.write_text("made = ")
    assert tp.apply_profiles(site(), SHA)[1] == []


def test_a_profile_that_had_no_time_for_all_leaves_a_complete_one_and_replaces_another(kept):
    def write(rate, cut):
        best = measured(rate, workers=1)
        return tp.write_profile(
            tp.make_profile(("home", "cpu"), "local", ("eg", SHA), best, search(best, cut=cut))
        )

    assert write(900, cut=True) == kept
    assert tp.read_profile(kept).events_per_s == 150
    assert tp.read_profile(write(80, cut=False)).events_per_s == 80
    kept.unlink()
    assert not tp.read_profile(write(70, cut=True)).complete
    assert tp.read_profile(write(60, cut=True)).events_per_s == 60
    kept.write_text("made = ")
    assert tp.read_profile(write(50, cut=True)).events_per_s == 50


def test_only_the_time_in_which_all_slots_run_counts():
    # Two slots of 10 passes a second each; one begins earlier and does 30 a second while it is alone.
    alone = [t / 30 for t in range(30)]
    first = [*alone, *(1 + t / 10 for t in range(21))]
    second = [1 + t / 10 for t in range(31)]
    assert passes_per_s([first, second]) == pytest.approx(20)
    assert passes_per_s([second]) == pytest.approx(10)


def test_a_moment_in_which_the_machine_did_something_else_does_not_count():
    held = [*(t / 10 for t in range(10)), *(1.4 + t / 10 for t in range(31))]
    assert passes_per_s([held]) == pytest.approx(10)


def test_slots_that_never_ran_together_are_worth_what_they_did_in_all_the_time():
    assert passes_per_s([[0.0, 0.5, 1.0], [2.0, 3.0, 4.0]]) == pytest.approx(1.0)


def test_a_setting_that_fails_when_it_is_repeated_is_not_chosen(monkeypatch):
    measurements = [measured(10, batch=32), measured(20, batch=64)]

    def again(pool, key, options, seconds):
        if options.batch == 64:
            raise ModelError("m.onnx", "not enough memory")
        return measured(9).speed

    monkeypatch.setattr("e2edist.tuning.search.time_pool", again)
    budget = TimeBudget(1e6)
    budget.start()
    one = Search("cpu", PoolSpec(), None, budget, id, measurements)
    one._confirm(None, measurements[0].shape)
    assert best_of(one.measurements).options.batch == 32
    assert "fails when repeated: m.onnx: not enough memory" in one.measurements[1].fault
