"""Runs what `pack.sh` packed on this machine's GPU, beside PyTorch, and writes report.md:
report.py [--emulated] [tests] [sanitize] [measure]. An emulated GPU shows that all of it runs.

Needs Python 3.9 and a driver; NVRTC, cuBLASLt, cuDNN and NCCL are looked for in CUDA's folder and
in Python's packages. Products and convolutions are exact in `f32` on both sides, but in the rows
that say TF32.
"""

import glob
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def folders():
    """Folders that hold CUDA's libraries; Python's packages first, which fit each other."""
    places = [os.path.join(p, "nvidia", "*", "lib") for p in sys.path if p]
    places += ["/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib"]
    return [folder for place in places for folder in sorted(glob.glob(place), reverse=True)]


def files(name):
    """Where a library is, in the order in which it is looked for."""
    found = [glob.glob(os.path.join(folder, name + ".so*")) for folder in folders()]
    return [path for paths in found for path in sorted(paths, reverse=True)]


ENVIRONMENT = dict(os.environ, D2L_TEST_GPU="1", RUST_BACKTRACE="1")
ENVIRONMENT["LD_LIBRARY_PATH"] = ":".join(
    folders() + [os.environ.get("LD_LIBRARY_PATH", "")]
)
ENVIRONMENT.pop("D2L_CUDA", None)
EMULATED = "--emulated" in sys.argv
if EMULATED:
    ENVIRONMENT["D2L_CUDA"] = "emulated"


def run(program, *arguments, limit=500, **variables):
    start = time.time()
    try:
        done = subprocess.run(
            [os.path.join(HERE, program), *arguments],
            env=dict(ENVIRONMENT, **variables),
            capture_output=True,
            text=True,
            timeout=limit,
        )
        return done.returncode, done.stdout, done.stderr, time.time() - start
    except subprocess.TimeoutExpired as late:
        return 124, str(late.stdout or ""), str(late.stderr or ""), time.time() - start


# A GPU does not look whether targets are classes.
SKIPPED = ["a_target_must_be_a_class"]


def test(name, **variables):
    skipped = [word for test in SKIPPED for word in ("--skip", test)]
    code, out, err, seconds = run("test-" + name, *skipped, **variables)
    count = re.search(r"(\d+) passed; (\d+) failed", out)
    passed, failed = count.groups() if count else ("?", "?")
    where = " ".join(f"{k}={v}" for k, v in variables.items())
    print(f"| {name} {where} | {passed} | {failed} | {seconds:.1f} s |", file=REPORT, flush=True)
    if code != 0:
        FAILURES.append((name, (out + err)[-4000:]))


