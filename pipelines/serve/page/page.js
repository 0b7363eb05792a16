// The page writes with the API that every program has: POST /v1/completions, streamed.
"use strict";

const $ = (id) => document.getElementById(id);
const sliders = ["temperature", "top_p", "min_p", "repetition_penalty"];
let running = null; // the AbortController of the text that is being written
let last = null; // the request, text and receipt of the last whole text

for (const id of sliders) {
  const show = () => { document.querySelector(`output[for=${id}]`).textContent = Number($(id).value).toFixed(2); };
  $(id).addEventListener("input", show);
  show();
}

// ask sends a request to the server. A browser refuses addresses with a password, which the page's own may have.
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(location.origin + path, options);
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Error("The server does not answer.");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null); // a proxy's answer is no JSON
  throw new Error(said?.error?.message ?? `The server answers with status ${answer.status}.`);
}

// head names the model whose text is on the page.
function head(name, digest, facts) {
  $("model").textContent = name;
  document.title = `${name} · quire`;
  $("facts").textContent = facts;
  $("digest").textContent = digest.slice(0, 16);
  $("digest").title = digest;
}

// introduce asks for the model in use. It may be another than the one of a text that has just been written.
async function introduce() {
  const model = (await (await ask("/v1/models")).json()).data[0];
  if ($("digest").title && $("digest").title !== model.root) return;
  head(model.id, model.root, `${model.vocabulary} ${model.unit === "byte" ? "bytes" : "characters"} · `);
}

function say(text, kind) {
  $("status").textContent = text;
  $("status").className = kind || "";
  if (kind === "bad") $("status").scrollIntoView({ block: "nearest" });
}

// request is what the form asks for. It throws what the user has to mend.
function request() {
  if (!$("max_tokens").value) throw new Error("Characters is empty: give the length of the text.");
  const body = { prompt: $("prompt").value, max_tokens: Number($("max_tokens").value), top_k: Number($("top_k").value),
    logprobs: 0, stream: true, stream_options: { include_usage: true } };
  for (const id of sliders) body[id] = Number($(id).value);
  const stop = $("stop").value.replace(/\\n/g, "\n").replace(/\\t/g, "\t");
  if (stop) body.stop = [stop];
  const seed = $("seed").value.trim();
  if (seed) {
    const number = BigInt(seed);
    if (BigInt.asIntN(64, number) !== number) throw new Error("Seed has more than 64 bits: it is from -9223372036854775808 to 9223372036854775807.");
    body.seed = String(number); // JSON allows no zeros in front
  }
  return body;
}

// json writes a request. A seed has up to 64 bits, which a number of JavaScript has not.
function json(body) {
  const { seed, ...rest } = body;
  const text = JSON.stringify(rest);
  return seed === undefined ? text : `${text.slice(0, -1)},"seed":${seed}}`;
}

// events yields the data of each event of a stream, whose last is [DONE].
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch((e) => {
      if (e.name === "AbortError") throw e;
      return { done: true };
    });
    if (done) throw new Error("The server has gone away: the text is not whole.");
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) yield part.slice(6);
  }
}

// A block of the text ends behind a line end, once it has this many characters: a frame lays out the last block alone.
const blockChars = 500;
let follow = true; // the end of the text is in view, and stays there
$("output").addEventListener("scroll", ({ target: box }) => { follow = box.scrollTop + box.clientHeight >= box.scrollHeight - 40; });

// Painter puts characters into the page, each in the colour of its surprise: those that have come, once a frame.
class Painter {
  constructor(prompt) {
    this.text = "";
    this.bits = 0;
    this.count = 0;
    this.pending = 0; // bits of the bytes that are no whole character yet
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    this.encoder = new TextEncoder();
    this.queue = []; // letters and bits that are not in the page yet
    this.seconds = 0; // from the request to the last character
    this.frame = 0; // the frame that is asked for
    this.rest = 0; // no frame paints before this time
    follow = true;
    $("output").replaceChildren();
    this.begin();
    const head = document.createElement("span");
    head.className = "prompt";
    head.textContent = prompt;
    this.block.append(head);
  }

  begin() {
    if (this.block) this.block.className = "";
    this.block = document.createElement("div");
    this.block.className = "writing";
    this.room = blockChars;
    $("output").append(this.block);
  }

  add(choice, seconds) {
    this.text += choice.text;
    this.seconds = seconds;
    const list = choice.logprobs ? choice.logprobs.tokens : [];
    list.forEach((token, i) => {
      const bits = -choice.logprobs.token_logprobs[i] / Math.LN2;
      this.bits += bits;
      this.count++;
      this.pending += bits;
      const byte = /^bytes:\\x([0-9a-f]{2})$/.exec(token);
      const data = byte ? Uint8Array.of(parseInt(byte[1], 16)) : this.encoder.encode(token);
      const letters = this.decoder.decode(data, { stream: true });
      if (!letters) return;
      this.queue.push([letters, this.pending]);
      this.pending = 0;
    });
    this.frame ||= requestAnimationFrame(() => this.paint());
  }

  // paint leaves two thirds of the time to the user, also where a text without line ends takes long to lay out.
  paint() {
    this.frame = 0;
    const began = performance.now();
    if (began < this.rest) {
      this.frame = requestAnimationFrame(() => this.paint());
      return;
    }
    this.put();
    this.figures();
    const box = $("output");
    const height = box.scrollHeight; // the one layout of this frame
    if (follow) box.scrollTop = height;
    const now = performance.now();
    this.rest = now + 2 * (now - began);
  }

