"""Prints the numbers of TestAdaptiveAgainstPyTorch: the losses of a text whose passages are
learned from after they were predicted, by PyTorch in float64.

    python adapt.py
"""
import math

import torch

V, I, H, N, T, CHARS, LR, CLIP = 5, 3, 4, 2, 32, 110, 0.5, 1.0
torch.set_default_dtype(torch.float64)


def model(cell):
    embedding, dense = torch.nn.Embedding(V, I), torch.nn.Linear(H, V)
    rnn = getattr(torch.nn, cell.upper())(I, H, N)
    at, parameters = 0, [embedding.weight]
    for k in range(N):
        parameters += [getattr(rnn, f"{name}_l{k}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    parameters += [dense.weight, dense.bias]
    with torch.no_grad():
        for p in parameters:
            values = [math.sin(1.7 * (at + i)) * SCALE for i in range(p.numel())]
            p.copy_(torch.tensor(values).float().double().view(p.shape))
            at += p.numel()
    return embedding, rnn, dense, parameters


def evaluate(cell):
    embedding, rnn, dense, parameters = model(cell)
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
