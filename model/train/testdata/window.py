"""Prints the numbers of TestEvaluateWindowsAgainstPyTorch: the mean loss of a text in windows
that are each read from nothing, by PyTorch in float64.

    python window.py
"""
import torch

from small import V, model

STRETCHES = 9, 1, 700, 2, 40
WINDOWS = 1, 7, 8, 9, 39, 256, 698, 699, 700, 65536


def evaluate(cell, window):
    embedding, rnn, dense, _ = model(cell, 1.0)
    start, losses = 0, []
    for chars in STRETCHES:
        data = torch.tensor([(t * t + t // 7) % V for t in range(start, start + chars)])
        start += chars
        for i in range(0, chars - 1, window):
            x, y = data[i : i + window], data[i + 1 : i + 1 + window]  # as in nanoGPT's get_batch
            out, _ = rnn(embedding(x[: len(y), None]))
            losses += torch.nn.functional.cross_entropy(dense(out)[:, 0], y, reduction="none").tolist()
    assert len(losses) == sum(chars - 1 for chars in STRETCHES)
    return sum(losses) / len(losses)


for cell in ("gru", "lstm"):
    print(cell, ", ".join(f"{window}: {evaluate(cell, window):.9f}" for window in WINDOWS))
