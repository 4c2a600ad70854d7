"""Take the two pictures of the README from a first run: the report, and the dashboard's page while it runs.

``python docs/pictures.py`` needs Chromium with its driver and the extras cpu, report and test. The run is
that of workflows/demo.sh, with enough events to be looked at meanwhile.
"""

import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver

from e2edist.demo import make_events

PICTURES = Path(__file__).parent / "pictures"
#: Share of the campaign that is done when the dashboard's picture is taken, and its longest wait.
PART, PATIENCE_S = 0.5, 300
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


def browse(folder):
    """Return a browser that nobody sees."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def save(browser, name, size):
    """Write what the browser shows, in few colours."""
    browser.set_window_size(*size)
    time.sleep(2)
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB").quantize(128)
    PICTURES.mkdir(exist_ok=True)
    image.save(PICTURES / name, optimize=True)
    print(name, (PICTURES / name).stat().st_size, "bytes")


def verb(*words, folder, **options):
    """Start a verb in a folder."""
    return subprocess.Popen([sys.executable, "-m", *words], cwd=folder, text=True, **options)


def watch(browser, folder):
    """Take the dashboard's picture of a campaign that runs."""
    words = ("e2edist.submit", "--input", "events", "--output", "results", "--chunk-events", "1000")
    run = verb(*words, folder=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    page = next(found[1] for line in run.stdout if (found := re.search(r"page (http://\S+)", line)))
    browser.get(page)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and done(folder / "results" / "progress.json") < PART:
        time.sleep(0.5)
    save(browser, "dashboard.png", (1250, 900))
    print(run.communicate(timeout=PATIENCE_S)[0])


def done(path):
    """Return the share of the chunks that ended."""
    counts = json.loads(path.read_text()) if path.exists() else {}
    return counts.get("done", 0) / counts.get("chunks", 1)


def main():
    """Run, look, report, look."""
    folder = Path(tempfile.gettempdir()) / "e2edist-demo"
    shutil.rmtree(folder, ignore_errors=True)
    make_events(folder / "events", "eg", 200_000, seed=2, files=4)
    browser = browse(folder / "browser")
    try:
        watch(browser, folder)
        verb("e2edist.report", "results", folder=folder).wait(PATIENCE_S)
        browser.get((folder / "results" / "report" / "report.html").as_uri())
        save(browser, "report.png", (1100, 1400))
    finally:
        browser.quit()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
