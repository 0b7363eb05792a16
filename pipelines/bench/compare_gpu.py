"""Trains with quire, PyTorch and JAX on one GPU, by turns, and prints one table. gpu.sh calls it.

    python3 compare_gpu.py --quire FILE [--rounds 3] [--steps 50] [--cases gru:1024:256 ...]

Needs neither Go nor a network. A figure is the median of the rounds, in milliseconds a step; within a round, the median of
its steps. All train on random characters, in batches of 64 sequences of 100. PyTorch's model is embedding, nn.GRU or
nn.LSTM, linear, with its fused Adam; JAX's is the same by lax.scan. torch and jax are optional: what cannot be measured is
a dash, with the reason below the table.
"""
import argparse
import json
import statistics
import subprocess
import time

BATCH, LENGTH, VOCAB = 64, 100, 65
WARM = 5
reasons = {}


def quire(binary, cell, hidden, embedding, steps):
    out = subprocess.run([binary, "bench", "--device", "gpu", "--json", "--quiet", "--cell", cell, "--hidden", str(hidden),
                          "--embedding", str(embedding), "--steps", str(steps), "--generate", "0"], capture_output=True, text=True)
    if out.returncode != 0:
        raise RuntimeError(out.stderr.strip())
    return json.loads(out.stdout.strip().splitlines()[-1])["step_milliseconds"]


def timed(step, steps):
    """Milliseconds of the median step. A step ends when its loss is on the host."""
    times = []
    for i in range(steps + WARM):
        began = time.perf_counter()
        step()
        if i >= WARM:
            times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


def torch_step(cell, hidden, embedding, mode, graph):
    """A training step on the GPU: fp32, tf32 (products of TF32 everywhere) or bf16 (autocast); graph records it once."""
    import torch
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode == "tf32"
    torch.manual_seed(0)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(VOCAB, embedding)
            self.rnn = (torch.nn.GRU if cell == "gru" else torch.nn.LSTM)(embedding, hidden, batch_first=True)
            self.dense = torch.nn.Linear(hidden, VOCAB)

        def forward(self, ids):
            return self.dense(self.rnn(self.embedding(ids))[0])

    model = Model().cuda()
    adam = torch.optim.Adam(model.parameters(), 1e-3, fused=True, capturable=graph)
    ids, targets = (torch.randint(0, VOCAB, (BATCH, LENGTH), device="cuda") for _ in range(2))

    def once():
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=mode == "bf16"):
            logits = model(ids)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        adam.step()
        return loss

    if not graph:
        return lambda: once().item()
    side = torch.cuda.Stream()  # PyTorch wants a few steps on another stream before it records
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            once()
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        loss = once()

    def replay():
        recorded.replay()
        return loss.item()
    return replay


def jax_step(cell, hidden, embedding, mode):
    """A training step by lax.scan, and the seconds that its compilation took."""
    import jax
    import jax.numpy as np
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if mode == "tf32" else "float32")
    gates = 3 if cell == "gru" else 4
    keys = iter(jax.random.split(jax.random.key(0), 8))
    draw = lambda *shape: 0.03 * jax.random.normal(next(keys), shape)
    weights = {"embedding": draw(VOCAB, embedding), "wih": draw(embedding, gates * hidden), "whh": draw(hidden, gates * hidden),
               "bih": np.zeros(gates * hidden), "bhh": np.zeros(gates * hidden), "dense": draw(hidden, VOCAB), "bias": np.zeros(VOCAB)}
    ids, targets = (jax.random.randint(next(keys), (LENGTH, BATCH), 0, VOCAB) for _ in range(2))

    def loss(w, ids, targets):
        inputs = (w["embedding"] @ w["wih"] + w["bih"])[ids]

        def gru(h, x):
            a = h @ w["whh"] + w["bhh"]
            r, z = (jax.nn.sigmoid(x[:, i * hidden:(i + 1) * hidden] + a[:, i * hidden:(i + 1) * hidden]) for i in range(2))
            n = np.tanh(x[:, 2 * hidden:] + r * a[:, 2 * hidden:])
            h = n + z * (h - n)
            return h, h

        def lstm(state, x):
            h, c = state
            i, f, g, o = np.split(x + h @ w["whh"] + w["bhh"], 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * np.tanh(g)
            h = jax.nn.sigmoid(o) * np.tanh(c)
            return (h, c), h

        zero = np.zeros((BATCH, hidden))
        _, out = jax.lax.scan(gru, zero, inputs) if cell == "gru" else jax.lax.scan(lstm, (zero, zero), inputs)
        logs = jax.nn.log_softmax(out @ w["dense"] + w["bias"])
        return -np.mean(np.take_along_axis(logs, targets[..., None], -1))

    def step(w, m, v, t):
        nats, g = jax.value_and_grad(loss)(w, ids, targets)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = 1e-3 * np.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t)
        return jax.tree.map(lambda w, m, v: w - rate * m / (np.sqrt(v) + 1e-7), w, m, v), m, v, t + 1, nats

    zeros = jax.tree.map(np.zeros_like, weights)
    state = [weights, zeros, zeros, np.float32(1)]
    began = time.perf_counter()
    compiled = jax.jit(step).lower(*state).compile()
    took = time.perf_counter() - began

    def once():
        *state[:], nats = compiled(*state)
        return float(nats)
    return once, took


def measure(name, times, f):
    """Appends a figure of f to times, or notes why there is none."""
    if name in reasons:
        return
    try:
        times.append(f())
    except Exception as e:  # a library that is missing, or a mode that it refuses, leaves a dash
        reasons[name] = f"{type(e).__name__}: {e}".splitlines()[0]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--quire", required=True)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=50)
    p.add_argument("--cases", nargs="*", default=["gru:1024:256"])
    a = p.parse_args()
    columns = ["quire", "torch fp32", "torch fp32 graph", "torch tf32", "torch tf32 graph", "torch bf16", "torch bf16 graph", "jax fp32", "jax tf32"]
    rows, compiled = [], []
    for case in a.cases:
        cell, hidden, embedding = case.split(":")[0], *map(int, case.split(":")[1:])
        figures = {c: [] for c in columns}

        def theirs(column):
            library, mode, *graph = column.split()
            if library == "torch":
                return timed(torch_step(cell, hidden, embedding, mode, bool(graph)), a.steps)
            step, took = jax_step(cell, hidden, embedding, mode)
            compiled.append(f"{case} {mode}: {took:.1f} s")
            return timed(step, a.steps)

        for _ in range(a.rounds):
            measure("quire", figures["quire"], lambda: quire(a.quire, cell, hidden, embedding, a.steps))
            for column in columns[1:]:
                measure(column, figures[column], lambda: theirs(column))
        rows.append((case, figures))
    print("milliseconds a step, batches of 64 sequences of 100; medians of", a.rounds, "rounds of", a.steps, "steps")
    print("| model | " + " | ".join(columns) + " | torch fp32 / quire |")
    print("|---" * (len(columns) + 2) + "|")
    for case, figures in rows:
        cells = [f"{statistics.median(t):.2f}" if t else "-" for t in figures.values()]
        best = [statistics.median(figures[c]) for c in ("torch fp32", "torch fp32 graph") if figures[c]]
        ratio = f"{min(best) / statistics.median(figures['quire']):.2f}" if best and figures["quire"] else "-"
        print(f"| {case} | " + " | ".join(cells) + f" | {ratio} |")
    for name, why in reasons.items():
        print(f"{name}: {why}")
    if compiled:
        print("jax compiled:", ", ".join(compiled))


if __name__ == "__main__":
    main()
