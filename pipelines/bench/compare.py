"""Trains and generates with quire, PyTorch and JAX, by turns on the same cores, and prints the ratio to the better peer.

    QUIRE_PYTHON=python3 $QUIRE_PYTHON pipelines/bench/compare.py [--steps 8] [--rounds 3] [--generate 200] [--only gru1024 ...]

Needs torch, jax and optax, and Go to build quire; without jax or optax PyTorch is the only peer. Run it from the
repository's root on an idle machine. A figure is the median of the rounds; within a round, the median of its steps. All
train on random characters, in batches of 64 sequences of 100.

PyTorch's model is embedding, nn.GRU or nn.LSTM, linear, with its fused Adam. JAX's is a compiled scan over the steps, which
looks the input's products up in a table of all characters as quire does, with optax' Adam; it generates by a compiled scan
too. Before anything is timed, the loss and the gradients of both models must agree on the same weights.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

BATCH, LENGTH, VOCAB = 64, 100, 65
WARM = 2  # steps before the measured ones
CASES = [("gru", 1024, 256), ("lstm", 1024, 256), ("gru", 512, 128), ("lstm", 512, 128), ("gru", 256, 64), ("lstm", 256, 64)]
STREAMS = (1, 8, 64)


def torch_model(cell, hidden, embedding):
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(VOCAB, embedding)
            self.rnn = (torch.nn.GRU if cell == "gru" else torch.nn.LSTM)(embedding, hidden, batch_first=True)
            self.dense = torch.nn.Linear(hidden, VOCAB)

        def forward(self, ids, state=None):
            out, state = self.rnn(self.embedding(ids), state)
            return self.dense(out), state

    torch.manual_seed(0)
    return Model()


def torch_batch():
    """Random ids and targets, (BATCH, LENGTH) each."""
    import torch
    return (torch.randint(0, VOCAB, (BATCH, LENGTH)) for _ in range(2))


def torch_loss(model, ids, targets, precision="fp32"):
    import torch
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        logits, _ = model(ids)
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def timed(step, steps):
    """Characters a second of the median step."""
    times = []
    for i in range(steps + WARM):
        began = time.perf_counter()
        step()
        if i >= WARM:
            times.append(time.perf_counter() - began)
    return BATCH * LENGTH / statistics.median(times)


def torch_train(cell, hidden, embedding, precision, steps):
    import torch
    model = torch_model(cell, hidden, embedding)
    adam = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    ids, targets = torch_batch()

    def step():
        adam.zero_grad(set_to_none=True)
        loss = torch_loss(model, ids, targets, precision)
        loss.backward()
        adam.step()
        loss.item()
    return timed(step, steps)


def torch_generate(cell, hidden, embedding, streams, chars):
    """Characters a second of all streams."""
    import torch
    model = torch_model(cell, hidden, embedding)
    with torch.inference_mode():
        ids, state = torch.zeros(streams, 1, dtype=torch.long), None
        for i in range(chars + 20):
            if i == 20:
                began = time.perf_counter()
            logits, state = model(ids, state)
            ids = torch.multinomial(torch.softmax(logits[:, -1], -1), 1)
    return streams * chars / (time.perf_counter() - began)


def jax_weights(model):
    """A PyTorch model's weights, or their gradients, in JAX' form."""
    import jax.numpy as np
    p = {name: np.array(x.detach().numpy()) for name, x in model.items()}
    return {"embedding": p["embedding.weight"], "wih": p["rnn.weight_ih_l0"].T, "whh": p["rnn.weight_hh_l0"].T, "bih": p["rnn.bias_ih_l0"],
            "bhh": p["rnn.bias_hh_l0"], "dense": p["dense.weight"].T, "bias": p["dense.bias"]}


def jax_cell(cell, hidden, precision):
    """One step of the cell: from weights, state (h) or (h, c), and a row of the table to the next state."""
    import jax
    import jax.numpy as np
    sigmoid = jax.nn.sigmoid

    def product(h, w):
        if precision == "bf16":
            return np.matmul(h.astype(np.bfloat16), w.astype(np.bfloat16), preferred_element_type=np.float32)
        return h @ w

    def gru(w, state, x):
        h, = state
        xr, xz, xn = np.split(x, 3, axis=1)
        ar, az, an = np.split(product(h, w["whh"]) + w["bhh"], 3, axis=1)
        n, z = np.tanh(xn + sigmoid(xr + ar) * an), sigmoid(xz + az)
        return (n + z * (h - n),)

    def lstm(w, state, x):
        h, c = state
        i, f, g, o = np.split(x + product(h, w["whh"]) + w["bhh"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def start(rows):
        return (np.zeros((rows, hidden)),) * (1 if cell == "gru" else 2)
    return (gru if cell == "gru" else lstm), start


def jax_table(w):
    return w["embedding"] @ w["wih"] + w["bih"]


def jax_loss(cell, hidden, precision):
    """The mean cross-entropy by weights, ids and targets (LENGTH, BATCH)."""
    import jax
    import optax
    move, start = jax_cell(cell, hidden, precision)

    def loss(w, ids, targets):
        def step(state, x):
            state = move(w, state, x)
            return state, state[0]
        _, out = jax.lax.scan(step, start(ids.shape[1]), jax_table(w)[ids])
        return optax.softmax_cross_entropy_with_integer_labels(out @ w["dense"] + w["bias"], targets).mean()
    return loss


def jax_train(cell, hidden, embedding, precision, steps):
    import jax
    import jax.numpy as np
    import optax
    adam = optax.adam(1e-3)
    loss = jax_loss(cell, hidden, precision)
    ids, targets = (np.array(x.T.numpy()) for x in torch_batch())

    def update(w, state):
        nats, grads = jax.value_and_grad(loss)(w, ids, targets)
        change, state = adam.update(grads, state)
        return optax.apply_updates(w, change), state, nats

    w = jax_weights(dict(torch_model(cell, hidden, embedding).named_parameters()))
    now = [w, adam.init(w)]
    compiled = jax.jit(update, donate_argnums=(0, 1)).lower(*now).compile()

    def step():
        *now[:], nats = compiled(*now)
        jax.block_until_ready((now, nats))
    return timed(step, steps)


def jax_generate(cell, hidden, embedding, streams, chars):
    """Characters a second of all streams."""
    import jax
    import jax.numpy as np
    move, start = jax_cell(cell, hidden, "fp32")
    w = jax_weights(dict(torch_model(cell, hidden, embedding).named_parameters()))

    def write(w, state, ids, key):
        table = jax_table(w)

        def one(now, key):
            state, ids = now
            state = move(w, state, table[ids])
            ids = jax.random.categorical(key, state[0] @ w["dense"] + w["bias"])
            return (state, ids), ids
        return jax.lax.scan(one, (state, ids), jax.random.split(key, chars))

    first = (w, start(streams), np.zeros(streams, np.int32), jax.random.key(0))
    compiled = jax.jit(write).lower(*first).compile()
    jax.block_until_ready(compiled(*first))
    began = time.perf_counter()
    jax.block_until_ready(compiled(*first))
    return streams * chars / (time.perf_counter() - began)


def agree(cell):
    """Stops where PyTorch's and JAX' model are not the same function."""
    import jax
    import jax.numpy as np
    model = torch_model(cell, 24, 16)
    ids, targets = torch_batch()
    theirs = torch_loss(model, ids, targets)
    theirs.backward()
    p = dict(model.named_parameters())
    ours, grads = jax.value_and_grad(jax_loss(cell, 24, "fp32"))(jax_weights(p), np.array(ids.T.numpy()), np.array(targets.T.numpy()))
    if abs(ours - theirs.item()) > 1e-5:
        sys.exit(f"compare.py: {cell}: the same weights have {theirs.item()} nats in PyTorch and {ours} in JAX")
    for name, want in jax_weights({name: x.grad for name, x in p.items()}).items():
        if (gap := np.abs(grads[name] - want).max()) > 1e-5:
            sys.exit(f"compare.py: {cell}: the gradients of {name} differ by {gap}")


def quire(binary, cell, hidden, embedding, precision, steps, generate):
    out = subprocess.run([binary, "bench", "--json", "--quiet", "--cell", cell, "--hidden", str(hidden), "--embedding", str(embedding),
                          "--precision", precision, "--steps", str(steps), "--generate", str(generate)], capture_output=True, text=True)
    if out.returncode != 0:
        return None, out.stderr.strip()
    return json.loads(out.stdout.strip().splitlines()[-1]), ""


def line(name, ours, peers, note=""):
    """One row: the rates of quire and of each peer, and quire's ratio to the fastest peer."""
    ours, rates = statistics.median(ours), [statistics.median(x) if x else 0 for x in peers]
    columns = "".join(f" {r:9.0f}" if r else f" {'-':>9}" for r in rates)
    print(f"{name:32} {ours:9.0f}{columns} {ours / max(rates):7.2f}  {note}", flush=True)