  // put moves the queue into the page. It reads nothing that needs a layout.
  put() {
    let part = document.createDocumentFragment();
    for (const [letters, bits] of this.queue) {
      const span = document.createElement("span");
      span.className = `h${Math.max(0, Math.min(7, Math.floor(bits)))}`;
      span.textContent = letters;
      span.title = `${bits.toFixed(2)} bits, ${(100 * 2 ** -bits).toPrecision(2)} %`;
      part.append(span);
      if (--this.room > 0 || !letters.endsWith("\n")) continue;
      this.block.append(part);
      this.begin();
      part = document.createDocumentFragment();
    }
    this.queue = [];
    this.block.append(part);
  }

  figures() {
    $("figures").hidden = false;
    $("chars").textContent = this.count;
    $("bits").textContent = this.count ? (this.bits / this.count).toFixed(2) : "–";
    $("speed").textContent = this.seconds > 0 ? Math.round(this.count / this.seconds) : "–";
  }

  // end shows at once what has come, also in a page that is hidden and has no frames.
  end() {
    cancelAnimationFrame(this.frame);
    this.put();
    if (this.count) this.figures();
    this.block.append(this.decoder.decode()); // what a text of bytes ends with, in the middle of a character
    this.block.className = "";
    if (follow) $("output").scrollTop = $("output").scrollHeight;
  }
}

// turn lets the browser paint and hear its user. A hidden page has no frames, slow timers, and nobody to hear.
const turn = () => document.hidden ? null : new Promise((go) => { requestAnimationFrame(go); setTimeout(go, 500); });

// reveal brings the beginning of the text into view, with the buttons above it, where a small screen has it below.
function reveal() {
  if ($("output").getBoundingClientRect().top > innerHeight - 120) document.querySelector(".buttons").scrollIntoView({ block: "start" });
}

// write asks for a text and paints it as it comes. It returns the text and its receipt. What the page says
// of another text goes at once.
async function write(body) {
  const began = performance.now();
  const painter = new Painter(body.prompt);
  const seconds = () => (performance.now() - began) / 1000;
  let receipt = null;
  running = new AbortController();
  $("figures").hidden = $("proof").hidden = true;
  $("used").textContent = body.seed;
  $("write").disabled = $("replay").disabled = true;
  $("stopper").disabled = false;
  say("Writing …");
  reveal();
  try {
    const answer = await ask("/v1/completions", { method: "POST", headers: { "Content-Type": "application/json" },
      body: json(body), signal: running.signal });
    let heard = performance.now();
    for await (const data of events(answer)) {
      if (performance.now() - heard > 10) {
        await turn();
        heard = performance.now();
      }
      running.signal.throwIfAborted();
      if (data === "[DONE]") break;
      const part = JSON.parse(data);
      if (part.error) throw new Error(part.error.message);
      if (part.system_fingerprint && part.system_fingerprint !== $("digest").title) {
        head(part.model, part.system_fingerprint, "");
        introduce().catch(() => {}); // the heading lacks the size of the vocabulary
      }
      for (const choice of part.choices) {
        painter.add(choice, seconds());
        if (choice.receipt) receipt = choice.receipt;
      }
    }
    say(`Written in ${seconds().toFixed(1)} s.`, "good");
    return { body, text: painter.text, receipt };
  } catch (e) {
    if (e.name === "AbortError") say("Stopped.");
    else say(e.message, "bad");
    return null;
  } finally {
    painter.end();
    running = null;
    $("write").disabled = false;
    $("stopper").disabled = true;
    $("replay").disabled = !last;
  }
}

// show shows the receipt of the text on the page.
function show(done) {
  $("proof").hidden = !done.receipt;
  // The seed as it was asked for: JSON.parse has rounded a large one. No text has these words between bare quotation marks.
  $("receipt").textContent = JSON.stringify(done.receipt, null, 1).replace(/"seed": [^,\n]+/, `"seed": ${done.body.seed}`);
}

$("form").addEventListener("submit", async (e) => {
  e.preventDefault();
  if (running) return;
  let body;
  try {
    body = request();
  } catch (e) {
    say(e.message, "bad");
    return;
  }
  // The page chooses the seed, so that it can be shown from the beginning.
  body.seed ??= String(crypto.getRandomValues(new Uint32Array(1))[0]);
  const done = await write(body);
  if (!done) return;
  show(done);
  last = done;
  $("replay").disabled = false;
});

$("replay").addEventListener("click", async () => {
  if (running || !last) return;
  const before = last;
  const done = await write(before.body);
  if (!done) return;
  show(done);
  if (done.text === before.text) say(`The same text again, all ${[...done.text].length} characters of it.`, "good");
  else say("Another text has come of it: the model in use is another, or the receipt is wrong.", "bad");
});

$("stopper").addEventListener("click", () => running?.abort());
$("colour").addEventListener("change", paint);
function paint() {
  $("output").classList.toggle("colour", $("colour").checked);
  $("legend").hidden = !$("colour").checked;
}

document.addEventListener("keydown", (e) => {
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) {
    e.preventDefault();
    $("form").requestSubmit();
  }
  if (e.key === "Escape") running?.abort();
});

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied: select it";
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}
// A selection of the text is copied as it is written: a browser would put line ends between blocks.
$("output").addEventListener("copy", (e) => {
  const range = getSelection().rangeCount && getSelection().getRangeAt(0);
  if (!range || !$("output").contains(range.commonAncestorContainer)) return;
  e.preventDefault();
  e.clipboardData.setData("text/plain", range.toString());
});
$("copy-seed").addEventListener("click", (e) => copy(e.target, $("used").textContent));
$("copy-receipt").addEventListener("click", (e) => copy(e.target, $("receipt").textContent));

paint();
introduce().catch((e) => say(e.message, "bad"));
