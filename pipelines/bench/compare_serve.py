"""Serves one model with quire and with PyTorch, and prints the characters a second at 1, 8 and 64 clients.

    python3 pipelines/bench/compare_serve.py [--hidden 1024] [--embedding 256] [--chars 200] [--seconds 20] [--rounds 3]

Needs torch, and Go to build quire. Run it from the repository's root on an idle machine. The peer is what a person
writes first: embedding, nn.GRU, linear, a loop that samples with torch.multinomial, behind Python's ThreadingHTTPServer,
a thread a request. --batching lets it join the requests that wait into one batch, which is written to its end. Clients
are threads of one process, the same for both, that ask for the next text when they have one; the figure is the best of
the rounds, by turns. Both models are untrained and have 65 characters.
"""
import argparse
import http.client
import json
import os
import queue
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CLIENTS = (1, 8, 64)
LETTERS = "".join(chr(c) for c in range(33, 33 + 65))


def torch_server(port, hidden, embedding, batching):
    """Serves for ever."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(65, embedding)
            self.rnn = torch.nn.GRU(embedding, hidden, batch_first=True)
            self.dense = torch.nn.Linear(hidden, 65)

        def forward(self, ids, state=None):
            out, state = self.rnn(self.embedding(ids), state)
            return self.dense(out), state

    torch.manual_seed(0)
    model = Model()

    def generate(rows, length):
        ids, state, out = torch.zeros(rows, 1, dtype=torch.long), None, []
        with torch.inference_mode():
            for _ in range(length):
                logits, state = model(ids, state)
                ids = torch.multinomial(torch.softmax(logits[:, -1], -1), 1)
                out.append(ids)
        return ["".join(LETTERS[i] for i in row) for row in torch.cat(out, 1).tolist()]

    waiting = queue.Queue()

    def batch():
        while True:
            jobs = [waiting.get()]
            while not waiting.empty() and len(jobs) < 64:
                jobs.append(waiting.get())
            for job, text in zip(jobs, generate(len(jobs), max(j["length"] for j in jobs))):
                job["text"] = text[:job["length"]]
                job["done"].set()

    if batching:
        threading.Thread(target=batch, daemon=True).start()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            length = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["max_tokens"]
            if batching:
                job = {"length": length, "done": threading.Event()}
                waiting.put(job)
                job["done"].wait()
                text = job["text"]
            else:
                text = generate(1, length)[0]
            data = json.dumps({"choices": [{"text": text}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def measure(port, clients, chars, seconds):
    """Characters a second of all clients together."""
    end, total, lock = time.perf_counter() + seconds, [0], threading.Lock()

    def client(n):
        c = http.client.HTTPConnection("127.0.0.1", port)
        body = json.dumps({"prompt": "a", "max_tokens": chars, "seed": n})
        while time.perf_counter() < end:
            c.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            answer = c.getresponse()
            text = json.loads(answer.read())["choices"][0]["text"]
            if answer.status != 200 or len(text) != chars:
                sys.exit(f"answer {answer.status} with {len(text)} characters")
            if time.perf_counter() < end:
                with lock:
                    total[0] += chars

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    began = time.perf_counter()
    for t in threads:
        t.start()
    time.sleep(max(0, end - time.perf_counter()))
    taken = total[0] / (time.perf_counter() - began)
    for t in threads:
        t.join()
    return taken


def free_port():
    with socketserver.TCPServer(("127.0.0.1", 0), None) as s:
        return s.server_address[1]


def ready(port):
    for _ in range(600):
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("a server does not start")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--hidden", type=int, default=1024)
    p.add_argument("--embedding", type=int, default=256)
    p.add_argument("--chars", type=int, default=200)
    p.add_argument("--seconds", type=float, default=20)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--batching", action="store_true")
    p.add_argument("--torch", type=int, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.torch:
        return torch_server(a.torch, a.hidden, a.embedding, a.batching)
    with tempfile.TemporaryDirectory() as folder:
        binary, corpus = os.path.join(folder, "quire"), os.path.join(folder, "corpus.txt")
        subprocess.run(["go", "build", "-o", binary, "./pipelines/quire"], check=True)
        with open(corpus, "w") as f:
            f.write(LETTERS * 200)
        common = ["--set", f"corpus.sources={corpus}", "--set", f"workdir={folder}/work", "--set", f"prep.out={folder}/set", "--set", f"train.out={folder}/run",
                  "--set", f"model.hidden={a.hidden}", "--set", f"model.embedding={a.embedding}", "--set", "train.epochs=0", "--quiet"]
        for stage in ("prep", "train"):
            subprocess.run([binary, stage] + common, check=True, stdout=subprocess.DEVNULL)
        ports = {"quire": free_port(), "PyTorch": free_port()}
        servers = [subprocess.Popen([binary, "serve", "--checkpoint", f"{folder}/run", "--listen", f"127.0.0.1:{ports['quire']}", "--quiet"]),
                   subprocess.Popen([sys.executable, __file__, "--torch", str(ports["PyTorch"]), "--hidden", str(a.hidden), "--embedding", str(a.embedding)]
                                    + ["--batching"] * a.batching)]
        try:
            for port in ports.values():
                ready(port)
            print(f"gru {a.hidden}/{a.embedding}, texts of {a.chars} characters; characters a second, best of {a.rounds} rounds of {a.seconds:g} s")
            print(f"{'clients':>8} {'quire':>9} {'PyTorch':>9} {'ratio':>7}")
            for clients in CLIENTS:
                best = {name: 0 for name in ports}
                for _ in range(a.rounds):
                    for name, port in ports.items():
                        best[name] = max(best[name], measure(port, clients, a.chars, a.seconds))
                ratio = best["quire"] / best["PyTorch"] if best["PyTorch"] else float("inf")
                print(f"{clients:8} {best['quire']:9.0f} {best['PyTorch']:9.0f} {ratio:7.2f}", flush=True)
        finally:
            for s in servers:
                s.terminate()
                s.wait()


if __name__ == "__main__":
    main()
