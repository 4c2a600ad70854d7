"""Campaigns that HTCondor holds."""

import pytest

pytestmark = pytest.mark.parametrize("system", ["htcondor"], indirect=True)


@pytest.mark.slow
def test_jobs_that_htcondor_holds_stop_the_campaign_with_its_reason(system, jobs):
    lines = {"transfer_input_files": "/no/such/image.sif", "should_transfer_files": "YES"}
    code, said = jobs.end(jobs.start(site=system.pool("cpu", 1, attributes=lines)), 90)
    assert code == 2, said
    assert "/no/such/image.sif" in said
    assert system.queue() == {}
