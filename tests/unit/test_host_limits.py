"""Hosts from which nothing can be submitted are refused before anything is made or started."""

import socket

import pytest

from e2edist import submit
from e2edist.config.site import PoolSpec
from e2edist.config.toml_models import parse
from e2edist.errors import ResourceError
from e2edist.pools import check_host


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """Return a function that makes some commands the only ones there are."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(*names):
        for name in names:
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)

    return make


def pool(**job):
    return parse(PoolSpec, {"kind": "slurm", "job": job}, "test")


def test_a_host_without_the_batch_systems_commands_is_refused(commands):
    commands("squeue")
    with pytest.raises(
        ResourceError, match=r"pool cpu: this host has no sbatch, scancel.* from a login node"
    ):
        check_host("cpu", pool(interface="lo"))


def test_a_host_without_the_pools_interface_is_refused(commands):
    commands("sbatch", "squeue", "scancel", "sacct", "scontrol")
    check_host("cpu", pool(interface="lo"))
    check_host("cpu", pool(interface="hsn9", scheduler_interface="lo"))
    with pytest.raises(
        ResourceError,
        match=r"pool gpu: this host has no network interface hsn9, which it needs\. Submit from a login node "
        r"of the site, or set pools\.gpu\.job\.interface: here are .*lo",
    ):
        check_host("gpu", pool(interface="hsn9"))


def test_a_host_without_a_free_port_for_the_scheduler_is_refused(commands):
    commands("sbatch", "squeue", "scancel", "sacct", "scontrol")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ResourceError, match=rf"pool cpu: no port of {port}-{port} can be opened on 127"):
            check_host("cpu", pool(interface="lo", scheduler_ports=[port, port]))


@pytest.mark.parametrize("controller", ["process", "slurm"])
@pytest.mark.parametrize("words", [["--demo"], ["--demo", "--detach"]])
def test_a_demo_on_the_wrong_host_makes_no_events(commands, monkeypatch, tmp_path, capsys, words, controller):
    monkeypatch.chdir(tmp_path)
    words = ["--site", "slurm", "--set", f"controller.kind={controller}", *words]
    assert submit.main(words) == 2
    assert "this host has no sbatch" in capsys.readouterr().err
    assert not (tmp_path / "e2edist-demo").exists()
