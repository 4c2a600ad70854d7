"""What every test may use."""

import os
from pathlib import Path

import pytest


def _required(name: str) -> bool:
    return name in os.environ.get("E2EDIST_REQUIRE", "").split(",")


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the 659 real CMS events; see CONTRIBUTING.md."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("E2EDIST_DATA", default))
    if not (folder / "root").is_dir():
        if _required("data"):
            pytest.fail(f"E2EDIST_REQUIRE names data, and {folder} has none")
        pytest.skip(f"no real events at {folder}; set E2EDIST_DATA")
    return folder
