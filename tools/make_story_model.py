#!/usr/bin/env python3
"""Makes the small story model of the samples: corpus, tokenizer, training, int8 file.

The model learns from text that a teacher wrote: a children's story model of the Llama family in
Hugging Face format. No file of the teacher is copied; tokenizer and weights are our own.

The data in samples/story/data came from these commands, on two cores of an Intel Xeon with AMX
that did other work too (20 min of sampling, both at once; 2 s; 27 min of training):

    T=../shared/models/stories3m  # any folder in Hugging Face format
    D=samples/story/data
    python tools/make_story_model.py sample --teacher $T --out 1.jsonl --tokens 4700000 --seed 1 &
    python tools/make_story_model.py sample --teacher $T --out 2.jsonl --tokens 4540000 --seed 2 &
    wait
    python tools/make_story_model.py tokenizer --corpus 1.jsonl 2.jsonl --out $D/story.model
    python tools/make_story_model.py train --corpus 1.jsonl 2.jsonl --tokenizer $D/story.model \\
        --out $D/story.safetensors --checkpoint story.pt --steps 1450 --decay 450 --compile

Needs torch, numpy, safetensors, sentencepiece; `sample` also transformers. The memory settings
MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=100000000000 make training a sixth faster.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece as spm
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

FORMAT = "countermark-story-1"
UNK, BOS, EOS = 0, 1, 2
HELD_OUT = 100  # one story in this many is kept from tokenizer and training


@dataclass(frozen=True)
class Config:
    """Shape of a Llama-like transformer with tied embeddings."""

    vocab_size: int = 2048
    dim: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    hidden: int = 512
    context: int = 256
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.heads


class Block(nn.Module):
    """Attention with RoPE and grouped queries, then SwiGLU."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.attn_norm = nn.RMSNorm(c.dim, eps=c.norm_eps)
        self.qkv = nn.Linear(c.dim, (c.heads + 2 * c.kv_heads) * c.head_dim, bias=False)
        self.out = nn.Linear(c.dim, c.dim, bias=False)
        self.mlp_norm = nn.RMSNorm(c.dim, eps=c.norm_eps)
        self.gate_up = nn.Linear(c.dim, 2 * c.hidden, bias=False)
        self.down = nn.Linear(c.hidden, c.dim, bias=False)

    def forward(self, x: Tensor, rope: Tensor, cache: Tensor | None, start: int) -> Tensor:
        """Residual stream after this block; a cache holds the keys and values before `start`."""
        c = self.c
        batch, length, _ = x.shape
        heads = self.qkv(self.attn_norm(x)).view(batch, length, -1, c.head_dim).transpose(1, 2)
        qk, v = torch.split(heads, [c.heads + c.kv_heads, c.kv_heads], dim=1)
        a, b = qk.chunk(2, dim=-1)
        cos, sin = rope.to(qk.dtype)
        qk = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
        q, k = torch.split(qk, [c.heads, c.kv_heads], dim=1)
        if cache is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:  # one new token: the heads that share a key stand in as its queries
            cache[0, :, :, start], cache[1, :, :, start] = k[:, :, 0], v[:, :, 0]
            k, v = cache[:, :, :, : start + 1]
            y = F.scaled_dot_product_attention(q.reshape(batch, c.kv_heads, -1, c.head_dim), k, v)
            y = y.reshape(batch, c.heads, 1, c.head_dim)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, -1))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return torch.add(x, self.down(F.silu(gate) * up))


class Llama(nn.Module):
    """Serves as teacher and as student."""

    rope: Tensor

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.embed = nn.Embedding(c.vocab_size, c.dim)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.dim, eps=c.norm_eps)
        exponent = torch.arange(0, c.head_dim, 2, dtype=torch.float64) / c.head_dim
        angle = torch.outer(torch.arange(c.context), c.rope_theta**-exponent)
        self.register_buffer(
            "rope", torch.stack((angle.cos(), angle.sin())).float(), persistent=False
        )
        for name, p in self.named_parameters():
            if p.ndim == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / (math.sqrt(2 * c.layers) if residual else 1))

    def forward(self, tokens: Tensor, cache: Tensor | None = None, start: int = 0) -> Tensor:
        """Logits of every position; with a cache, of one token each at position `start`."""
        x = self.embed(tokens)
        rope = self.rope[:, start : start + tokens.shape[1]]
        for i, block in enumerate(self.blocks):
            x = block(x, rope, None if cache is None else cache[i], start)
        return F.linear(self.norm(x), self.embed.weight)

    def empty_cache(self, batch: int) -> Tensor:
        """Room for the keys and values of `batch` rows: layer, kind, row, head, position, ..."""
        c = self.c
        shape = (c.layers, 2, batch, c.kv_heads, c.context, c.head_dim)
        return torch.empty(shape, dtype=self.embed.weight.dtype)


