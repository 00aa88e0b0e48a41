"""embed.py - real text vectors for the proof of the vector search, made once and kept in the cache.

  embed.py MODEL FOLDER COUNT [THREADS]

Texts are the one-line descriptions of the packages that apt knows here: real, short, in clusters, with near-duplicates, as memories are. Each is
turned into 384 floats by all-MiniLM-L6-v2 (int8; MODEL is the folder of `tests/fetch minilm`), mean over the tokens, length 1. FOLDER gets texts.txt,
in a random order that is chosen once, and vectors.f32, one vector a line of texts.txt. What is there is gone on with, so an end in the
middle costs nothing. Run by the benchmark with an interpreter that has onnxruntime and tokenizers.
"""

import os
import random
import subprocess
import sys
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

DIMENSIONS = 384
CHUNK = 512  # texts between two writes to the file
LENGTHS = 32  # texts of like length that go through the model together


def texts_of(folder):
    """The lines of texts.txt, which is made at the first call."""
    path = os.path.join(folder, "texts.txt")
    if not os.path.exists(path):
        out = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, errors="replace", check=True).stdout
        mark = "Description: "
        found = sorted({line[len(mark):].strip() for line in out.splitlines() if line.startswith(mark)})
        random.Random(1).shuffle(found)
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.writelines(text + "\n" for text in found)
        os.rename(path + ".new", path)
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


class Model:
    def __init__(self, folder, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokenizer.enable_truncation(128)
        self.tokenizer.no_padding()

    def vectors(self, texts):
        """One a text, in their order."""
        tokens = [e.ids for e in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        result = np.empty((len(texts), DIMENSIONS), "<f4")
        for start in range(0, len(order), LENGTHS):
            some = order[start:start + LENGTHS]
            result[some] = self.alike([tokens[i] for i in some])
        return result

    def alike(self, tokens):
        longest = max(map(len, tokens))
        ids = np.array([t + [0] * (longest - len(t)) for t in tokens], np.int64)
        mask = np.array([[1] * len(t) + [0] * (longest - len(t)) for t in tokens], np.int64)
        states = self.session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0]
        mean = (states * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def main():
    model, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    texts = texts_of(folder)[:count]
    path, line = os.path.join(folder, "vectors.f32"), DIMENSIONS * 4
    done = os.path.getsize(path) // line if os.path.exists(path) else 0
    if done >= len(texts):
        return
    model = Model(model, int(sys.argv[4]) if len(sys.argv) > 4 else os.cpu_count())
    began, first = time.time(), done
    with open(path, "ab") as f:
        f.truncate(done * line)
        while done < len(texts):
            f.write(model.vectors(texts[done:done + CHUNK]).tobytes())
            f.flush()
            done = min(done + CHUNK, len(texts))
            rate = (done - first) / (time.time() - began)
            print(f"\r  {done:,} of {len(texts):,} texts embedded, {rate:.0f}/s ", end="\n" if done == len(texts) else "",
                  file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
