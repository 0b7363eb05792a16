"""The model of this folder in PyTorch, which is all that it needs: python modeling_quire.py "To be" """
import hashlib, json, pathlib, sys, unicodedata
import torch


class Quire(torch.nn.Module):
    """A character-level language model: Embedding, GRU or LSTM, Dense. Texts are str, of a model of bytes also bytes."""

    def __init__(self, config, vocab):
        super().__init__()
        self.config, self.vocab, self.chars = config, vocab, list(vocab)
        embedding, hidden, layers = config["embedding_size"], config["hidden_size"], config["num_hidden_layers"]
        self.embedding = torch.nn.Embedding(len(vocab), embedding)
        self.rnn = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[config["cell"]](embedding, hidden, layers, batch_first=True)
        self.dense = torch.nn.Linear(hidden, len(vocab))

    @classmethod
    def from_pretrained(cls, folder):
        read = lambda name: (pathlib.Path(folder) / name).read_bytes()
        config, data = json.loads(read("config.json")), read("model.safetensors")
        if hashlib.sha256(data).hexdigest() != config["quire"]["model_sha256"]:
            raise ValueError(f"{folder}: model.safetensors is damaged, or not the one of config.json")
        start = 8 + int.from_bytes(data[:8], "little")
        tensors = {name: torch.frombuffer(bytearray(data[start + t["data_offsets"][0] : start + t["data_offsets"][1]]), dtype=torch.float32)
                   .reshape(t["shape"]) for name, t in json.loads(data[8:start]).items() if name != "__metadata__"}
        model = cls(config, json.loads(read("vocab.json")))
        model.load_state_dict(tensors)
        return model.eval()

    def encode(self, text):
        if self.config["unit"] == "byte":
            text = (text if isinstance(text, bytes) else text.encode()).decode("latin-1")
        elif self.config["normalize"] == "nfc":
            text = unicodedata.normalize("NFC", text)
        unknown = self.config["unk_token_id"]
        return [self.vocab[c] if unknown is None else self.vocab.get(c, unknown) for c in text]

    def decode(self, ids):
        text = "".join(self.chars[i] for i in ids)
        return text.encode("latin-1").decode(errors="replace") if self.config["unit"] == "byte" else text

    def forward(self, ids, hidden=None):
        """Logits (B, T, V) of the character after each of ids (B, T), and the hidden to go on with."""
        out, hidden = self.rnn(self.embedding(ids), hidden)
        return self.dense(out), hidden

    @torch.no_grad()
    def score(self, text):
        """The natural logarithm of the probability of each character but the first."""
        ids = torch.tensor([self.encode(text)])
        return self(ids[:, :-1])[0].log_softmax(-1).gather(2, ids[:, 1:, None])[0, :, 0].tolist()

    @torch.no_grad()
    def generate(self, prompt, length=200, temperature=0.8):
        ids, hidden = self.encode(prompt), None
        step = torch.tensor([ids])
        for _ in range(length):
            logits, hidden = self(step, hidden)
            step = torch.multinomial((logits[:, -1] / temperature).softmax(-1), 1)
            ids.append(step.item())
        return self.decode(ids)


if __name__ == "__main__":
    print(Quire.from_pretrained(pathlib.Path(__file__).parent).generate(sys.argv[1]))