def compare(binary, a, peers, wanted):
    """Prints the rows of training. peers are the functions that train."""
    cases = [(c, h, e, "fp32") for c, h, e in CASES if wanted(f"{c}{h}")]
    cases += [("gru", 1024, 256, "bf16")] if wanted("bf16") else []
    for cell, hidden, embedding, precision in cases:
        name, shares, ours, theirs = f"train {cell} {hidden}/{embedding} {precision}", [], [], [[] for _ in peers]
        for _ in range(a.rounds):
            result, why = quire(binary, cell, hidden, embedding, precision, a.steps, 0)
            if result is None:
                print(f"{name}: {why}")
                break
            ours.append(result["chars_per_second"])
            shares.append(result["peak_share"])
            for rates, train in zip(theirs, peers):
                rates.append(train(cell, hidden, embedding, precision, a.steps))
        else:
            line(name, ours, theirs, f"{result['variant']}, {100 * statistics.median(shares):.0f} % of {result['peak_gflops']:.0f} GFLOPS")


def compare_generation(binary, a, peers):
    ours, theirs = {s: [] for s in STREAMS}, {s: [[] for _ in peers] for s in STREAMS}
    for _ in range(a.rounds):
        result, why = quire(binary, "gru", 1024, 256, "fp32", 1, a.generate)
        if result is None:
            sys.exit(why)
        for s in STREAMS:
            ours[s].append(result["generate"][str(s)])
            for rates, generate in zip(theirs[s], peers):
                rates.append(generate("gru", 1024, 256, s, a.generate))
    for s in STREAMS:
        line(f"generate gru 1024/256 batch {s}", ours[s], theirs[s])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--steps", type=int, default=8)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--generate", type=int, default=200)
    p.add_argument("--only", nargs="*", help="such as gru1024 lstm512 bf16 generate")
    a = p.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("compare.py: this Python has no torch")
    names, versions, trains, generates = ["PyTorch"], f"torch {torch.__version__}", [torch_train], [torch_generate]
    try:
        import jax
        import optax
        names.append("JAX")
        trains.append(jax_train)
        generates.append(jax_generate)
        versions += f", jax {jax.__version__}, optax {optax.__version__}"
        for cell in ("gru", "lstm"):
            agree(cell)
    except ImportError as e:
        versions += f"; no JAX: {e}"
    wanted = lambda name: not a.only or name in a.only
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "quire")
        subprocess.run(["go", "build", "-o", binary, "./pipelines/quire"], check=True)
        print(f"{versions}, {torch.get_num_threads()} threads; characters a second, medians of {a.rounds} rounds of {a.steps} steps")
        print(f"{'':32} {'quire':>9}{''.join(f' {n:>9}' for n in names)} {'ratio':>7}")
        compare(binary, a, trains, wanted)
        if wanted("generate"):
            compare_generation(binary, a, generates)


if __name__ == "__main__":
    main()
