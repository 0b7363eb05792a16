"""Scores texts with exported models, each by the modeling_quire.py of its folder.

    python score.py <JOBS.json    # [{"Folder": …, "Text": base64}, …] → {"Texts": [{"float32": [log-probability, …], "float64": …}, …], …}

Where Transformers is there, the first model is also loaded by AutoModelForCausalLM. Written for
torch 2 and transformers 5.
"""

import base64
import importlib.util
import json
import os
import sys


def transformers(folder, model, text):
    """The largest difference of a logit, and the length of a generated text, or None without Transformers."""
    try:
        import torch
        import transformers as library
    except ImportError:
        return None
    auto = library.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
    ids = torch.tensor([model.encode(text)])
    with torch.no_grad():
        difference = (auto(ids).logits - model(ids)[0]).abs().max().item()
        written = auto.generate(ids[:, :3], attention_mask=torch.ones_like(ids[:, :3]), max_new_tokens=5, do_sample=False).shape[1]
    return {"Version": library.__version__, "Difference": difference, "Written": written}


def main():
    found = []
    for job in json.load(sys.stdin):
        spec = importlib.util.spec_from_file_location("modeling_quire", os.path.join(job["Folder"], "modeling_quire.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        model = module.Quire.from_pretrained(job["Folder"])
        text = base64.b64decode(job["Text"])
        text = text if model.config["unit"] == "byte" else text.decode()
        assert isinstance(model.generate(text[:1], 5), str)
        found.append({"float32": model.score(text), "float64": model.double().score(text)})
        if len(found) == 1:
            auto = transformers(job["Folder"], model.float(), text)
    print(json.dumps({"Texts": found, "Transformers": auto}))


if __name__ == "__main__":
    main()
