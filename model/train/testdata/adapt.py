"""Prints the numbers of TestAdaptiveAgainstPyTorch: the losses of a text whose passages are
learned from after they were predicted, by PyTorch in float64.

    python adapt.py
"""
import math

import torch

from small import V, model

T, CHARS, LR, CLIP = 32, 110, 0.5, 1.0


def evaluate(cell):
    embedding, rnn, dense, parameters = model(cell, SCALE)
    text = torch.tensor([(t * t + t // 7) % V for t in range(CHARS)])
    state, losses, norms = None, [], []
    for at in range(0, CHARS - 1, T):
        passage = text[at : at + T + 1]
        out, state = rnn(embedding(passage[:-1, None]), state)
        state = tuple(x.detach() for x in state) if cell == "lstm" else state.detach()
        loss = torch.nn.functional.cross_entropy(dense(out)[:, 0], passage[1:], reduction="none")
        losses += loss.tolist()
        grads = torch.autograd.grad(loss.mean(), parameters)
        norm = math.sqrt(sum((g * g).sum().item() for g in grads))
        norms.append(norm)
        with torch.no_grad():
            for p, g in zip(parameters, grads):
                p -= LR * g * CLIP / max(norm, CLIP)
    return losses, norms


for SCALE in (0.3, 2.0):
    for cell in ("gru", "lstm"):
        losses, norms = evaluate(cell)
        sums = [sum(losses[at : at + T]) for at in range(0, len(losses), T)]
        print(SCALE, cell, "passages", ", ".join(f"{x:.9f}" for x in sums), "norms", ", ".join(f"{x:.4f}" for x in norms))
        print(SCALE, cell, "last", ", ".join(f"{x:.9f}" for x in losses[-4:]))
