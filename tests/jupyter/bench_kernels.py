"""How long kernels take, in turn, through Jupyter's own client: bench_kernels.py [KERNEL …].

Prints medians in milliseconds. Kernels that are not installed are named and left out.
"""

import statistics
import subprocess
import sys
import time

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import start_new_kernel

REPEATS = 15
RUST = {
    "1+1": "1+1",
    "let": "let x{i} = {i};",
    "println": 'println!("{i}");',
    "fn": "fn f{i}(x: i32) -> i32 {{ x + {i} }}",
    "struct": "#[derive(Clone, Debug)] struct S{i} {{ x: i32 }}",
}
TENSORS = {
    "tensor": "Tensor::arange(0.0..{i}.0).exp().sum()",
    "compare": "Tensor::arange(0.0..{i}.0).pow(2).gt(1.0)",
    "pick": "let y{i} = Tensor::ones([2, 3]); y{i}.set((.., 1), {i}.0); y{i}.i(&y{i}.eq(1.0))",
    "model": "sequential![nn::Linear::new(4, {i}), nn::Relu].forward(&Tensor::ones([2, 4]))",
    "epoch": "for b in &data::DataLoader::new([&Tensor::ones([{i}, 2])], 4) {{ b[0].sum(); }}",
    "plot": "d2l::plot::Figure::new().line([0, 1], [0, {i}])",
}
CELLS = {
    "d2l": RUST | TENSORS,
    "rust": RUST,
    "python3": {
        "1+1": "1+1",
        "let": "x{i} = {i}",
        "println": "print({i})",
        "fn": "def f{i}(x): return x + {i}",
        "struct": "class S{i}: pass",
    },
}


def run(client, code):
    """Milliseconds from the request until the reply and the end of the output have come."""
    started = time.perf_counter()
    sent = client.execute(code)
    while True:
        message = client.get_iopub_msg(timeout=300)
        if message["parent_header"].get("msg_id") != sent:
            continue
        if message["msg_type"] == "error":
            sys.exit(f"{code}: {message['content']['evalue']}")
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            break
    while client.get_shell_msg(timeout=300)["parent_header"].get("msg_id") != sent:
        pass
    return 1000 * (time.perf_counter() - started)


def memory(pid):
    """Resident memory of a process and its descendants in MB: all, and what is not shared."""
    pids = [pid]
    for parent in pids:
        children = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True)
        pids += [int(child) for child in children.stdout.split()]
    own = sum(rollup(p, "Pss:") for p in pids)
    return rollup(pid, "Rss:"), own


def rollup(pid, key):
    try:
        lines = open(f"/proc/{pid}/smaps_rollup").readlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def bench(name):
    rows = {}
    starts = []
    for _ in range(3):
        started = time.perf_counter()
        manager, client = start_new_kernel(kernel_name=name, startup_timeout=600)
        run(client, "1+1")
        starts.append(1000 * (time.perf_counter() - started))
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    rows["start to first result"] = statistics.median(starts)
    manager, client = start_new_kernel(kernel_name=name, startup_timeout=600)
    run(client, "1+1")
    time.sleep(1)
    rows["RSS of the kernel at rest, MB"], rows["with its processes (PSS), MB"] = memory(manager.provisioner.pid)
    # The 10th and the 200th cell: medians of the thirty cells around them, of every kind but printing.
    times = []
    kinds = ["1+1", "let", "fn"]
    for i in range(215):
        times.append(run(client, CELLS[name][kinds[i % 3]].format(i=i)))
    rows["10th cell"] = statistics.median(times[:30])
    rows["200th cell"] = statistics.median(times[-30:])
    for kind, code in CELLS[name].items():
        samples = [run(client, code.format(i=1000 + i)) for i in range(REPEATS)]
        rows[kind] = statistics.median(samples)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return rows


def main(names):
    installed = KernelSpecManager().find_kernel_specs()
    missing = [name for name in names if name not in installed]
    results = {name: bench(name) for name in names if name in installed}
    rows = list(dict.fromkeys(row for result in results.values() for row in result))
    ours, theirs = results.get("d2l", {}), results.get("rust", {})
    heads = list(results) + ["evcxr / ours"]
    print("| |", " | ".join(heads), "|")
    print("|---|" + "---|" * len(heads))
    for row in rows:
        values = [f"{result[row]:.1f}" if row in result else "" for result in results.values()]
        values.append(f"{theirs[row] / ours[row]:.1f}" if row in ours and row in theirs else "")
        print(f"| {row} |", " | ".join(values), "|")
    if ours:
        print(f"\nd2l: the 200th cell takes {ours['200th cell'] / ours['10th cell']:.2f} of the 10th")
    for name in missing:
        print(f"not installed: {name}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["d2l", "python3", "rust"])
