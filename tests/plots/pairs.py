"""Draws plots of the book with matplotlib, beside ours of the same data.

    cargo run -p d2l --example plots -- FOLDER
    python tests/plots/pairs.py FOLDER

writes FOLDER/pairs.html, light and dark, to be looked at in a browser. Whatever Python runs this
needs matplotlib (3.10 was used; `python -m venv` and `pip install matplotlib`).
Each plot is drawn as somebody who knows matplotlib would draw it, without changes of its look.
"""

import io
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

SIZE = (3.5, 2.5)


def axes(x="", y="", **options):
    figure, ax = plt.subplots(figsize=SIZE, layout="constrained", **options)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return ax


def space(x, y, z):
    ax = axes(x, y, subplot_kw={"projection": "3d"})
    ax.set_zlabel(z)
    return ax


def grid(d, x="x", y="x"):
    return *np.meshgrid(d[x], d[y]), np.reshape(d["z"], (len(d[y]), len(d[x])))


def tangent_plot(d):
    ax = axes("x", "f(x)")
    ax.plot(d["x"], d["curve"], label="f(x)")
    ax.plot(d["x"], d["tangent"], "--", label="tangent at x = 1")
    ax.legend()


def difference_errors(d):
    ax = axes("h", "error")
    ax.loglog(d["h"], d["central"], label="central")
    ax.loglog(d["h"], d["forward"], "--", label="forward")
    ax.legend()


def coin_frequencies(d):
    ax = axes("tosses n", "frequency of heads")
    n, half = np.array(d["n"]), np.array(d["half"])
    ax.fill_between(n, 0.5 - half, 0.5 + half, alpha=0.15)
    ax.plot(n, np.reshape(d["frequency"], (6, -1)).T, linewidth=1.2)
    ax.set_xscale("log")
    ax.set_ylim(0, 1)


def dice_joint(d):
    ax = axes("difference D, plus 5", "sum S, minus 2")
    plt.colorbar(ax.imshow(np.reshape(d["joint"], (11, 11))))


def central_limit(d):
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.5), layout="constrained")
    for ax, name, title in ((left, "single", "single draws"), (right, "averages", "averages")):
        ax.hist(d[name], 40)
        ax.set_title(title)


def synthetic_data(d):
    axes("second feature", "label").scatter(d["x"], d["y"], alpha=0.4, s=20)


def normal_densities(d):
    ax = axes("x", "p(x)")
    labels = "μ = 0, σ = 1", "μ = 0, σ = 2", "μ = 3, σ = 1"
    for bell, label, style in zip(d["bells"], labels, ("-", "--", "-.")):
        ax.plot(d["z"], bell, style, label=label)
    ax.legend()


def cross_entropy(d):
    ax = axes("q", "nats")
    ax.plot(d["q"], d["cross"], label="cross-entropy")
    ax.plot([0, 1], [d["entropy"]] * 2, ":", color="gray", label="entropy")
    ax.set_ylim(0, 3)
    ax.legend()


def init_scales(d):
    ax = axes("layer", "size of the values")
    for sizes, label, style in zip(d["sizes"], ("0.05", "√(2/n) = 0.1", "0.15"), ("-", "--", "-.")):
        ax.semilogy(range(1, 51), sizes, style, label=label)
    ax.legend()


def class_means(d):
    figure, panels = plt.subplots(2, 5, figsize=(4.75, 2.2), layout="constrained")
    for ax, mean, name in zip(panels.flat, np.reshape(d["means"], (10, 28, 28)), d["names"]):
        ax.imshow(mean, cmap="gray")
        ax.set_title(name)
        ax.axis("off")


def descent(d):
    ax = axes("x₁", "x₂")
    ax.clabel(ax.contour(*grid(d, "x", "y")))
    ax.plot(d["px"], d["py"], "-o", color="C1")


def contour(d):
    ax = axes("x", "y")
    ax.clabel(ax.contour(*grid(d)))


def contour_filled(d):
    ax = axes("x", "y")
    filled = ax.contourf(*grid(d))
    ax.contour(*grid(d), colors="k", linewidths=0.4)
    plt.colorbar(filled, label="height")


def contour_log(d):
    ax = axes("x", "y")
    x, y, z = grid(d, "x", "y")
    levels = [10.0**e for e in range(-5, 4)]
    filled = ax.contourf(x, y, z, levels, norm=LogNorm())
    ax.plot(1, 1, "kx")
    plt.colorbar(filled, label="loss")


def quiver(d):
    ax = axes("x", "y")
    ax.clabel(ax.contour(*grid(d)))
    n = len(d["places"])
    u, v = np.reshape(d["u"], (n, n)), np.reshape(d["v"], (n, n))
    ax.quiver(d["places"], d["places"], u, v, angles="xy")
    ax.set_aspect("equal")


def saddle(d):
    ax = space("x", "y", "x² − y²")
    ax.plot_surface(*grid(d), cmap="viridis")
    x = np.array(d["x"])
    ax.plot(x, 0 * x, x**2, "r")
    ax.plot(0 * x, x, -(x**2), "orange")


def wireframe(d):
    space("x", "y", "z").plot_wireframe(*grid(d))


def helix(d):
    ax = space("x", "y", "t")
    t = np.array(d["t"])
    ax.plot(np.cos(t), np.sin(t), t, label="helix")
    ax.scatter(0.5 * np.cos(t), 0.5 * np.sin(t), t, color="C1", label="points")
    ax.legend()


def svg():
    file = io.StringIO()
    plt.savefig(file, format="svg", transparent=True)
    plt.close("all")
    text = file.getvalue()
    return text[text.index("<svg") :]


def main(folder):
    data = json.loads((folder / "data.json").read_text())
    rows = []
    for name, values in data.items():
        # Ids inside matplotlib's drawings are the same in all of them.
        plt.rcParams["svg.hashsalt"] = name
        globals()[name.replace("-", "_")](values)
        theirs = svg()
        (folder / f"{name}.matplotlib.svg").write_text(theirs)
        ours = (folder / f"{name}.svg").read_text()
        cells = "".join(f"<td class={mode}>{ours}</td>" for mode in ("light", "dark"))
        image = f"<img src='{name}.matplotlib.svg'>"
        rows.append(f"<tr id={name}><th>{name}</th>{cells}<td class=light>{image}</td></tr>")
    style = """
      body { font-family: sans-serif; margin: 0 } th { writing-mode: vertical-rl }
      td { padding: 8px; vertical-align: top } .light { background: #fff; color: #222 }
      .dark { background: #1a1a1a; color: #ddd }
    """
    page = f"<!doctype html><meta charset=utf-8><style>{style}</style><table>{''.join(rows)}</table>"
    (folder / "pairs.html").write_text(page)
    print(folder / "pairs.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
