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
def opened(notebook):
    """A browser in which a copy of the notebook is open in JupyterLab."""
    folder = pathlib.Path(tempfile.mkdtemp())
    shutil.copy(notebook, folder)
    name = pathlib.Path(notebook).name
    port = 8000 + os.getpid() % 1000
    lab = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--allow-root",
         "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", f"--notebook-dir={folder}"],
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
        browser.get(f"http://127.0.0.1:{port}/lab/tree/{name}?reset")
        WebDriverWait(browser, 180).until(lambda b: b.execute_script(IS_OPEN))
        yield browser
    finally:
        if browser:
            browser.quit()
        lab.terminate()
        lab.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def main(notebook, picture):
    name = pathlib.Path(notebook).name
    with opened(notebook) as browser:
        started = time.monotonic()
        ran = json.loads(browser.execute_async_script(RUN_ALL))
        assert "error" not in ran, ran
        print(f"{name}: {ran['kernel']}, run all {time.monotonic() - started:.1f} s")
        browser.execute_script("window.jupyterapp.shell.collapseLeft(); document.activeElement.blur();" + SHOW_FIGURE)
        time.sleep(2)
        browser.save_screenshot(picture)

    wanted = json.load(open(notebook))["cells"]
    assert len(wanted) == len(ran["cells"]), (len(wanted), len(ran["cells"]))
    compared = 0
    for want, got in zip(wanted, ran["cells"]):
        if want["cell_type"] != "code":
            continue
        source = joined(want["source"])
        assert got["execution_count"] is not None, f"was not run:\n{source}"
        assert merged(want["outputs"]) == merged(got["outputs"]), (
            f"{source}\n\nthe book:    {merged(want['outputs'])}\n\nJupyterLab: {merged(got['outputs'])}")
        compared += 1
    print(f"{name}: {compared} cells gave what the book shows")


if __name__ == "__main__":
    main(*sys.argv[1:])
