"""Asks a quire server with lm_eval's stock local-completions. Prints one JSON object.

    python likelihood.py URL JOB

JOB is a file with {"pairs": [[context, continuation], …], "texts": […], "prefix": id}.
"""
import json
import os
import sys

os.environ["OPENAI_API_KEY"] = "none"
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI

url, job = sys.argv[1], json.load(open(sys.argv[2]))
out = {}
for name, batch in {"one": 1, "batch": 4}.items():
    model = LocalCompletionsAPI(base_url=url + "/v1/completions", model="tiny", batch_size=batch, custom_prefix_token_id=job["prefix"], max_retries=1)
    out["backend"] = model.tokenizer_backend
    ask = lambda kind, items: [Instance(request_type=kind, doc={}, arguments=i, idx=n) for n, i in enumerate(items)]
    out[name] = {
        "pairs": model.loglikelihood(ask("loglikelihood", [tuple(p) for p in job["pairs"]]), disable_tqdm=True),
        "texts": model.loglikelihood_rolling(ask("loglikelihood_rolling", [(t,) for t in job["texts"]]), disable_tqdm=True),
        "written": model.generate_until(ask("generate_until", [(p[0], {"until": ["\n"], "max_gen_toks": 12}) for p in job["pairs"]]), disable_tqdm=True),
    }
json.dump(out, sys.stdout)
