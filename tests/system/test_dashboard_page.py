"""Our page of the dashboard, in a real browser while a campaign runs, and the scheduler's metrics."""

import os
import re
import shutil
import urllib.request

import pytest
from lab import until

pytestmark = pytest.mark.slow

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1500,1100"""


@pytest.fixture
def browser(tmp_path):
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        if "browser" in os.environ.get("E2EDIST_REQUIRE", "").split(","):
            pytest.fail("E2EDIST_REQUIRE names browser, and chromium or chromedriver is not installed")
        pytest.skip("no chromium and chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    one = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield one
    one.quit()


def model(browser, name, what):
    """Return a property of a Bokeh model of the page; None while it is not there."""
    found = "const m = window.Bokeh?.documents[0]?.get_model_by_name(arguments[0]);"
    return browser.execute_script(f"{found} return m ? m[arguments[1]] : null", name, what)


def metrics(address):
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("e2edist_"))
    return {name: float(value) for name, value in pairs}


def test_the_page_shows_a_running_campaign_and_the_metrics_agree(lab, clean, browser, tmp_path):
    go = lab.folder / "go"
    hold = {"name": "hold", "at": "read", "do": "wait", "file": "b.root", "entry": 88, "until": str(go)}
    process = lab.start(faults=[hold])
    address = until(lambda: re.search(r"page (http://[\d.:]+)/e2edist", process.said.read_text()))[1]
    until(lambda: lab.hit("hold"))
    until(lambda: metrics(address).get("e2edist_events_done") == 184.0)
    browser.get(f"{address}/e2edist")
    until(lambda: "<b>23</b> of 24 chunks done" in (model(browser, "headline", "text") or ""))
    assert browser.title == "e2edist"
    assert "184 of 192 events" in model(browser, "headline", "text")
    curves = model(browser, "pool cpu", "data")
    assert len(curves["t"]) == len(curves["rate"]) >= 2
    assert max(curves["rate"]) > 0
    assert curves["joined"][-1] == 1
    bar = model(browser, "stage EGTagger", "data")
    assert bar["pool"] == ["cpu"]
    assert bar["right"][0] > bar["left"][0]
    assert len(model(browser, "slowest", "data")["chunk"]) == 10
    severe = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert [line for line in severe if "favicon" not in line] == []
    found = metrics(address)
    assert found['e2edist_chunks_total{pool="cpu"}'] == 23.0
    assert found['e2edist_events_total{pool="cpu"}'] == 184.0
    assert found["e2edist_chunks_planned"] == 24.0
    assert found['e2edist_workers{pool="cpu",state="joined"}'] == 1.0
    assert found['e2edist_stage_seconds_total{pool="cpu",stage="EGTagger"}'] > 0
    assert browser.save_screenshot(str(tmp_path / "page.png"))
    go.touch()
    code, said = lab.end(process)
    assert code == 0, said
    lab.holds(clean)
