"""What a campaign would take at most, and what a dry run tells machines."""

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from small_campaign import plan_of

from e2edist.accounting.upper_limit import upper_limits
from e2edist.cli.console import make_console
from e2edist.cli.dry_run import DryRun, _bytes, _inputs
from e2edist.cli.pool_tables import pool_table, print_sum, short_walltime
from e2edist.cli.tables import cost_cells, cost_columns
from e2edist.config.site import SiteSpec
from e2edist.config.toml_models import parse

NODES = {
    "kind": "slurm",
    "workers": 6,
    "threads": 2,
    "memory_gib": 5.0,
    "job": {"walltime_min": 90, "workers_per_job": 4, "launcher": "srun"},
    "charge": {"nodes": 1.0, "gpus": 4, "factor": 2.0},
}


def site_of(**pools):
    return parse(SiteSpec, {"name": "test", "pools": pools}, "test")


def limits(**pools):
    return upper_limits(site_of(**pools).pools)


def test_jobs_take_their_walltime_on_the_nodes_that_are_charged():
    (one,) = limits(gpu=NODES)
    assert (one.jobs, one.jobs_most, one.workers, one.threads, one.memory_gib) == (2, 2, 4, 2, 5.0)
    assert (one.node_h, one.gpu_h, one.charge, one.unit) == (3.0, 12.0, 6.0, "node h")


@pytest.mark.parametrize(("charge", "has", "lacks"), [({"nodes": 0.0}, "core", "node"), ({}, "node", "core")])
def test_cores_are_counted_where_no_nodes_are_charged(charge, has, lacks):
    (one,) = found = limits(cpu=NODES | {"charge": charge})
    assert one.core_h == 2 * 1.5 * 4 * 2
    said = io.StringIO()
    console = make_console(file=said, width=80)
    console.print(pool_table(found))
    print_sum(console, found, estimating=True)
    text = said.getvalue()
    assert f"{has} h" in text
    assert f"{lacks} h" not in text
    assert f"At most {24 if has == 'core' else 3} {has} hours: all jobs" in text
    assert ("nodes" in text, "charge" in text) == ((has == "node"),) * 2


def test_a_pool_that_grows_is_counted_at_its_most():
    (one,) = limits(gpu=NODES | {"workers_most": 40})
    assert (one.jobs, one.jobs_most, one.node_h) == (2, 10, 15.0)


def test_jobs_without_numbers_have_those_that_are_submitted():
    (one,) = limits(cpu={"kind": "slurm"})
    assert (one.jobs, one.workers, one.threads, one.memory_gib, one.walltime_min) == (1, 1, 1, 2, 60)


def test_workers_that_are_no_jobs_have_no_hours():
    (one,) = limits(cpu={"kind": "local", "threads": 3})
    assert (one.jobs, one.workers, one.threads) == (0, 1, 3)
    assert (one.node_h, one.gpu_h, one.charge, one.walltime_min) == (None, None, None, None)


def test_of_workers_that_others_started_nobody_knows_how_many_there_are():
    (one,) = limits(far={"kind": "attach", "scheduler": "tcp://h:1"})
    assert (one.workers, one.threads) == (0, 0)


@pytest.mark.parametrize(("minutes", "text"), [(30, "30 min"), (120, "2 h"), (65, "1:05 h"), (2880, "48 h")])
def test_a_walltime_is_short(minutes, text):
    assert short_walltime(minutes) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (5.29e6, "5.29 MB"), (3.14e12, "3.14 TB"), (1e16, "1e+04 TB")],
)
def test_bytes_have_three_digits(size, text):
    assert _bytes(size) == text


def test_a_lumi_mask_is_named_once():
    plan = replace(plan_of(0, 10), lumi_mask='{"7": [[1, 2]]}')
    lines = list(_inputs(DryRun(SimpleNamespace(plan=plan), ())))
    assert [text.partition(",")[0] for name, text in lines if name == "lumi mask"] == ["run 7"]


def test_the_unit_of_a_charge_stands_in_the_header_where_all_have_the_same():
    assert cost_columns(["SU", "SU"])[-1].header == "charge\nSU"
    assert cost_cells(1.0, None, 1234.5, ["SU", "SU"], "SU") == ["1", "-", "1,234"]
    assert cost_columns(["SU", "node h"])[-1].header == "charge"
    assert cost_cells(1.0, 0.0, 2.5, ["SU", "node h"], "SU") == ["1", "0", "2.5 SU"]
