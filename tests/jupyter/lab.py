"""A notebook in a real JupyterLab: runs all cells, compares what they gave with what the file says,
and takes a picture.

lab.py NOTEBOOK.ipynb PICTURE.png (the kernel must be installed; needs Chromium and its driver)
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

RUN_ALL = """
const done = arguments[arguments.length - 1];
(async () => {
  const app = window.jupyterapp;
  const panel = app.shell.currentWidget;
  await panel.sessionContext.ready;
  await app.commands.execute('notebook:clear-all-cell-outputs');
  await app.commands.execute('notebook:run-all-cells');
  // It returns at the first error, expected or not; the other cells are still to run.
  const isRunning = () => panel.content.widgets.some((cell) =>
    cell.model.type === 'code' && cell.model.executionCount === null);
  for (let i = 0; i < 3000 && isRunning(); i++) await new Promise((go) => setTimeout(go, 100));
  await new Promise((go) => setTimeout(go, 500));
  const cells = panel.content.widgets.map((cell) => cell.model.toJSON());
  done(JSON.stringify({ cells, kernel: panel.sessionContext.kernelDisplayName }));
})().catch((error) => done(JSON.stringify({ error: String(error) })));
"""
SHOW_FIGURE = """
const content = window.jupyterapp.shell.currentWidget.content;
const hasFigure = (cell) => cell.model.type === 'code' && JSON.stringify(cell.model.toJSON().outputs).includes('image/svg');
const found = content.widgets.findIndex(hasFigure);
content.activeCellIndex = found < 0 ? Math.floor(content.widgets.length / 2) : found;
content.scrollToItem(content.activeCellIndex, 'center');
"""
IS_OPEN = """
const panel = window.jupyterapp?.shell?.currentWidget;
return !!panel?.sessionContext?.session?.kernel && panel.content.widgets.length > 1;
"""


def joined(value):
    return "".join(value) if isinstance(value, list) else value


def simple(output):
    """What a reader sees of an output; addresses of temporary files and times apart."""
    kind = output["output_type"]
    if kind == "stream":
        shown = joined(output["text"])
    elif kind == "error":
        shown = output["ename"]
    else:
        data = output["data"]
        shown = joined(data.get("image/svg+xml") or data.get("text/plain") or "")
    return kind, re.sub(r"\d+\.?\d*\s*(ns|µs|ms|s)\b", "TIME", shown).strip()


def merged(outputs):
    """Streams may come in several pieces."""
    result = []
    for kind, shown in map(simple, outputs):
        if kind == "stream" and result and result[-1][0] == "stream":
            result[-1] = (kind, result[-1][1] + "\n" + shown)
        else:
            result.append((kind, shown))
    return result


@contextlib.contextmanager
def served(folder):
    """A browser, and the address below which JupyterLab shows what is in the folder."""
    port = 8000 + os.getpid() % 1000
    lab = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--allow-root",
         "--IdentityProvider.token=", "--LabApp.news_url=None",
         "--LabApp.expose_app_in_browser=True", f"--notebook-dir={folder}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    browser = None
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api").read()
                break
            except OSError:
                time.sleep(0.5)
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1600"):
            options.add_argument(argument)
        options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        browser.set_script_timeout(900)
        yield browser, f"http://127.0.0.1:{port}/lab/tree"
    finally:
        if browser:
            browser.quit()
        lab.terminate()
        lab.wait(20)


def show(browser, address):
    browser.get(f"{address}?reset")
    WebDriverWait(browser, 180).until(lambda b: b.execute_script(IS_OPEN))


@contextlib.contextmanager
def opened(notebook):
    """A browser in which a copy of the notebook is open in JupyterLab."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shutil.copy(notebook, folder)
        with served(folder) as (browser, address):
            show(browser, f"{address}/{pathlib.Path(notebook).name}")
            yield browser


def run_all(browser):
    """The cells after all of them were run, the kernel's name and the seconds it took."""
    started = time.monotonic()
    ran = json.loads(browser.execute_async_script(RUN_ALL))
    assert "error" not in ran, ran
    return ran["cells"], ran["kernel"], time.monotonic() - started


def differences(notebook, ran):
    """Each cell that gave something else than the file says, as a text; and how many were compared."""
    wanted = json.loads(pathlib.Path(notebook).read_text())["cells"]
    assert len(wanted) == len(ran), (len(wanted), len(ran))
    pairs = [(want, got) for want, got in zip(wanted, ran) if want["cell_type"] == "code"]
    different = []
    for want, got in pairs:
        source, want = joined(want["source"]), merged(want["outputs"])
        if got["execution_count"] is None:
            different.append(f"was not run:\n{source}")
        elif want != merged(got["outputs"]):
            different.append(f"{source}\n\nthe book:   {want}\n\nJupyterLab: {merged(got['outputs'])}")
    return different, len(pairs)


def main(notebook, picture):
    name = pathlib.Path(notebook).name
    with opened(notebook) as browser:
        cells, kernel, seconds = run_all(browser)
        print(f"{name}: {kernel}, run all {seconds:.1f} s")
        browser.execute_script("window.jupyterapp.shell.collapseLeft(); document.activeElement.blur();" + SHOW_FIGURE)
        time.sleep(2)
        browser.save_screenshot(picture)
    different, compared = differences(notebook, cells)
    assert not different, "\n\n".join(different)
    print(f"{name}: {compared} cells gave what the book shows")


if __name__ == "__main__":
    main(*sys.argv[1:])
