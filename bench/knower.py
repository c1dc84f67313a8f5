"""What a model thinks of the answers that were drawn from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from countermark.adapters.transformers import LanguageModel


class Knower(LanguageModel):
    """A model, some of whose tokens were forbidden as answers were drawn.

    Remembers the last text. Prompts are empty here.
    """

    def __init__(self, model: Any, forbidden: Sequence[int]) -> None:
        super().__init__(model)
        self._forbidden = torch.tensor(list(forbidden))
        self._read: tuple[list[int], torch.Tensor] | None = None

    def logits(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> Iterator[Any]:
        """Yield the logits of each token of ``token_ids``."""
        ids = [int(i) for i in token_ids]
        if self._read is None or self._read[0] != ids:
            rows = torch.cat(list(super().logits(prompt_ids, ids)))
            self._read = ids, rows.index_fill(1, self._forbidden, -torch.inf)
        yield self._read[1]