@torch.inference_mode()
def generate(model: Llama, batch: int, temperature: float, stop: set[int]) -> Iterator[list[int]]:
    """Samples `batch` rows from BOS; yields those that reach a stop token within the context."""
    rows, cache = torch.full((batch, 1), BOS), model.empty_cache(batch)
    ends = torch.tensor(sorted(stop))
    done = torch.zeros(batch, dtype=torch.bool)
    for position in range(model.c.context - 1):
        logits = model(rows[:, -1:], cache, position)[:, 0]
        sums = torch.softmax(logits.float() / temperature, dim=-1).cumsum(dim=-1)
        token = torch.searchsorted(sums, torch.rand(len(rows), 1) * sums[:, -1:])
        rows = torch.cat((rows, token.clamp_(max=model.c.vocab_size - 1)), dim=1)
        done |= torch.isin(token[:, 0], ends)
        if 8 * done.sum() >= len(done):  # drop finished rows now and then
            for row in rows[done].tolist():
                yield row[1 : next(i for i, t in enumerate(row) if i and t in stop)]
            keep = (~done).nonzero()[:, 0]
            rows, cache, done = rows[keep], cache.index_select(2, keep), done[keep]
        if not len(rows):
            return


def load_teacher(folder: Path) -> Llama:
    """The teacher's weights in our own code, which samples faster."""
    from transformers import AutoModelForCausalLM

    hf = AutoModelForCausalLM.from_pretrained(folder)
    h, state = hf.config, hf.state_dict()
    model = Llama(
        Config(
            vocab_size=h.vocab_size,
            dim=h.hidden_size,
            layers=h.num_hidden_layers,
            heads=h.num_attention_heads,
            kv_heads=h.num_key_value_heads,
            hidden=h.intermediate_size,
            context=h.max_position_embeddings,
            norm_eps=h.rms_norm_eps,
        )
    )
    ours = {"embed.weight": "embed_tokens", "norm.weight": "norm"}
    for i in range(h.num_hidden_layers):
        theirs = f"layers.{i}."
        ours |= {
            f"blocks.{i}.attn_norm.weight": theirs + "input_layernorm",
            f"blocks.{i}.qkv.weight": theirs + "self_attn.q_proj self_attn.k_proj self_attn.v_proj",
            f"blocks.{i}.out.weight": theirs + "self_attn.o_proj",
            f"blocks.{i}.mlp_norm.weight": theirs + "post_attention_layernorm",
            f"blocks.{i}.gate_up.weight": theirs + "mlp.gate_proj mlp.up_proj",
            f"blocks.{i}.down.weight": theirs + "mlp.down_proj",
        }

    def fused(names: str) -> Tensor:
        first, *rest = names.split()
        prefix = first[: first.index(".", 7) + 1] if rest else ""
        return torch.cat([state[f"model.{n}.weight"] for n in (first, *(prefix + r for r in rest))])

    model.load_state_dict({name: fused(names) for name, names in ours.items()})
    return model.eval()


def sample_corpus(args: argparse.Namespace) -> None:
    """Writes about --tokens of the teacher's tokens as stories, one JSON string per line."""
    from transformers import AutoTokenizer

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.teacher)
    teacher = load_teacher(args.teacher).to(torch.bfloat16)
    stop = {BOS, EOS}  # the teacher separates stories by its start token
    tokens, began = 0, time.time()
    with args.out.open("w", encoding="utf-8") as out:
        while tokens < args.tokens:
            for row in generate(teacher, args.batch, args.temperature, stop):
                tokens += len(row)
                story = str(tokenizer.decode(row)).strip()
                if len(story) > 99 and story[-1] in '.!?"' and "<unk>" not in story:
                    out.write(json.dumps(story, ensure_ascii=False) + "\n")
            out.flush()
            rate = tokens / (time.time() - began)
            print(f"{tokens / 1e6:.2f} M tokens, {rate:.0f} tokens/s")


def read_stories(files: list[Path]) -> tuple[list[str], list[str]]:
    """The stories to learn from and the held-out ones."""
    stories = [json.loads(line) for file in files for line in file.open(encoding="utf-8")]
    train = [story for i, story in enumerate(stories) if i % HELD_OUT]
    return train, stories[::HELD_OUT]


