"""What a reader does in JupyterLab beside running a book: watches a plot and a bar while they move,
interrupts, completes, asks for help, reads errors, restarts.

lab_live.py FOLDER (the kernel must be installed; pictures are put into the folder)
"""

import pathlib
import sys
import time

import nbformat
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import lab

PLOT = '''let (mut xs, mut ys) = (Vec::new(), Vec::new());
for i in 0..100 {
    xs.push(i as f64);
    ys.push((-0.03 * i as f64).exp());
    let svg = Figure::new().line(xs.clone(), ys.clone()).x_label("step").y_label("loss").to_svg();
    let picture = d2l::display::Bundle::new().with("image/svg+xml", svg);
    if i == 0 { picture.show_as("loss") } else { picture.update("loss") }
    std::thread::sleep(std::time::Duration::from_millis(60));
}'''
BAR = "for _ in progress(0..200) {\n    std::thread::sleep(std::time::Duration::from_millis(30));\n}"
SOURCES = [
    "let x = Tensor::arange(0.0..4.0);\n1 + 1",
    PLOT,
    BAR,
    "let mut n = 0;",
    "loop {\n    n += 1;\n    let _ = &x + 1.0;\n}",
    "n > 0",
    "let s: String = 1 + 1;",
    "",
]
START = """
const content = window.jupyterapp.shell.currentWidget.content;
content.deselectAll();
content.activeCellIndex = arguments[0];
content.scrollToItem(arguments[0], 'center');
window.jupyterapp.commands.execute('notebook:run-cell');
"""
STATE = """
const panel = window.jupyterapp.shell.currentWidget;
const cell = panel.content.widgets[arguments[0]];
const {execution_count: count, outputs} = cell.model.toJSON();
return {count, outputs, html: cell.outputArea.node.innerHTML,
        prompt: cell.inputArea.promptNode.textContent,
        status: panel.sessionContext.session.kernel.status};
"""
# Milliseconds from the interrupt until the kernel is idle.
INTERRUPT = """
const done = arguments[arguments.length - 1];
const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
const started = performance.now();
kernel.statusChanged.connect((_, status) => {
  if (status === 'idle') done(performance.now() - started);
});
kernel.interrupt();
"""
EDIT = """
const content = window.jupyterapp.shell.currentWidget.content;
content.activeCellIndex = arguments[0];
content.scrollToItem(arguments[0], 'center');
content.mode = 'edit';
const cell = content.widgets[arguments[0]];
cell.model.sharedModel.setSource(arguments[1]);
cell.editor.focus();
cell.editor.setCursorPosition({line: 0, column: arguments[1].length});
"""


class Lab:
    def __init__(self, browser, folder):
        self.browser, self.folder = browser, folder

    def state(self, cell):
        return self.browser.execute_script(STATE, cell)

    def start(self, cell):
        self.browser.execute_script(START, cell)
        self.wait(lambda: "*" in self.state(cell)["prompt"] or self.state(cell)["count"])

    def ended(self, cell):
        state = self.state(cell)
        return state["status"] == "idle" and state["count"] and state

    def run(self, cell):
        self.start(cell)
        return self.wait(lambda: self.ended(cell), 600)

    def frames(self, cell):
        """The different looks of a cell's output while it runs."""
        self.start(cell)
        seen = []
        while not (state := self.ended(cell)):
            html = self.state(cell)["html"]
            if html.strip() and html not in seen:
                seen.append(html)
                if len(seen) == 4:
                    self.picture(f"while-cell-{cell}-runs")
        return seen, state

    def wait(self, condition, limit=60):
        return WebDriverWait(self.browser, limit, 0.05).until(lambda _: condition())

    def picture(self, name):
        self.browser.save_screenshot(str(self.folder / f"lab-{name}.png"))

    def shown(self, selector, text):
        """Waits until something that holds the text is visible."""
        def look():
            found = self.browser.find_elements(By.CSS_SELECTOR, selector)
            return any(e.is_displayed() and text in e.text for e in found)
        self.wait(look)

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()


def main(folder):
    folder = pathlib.Path(folder)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in SOURCES]
    notebook.metadata.kernelspec = {"name": "d2l", "display_name": "Rust (d2l)", "language": "rust"}
    path = folder / "live.ipynb"
    nbformat.write(notebook, path)
    with lab.opened(path) as browser:
        browser.execute_script("window.jupyterapp.shell.collapseLeft();")
        page = Lab(browser, folder)
        assert page.run(0)["outputs"][0]["data"]["text/plain"] == "2"

        # A plot is drawn anew while its loop runs, and stays one.
        seen, state = page.frames(1)
        print(f"the plot was seen in {len(seen)} states")
        assert len(seen) >= 4, len(seen)
        assert len(state["outputs"]) == 1 and "svg" in str(state["outputs"][0]["data"]), state
        page.picture("plot")

        seen, state = page.frames(2)
        print(f"the bar was seen in {len(seen)} states")
        assert len(seen) >= 4 and len(state["outputs"]) == 1, (len(seen), state["outputs"])
        assert "200/200" in state["outputs"][0]["data"]["text/plain"], state["outputs"]
        page.picture("bar")

        # An interrupt keeps the variables, as far as the loop had come.
        page.run(3)
        times = []
        for _ in range(5):
            page.start(4)
            time.sleep(0.5)
            times.append(browser.execute_async_script(INTERRUPT))
            page.wait(lambda: page.ended(4))
        print("interrupted after", ", ".join(f"{t:.0f}" for t in times), "ms")
        assert min(times) < 200, times
        assert page.state(4)["outputs"][0]["ename"] == "interrupted", page.state(4)
        assert page.run(5)["outputs"][0]["data"]["text/plain"] == "true"

        # Errors as rustc shows them, in colours.
        error = page.run(6)
        assert error["outputs"][0]["ename"] == "E0308" and "ansi" in error["html"], error
        page.picture("error")

        browser.execute_script(EDIT, 7, "x.mat")
        page.press(Keys.TAB)
        page.shown(".jp-Completer", "matmul")
        page.picture("completion")
        page.press(Keys.ESCAPE)
        browser.execute_script(EDIT, 7, "Tensor")
        ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
        page.shown(".jp-Tooltip", "Tensor")
        page.picture("tooltip")
        page.press(Keys.ESCAPE)

        # Restart and run all: everything is counted anew.
        browser.execute_script(EDIT, 4, "n += 1;")
        browser.execute_script(EDIT, 6, "x.sum()")
        browser.execute_script(EDIT, 7, "n")
        browser.execute_script("window.jupyterapp.commands.execute('notebook:restart-run-all');")
        accept = page.wait(lambda: browser.find_elements(By.CSS_SELECTOR, ".jp-Dialog .jp-mod-accept"))
        accept[0].click()
        page.wait(lambda: page.state(7)["count"] == 8 and page.ended(7), 300)
        assert [page.state(cell)["count"] for cell in range(8)] == list(range(1, 9))
        assert page.state(7)["outputs"][0]["data"]["text/plain"] == "1"
        page.picture("restarted")
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
