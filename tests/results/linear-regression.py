"""Chapter 3's trainings in PyTorch: the same data, settings and numbers of steps, 3 seeds.

    python tests/results/linear-regression.py
"""

import numpy
import torch

from seeds import SEEDS, spread


def report(section, quantity, values):
    print(f"{section:15} {quantity:32} {spread(values, '.4g')}")


def synthetic(w, b, noise, n):
    x = torch.randn(n, len(w))
    return x, x @ torch.tensor(w).reshape(-1, 1) + b + noise * torch.randn(n, 1)


def batches(x, y, size):
    order = torch.randperm(len(x))
    for i in range(0, len(x), size):
        yield x[order[i : i + size]], y[order[i : i + size]]


def scratch_and_concise():
    true_w = [2.0, -3.4]
    for section in ("scratch", "concise"):
        losses, errors = [], []
        for seed in SEEDS:
            torch.manual_seed(seed)
            x, y = synthetic(true_w, 4.2, 0.01, 2000)
            net = torch.nn.Linear(2, 1)
            if section == "scratch":
                torch.nn.init.normal_(net.weight, 0.0, 0.01)
                torch.nn.init.zeros_(net.bias)
            sgd = torch.optim.SGD(net.parameters(), lr=0.03)
            for _ in range(10):
                for xb, yb in batches(x[:1000], y[:1000], 32):
                    sgd.zero_grad()
                    (0.5 * torch.nn.functional.mse_loss(net(xb), yb)).backward()
                    sgd.step()
            with torch.no_grad():
                losses.append((0.5 * torch.nn.functional.mse_loss(net(x[1000:]), y[1000:])).item())
                errors.append((net.weight - torch.tensor([true_w])).abs().max().item())
        report(section, "validation loss", losses)
        report(section, "largest error of w", errors)


def weight_decay():
    for decay in (0.0, 3.0):
        training, validation, norms = [], [], []
        for seed in SEEDS:
            torch.manual_seed(seed)
            x, y = synthetic([0.01] * 200, 0.05, 0.01, 120)
            net = torch.nn.Linear(200, 1)
            torch.nn.init.normal_(net.weight, 0.0, 0.01)
            torch.nn.init.zeros_(net.bias)
            groups = [
                {"params": [net.weight], "weight_decay": decay},
                {"params": [net.bias], "weight_decay": 0.0},
            ]
            sgd = torch.optim.SGD(groups, lr=0.01)
            for _ in range(30):
                for xb, yb in batches(x[:20], y[:20], 5):
                    sgd.zero_grad()
                    (0.5 * torch.nn.functional.mse_loss(net(xb), yb)).backward()
                    sgd.step()
            with torch.no_grad():
                half_mse = lambda x, y: (0.5 * torch.nn.functional.mse_loss(net(x), y)).item()
                training.append(half_mse(x[:20], y[:20]))
                validation.append(half_mse(x[20:], y[20:]))
                norms.append(net.weight.norm().item())
        section = f"weight-decay {decay:g}"
        report(section, "training error", training)
        report(section, "error on new data", validation)
        report(section, "norm of w", norms)


def sample(n):
    x = torch.rand(n, dtype=torch.float64) * 2 - 1
    return x, (4 * x).sin() + 0.3 * torch.randn(n, dtype=torch.float64)


def features(x, degree):
    return torch.from_numpy(numpy.polynomial.legendre.legvander(x.numpy(), degree))


def fit(x, y, degree):
    a = features(x, degree)
    return torch.linalg.solve(a.T @ a, a.T @ y)


def mse(w, x, y):
    return ((features(x, len(w) - 1) @ w - y) ** 2).mean().item()


def generalization():
    by_degree = {1: [], 5: [], 14: []}
    least, at, with_many = [], [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        test = sample(2000)
        errors = torch.zeros(15, dtype=torch.float64)
        for _ in range(30):
            x, y = sample(20)
            errors += torch.tensor([mse(fit(x, y, d), *test) for d in range(15)]) / 30
        for degree in by_degree:
            by_degree[degree].append(errors[degree].item())
        least.append(errors.min().item())
        at.append(errors.argmin().item())
        means = [mse(fit(*sample(512), 10), *test) for _ in range(20)]
        with_many.append(sum(means) / 20)
    report("generalization", "least error on new data", least)
    report("generalization", "degree of it", at)
    report("generalization", "error of degree 1", by_degree[1])
    report("generalization", "error, 512 examples, degree 10", with_many)


scratch_and_concise()
weight_decay()
generalization()