def train_tokenizer(args: argparse.Namespace) -> None:
    """Trains the SentencePiece model; decoding gives the encoded text back exactly."""
    stories, held_out = read_stories(args.corpus)
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter("\n".join(stories)[: args.characters].split("\n")),
        model_writer=model,
        model_type="bpe",
        vocab_size=args.vocab_size,
        byte_fallback=True,  # bytes also spell the newline: no text lacks a token
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        pad_id=-1,
        num_threads=1,
        minloglevel=1,
    )
    args.out.write_bytes(model.getvalue())
    processor = spm.SentencePieceProcessor(model_file=str(args.out))
    for text in (*held_out, "  two  spaces \n\n tabs\t, émigré, 日本 🙂 ", " \n"):
        assert processor.decode(processor.encode(text)) == text, text
    tokens = sum(map(len, processor.encode(held_out)))
    print(f"{sum(map(len, held_out)) / tokens:.2f} characters per token")


def token_stream(processor: spm.SentencePieceProcessor, stories: list[str]) -> Tensor:
    """All stories in one row, each between BOS and EOS."""
    rows = processor.encode(stories, add_bos=True, add_eos=True, num_threads=2)
    return torch.from_numpy(np.concatenate([np.asarray(row, np.int64) for row in rows]))


@torch.inference_mode()
def evaluate(model: Llama, processor: spm.SentencePieceProcessor, stories: list[str]) -> Tensor:
    """Loss and entropy in bits per token over the beginnings of stories."""
    total, count = torch.zeros(2, dtype=torch.float64), 0
    rows = [torch.tensor(r) for r in processor.encode(stories, add_bos=True, add_eos=True)]
    for i in range(0, len(rows), 64):
        batch = nn.utils.rnn.pad_sequence(rows[i : i + 64], batch_first=True, padding_value=-1)
        batch = batch[:, : model.c.context + 1]
        target = batch[:, 1:].flatten()
        logp = F.log_softmax(model(batch[:, :-1].clamp(min=0)).flatten(0, 1)[target >= 0], dim=-1)
        target = target[target >= 0]
        total[0] += F.nll_loss(logp, target, reduction="sum")
        total[1] -= (logp.exp() * logp).sum()
        count += len(target)
    return total / (count * math.log(2))


