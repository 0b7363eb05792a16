"""Asks a quire server with the official openai client. Prints one JSON object.

    python client.py URL KEY
"""
import json
import sys

import openai

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0)
out = {"models": [m.id for m in client.models.list()], "root": client.models.retrieve("tiny").root}

ask = dict(model="tiny", prompt="the ", max_tokens=40, seed=3)
whole = client.completions.create(**ask, logprobs=2, echo=True, user="somebody", presence_penalty=0, stop=["\x00"])
out["text"] = whole.choices[0].text
out["finish"] = whole.choices[0].finish_reason
out["fingerprint"] = whole.system_fingerprint
out["usage"] = [whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens]
out["tokens"] = whole.choices[0].logprobs.tokens
out["token_logprobs"] = whole.choices[0].logprobs.token_logprobs
out["tops"] = [None if t is None else len(t) for t in whole.choices[0].logprobs.top_logprobs]
out["offsets"] = whole.choices[0].logprobs.text_offset

parts = list(client.completions.create(**ask, stream=True, stream_options={"include_usage": True}, extra_body={"top_k": 0, "min_p": 0.0, "repetition_penalty": 1}))
out["streamed"] = "".join(p.choices[0].text for p in parts if p.choices)
out["streamed_usage"] = parts[-1].usage.total_tokens
out["finishes"] = [p.choices[0].finish_reason for p in parts if p.choices and p.choices[0].finish_reason]

several = client.completions.create(model="tiny", prompt=[[0, 1], [2]], n=2, max_tokens=5, seed=1)
out["several"] = [c.text for c in several.choices]

errors = {}
for name, change in {
    "model": {"model": "gpt-4"}, "length": {"max_tokens": -1}, "penalty": {"presence_penalty": 1}, "prompt": {"prompt": "Ω"}, "field": {"extra_body": {"best": 1}},
}.items():
    try:
        client.completions.create(**{**ask, **change})
        errors[name] = "none"
    except openai.APIStatusError as e:
        errors[name] = [type(e).__name__, e.status_code, e.type, e.param, e.code]
try:
    openai.OpenAI(base_url=url + "/v1", api_key="wrong-key-of-somebody", max_retries=0).models.list()
except openai.APIStatusError as e:
    errors["key"] = [type(e).__name__, e.status_code, e.type, e.param, e.code]
try:
    client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "a"}])
except openai.APIStatusError as e:
    errors["chat"] = [type(e).__name__, e.status_code, e.type, e.param, e.code]
try:  # an error in the middle of a stream; the server gives a request a quarter of a second
    text = ""
    for p in client.completions.create(model="tiny", prompt="the ", max_tokens=10_000_000, stream=True):
        text += p.choices[0].text
    errors["stream"] = "none"
except openai.APIError as e:
    errors["stream"] = [type(e).__name__, e.type, e.param, e.code, len(text) > 0]
out["errors"] = errors
json.dump(out, sys.stdout)
