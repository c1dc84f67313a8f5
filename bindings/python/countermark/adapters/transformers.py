"""Mark what a Hugging Face transformers model generates, and detect with such a model at hand.

>>> from countermark.adapters.transformers import MarkingProcessor     # doctest: +SKIP
>>> marker = MarkingProcessor(sampler, temperature=0.8, top_p=0.95)    # doctest: +SKIP
>>> model.generate(**inputs, do_sample=False, logits_processor=[marker])  # doctest: +SKIP

>>> knower = LanguageModel(model)                                       # doctest: +SKIP
>>> detector.detect(ids, proxy=knower.proxy(temperature=0.8))           # doctest: +SKIP
>>> detector.replay(prompt_ids, ids, knower.logits, temperature=0.8)    # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Many
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from countermark._core import Sampler, Sequence
from countermark._errors import CountermarkError


class MarkingProcessor(LogitsProcessor):  # type: ignore[misc]
    """A logits processor that draws the next token of each row, marked.

    The processor does the sampling: it leaves one finite score in each row, that of the token
    drawn, and ``generate(do_sample=False)`` takes it. Temperature and truncation are therefore
    given here, and not to ``generate``. Put it last in the list: what other processors forbid
    (-inf) is no candidate.

    A processor serves one call of ``generate`` (its ``sequences`` are the rows' responses
    afterwards); make a new one for the next. Beam search and assisted decoding reorder or reject
    rows behind its back, and are refused.

    Give ``eos_token_id`` (``model.generation_config.eos_token_id``) where answers may end early:
    what ``generate`` fills a finished row with is then left out of its sequence.

    ``accounts`` holds one account for each row (None: no account) where the profile has accounts.
    ``seed`` makes the free draws repeatable: row i draws with seed + i.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        accounts: Many[int | None] | None = None,
        eos_token_id: int | Many[int] | None = None,
        seed: int | None = None,
    ) -> None:
        self.sampler = sampler
        self.sequences: list[Sequence] = []
        self._options: dict[str, Any] = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
        }
        self._accounts = accounts
        self._seed = seed
        ends = [eos_token_id] if isinstance(eos_token_id, int) else eos_token_id or ()
        self._ends = frozenset(ends)
        self._open: list[bool] = []
        self._seen: torch.Tensor | None = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Draw a token for each row of ``scores`` [batch, vocab]; leave only its score finite."""
        if self._seen is None:
            self._begin(input_ids)
        else:
            self._observe(input_ids)
        self._seen = input_ids.clone()

        rows = [i for i, is_open in enumerate(self._open) if is_open]
        drawn = torch.full_like(scores, float("-inf"))
        # A row that has ended is filled with padding by generate(), whatever stands here.
        drawn[:, 0] = 0.0
        logits = scores.detach().to("cpu").contiguous()
        for row in rows:
            token = self.sequences[row].select(logits[row], **self._options)
            drawn[row, 0] = float("-inf")
            drawn[row, token] = 0.0
        return drawn

    def finish(self, output_ids: Any) -> None:
        """Observe the last token of each row of what ``generate`` returned.

        ``generate`` ends without asking for another token, so the statistics of ``sequences``
        lack the last one until this is called. Detection does not need it.
        """
        if self._seen is not None and output_ids.shape[1] == self._seen.shape[1] + 1:
            self._observe(output_ids)
            self._seen = output_ids.clone()

    def _begin(self, input_ids: Any) -> None:
        batch = len(input_ids)
        accounts = [None] * batch if self._accounts is None else list(self._accounts)
        if len(accounts) != batch:
            raise CountermarkError(
                f"accounts has {len(accounts)} entries for {batch} rows", "size_mismatch"
            )
        for row, account in enumerate(accounts):
            seed = None if self._seed is None else self._seed + row
            # Some engines' marks take contexts from the prompt; our own does not look at it.
            prompt = () if self.sampler.profile.commitment else input_ids[row].tolist()
            self.sequences.append(self.sampler.sequence(account=account, seed=seed, prompt=prompt))
        self._open = [True] * batch

    def _observe(self, input_ids: Any) -> None:
        seen = self._seen
        assert seen is not None
        if input_ids.shape[0] != seen.shape[0] or input_ids.shape[1] != seen.shape[1] + 1:
            raise CountermarkError(
                f"the rows changed from {tuple(seen.shape)} to {tuple(input_ids.shape)} tokens: a "
                "MarkingProcessor serves one call of generate(), one token at a time",
                "size_mismatch",
            )
        if not torch.equal(input_ids[:, :-1], seen):
            raise CountermarkError(
                "the rows were reordered or rewritten since the last step: beam search and "
                "assisted decoding cannot be marked here",
                "invalid_option",
            )
        for row, token in enumerate(input_ids[:, -1].tolist()):
            if self._open[row]:
                self.sequences[row].observe(token)
                self._open[row] = token not in self._ends


class LanguageModel:
    """A causal language model that says what it thinks of a text.

    ``context`` is the most tokens it reads at once (the model's own limit by default); longer texts
    are read in windows that overlap by half. ``bos_token_id`` goes before a text without a prompt
    (the model's own by default); without one its first token is taken for as likely as any.
    """

    def __init__(
        self, model: Any, *, context: int | None = None, bos_token_id: int | None = None
    ) -> None:
        self.model = model
        limit = getattr(model.config, "max_position_embeddings", None) or 4096
        self.context = min(context or limit, limit)
        if self.context < 2:
            raise CountermarkError(f"context must be 2 or more, got {context}", "invalid_option")
        bos = getattr(model.config, "bos_token_id", None)
        self.bos_token_id = bos if bos_token_id is None else bos_token_id

    def proxy(
        self,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        prompt_ids: Many[int] = (),
    ) -> Callable[[Any], Iterator[Any]]:
        """Return a proxy for ``Detector.detect``: the model's probabilities, chunk by chunk.

        Sampling parameters that differ from those of the text lower the power of the test and
        leave it valid; so does a missing prompt.
        """
        if not temperature > 0:
            raise CountermarkError(
                f"temperature must be above 0 for a proxy, got {temperature}", "invalid_option"
            )
        warpers = LogitsProcessorList([TemperatureLogitsWarper(float(temperature))])
        if top_k:
            warpers.append(TopKLogitsWarper(top_k))
        if top_p < 1:
            warpers.append(TopPLogitsWarper(top_p))
        if min_p > 0:
            warpers.append(MinPLogitsWarper(min_p))

        def probabilities(token_ids: Any) -> Iterator[Any]:
            for logits in self.logits(prompt_ids, token_ids):
                yield torch.softmax(warpers(None, logits.float()), dim=-1).cpu().numpy()

        return probabilities

    def logits(self, prompt_ids: Many[int], token_ids: Many[int]) -> Iterator[Any]:
        """Yield the logits [rows, vocab] of each token of ``token_ids``, in chunks.

        For ``Detector.replay``. Logits are what the model returns, before any sampling parameter.
        """
        before = [int(i) for i in prompt_ids]
        if not before and self.bos_token_id is not None:
            before = [self.bos_token_id]
        after = [int(i) for i in token_ids]
        ids = torch.tensor(before + after, device=self.model.device)
        first = len(before)
        if first == 0 and after:
            yield torch.zeros(1, self.model.config.vocab_size)  # no opinion
            first = 1
        while first < len(ids):
            # The token before the first one sees as much of the text as half a window.
            begin = max(0, first - max(1, self.context // 2))
            end = min(len(ids), begin + self.context + 1)
            with torch.inference_mode():
                output = self.model(ids[None, begin : end - 1], use_cache=False)
                yield output.logits[0, first - 1 - begin :].cpu()
            first = end
