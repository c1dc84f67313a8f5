"""The yardstick of the detection benchmark is the formula that vLLM publishes."""

import numpy as np
import pytest
from scipy.special import gammaincc

from philox_gumbel import detect, word


@pytest.mark.parametrize(
    ("context", "token", "expected"),
    [
        ([1, 2, 3, 4], 7, 425429266),
        ([1, 2, 3, 4], 8, 2706218805),
        ([4, 5, 6, 7], 7, 2494036831),
        ([4, 5, 6, 7], 8, 3424185538),
    ],
)
def test_words_are_those_of_vllm(context: list[int], token: int, expected: int) -> None:
    assert word(context, token, 42) == expected


def test_the_p_value_is_the_gamma_tail_of_each_context_scored_once() -> None:
    tokens = np.random.default_rng(1).integers(0, 1000, 60).tolist()
    padded = [-1] * 4 + tokens
    score = 0.0
    for i, token in enumerate(tokens):
        u = np.float32(((word(padded[i : i + 4], token, 42) >> 8) + 1) / (2**24 + 1))
        score -= np.log1p(-np.float64(u))
    assert detect(tokens, 42) == pytest.approx(gammaincc(60, score), rel=1e-9)
    # The second half repeats the first: the contexts at its seam alone are new.
    again = detect(tokens + tokens, 42)
    assert 0.0 < again < 1.0
    assert again == pytest.approx(detect(tokens + tokens[:4], 42), rel=1e-9)
