"""Trains and generates with quire and with PyTorch, by turns on the same cores, and prints the ratios.

    QUIRE_PYTHON=python3 $QUIRE_PYTHON pipelines/bench/compare.py [--steps 8] [--rounds 3] [--generate 200] [--only gru1024 ...]

Needs torch, and Go to build quire. Run it from the repository's root on an idle machine. A figure is the median
of the rounds; within a round, the median of its steps. PyTorch's model is embedding, nn.GRU or nn.LSTM, linear,
with its fused Adam; both sides train on random characters, in batches of 64 sequences of 100.
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


def torch_train(cell, hidden, embedding, precision, steps):
    """Characters a second of the median step."""
    import torch
    model = torch_model(cell, hidden, embedding)
    adam = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    ids, targets = (torch.randint(0, VOCAB, (BATCH, LENGTH)) for _ in range(2))
    times = []
    for i in range(steps + 2):
        began = time.perf_counter()
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits, _ = model(ids)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        adam.step()
        loss.item()
        if i >= 2:
            times.append(time.perf_counter() - began)
    return BATCH * LENGTH / statistics.median(times)


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


def quire(binary, cell, hidden, embedding, precision, steps, generate):
    out = subprocess.run([binary, "bench", "--json", "--quiet", "--cell", cell, "--hidden", str(hidden), "--embedding", str(embedding),
                          "--precision", precision, "--steps", str(steps), "--generate", str(generate)], capture_output=True, text=True)
    if out.returncode != 0:
        return None, out.stderr.strip()
    return json.loads(out.stdout.strip().splitlines()[-1]), ""


def line(name, ours, theirs, note=""):
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"{name:32} {a:9.0f} {b:9.0f} {a / b:7.2f}  {note}", flush=True)


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
    wanted = lambda name: not a.only or name in a.only
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "quire")
        subprocess.run(["go", "build", "-o", binary, "./pipelines/quire"], check=True)
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; characters a second, medians of {a.rounds} rounds of {a.steps} steps")
        print(f"{'':32} {'quire':>9} {'PyTorch':>9} {'ratio':>7}")
        cases = [(c, h, e, "fp32") for c, h, e in CASES if wanted(f"{c}{h}")]
        cases += [("gru", 1024, 256, "bf16")] if wanted("bf16") else []
        for cell, hidden, embedding, precision in cases:
            ours, theirs, note = [], [], ""
            for _ in range(a.rounds):
                result, why = quire(binary, cell, hidden, embedding, precision, a.steps, 0)
                if result is None:
                    note = why
                    break
                ours.append(result["chars_per_second"])
                note = f"{result['variant']}, {result['gflops']:.0f} of {result['peak_gflops']:.0f} GFLOPS: {100 * result['peak_share']:.0f} %"
                theirs.append(torch_train(cell, hidden, embedding, precision, a.steps))
            if ours:
                line(f"train {cell} {hidden}/{embedding} {precision}", ours, theirs, note)
            else:
                print(f"train {cell} {hidden}/{embedding} {precision}: {note}")
        if wanted("generate"):
            ours, theirs = {s: [] for s in STREAMS}, {s: [] for s in STREAMS}
            for _ in range(a.rounds):
                result, why = quire(binary, "gru", 1024, 256, "fp32", 1, a.generate)
                if result is None:
                    sys.exit(why)
                for s in STREAMS:
                    ours[s].append(result["generate"][str(s)])
                    theirs[s].append(torch_generate("gru", 1024, 256, s, a.generate))
            for s in STREAMS:
                line(f"generate gru 1024/256 batch {s}", ours[s], theirs[s])


if __name__ == "__main__":
    main()
