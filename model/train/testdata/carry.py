"""Prints the numbers of TestCarryAgainstPyTorch: losses of training steps that
carry the hidden, and the hidden in the end, by PyTorch in float64.

    python carry.py
"""
import math

import torch

from small import N, V, model

T, B, STEPS, LR = 3, 2, 6, 0.02


def train(cell):
    embedding, rnn, dense, parameters = model(cell, 0.3)
    m, v = [torch.zeros_like(p) for p in parameters], [torch.zeros_like(p) for p in parameters]
    state, losses = None, []
    for step in range(STEPS):
        text = torch.tensor([[((step * T + t) ** 2 + 3 * b) % V for t in range(T + 1)] for b in range(B)]).T
        if step == 3:  # sequence 1 begins anew
            for x in state if cell == "lstm" else [state]:
                x[:, 1] = 0
        out, state = rnn(embedding(text[:T]), state)
        state = tuple(x.detach().clone() for x in state) if cell == "lstm" else state.detach().clone()
        loss = torch.nn.functional.cross_entropy(dense(out).reshape(-1, V), text[1:].reshape(-1))
        losses.append(loss.item())
        grads = torch.autograd.grad(loss, parameters)
        rate = LR * math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        with torch.no_grad():
            for p, g, pm, pv in zip(parameters, grads, m, v):
                pm += 0.1 * (g - pm)
                pv += 0.001 * (g * g - pv)
                p -= rate * pm / (pv.sqrt() + 1e-7)
    hidden = state if cell == "lstm" else (state,)
    return losses, [x[N - 1].flatten().tolist() for x in hidden]


for cell in ("gru", "lstm"):
    losses, hidden = train(cell)
    print(cell, "losses", ", ".join(f"{x:.9f}" for x in losses))
    for x in hidden:
        print(cell, "state of the top layer", ", ".join(f"{y:.9f}" for y in x))