def torch_figures():
    """The measurements of `examples/gpu.rs` with PyTorch, under the same names."""
    try:
        import torch
        import torch_models as models
        from torch import nn
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    device, found = "cuda:0", {}

    def allow_tf32(allowed):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed

    allow_tf32(False)

    def seconds(calls, f):
        f()
        torch.cuda.synchronize()
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(calls):
                f()
            torch.cuda.synchronize()
            best = min(best, (time.perf_counter() - start) / calls)
        return best

    a, b = torch.ones(4, device=device), torch.ones(4, device=device)
    found["add of 4 elements"] = 1e6 * seconds(2000, lambda: a + b)
    leaf = a.clone().requires_grad_()
    found["add of 4 elements with grad"] = 1e6 * seconds(2000, lambda: leaf + b)
    a, b = torch.ones(4, 4, device=device), torch.ones(4, 4, device=device)
    found["matmul of 4x4"] = 1e6 * seconds(2000, lambda: a @ b)
    n = 64 << 20
    x, y = torch.ones(n, device=device), torch.ones(n, device=device)
    rows = x.reshape(-1, 1024)
    halves = rows.bfloat16()
    normalize = torch.nn.LayerNorm(1024, device=device).requires_grad_(False)
    cross_entropy = torch.nn.functional.cross_entropy
    labels = torch.randint(1024, (n // 1024,), device=device)
    for name, numbers, f in [
        ("copy", 2, lambda: x.clone()),
        ("add", 3, lambda: x + y),
        ("exp", 2, lambda: x.exp()),
        ("chain of 4", 3, lambda: ((x + y) * 0.5).tanh().relu()),
        ("add in place", 3, lambda: x.add_(y)),
        ("sum", 1, lambda: x.sum()),
        ("softmax of rows of 1024", 2, lambda: rows.softmax(1)),
        ("sum of columns", 1, lambda: rows.sum(0)),
        ("sum of rows of 1024", 1, lambda: rows.sum(1)),
        ("layer norm of rows of 1024", 2, lambda: normalize(rows)),
        ("cross-entropy of rows of 1024", 1, lambda: cross_entropy(rows, labels)),
        ("softmax of rows of 1024, bf16", 1, lambda: halves.softmax(1)),
        ("transposed copy", 2, lambda: rows.t().contiguous()),
    ]:
        found[name] = 4 * numbers * n / seconds(100, f) / 1e9
    del halves
    for name, length in [("1,000", 1000), ("1 million", 1 << 20)]:
        all_ = [torch.ones(length, device=device, requires_grad=True) for _ in range(100)]
        for w in all_:
            w.grad = torch.full_like(w, 2.0)
        rule = torch.optim.Adam(all_, 1e-3, fused=True)
        found[f"Adam, 100 parameters of {name}"] = 1e6 * seconds(20, rule.step)
        del all_, rule
    here, there, pinned = x.cpu(), x, torch.ones(n, pin_memory=True)
    gigabytes = 4e-9 * n
    for name, f in [
        ("upload of 256 MB", lambda: here.to(device)),
        ("upload of 256 MB, pinned", lambda: pinned.to(device, non_blocking=True)),
        ("download of 256 MB", lambda: there.cpu()),
        ("download of 256 MB, pinned", lambda: pinned.copy_(there, non_blocking=True)),
    ]:
        found[name] = gigabytes / seconds(4, f)
    small = torch.ones(16 << 10)
    found["upload of 64 KB"] = 1e6 * seconds(200, lambda: small.to(device))

    def products(kind, dtype):
        for n in [512, 1024, 2048, 4096, 8192]:
            a, b = (torch.rand(n, n, device=device).to(dtype) for _ in range(2))
            found[f"matmul {n}{kind}"] = 2 * n**3 / seconds(10, lambda: a @ b) / 1e12

    products("", torch.float32)
    allow_tf32(True)
    products(", TF32", torch.float32)
    allow_tf32(False)
    products(", bf16", torch.bfloat16)

    def train(name, net, x, labels):
        net, x, labels = net.to(device), x.to(device), labels.to(device)
        rule = torch.optim.SGD(net.parameters(), 0.01)

        def step():
            y = net(x).reshape(labels.numel(), -1)
            loss = torch.nn.functional.cross_entropy(y, labels)
            rule.zero_grad()
            loss.backward()
            rule.step()

        for kind, tf32 in [("", False), (", TF32", True)]:
            allow_tf32(tf32)
            found[f"{name}, step{kind}"] = 1e3 * seconds(20, step)
        allow_tf32(False)

    def labels(classes, n):
        return torch.randint(classes, (n,))

    def epochs(n=60_000, batch_size=256):
        images, targets = torch.rand(n, 1, 28, 28), labels(10, n)
        net = models.lenet().to(device)
        net(images[:2].to(device))
        rule = torch.optim.SGD(net.parameters(), 0.01)

        def epoch(bring):
            for chosen in torch.randperm(n).split(batch_size):
                x, y = bring(images[chosen]), bring(targets[chosen])
                loss = torch.nn.functional.cross_entropy(net(x), y)
                rule.zero_grad()
                loss.backward()
                rule.step()

        found["LeNet, epoch"] = seconds(1, lambda: epoch(lambda t: t.to(device)))
        found["LeNet, epoch, ahead"] = seconds(
            1, lambda: epoch(lambda t: t.pin_memory().to(device, non_blocking=True))
        )

    epochs()
    mlp = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    train("MLP 784-256-10, batch 256", mlp, torch.rand(256, 784), labels(10, 256))
    train("LeNet, batch 256", models.lenet(), torch.rand(256, 1, 28, 28), labels(10, 256))
    images = torch.rand(128, 1, 96, 96)
    train("ResNet-18, batch 128, 96x96", models.resnet18(), images, labels(10, 128))
    small = models.LanguageModel(nn.LSTM(28, 32), 32, 28)
    train("LSTM 32, batch 1024, 32 steps", small, torch.randn(32, 1024, 28), labels(28, 32 * 1024))
    large = models.LanguageModel(nn.LSTM(28, 256), 256, 28)
    train("LSTM 256, batch 32, 35 steps", large, torch.randn(35, 32, 28), labels(28, 35 * 32))
    train(
        "Transformer 256, 2 blocks, batch 128, 32 words",
        models.Transformer(200, 32, 256, 64, 4, True),
        labels(200, 128 * 32).reshape(128, 32),
        labels(200, 128 * 32),
    )
    train(
        "BERT-small 128, 2 blocks, batch 64, 64 words",
        models.Transformer(10_000, 64, 128, 256, 2, False),
        labels(10_000, 64 * 64).reshape(64, 64),
        labels(10_000, 64 * 64),
    )
    return found


def share():
    """Two processes compute on one GPU at a time."""
    both = [
        subprocess.Popen(
            [os.path.join(HERE, "test-cuda")], env=ENVIRONMENT, stdout=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    codes = [process.wait(500) for process in both]
    print(f"\nTwo processes at a time: exit codes {codes}", file=REPORT)
    if any(codes):
        FAILURES.append(("two processes", str(codes)))


def tests():
    for name in ["libnvrtc", "libcublasLt", "libcudnn", "libnccl"]:
        print(f"* {name}: {', '.join(files(name)) or 'not found'}", file=REPORT)
    print("\n| test | passed | failed | time |\n|---|---|---|---|", file=REPORT)
    test("cuda", D2L_TEST_STEPS="10" if EMULATED else "10000")
    test("cuda", D2L_CUDA_SYNC="1")
    test("cuda", D2L_CUDA_LIBRARIES="none")
    if not EMULATED:
        test("cuda", D2L_NCCL="always")
    for name in ["tensors", "layouts", "gradients", "torch", "networks", "training"]:
        test(name, D2L_DEVICE="cuda:0")
        test(name, D2L_DEVICE="cuda:0", D2L_CUDA_LIBRARIES="none")
    share()


def sanitize():
    """Every access to memory that the kernels make, seen by NVIDIA's tool for that."""
    try:
        done = subprocess.run(
            ["compute-sanitizer", "--tool=memcheck", "--error-exitcode=9"]
            + [os.path.join(HERE, "test-cuda"), "--test-threads=1"],
            env=dict(ENVIRONMENT, D2L_TEST_STEPS="100"),
            capture_output=True,
            text=True,
            timeout=500,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as why:
        print(f"\nSKIPPED: compute-sanitizer: {why}", file=REPORT)
        return
    summary = re.findall(r"ERROR SUMMARY.*", done.stdout + done.stderr)
    print(f"\ncompute-sanitizer: exit code {done.returncode}, {summary}", file=REPORT)
    if done.returncode != 0:
        FAILURES.append(("compute-sanitizer", (done.stdout + done.stderr)[-6000:]))


def measure():
    code, out, err, _ = run("measure", "cuda:0", "32" if EMULATED else "1")
    if code != 0:
        FAILURES.append(("measure", (out + err)[-4000:]))
    print(f"\nMeasured on {(err.splitlines() or ['?'])[0]}", file=REPORT)
    for line in err.splitlines()[1:]:
        print(f"* {line}", file=REPORT)
    lines = [json.loads(line) for line in out.splitlines()]
    ours, torch = {m["name"]: m["value"] for m in lines}, torch_figures()
    print("\n| measurement | ours | PyTorch | unit |\n|---|---|---|---|", file=REPORT)
    for m in lines:
        # PyTorch's step is run as it is, beside ours too when that is replayed.
        other = torch.get(m["name"].replace(", replayed step", ", step"))
        shown = f"{other:.3f}" if other is not None else ""
        print(f"| {m['name']} | {m['value']:.3f} | {shown} | {m['unit']} |", file=REPORT)
    for name in torch.keys() - ours.keys():
        print(f"| {name} | | {torch[name]:.3f} | |", file=REPORT)
    goals(ours, torch)


def goals(ours, torch):
    """What we want, and whether it is so."""
    print("\n| goal | reached | met |\n|---|---|---|", file=REPORT)

    def goal(what, value, least):
        met = "yes" if value >= least else "**no**"
        print(f"| {what}, at least {least} | {value:.2f} | {met} |", file=REPORT)

    for name in sorted(ours.keys() & torch.keys()):
        if name.startswith("matmul ") and "of" not in name:
            goal(f"{name}: of PyTorch's speed", ours[name] / torch[name], 0.95)
    copy = max(ours.get("copy", 0), torch.get("copy", 0))
    rows = ["sum of rows", "softmax of rows", "layer norm of rows", "cross-entropy of rows"]
    rows = [f"{kind} of 1024" for kind in rows] + ["softmax of rows of 1024, bf16"]
    elements = ["copy", "add", "exp", "chain of 4", "add in place", "transposed copy"]
    for name in elements + ["sum", "sum of columns"] + rows:
        if copy and name in ours:
            goal(f"{name}: of a large copy's speed", ours[name] / copy, 0.9)
    small = ["MLP", "LeNet", "LSTM 32"]
    for name in sorted(torch):
        if ", step" not in name:
            continue
        times = [ours.get(name), ours.get(name.replace(", step", ", replayed step"))]
        times = [time for time in times if time]
        if times:
            least = 2 if any(name.startswith(model) for model in small) else 1
            goal(f"{name}: PyTorch's time by ours", torch[name] / min(times), least)
    for name in ["add of 4 elements", "matmul of 4x4"]:
        if name in ours:
            goal(f"{name}: 3 us by ours", 3 / ours[name], 1)
    if "bytes lost in 10,000 steps" in ours:
        lost = ours["bytes lost in 10,000 steps"]
        goal("nothing lost in 10,000 steps", float(lost == 0), 1)


FAILURES = []
SECTIONS = {"tests": tests, "sanitize": sanitize, "measure": measure}
# Each takes some minutes; who has to end by then runs them one by one.
asked = [name for name in sys.argv[1:] if name in SECTIONS] or list(SECTIONS)
with open(os.path.join(HERE, "report.md"), "w" if len(asked) > 1 else "a") as REPORT:
    try:
        smi = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    except FileNotFoundError:
        smi = "no nvidia-smi"
    print(f"# {smi.strip()}: {', '.join(asked)}\n", file=REPORT)
    for section in asked:
        SECTIONS[section]()
    for name, text in FAILURES:
        print(f"\n## {name} failed\n\n```text\n{text}\n```", file=REPORT)
with open(os.path.join(HERE, "report.md")) as report:
    print(report.read())
sys.exit(bool(FAILURES))
