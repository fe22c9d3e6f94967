"""The kernel as Jupyter's own client sees it: test_kernel.py (the kernel must be installed)."""

import json
import os
import pathlib
import queue
import sys
import tempfile
import time

from jupyter_client.manager import start_new_kernel


class Notebook:
    def __init__(self):
        self.manager, self.client = start_new_kernel(kernel_name="d2l", startup_timeout=600)

    def run(self, code, **options):
        """What a cell published, by type, and its reply."""
        sent = self.client.execute(code, **options)
        return self.collect(sent)

    def collect(self, sent, timeout=300):
        published = []
        while True:
            message = self.client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            published.append((kind, content))
        while True:
            reply = self.client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == sent:
                return published, reply["content"]


def of(published, kind):
    return [content for name, content in published if name == kind]


def text(published):
    return "".join(c["text"] for c in of(published, "stream") if c["name"] == "stdout")


def main():
    notebook = Notebook()
    started = time.monotonic()
    published, reply = notebook.run("1 + 1")
    print(f"first cell {time.monotonic() - started:.2f} s")
    assert reply["status"] == "ok" and reply["execution_count"] == 1, reply
    assert of(published, "execute_input")[0] == {"code": "1 + 1", "execution_count": 1}
    (result,) = of(published, "execute_result")
    assert result["data"]["text/plain"] == "2" and result["execution_count"] == 1, result

    # The prelude is in scope; markers mean nothing; variables and functions are kept.
    notebook.run("//#@save train\nlet x = Tensor::arange(0.0..4.0);\nfn half(v: f64) -> f64 { v / 2.0 }")
    notebook.run("#@save\nlet y = x.sum();")
    published, _ = notebook.run('println!("{}", half(y.item()));\neprintln!("aside");')
    assert text(published) == "3\n", published
    assert [c["text"] for c in of(published, "stream") if c["name"] == "stderr"] == ["aside\n"]

    # Rich display.
    published, _ = notebook.run("Figure::new().line([0.0, 1.0], [1.0, 0.0])")
    forms = [c["data"] for kind, c in published if kind in ("display_data", "execute_result")]
    assert any(form.get("image/svg+xml", "").startswith("<svg") for form in forms), published

    # Errors have a name, and the traceback shows the line.
    published, reply = notebook.run("let a = 1;\nlet s: String = a;")
    assert reply["status"] == "error" and reply["ename"] == "E0308", reply
    (error,) = of(published, "error")
    assert any("let s: String = a;" in line for line in error["traceback"]), error
    published, reply = notebook.run('panic!("no")')
    assert (reply["ename"], reply["status"]) == ("panic", "error"), reply

    # A cell that fails stops those that wait behind it.
    first = notebook.client.execute("let broken: u8 = \"\";")
    second = notebook.client.execute("1")
    _, failed = notebook.collect(first)
    _, aborted = notebook.collect(second)
    assert (failed["status"], aborted["status"]) == ("error", "aborted"), (failed, aborted)
    # A cell sent as soon as the failure is known did not wait behind it.
    for _ in range(20):
        notebook.run("let broken: u8 = \"\";")
        assert notebook.run("1")[1]["status"] == "ok"

    # Interrupting keeps variables.
    sent = notebook.client.execute("loop {}")
    time.sleep(2)
    started = time.monotonic()
    notebook.manager.interrupt_kernel()
    _, reply = notebook.collect(sent, timeout=30)
    print(f"interrupted after {time.monotonic() - started:.2f} s")
    assert reply["ename"] == "interrupted", reply
    published, _ = notebook.run("y.item()")
    assert of(published, "execute_result")[0]["data"]["text/plain"] == "6.0", published

    # Silent cells publish nothing and are not counted.
    published, reply = notebook.run("2", silent=True)
    assert [kind for kind, _ in published] == ["status"], published
    before = reply["execution_count"]
    assert notebook.run("3")[1]["execution_count"] == before + 1

    for code, status in [("fn f() {", "incomplete"), ("1 + 1", "complete"), ("let let", "invalid")]:
        sent = notebook.client.is_complete(code)
        reply = notebook.client.get_shell_msg(timeout=10)
        assert reply["content"]["status"] == status, (code, reply["content"])
    for request in ("complete", "inspect"):
        getattr(notebook.client, request)("x.", 2)
        assert notebook.client.get_shell_msg(timeout=10)["content"]["status"] == "ok"
    info = notebook.client.kernel_info(reply=True, timeout=10)["content"]
    assert info["language_info"]["name"] == "rust" and info["protocol_version"] == "5.3", info

    started = time.monotonic()
    notebook.client.stop_channels()
    notebook.manager.shutdown_kernel(now=False)
    print(f"shut down after {time.monotonic() - started:.2f} s")
    assert not notebook.manager.is_alive()
    names_another_version()
    print("ok")


def names_another_version():
    """The reader of a notebook that another version made is told so, once. Jupyter names the notebook."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "old.ipynb")
        path.write_text(json.dumps({"metadata": {"d2l": {"version": "99.1.0"}}}))
        os.environ["JPY_SESSION_NAME"] = str(path)
        notebook = Notebook()
        del os.environ["JPY_SESSION_NAME"]
    told, _ = notebook.run("1")
    (told,) = [c["text"] for c in of(told, "stream") if c["name"] == "stderr"]
    assert "made with d2l 99.1.0, and this kernel is d2l " in told, told
    again, _ = notebook.run("2")
    assert not of(again, "stream"), again
    notebook.client.stop_channels()
    notebook.manager.shutdown_kernel(now=False)


if __name__ == "__main__":
    try:
        main()
    except queue.Empty:
        sys.exit("the kernel did not answer")
