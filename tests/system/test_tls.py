"""A campaign's scheduler talks to nobody without the campaign's certificates."""

import stat
from contextlib import suppress

import pytest
from runs import TIMEOUT_S, knock, receipts, table

from e2edist.config.site import PoolSpec
from e2edist.errors import ConfigError
from e2edist.pools import PoolEnvironment, Setup, open_pool


def _increment(number):
    return number + 1


def _no_setup():
    """Workers need none here."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign") / ".tls"
    spec = PoolSpec(workers=1, threads=1, tls=True)
    pool = open_pool("cpu", spec, Setup(_no_setup, ()), PoolEnvironment(folder.parent))
    yield pool, folder
    pool.close()


def test_the_address_is_tls_and_tasks_run(secured):
    pool, _ = secured
    assert pool.scheduler.startswith("tls://127.0.0.1:")
    pool.submit("one", _increment, 1)
    assert [outcome.value for outcome in pool.wait(TIMEOUT_S)] == [2]


def test_only_the_owner_may_read_the_key(secured):
    _, folder = secured
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"ca.pem": 0o600, "cert.pem": 0o600, "key.pem": 0o600}


@pytest.mark.parametrize("stranger", ["no certificate", "another certificate", "no encryption"])
def test_a_client_without_the_certificates_is_refused(secured, stranger):
    pool, _ = secured
    address, certificate = pool.scheduler, stranger.split()[0]
    if stranger == "no encryption":
        address = address.replace("tls://", "tcp://")
    assert knock(address, certificate) == "refused"


def test_a_client_is_let_in_where_no_certificate_is_asked_for(tmp_path):
    """What the refusals are measured against."""
    pool = open_pool(
        "open", PoolSpec(workers=1, threads=1, tls=False), Setup(_no_setup, ()), PoolEnvironment(tmp_path)
    )
    try:
        assert knock(pool.scheduler) == "let in"
    finally:
        pool.close()


def test_a_second_driver_with_the_folder_may_attach(secured):
    pool, folder = secured
    spec = PoolSpec(kind="attach", scheduler=pool.scheduler, tls_folder=str(folder))
    other = open_pool("again", spec, Setup(_no_setup, ()), PoolEnvironment(folder.parent))
    try:
        other.submit("two", _increment, 2)
        assert [outcome.value for outcome in other.wait(30)] == [3]
    finally:
        with suppress(OSError):
            other.close()


def test_a_key_that_others_may_read_is_refused(secured, tmp_path):
    pool, folder = secured
    for path in folder.iterdir():
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o644)
    spec = PoolSpec(kind="attach", scheduler=pool.scheduler, tls_folder=str(tmp_path))
    with pytest.raises(ConfigError, match=r"key\.pem: may be read by others\. Run chmod 600"):
        open_pool("leaky", spec, Setup(_no_setup, ()), PoolEnvironment(tmp_path))


def test_a_tls_address_without_certificates_says_what_is_missing(secured):
    pool, folder = secured
    spec = PoolSpec(kind="attach", scheduler=pool.scheduler)
    with pytest.raises(ConfigError, match="tls_folder is missing"):
        open_pool("bare", spec, Setup(_no_setup, ()), PoolEnvironment(folder.parent))


@pytest.mark.slow
def test_submit_runs_on_a_given_scheduler_with_its_certificates(
    secured, events, model, campaign, submit, tmp_path
):
    pool, folder = secured
    options = ("--input", events, "--model", model, "--output", "out", "--chunk-events", 100)
    bare = submit(*options, "--scheduler", pool.scheduler)
    assert (bare.returncode, "tls_folder is missing" in bare.stderr) == (2, True)
    done = submit(*options, "--scheduler", pool.scheduler, "--tls-folder", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert table(tmp_path / "out").equals(table(campaign))
    assert {receipt["pool"] for receipt in receipts(tmp_path / "out")} == {"attach"}
