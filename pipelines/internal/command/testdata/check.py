"""Reads what quire wrote with the libraries that it was written for.

    python check.py JOB.json

JOB.json names a set, the one document that it was made of, a checkpoint, and a
text with the log-probabilities that quire gives its characters. TensorFlow reads
the shards, PyTorch the checkpoint; the result is one JSON object on stdout. A
library that is not there is skipped, and the result says so; a difference is an
error with a traceback.

Written for tensorflow 2, torch 2, safetensors and numpy.
"""

import fractions
import json
import os
import sys


def check_shards(job):
    """Every record has the ids of a sequence of the document, none twice."""
    import tensorflow as tf

    with open(os.path.join(job["set"], "manifest.json")) as f:
        manifest = json.load(f)
    with open(os.path.join(job["set"], "vocab.json")) as f:
        ids = {c: i for i, c in enumerate(json.load(f)["chars"])}
    with open(job["corpus"], newline="") as f:
        text = f.read()
    n = manifest["seq_length"] + 1
    fraction = fractions.Fraction(job["fraction"])
    kept = len(text) - -(-fraction * len(text) // 1)  # the rest, rounded up, is for validation
    parts = {"train": text[:kept], "validation": text[kept:]}
    features = {"ids": tf.io.FixedLenFeature([n], tf.int64)}
    total = 0
    for split in manifest["splits"]:
        files = [os.path.join(job["set"], s["name"]) for s in split["shards"]]
        found = [
            tuple(tf.io.parse_single_example(record, features)["ids"].numpy().tolist())
            for record in tf.data.TFRecordDataset(files)
        ]
        part = parts[split["name"]]
        want = [tuple(ids[c] for c in part[i : i + n]) for i in range(0, len(part) - n + 1, n)]
        assert len(found) == split["sequences"], f"{len(found)} sequences, the manifest says {split['sequences']}"
        assert sorted(found) == sorted(want), f"the sequences of {split['name']} are not those of the document"
        assert len(want) < 10 or found != want, f"the sequences of {split['name']} are not shuffled"
        total += len(found)
    return {"version": tf.__version__, "sequences": total}


def check_checkpoint(job):
    """torch's layers, loaded with the weights, give quire's log-probabilities."""
    import safetensors
    import torch

    with safetensors.safe_open(job["checkpoint"], framework="pt") as f:
        meta = f.metadata()
        weights = {k: f.get_tensor(k) for k in f.keys()}
    model = json.loads(meta["config"])["model"]
    ids = {c: i for i, c in enumerate(json.loads(meta["vocab"])["chars"])}
    embedding = torch.nn.Embedding(len(ids), model["embedding"])
    cell = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[meta["cell"]]
    rnn = cell(model["embedding"], model["hidden"], num_layers=model["layers"], batch_first=True)
    dense = torch.nn.Linear(model["hidden"], len(ids))
    for name, module in {"embedding": embedding, "rnn": rnn, "dense": dense}.items():
        module.load_state_dict({k[len(name) + 1 :]: v for k, v in weights.items() if k.startswith(name + ".")})
        for key in module.state_dict():
            for moment in "adam.m.", "adam.v.":
                assert weights[f"{moment}{name}.{key}"].shape == module.state_dict()[key].shape, f"{moment}{name}.{key}"
    x = torch.tensor([[ids[c] for c in job["text"]]])
    with torch.no_grad():
        out, _ = rnn(embedding(x))
        predicted = torch.log_softmax(dense(out[:, :-1]), dim=-1)
        ours = predicted.gather(2, x[:, 1:, None])[0, :, 0].tolist()
    theirs = job["log_probs"]
    assert theirs[0] is None and len(theirs) == len(ours) + 1, f"{len(theirs)} log-probabilities for {len(ours) + 1} characters"
    worst = max(abs(a - b) for a, b in zip(ours, theirs[1:]))
    return {"version": torch.__version__, "characters": len(ours), "worst_difference": worst}


def main():
    with open(sys.argv[1]) as f:
        job = json.load(f)
    result, skipped = {}, []
    for name, check in {"tensorflow": check_shards, "torch": check_checkpoint}.items():
        try:
            __import__(name)
        except ImportError:
            skipped.append(name)
            continue
        result[name] = check(job)
    assert result, "neither tensorflow nor torch is installed"
    print(json.dumps(result | {"skipped": skipped}))


if __name__ == "__main__":
    main()
