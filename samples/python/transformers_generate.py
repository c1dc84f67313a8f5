"""Mark the answers of any Hugging Face causal model, and find the mark in their decoded text.

    python samples/python/transformers_generate.py MODEL [--prompt TEXT] [--answers N]

MODEL is a folder or a hub name that AutoModelForCausalLM can read.
"""

from __future__ import annotations

import argparse

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import countermark as cm
from countermark.adapters.transformers import MarkingProcessor


def main() -> int:
    """Generate, decode, detect; return 0 if every answer's text carries the mark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder or hub name")
    parser.add_argument("--prompt", default="", help="default: the model's start token alone")
    parser.add_argument("--answers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    arguments = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model)
    ring = cm.KeyRing.generate()  # a provider opens its own: cm.KeyRing.open("keys.json")
    ring.create_profile("prod", tokenizer=tokenizer)
    sampler = cm.Sampler(ring, "prod")

    prompt = tokenizer(arguments.prompt, return_tensors="pt").input_ids
    if prompt.shape[1] == 0:
        prompt = torch.tensor([[tokenizer.bos_token_id]])
    marker = MarkingProcessor(
        sampler,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        eos_token_id=model.generation_config.eos_token_id,
    )
    output = model.generate(
        prompt.repeat(arguments.answers, 1),
        max_new_tokens=arguments.tokens,
        do_sample=False,  # the marker draws
        logits_processor=[marker],
    )
    marker.finish(output)

    detector = cm.Detector(ring)
    found = 0
    for row, sequence in zip(output, marker.sequences, strict=True):
        text = tokenizer.decode(row[prompt.shape[1] :], skip_special_tokens=True)
        detection = detector.detect_text(text, tokenizer)
        found += detection.verdict == "marked"
        print(
            f"{text[:70]!r}...\n  {detection.verdict}: log10 p = {detection.log10_p:.1f} "
            f"(expected {sequence.stats.expected_log10_p:.1f}), {sequence.stats}"
        )
    print(f"{found} of {arguments.answers} answers are found from their text")
    return 0 if found == arguments.answers else 1


if __name__ == "__main__":
    raise SystemExit(main())
