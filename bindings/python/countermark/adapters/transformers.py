"""Mark what a Hugging Face transformers model generates.

>>> from countermark.adapters.transformers import MarkingProcessor     # doctest: +SKIP
>>> marker = MarkingProcessor(sampler, temperature=0.8, top_p=0.95)    # doctest: +SKIP
>>> model.generate(**inputs, do_sample=False, logits_processor=[marker])  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import torch
from transformers import LogitsProcessor

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
            self._begin(len(input_ids))
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

    def _begin(self, batch: int) -> None:
        accounts = [None] * batch if self._accounts is None else list(self._accounts)
        if len(accounts) != batch:
            raise CountermarkError(
                f"accounts has {len(accounts)} entries for {batch} rows", "size_mismatch"
            )
        for row, account in enumerate(accounts):
            seed = None if self._seed is None else self._seed + row
            self.sequences.append(self.sampler.sequence(account=account, seed=seed))
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
