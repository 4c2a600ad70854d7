"""The files of a campaign's folder: one list that names, clears and recognises them."""

import subprocess
import sys

from e2edist.records.folder import AggregatedFolder, CampaignFolder
from e2edist.records.folder_checks import check_usable

PART = f"{'0f' * 16}-Events-0-10"


def test_each_file_has_a_name_of_its_own_and_a_meaning(tmp_path):
    for kind in (CampaignFolder, AggregatedFolder):
        entries = kind.entries()
        assert len({entry.name for entry in entries}) == len(entries) > 4
        assert all(entry.meaning for entry in entries)
    assert CampaignFolder(tmp_path).plan == tmp_path / "plan.json"
    assert CampaignFolder(tmp_path).part(PART) == tmp_path / "predictions" / f"{PART}.parquet"


def test_clearing_removes_what_is_a_campaigns_and_nothing_else(tmp_path):
    folder = CampaignFolder(tmp_path)
    for path in (folder.predictions, folder.aggregated, folder.report, folder.job_logs, folder.certificates):
        path.mkdir()
    files = (folder.plan, folder.ledger, folder.timing, folder.losses, folder.log, folder.lock)
    mine = (folder.predictions / "my_merged.parquet", folder.report / "report.html")
    for path in (*files, *mine, folder.part(PART)):
        path.touch()
    assert folder.is_planned()
    folder.clear()
    assert not folder.is_planned()
    kept = {"predictions", "logs", ".tls", "submit.log", ".lock"}
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert [path.name for path in folder.predictions.iterdir()] == ["my_merged.parquet"]
    check_usable(tmp_path, fresh=True)


def test_naming_the_files_of_a_folder_imports_no_library():
    code = "import e2edist.records.folder, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pydantic", "numpy", "pyarrow", "uproot"} & set(done.stdout.split())
