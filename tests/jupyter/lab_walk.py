"""A reader's walk: every notebook of a built book in JupyterLab, from top to bottom, in one browser.

lab_walk.py NOTEBOOKS [PICTURES [SECTION…]] (the kernel must be installed; needs Chromium and its driver)

Says how many seconds each took and which cells gave something else than the book shows (measured
times do), and fails if one gave an error that the book does not want. Into PICTURES goes a picture of each whole
notebook; `-` is for none.
"""

import base64
import pathlib
import shutil
import sys
import tempfile
import time

import lab

# Where the last cell ends, once the first is at the top.
HEIGHT = """
const content = window.jupyterapp.shell.currentWidget.content;
window.jupyterapp.shell.collapseLeft();
document.activeElement.blur();
content.scrollToItem(0, 'start');
return Math.ceil(content.widgets[content.widgets.length - 1].node.getBoundingClientRect().bottom) + 80;
"""
END = "const done = arguments[0]; window.jupyterapp.serviceManager.sessions.shutdownAll().then(done, done);"
# Chromium draws no taller pictures. In a window of this height JupyterLab shows all cells, not only a few.
TALLEST = 16_000
WIDTH = 1000


def make_tall(browser):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": WIDTH, "height": TALLEST, "deviceScaleFactor": 1, "mobile": False})


def picture(browser, path):
    browser.execute_script(HEIGHT)
    time.sleep(2)  # formulas are set
    height = min(browser.execute_script(HEIGHT), TALLEST)
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip})
    path.write_bytes(base64.b64decode(shot["data"]))


def unwanted_errors(cells):
    for cell in cells:
        if "raises-exception" in cell["metadata"].get("tags", []):
            continue
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                yield f"{lab.joined(cell['source'])}\n\n{output['ename']}: {output['evalue']}"


def main(notebooks, pictures="-", *sections):
    pictures = None if pictures == "-" else pathlib.Path(pictures)
    failed = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root = pathlib.Path(shutil.copytree(notebooks, folder, dirs_exist_ok=True))
        with lab.served(root) as (browser, address):
            make_tall(browser)
            for path in sorted(root.rglob("*.ipynb")):
                name = path.relative_to(root).with_suffix("").as_posix()
                if sections and path.stem not in sections and name not in sections:
                    continue
                lab.show(browser, f"{address}/{name}.ipynb")
                cells, _, seconds = lab.run_all(browser)
                if pictures:
                    target = pictures / f"{name}.png"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    picture(browser, target)
                browser.execute_async_script(END)
                different, compared = lab.differences(pathlib.Path(notebooks) / path.relative_to(root), cells)
                print(f"{name}: {compared} cells in {seconds:.1f} s", flush=True)
                for text in different:
                    print(f"--- {name} gave something else:\n{text}\n", flush=True)
                failed += [f"--- {name}:\n{text}" for text in unwanted_errors(cells)]
    assert not failed, "\n\n".join(failed)
    print("no errors")


if __name__ == "__main__":
    main(*sys.argv[1:])
