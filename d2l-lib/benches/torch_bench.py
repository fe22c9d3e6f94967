"""The rows of examples/bench.rs in PyTorch: name, tab, microseconds.

Usage: python torch_bench.py THREADS [PART OF A NAME]
"""

import math
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))
ONLY = sys.argv[2] if len(sys.argv) > 2 else ""
torch.manual_seed(1)


def timed(f):
    """The least time of one call in microseconds, over about half a second."""
    for _ in range(3):
        f()
    start = time.perf_counter()
    f()
    calls = max(1, math.ceil(2e-3 / max(time.perf_counter() - start, 1e-9)))
    best = math.inf
    start = time.perf_counter()
    while time.perf_counter() - start < 0.6:
        begin = time.perf_counter()
        for _ in range(calls):
            f()
        best = min(best, (time.perf_counter() - begin) / calls)
    return best * 1e6


def row(name, f):
    if ONLY in name:
        print(f"{name}\t{timed(f):.3f}", flush=True)


def step(parameters, loss):
    for p in parameters:
        p.grad = None
    loss().backward()
    with torch.no_grad():
        for p in parameters:
            p.sub_(p.grad, alpha=0.1)


def parameter(*shape):
    return (torch.randn(*shape) * 0.05).requires_grad_()


x, y = torch.randn(4), torch.randn(4)
leaf = torch.randn(4, requires_grad=True)
row("add 4", lambda: x + y)
row("add 4 with grad", lambda: leaf + y)


def small():
    leaf.grad = None
    (leaf * y).sum().backward()


row("mul 4, sum, backward", small)
big, other = torch.randn(1_000_000), torch.randn(1_000_000)
row("exp 1e6", lambda: big.exp())
row("tanh 1e6", lambda: big.tanh())
row("sigmoid 1e6", lambda: big.sigmoid())
row("gelu 1e6", lambda: F.gelu(big))
row("log 1e6", lambda: big.abs().log())
row("add 1e6", lambda: big + other)
row("sum 1e6", lambda: big.sum())
m, bias = big.reshape(1000, 1000), torch.randn(1000)
row("row bias 1000x1000", lambda: m + bias)
row("sum axis 0 1000x1000", lambda: m.sum(0))
row("sum axis 1 1000x1000", lambda: m.sum(1))
row("max axis 1 1000x1000", lambda: m.amax(1))
row("softmax 1000x1000", lambda: m.softmax(1))
row("transposed copy 1000x1000", lambda: m.t().contiguous())
for n in [32, 128, 512, 1024]:
    a, b = torch.randn(n, n), torch.randn(n, n)
    row(f"matmul {n}", lambda: a @ b)
ba, bb = torch.randn(64, 128, 64), torch.randn(64, 64, 128)
row("batched matmul 64x128x64x128", lambda: ba @ bb)
images, kernels = torch.randn(32, 64, 24, 24), torch.randn(64, 64, 3, 3)
row("conv 3x3 64ch 24x24 b32", lambda: F.conv2d(images, kernels, padding=1))
gi, gk = images.clone().requires_grad_(), kernels.clone().requires_grad_()


def conv_step():
    gi.grad = gk.grad = None
    F.conv2d(gi, gk, padding=1).sum().backward()


row("conv 3x3 64ch 24x24 b32 step", conv_step)
x, t = torch.randn(256, 784), torch.randint(0, 10, (256,))
s = [parameter(10, 784), parameter(10)]
row("softmax regression b256 step", lambda: step(s, lambda: F.cross_entropy(F.linear(x, *s), t)))
q = [parameter(256, 784), parameter(256), parameter(10, 256), parameter(10)]
row(
    "MLP 784-256-10 b256 step",
    lambda: step(q, lambda: F.cross_entropy(F.linear(F.linear(x, q[0], q[1]).relu(), q[2], q[3]), t)),
)
pixels, classes = torch.randn(128, 1, 28, 28), torch.randint(0, 10, (128,))
p = [
    parameter(*shape)
    for shape in [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,), (10, 84), (10,)]
]


def lenet():
    h = F.avg_pool2d(F.conv2d(pixels, p[0], p[1], padding=2).sigmoid(), 2)
    h = F.avg_pool2d(F.conv2d(h, p[2], p[3]).sigmoid(), 2)
    h = F.linear(h.reshape(128, 400), p[4], p[5]).sigmoid()
    h = F.linear(h, p[6], p[7]).sigmoid()
    return F.cross_entropy(F.linear(h, p[8], p[9]), classes)


row("LeNet b128 step", lambda: step(p, lenet))
