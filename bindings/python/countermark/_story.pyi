"""The embedded story model, compiled. Wrapped by :class:`countermark.story.Story`."""

from collections.abc import Sequence as _Sequence
from os import PathLike

import numpy as np
import numpy.typing as npt

class Model:
    """Weights and shape. Immutable."""

    @staticmethod
    def load(safetensors: str | PathLike[str]) -> Model:
        """Read the weights. Raises RuntimeError that names the file and what is wrong with it."""
    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
    @property
    def context(self) -> int:
        """How many of the latest tokens a prediction can see."""
    @property
    def bos(self) -> int:
        """The token that a response starts with."""
    @property
    def eos(self) -> int:
        """The token that ends a story."""

class Sequence:
    """The key-value cache of one response."""

    def __init__(self, model: Model) -> None: ...
    def __len__(self) -> int: ...

def step(
    model: Model, sequences: _Sequence[Sequence], tokens: _Sequence[int]
) -> npt.NDArray[np.float32]:
    """Append ``tokens[i]`` to ``sequences[i]``; return the logits after it, [batch, vocab]."""
