"""Answers of a transformers model."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from countermark._core import Sampler, Sequence
from countermark._errors import CountermarkError
from countermark.story import Answer, require_tokenizer_of_model, unmarked_sampler
from countermark.tokenizers import Tokenizer

if TYPE_CHECKING:
    from countermark.adapters.transformers import LanguageModel

_BATCH = 8


class CausalModel:
    """A causal language model of transformers: a local folder, or a name on the hub."""

    def __init__(self, name: str) -> None:
        """Load model and tokenizer. Raises CountermarkError where transformers cannot."""
        try:
            import torch
            import transformers
        except ImportError as error:
            raise CountermarkError(
                f"{name} needs torch and transformers: pip install torch transformers ({error})"
            ) from error
        if name.startswith(("/", ".", "~")) and not Path(name).expanduser().is_dir():
            raise CountermarkError(f"there is no model at {name}", "file_failure")
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        name = str(Path(name).expanduser()) if name.startswith("~") else name
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(name)
            self._model = transformers.AutoModelForCausalLM.from_pretrained(
                name, torch_dtype="auto"
            )
        except (OSError, ValueError) as error:
            raise CountermarkError(
                f"cannot load the model {name}: {error}", "file_failure"
            ) from error
        self._torch = torch
        self._model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.tokenizer = Tokenizer(self._tokenizer, name.rstrip("/").rpartition("/")[2])

    def knower(self) -> LanguageModel:
        """Return what the model thinks of texts, for detection."""
        from countermark.adapters.transformers import LanguageModel

        return LanguageModel(self._model)

    @property
    def context(self) -> int:
        """The most tokens that it reads and writes in one go."""
        return getattr(self._model.config, "max_position_embeddings", None) or sys.maxsize

    @property
    def vocab_size(self) -> int:
        """How many tokens it has rows for."""
        return int(self._model.config.vocab_size)

    @property
    def has_chat_template(self) -> bool:
        """Whether it says how messages are put to it."""
        return bool(getattr(self._tokenizer, "chat_template", None))

    def encode(self, content: str | list[dict[str, Any]], *, chat: bool) -> list[int]:
        """Tokenise a prompt, through the chat template or as the text that it is."""
        if chat:
            by_user = [{"role": "user", "content": content}]
            rendered = self._tokenizer.apply_chat_template(
                by_user if isinstance(content, str) else content,
                add_generation_prompt=True,
                tokenize=False,
            )
            ids = self._tokenizer(rendered, add_special_tokens=False)["input_ids"]
        else:
            ids = self._tokenizer(content)["input_ids"]
        if not ids:
            begin = self._tokenizer.bos_token_id
            if begin is None:
                raise CountermarkError("this model cannot begin from nothing: give a --prompt")
            ids = [begin]
        return list(ids)

    def sample(
        self,
        prompts: list[list[int]],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float,
    ) -> list[tuple[str, str, int]]:
        """Answer each prompt as the model does by itself: text, why it ended, and tokens."""
        config = self._config(max_tokens)
        if temperature > 0:
            config.do_sample = True
            config.temperature, config.top_p, config.top_k = temperature, top_p, 0
        longest = max(map(len, prompts))
        pad = config.pad_token_id
        inputs = [[pad] * (longest - len(ids)) + ids for ids in prompts]
        known = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        device = self._model.device
        self._torch.seed()  # else every process draws alike
        with self._torch.inference_mode():
            outputs = self._model.generate(
                self._torch.tensor(inputs, device=device),
                attention_mask=self._torch.tensor(known, device=device),
                generation_config=config,
            )
        end_ids = config.eos_token_id
        ends = end_ids if isinstance(end_ids, list) else [end_ids]
        answers = []
        for ids in outputs[:, longest:].tolist():
            end = next((i for i, token in enumerate(ids) if token in ends), None)
            text = self.tokenizer.decode(ids[:end])
            answers.append((text, "length" if end is None else "stop", len(ids[:end])))
        return answers

    def generate(
        self,
        sampler: Sampler | None,
        prompt: str,
        count: int,
        *,
        max_tokens: int,
        options: dict[str, Any],
        account: int | None,
        seed: int | None,
        progress: Callable[[int], None],
        done: Callable[[Answer], None],
    ) -> list[Answer]:
        """Answer ``prompt`` ``count`` times, as :meth:`countermark.story.Story.generate` does."""
        if sampler is None:
            sampler = unmarked_sampler()
        else:
            require_tokenizer_of_model(sampler.profile, self.tokenizer)
        prompt_ids = self.read_prompt(prompt)
        answers: list[Answer] = []
        while len(answers) < count:
            first = None if seed is None else seed + len(answers)
            batch = min(_BATCH, count - len(answers))
            made = self._generate_batch(
                sampler, prompt_ids, batch, max_tokens, options, account, first
            )
            progress(sum(answer.stats.tokens for answer in made))
            for answer in made:
                done(answer)
            answers += made
        return answers

    def _generate_batch(
        self,
        sampler: Sampler,
        prompt_ids: list[int],
        batch: int,
        max_tokens: int,
        options: dict[str, Any],
        account: int | None,
        seed: int | None,
    ) -> list[Answer]:
        from countermark.adapters.transformers import MarkingProcessor

        config = self._config(max_tokens)  # the processor samples
        marking = MarkingProcessor(
            sampler,
            accounts=[account] * batch,
            eos_token_id=config.eos_token_id,
            seed=seed,
            **options,
        )
        inputs = self._torch.tensor([prompt_ids] * batch, device=self._model.device)
        with self._torch.inference_mode():
            outputs = self._model.generate(
                inputs,
                attention_mask=self._torch.ones_like(inputs),
                generation_config=config,
                logits_processor=[marking],
            )
        marking.finish(outputs)
        return [self._answer(sequence, config.eos_token_id) for sequence in marking.sequences]

    def _config(self, max_tokens: int) -> Any:
        # What the model's authors suggest for sampling is not for us.
        config = copy.deepcopy(self._model.generation_config)
        config.do_sample = False
        config.temperature = config.top_k = config.top_p = config.min_p = None
        config.max_length = None
        config.max_new_tokens = max_tokens
        if config.pad_token_id is None:
            config.pad_token_id = self._tokenizer.pad_token_id or 0
        return config

    def _answer(self, sequence: Sequence, ends: int | list[int] | None) -> Answer:
        ids = sequence.tokens
        if len(ids) and ids[-1] in (ends if isinstance(ends, list) else [ends]):
            ids = ids[:-1]
        return Answer(ids, self.tokenizer.decode(ids), sequence.stats)

    def read_prompt(self, prompt: str) -> list[int]:
        """Tokenise as the model expects it: through its chat template, where it has one."""
        return self.encode(prompt, chat=self.has_chat_template)
