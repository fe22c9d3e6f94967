"""Other clients, as their users start them: nbclient and `jupyter console` (the kernel must be installed)."""

import subprocess
import sys

import nbclient
import nbformat


def notebook(*sources):
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return made


def main():
    # The first start may say that it compiles the library.
    nbclient.NotebookClient(notebook("1"), kernel_name="d2l", timeout=600).execute()
    made = notebook("let v = vec![1, 2];", "println!(\"{}\", v.len());\nv", "panic!(\"no\")", "v[1]")
    nbclient.NotebookClient(made, kernel_name="d2l", timeout=600, allow_errors=True).execute()
    shown = [[output.output_type for output in cell.outputs] for cell in made.cells]
    # A first cell may show what the kernel prepares.
    assert shown[1:] == [["stream", "execute_result"], ["error"], ["execute_result"]], shown
    assert made.cells[3].outputs[0].data["text/plain"] == "2"
    assert made.cells[2].outputs[0].ename == "panic"
    try:
        nbclient.NotebookClient(notebook("panic!(\"no\")", "1"), kernel_name="d2l", timeout=600).execute()
        sys.exit("nbclient went on behind an error")
    except nbclient.exceptions.CellExecutionError as error:
        assert error.ename == "panic" and "In [1]:1:1" in str(error), error

    console = subprocess.run(
        [sys.executable, "-m", "jupyter_console", "--kernel=d2l", "--simple-prompt"],
        input="let v = vec![7];\nv[0] * 6\nprintln!(\"from the console\");\nnope\nexit\n",
        capture_output=True, text=True, timeout=300)
    for part in ["42", "from the console", "E0425"]:
        assert part in console.stdout + console.stderr, (part, console.stdout, console.stderr)
    print("ok")


if __name__ == "__main__":
    main()