def train(args: argparse.Namespace) -> None:
    """Trains the student, quantises it, writes it and reports on held-out stories."""
    torch.manual_seed(args.seed)
    processor = spm.SentencePieceProcessor(model_file=str(args.tokenizer))
    stories, held_out = read_stories(args.corpus)
    stream = token_stream(processor, stories)
    model = Llama(Config(vocab_size=processor.vocab_size()))
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    optimizers = (
        torch.optim.Muon(matrices, args.lr, adjust_lr_fn="match_rms_adamw", weight_decay=0.1),
        torch.optim.AdamW(others, args.lr, betas=(0.9, 0.95), weight_decay=0.0),
    )
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters, {len(stream)} training tokens")

    forward = torch.compile(model) if args.compile else model
    window = torch.arange(model.c.context + 1)
    began, first = time.time(), 0
    if args.checkpoint.exists():
        state = torch.load(args.checkpoint)
        first = state["step"]
        torch.set_rng_state(state["random"])
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    for step in range(first, args.steps):
        if step % 100 == 0 and step > first:
            state = {"step": step, "random": torch.get_rng_state(), "model": model.state_dict()}
            state["optimizers"] = [optimizer.state_dict() for optimizer in optimizers]
            torch.save(state, args.checkpoint)
        rate = min(1, (step + 1) / args.warmup, (args.steps - step) / args.decay)
        start = torch.randint(len(stream) - len(window), (args.batch, 1))
        rows = stream[start + window]
        # What follows the end of a story is another story's start: nothing to learn.
        target = rows[:, 1:].masked_fill(rows[:, 1:] == BOS, -100)
        with torch.autocast("cpu", torch.bfloat16):
            logits = forward(rows[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = args.lr * rate
            optimizer.step()  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
        if step % 50 == 49:
            seconds = time.time() - began
            speed = (step + 1 - first) * args.batch * model.c.context / seconds
            bits = loss.item() / math.log(2)
            print(f"step {step + 1}: {bits:.3f} bits, {seconds:.0f} s, {speed:.0f} tokens/s")

    model.eval()
    tensors = quantise(model)
    before, _ = evaluate(model, processor, held_out).tolist()
    load_quantised(model, tensors)
    after, entropy = evaluate(model, processor, held_out).tolist()
    print(f"held-out bits per token: {before:.4f}, as int8 {after:.4f}; entropy {entropy:.4f}")
    metadata = {name: str(value) for name, value in asdict(model.c).items()}
    metadata |= {"format": FORMAT, "bos": str(BOS), "eos": str(EOS)}
    save_file(tensors, args.out, metadata=metadata)


def quantise(model: Llama) -> dict[str, Tensor]:
    """Matrices as int8 with one float scale per row; norms stay float32."""
    tensors: dict[str, Tensor] = {}
    for key, parameter in model.named_parameters():
        name, value = key.removesuffix(".weight"), parameter.detach()
        if value.ndim == 2:
            scale = value.abs().amax(dim=1) / 127
            tensors[name + ".scale"] = scale
            value = (value / scale[:, None].clamp(min=1e-12)).round().to(torch.int8)
        tensors[name] = value
    return tensors


def load_quantised(model: Llama, tensors: dict[str, Tensor]) -> None:
    """Puts quantised weights back into a float model."""
    state = {}
    for name, value in tensors.items():
        if not name.endswith(".scale"):
            scale = tensors.get(name + ".scale")
            state[name + ".weight"] = value if scale is None else value.float() * scale[:, None]
    model.load_state_dict(state)


def show(args: argparse.Namespace) -> None:
    """Prints stories of the finished model and the logits that the C++ test compares with."""
    torch.manual_seed(args.seed)
    with safe_open(args.model, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kinds: dict[str, Any] = {"int": int, "float": float}
    config = Config(**{f.name: kinds[str(f.type)](metadata[f.name]) for f in fields(Config)})
    model = Llama(config).eval()
    load_quantised(model, tensors)
    processor = spm.SentencePieceProcessor(model_file=str(args.tokenizer))
    for row in generate(model, args.stories, args.temperature, {EOS}):
        print(processor.decode(row), end="\n\n")
    tokens = processor.encode(args.prompt, add_bos=True)
    with torch.inference_mode():
        logits = model(torch.tensor([tokens]))[0, -1]
    print("tokens", tokens, "logits 0, 97, ...:", [round(v, 5) for v in logits[::97].tolist()])
    print("largest", logits.argmax().item(), "log sum exp", round(logits.logsumexp(0).item(), 5))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stages = parser.add_subparsers(required=True)

    s = stages.add_parser("sample", help="sample stories from the teacher")
    s.add_argument("--teacher", type=Path, required=True, help="Hugging Face folder")
    s.add_argument("--out", type=Path, required=True, help="JSON lines file to write")
    s.add_argument("--tokens", type=int, default=6_000_000)
    s.add_argument("--temperature", type=float, default=0.9)
    s.add_argument("--batch", type=int, default=768)
    s.add_argument("--threads", type=int, default=1)
    s.add_argument("--seed", type=int, required=True)
    s.set_defaults(run=sample_corpus)

    s = stages.add_parser("tokenizer", help="train the tokenizer on the corpus")
    s.add_argument("--corpus", type=Path, nargs="+", required=True)
    s.add_argument("--out", type=Path, required=True, help="SentencePiece model to write")
    s.add_argument("--vocab-size", type=int, default=2048)
    s.add_argument("--characters", type=int, default=4_000_000, help="how much text to look at")
    s.set_defaults(run=train_tokenizer)

    s = stages.add_parser("train", help="train, quantise and write the model")
    s.add_argument("--corpus", type=Path, nargs="+", required=True)
    s.add_argument("--tokenizer", type=Path, required=True)
    s.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    s.add_argument("--checkpoint", type=Path, required=True, help="written as it goes; resumed")
    s.add_argument("--steps", type=int, default=3200)
    s.add_argument("--warmup", type=int, default=100, help="steps of rising learning rate")
    s.add_argument("--decay", type=int, default=600, help="last steps, of falling learning rate")
    s.add_argument("--batch", type=int, default=32)
    s.add_argument("--lr", type=float, default=3e-3)
    s.add_argument("--compile", action="store_true", help="needs a C++ compiler; faster")
    s.add_argument("--seed", type=int, default=1)
    s.set_defaults(run=train)

    s = stages.add_parser("show", help="print stories and reference logits of a finished model")
    s.add_argument("--model", type=Path, required=True)
    s.add_argument("--tokenizer", type=Path, required=True)
    s.add_argument("--stories", type=int, default=3)
    s.add_argument("--temperature", type=float, default=1.0)
    s.add_argument("--prompt", default="Once upon a time")
    s.add_argument("--seed", type=int, default=1)
    s.set_defaults(run=show)

    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    args.run(args)


if __name__ == "__main__":
    main()
