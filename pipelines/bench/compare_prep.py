"""Prepares texts with quire and with TensorFlow's own means on the same cores, and prints MB/s, CPU seconds a gigabyte and
peak memory.

    QUIRE_PYTHON=python3 $QUIRE_PYTHON pipelines/bench/compare_prep.py [--megabytes 1000] [--tensorflow-megabytes 11] [--runs 3]

Needs Go, and TensorFlow for the comparison (without it only quire is measured). Run it from the repository's root on
an idle machine. Texts are made of Go's own sources, every copy varied, ASCII and mixed Unicode. TensorFlow's side is
what its tutorial does (a look-up for each character, tf.data's batch and shuffle, TFRecordWriter); it gets a text of
its own size, since it is slow.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

LENGTH = 100


def source():
    """Go's sources as one text."""
    root = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip()
    parts, size = [], 0
    for path in sorted(pathlib.Path(root, "src").rglob("*.go")):
        try:
            text = path.read_text(encoding="ascii")
        except UnicodeDecodeError:
            continue
        parts.append(text)
        size += len(text)
        if size > 20e6:
            break
    return "".join(parts)


def write(path, text, megabytes, unicode):
    """Repeats text up to a size; each copy is rotated, and numbered, and some of its letters moved elsewhere."""
    if unicode:
        text = text.translate(str.maketrans({"a": "а", "q": "中", "x": "é", "~": "𝄞"}))
    copy, written = 0, 0
    with open(path, "wb") as f:
        while written < megabytes * 1e6:
            at = copy * 7919 % len(text)
            data = f"// copy {copy}\n{text[at:]}{text[:at]}".encode()[: int(megabytes * 1e6 - written)]
            data = data.decode("utf-8", "ignore").encode() or b"\n"
            f.write(data)
            written += len(data)
            copy += 1


def run(command):
    """Seconds, CPU seconds, peak MB of memory, and the last line of output."""
    began = time.perf_counter()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = p.stdout.read(), p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = status
    if status != 0:
        sys.exit(f"{command[0]} failed: {err or out}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.strip().splitlines()[-1]


def quire(binary, text, out, runner, extra=()):
    return run([binary, "prep", "--json", "--quiet", "--runner", runner, "--out", out, "--set", f"corpus.sources=[\"{text}\"]",
                "--set", f"prep.seq_length={LENGTH}", "--set", "prep.shards=16", *extra])


def tensorflow(text, out, shards=16):
    """The tutorial's way, in this process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tensorflow as tf
    began = time.perf_counter()
    with open(text, encoding="utf-8", newline="") as f:
        chars = f.read()
    ids = {c: i for i, c in enumerate(sorted(set(chars)))}
    sequences = tf.data.Dataset.from_tensor_slices(np.array([ids[c] for c in chars], dtype=np.int64))
    sequences = sequences.batch(LENGTH + 1, drop_remainder=True).shuffle(10_000, seed=1)
    os.makedirs(out)
    writers = [tf.io.TFRecordWriter(f"{out}/train-{i:05d}-of-{shards:05d}.tfrecord") for i in range(shards)]
    for n, s in enumerate(sequences.as_numpy_iterator()):
        feature = tf.train.Feature(int64_list=tf.train.Int64List(value=s))
        example = tf.train.Example(features=tf.train.Features(feature={"ids": feature}))
        writers[n % shards].write(example.SerializeToString())
    for w in writers:
        w.close()
    return time.perf_counter() - began


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--megabytes", type=float, default=1000)
    p.add_argument("--tensorflow-megabytes", type=float, default=11)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--folder", help="where the texts and sets go; default: a temporary one")
    a = p.parse_args()
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        binary = os.path.join(folder, "quire")
        subprocess.run(["go", "build", "-o", binary, "./pipelines/quire"], check=True)
        text, best = source(), 0.0
        for kind in ("ascii", "unicode"):
            path = os.path.join(folder, kind + ".txt")
            write(path, text, a.megabytes, kind == "unicode")
            size = os.path.getsize(path) / 1e6
            for runner in ("direct", "prism"):
                rates, costs, peaks, digests = [], [], [], set()
                for i in range(a.runs):
                    out = os.path.join(folder, f"set-{kind}-{runner}-{i}")
                    seconds, cpu, peak, result = quire(binary, path, out, runner)
                    rates.append(size / seconds)
                    costs.append(cpu / size * 1000)
                    peaks.append(peak)
                    digests.add(json.loads(result)["manifest_sha256"][:12])
                    subprocess.run(["rm", "-rf", out], check=True)
                rate = statistics.median(rates)
                best = max(best, rate) if kind == "ascii" else best
                print(f"quire {kind:8} {runner:7} {size:6.0f} MB  {rate:7.1f} MB/s  "
                      f"{statistics.median(costs):5.1f} CPU s/GB  peak {max(peaks):5.0f} MB  manifest {' '.join(digests)}", flush=True)
            os.remove(path)
        try:
            import tensorflow as tf
        except ImportError:
            print("TensorFlow is not in this Python: nothing to compare with")
            return
        path = os.path.join(folder, "small.txt")
        write(path, text, a.tensorflow_megabytes, False)
        size = os.path.getsize(path) / 1e6
        rates = [size / tensorflow(path, os.path.join(folder, f"tf-{i}")) for i in range(a.runs)]
        rate, peak = statistics.median(rates), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"TensorFlow {tf.__version__} ascii  {size:6.0f} MB  {rate:7.2f} MB/s  peak {peak:5.0f} MB")
        print(f"ratio {best / rate:.0f}")


if __name__ == "__main__":
    main()
