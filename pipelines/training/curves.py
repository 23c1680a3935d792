"""Draws the losses of a training to losses.png in the model's folder."""

from __future__ import annotations

from engine.layout import MODELS
from engine.storage.files import Storage
from model.training.checkpoints import losses

CURVES = "losses.png"


def draw_curves(storage: Storage, folder: str) -> None:
    """Draws one curve for each task. Each of its points is the mean over a fiftieth of the steps."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = losses(storage, folder)
    if not table:
        return
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    width = max(max(row["step"] for row in table) // 50, 1)
    for task in sorted({row["task"] for row in table}):
        bins: dict[int, list[float]] = {}
        for row in table:
            if row["task"] == task:
                bins.setdefault(row["step"] // width, []).append(row["loss"])
        axes.plot([(place + 0.5) * width for place in bins], [sum(v) / len(v) for v in bins.values()], label=task)
    axes.set(xlabel="step", ylabel="loss, nats a token", title=folder.removeprefix(f"{MODELS}/"), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)
    storage.put(f"{folder}/{CURVES}", picture.getvalue())
