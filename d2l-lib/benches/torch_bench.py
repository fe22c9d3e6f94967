"""The rows of examples/bench.rs in PyTorch: name, tab, microseconds.

Usage: python torch_bench.py THREADS [PART OF A NAME]
"""

import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

from torch_models import Encoder, LanguageModel, Residual, Transformer

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


def step(optimizer, loss):
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()


def sgd(parameters, lr=0.1):
    return torch.optim.SGD(list(parameters), lr=lr)


def train(name, model, x, t):
    """The training step of a model on one batch, for the mean cross-entropy of its outputs."""
    if ONLY not in name:
        return
    optimizer = sgd(model.parameters())
    row(name, lambda: step(optimizer, lambda: F.cross_entropy(model(x).reshape(t.numel(), -1), t)))


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
s_sgd = sgd(s)
row("softmax regression b256 step", lambda: step(s_sgd, lambda: F.cross_entropy(F.linear(x, *s), t)))
q = [parameter(256, 784), parameter(256), parameter(10, 256), parameter(10)]
q_sgd = sgd(q)
row(
    "MLP 784-256-10 b256 step",
    lambda: step(q_sgd, lambda: F.cross_entropy(F.linear(F.linear(x, q[0], q[1]).relu(), q[2], q[3]), t)),
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


p_sgd = sgd(p)
row("LeNet b128 step", lambda: step(p_sgd, lenet))

w = parameter(1_000_000)
O = torch.optim
for name, optimizer in [
    ("SGD", O.SGD([w], lr=1e-6)),
    ("SGD with momentum", O.SGD([w], lr=1e-6, momentum=0.9)),
    ("Adam", O.Adam([w], lr=1e-6)),
]:
    w.grad = None
    (w * 0.5).sum().backward()
    row(f"{name} 1e6", optimizer.step)

x, y = torch.randn(1000, 2), torch.randn(1000, 1)
regression = nn.Linear(2, 1)
regression_sgd = sgd(regression.parameters(), 0.03)


def epochs():
    for _ in range(3):
        for first in range(0, 1000, 32):
            xs, ys = x[first : first + 32], y[first : first + 32]
            step(regression_sgd, lambda: F.mse_loss(regression(xs), ys))


row("linear regression, 3 epochs of 1000 by 32", epochs)
centres, contexts = torch.randint(0, 6719, (512, 1)), torch.randint(0, 6719, (512, 60))
word_labels = torch.randint(0, 2, (512, 60)).float()
v, u = parameter(6719, 100), parameter(6719, 100)
word_adam = O.Adam([v, u], lr=0.002)


def word_loss():
    scores = torch.bmm(F.embedding(centres, v), F.embedding(contexts, u).transpose(1, 2)).squeeze(1)
    return F.binary_cross_entropy_with_logits(scores, word_labels)


row("word2vec b512x60 step", lambda: step(word_adam, word_loss))


def language_model(name, recurrent, sizes, labels, width):
    x, t = torch.randn(*sizes), torch.randint(0, labels, (sizes[0] * sizes[1],))
    train(name, LanguageModel(recurrent, width, labels), x, t)


small_sizes = (32, 1024, 28)
language_model("RNN h32 b1024 t32 step", nn.RNN(28, 32), small_sizes, 28, 32)
language_model("GRU h32 b1024 t32 step", nn.GRU(28, 32), small_sizes, 28, 32)
language_model("LSTM h32 b1024 t32 step", nn.LSTM(28, 32), small_sizes, 28, 32)
language_model("LSTM h256 b32 t35 step", nn.LSTM(28, 256), (35, 32, 28), 28, 256)
both = nn.LSTM(64, 64, 2, bidirectional=True)
language_model("bidirectional 2-layer LSTM h64 b64 t32 step", both, (32, 64, 64), 10, 128)


net = nn.Sequential(
    Residual(64, 64, 1), Residual(64, 128, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)
)
ten = torch.randint(0, 10, (16,))
train("two ResNet blocks 64ch 24x24 b16 step", net, torch.randn(16, 64, 24, 24), ten)
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(64 * 8 * 8, 256), nn.ReLU(), nn.Linear(256, 10),
)  # fmt: skip
train("slim VGG 1x64x64 b16 step", net, torch.randn(16, 1, 64, 64), ten)
net = nn.Sequential(
    nn.Conv2d(1, 96, 11, 4, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
    nn.Conv2d(96, 256, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
    nn.Conv2d(256, 384, 3, 1, 1), nn.ReLU(), nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
    nn.Flatten(), nn.LazyLinear(512), nn.ReLU(), nn.Linear(512, 10),
)  # fmt: skip
pixels = torch.randn(16, 1, 96, 96)
net(pixels)
train("AlexNet 1x96x96 b16 step", net, pixels, ten)


q, k, v = [torch.randn(32, 8, 64, 32) for _ in range(3)]
row("attention 32x8x64x32", lambda: F.scaled_dot_product_attention(q, k, v))
gq, gk, gv = [t.requires_grad_() for t in (q, k, v)]


def attention_step():
    gq.grad = gk.grad = gv.grad = None
    F.scaled_dot_product_attention(gq, gk, gv).sum().backward()


row("attention 32x8x64x32 step", attention_step)
net = nn.Sequential(Encoder(256, 64, 4), nn.Linear(256, 10))
train("encoder block 256 4 heads b64 t32 step", net, torch.randn(64, 32, 256), torch.randint(0, 10, (2048,)))
words, following = torch.randint(0, 200, (32, 32)), torch.randint(0, 200, (1024,))
train("small Transformer 64 2 blocks b32 t32 step", Transformer(200, 32, 64, 128, 4, True), words, following)
status = open("/proc/self/status").read().split("VmHWM:")
if len(status) > 1:
    print(f"peak memory: {int(status[1].split()[0]) // 1024} MB", file=sys.stderr)

