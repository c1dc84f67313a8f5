"""Buffers, the GIL, errors and names of the embedding side; the rules themselves are C++ tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import countermark as cm
from conftest import VOCAB, row

ml_dtypes = pytest.importorskip("ml_dtypes")


def test_select_is_pure_and_observe_moves(sampler: cm.Sampler) -> None:
    sequence = sampler.sequence(seed=1)
    first = sequence.select(row(0), temperature=0.8)
    assert sequence.select(row(0), temperature=0.8) == first
    assert len(sequence) == 0
    sequence.observe(first)
    assert list(sequence.tokens) == [first]


def test_the_same_distribution_in_three_types_gives_the_same_tokens(sampler: cm.Sampler) -> None:
    sequence = sampler.sequence(seed=1, response_so_far=range(30))
    halves = row(3).astype(np.float16)
    assert sequence.select(halves) == sequence.select(halves.astype(np.float32))
    brains = row(3).astype(ml_dtypes.bfloat16)
    assert sequence.select(brains) == sequence.select(brains.astype(np.float32))


def test_torch_tensors_are_read_where_they_lie(sampler: cm.Sampler) -> None:
    torch = pytest.importorskip("torch")
    sequence = sampler.sequence(seed=1, response_so_far=range(30))
    values = torch.from_numpy(row(3))
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        tensor = values.to(dtype)
        assert sequence.select(tensor) == sequence.select(tensor.float().numpy())
    # A view into a wider batch, as servers have it.
    batch = torch.zeros(3, VOCAB + 24)
    batch[1, :VOCAB] = values
    assert sequence.select(batch[1]) == sequence.select(row(3))
    with pytest.raises(cm.CountermarkError, match=r"each row of logits must be contiguous"):
        sequence.select(torch.zeros(VOCAB, 2)[:, 0])
    with pytest.raises(cm.CountermarkError, match="got DLPack type"):
        sequence.select(values.double())
    sequence.observe(torch.tensor(5))
    sequence.observe(np.int64(6))
    assert list(sequence.tokens[-2:]) == [5, 6]
    detector_input = torch.arange(30)
    assert len(sampler.sequence(response_so_far=detector_input)) == 30


def test_a_tensor_is_released_after_the_call(sampler: cm.Sampler) -> None:
    released = []

    class Tensor:
        def __init__(self) -> None:
            self.array = row(0)

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.array.__dlpack_device__()

        def __dlpack__(self) -> Any:
            return self.array.__dlpack__()

        def __del__(self) -> None:
            released.append(True)

    tensor = Tensor()
    array = tensor.array
    import sys

    before = sys.getrefcount(array)
    sampler.sequence().select(tensor)
    assert sys.getrefcount(array) == before
    del tensor
    assert released


def test_a_batch_is_its_rows(sampler: cm.Sampler) -> None:
    alone = [sampler.sequence(seed=i) for i in range(5)]
    together = [sampler.sequence(seed=i) for i in range(5)]
    for step in range(40):
        rows = np.stack([row(100 * step + i) for i in range(5)])
        tokens = sampler.sample_batch(rows, together, temperature=0.9, top_p=0.9)
        singly = [s.sample(r, temperature=0.9, top_p=0.9) for s, r in zip(alone, rows, strict=True)]
        assert tokens.tolist() == singly
        assert tokens.dtype == np.int32


def test_a_batch_that_fails_moves_nothing(sampler: cm.Sampler) -> None:
    sequences = [sampler.sequence(seed=i) for i in range(3)]
    rows = np.stack([row(i) for i in range(3)])
    rows[2, 17] = np.nan
    with pytest.raises(cm.CountermarkError, match=r"row 2: logits\[17\] is NaN"):
        sampler.sample_batch(rows, sequences)
    with pytest.raises(cm.CountermarkError, match="row 1: the same sequence occurs twice"):
        sampler.sample_batch(rows[:2], [sequences[0], sequences[0]])
    with pytest.raises(cm.CountermarkError, match="3 rows for 2 sequences"):
        sampler.sample_batch(rows, sequences[:2])
    with pytest.raises(cm.CountermarkError, match="row 1: a token id is negative"):
        sampler.observe_batch(sequences, [1, -1, 2])
    assert [len(s) for s in sequences] == [0, 0, 0]


def test_a_kernel_draws_the_same_tokens_from_placements(ring: cm.KeyRing) -> None:
    """Emulates a GPU kernel with numpy integers: layers, seeds and accounts mean what they say."""
    sampler = cm.Sampler(ring, "named")
    sequences = [sampler.sequence(account=5, seed=0), sampler.sequence(seed=1)]
    seen = set()
    for step in range(80):
        rows = np.stack([row(step), row(step + 500)])
        layer, k1, k2, a1, a2 = sampler.placements(sequences)
        tokens = [s.select(r) for s, r in zip(sequences, rows, strict=True)]
        for i, token in enumerate(tokens):
            seen.add(int(layer[i]))
            if layer[i] == 0:
                assert [k1[i], k2[i], a1[i], a2[i]] == [0, 0, 0, 0]
                continue
            ids = np.arange(VOCAB, dtype=np.uint64)
            hashes = _mix(k1[i], k2[i], ids << np.uint64(32))
            if layer[i] == 3:
                hashes = _mix(a1[i], a2[i], hashes)
            uniform = ((hashes >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
            weights = np.exp(rows[i].astype(np.float64) - rows[i].max())
            assert token == np.argmin(-np.log(uniform) / weights)
        sampler.observe_batch(sequences, tokens)
    assert seen == {0, 1, 2, 3}
    assert sequences[0].stats.marked > 0


def _mix(k1: np.uint64, k2: np.uint64, x: Any) -> Any:
    def rotl(z: Any, n: int) -> Any:
        return (z << np.uint64(n)) | (z >> np.uint64(64 - n))

    prime = np.uint64(0x9FB21C651E98DF25)
    z = x ^ k1
    z = z ^ rotl(z, 49) ^ rotl(z, 24)
    z = z * prime
    z = z ^ (((z >> np.uint64(35)) + np.uint64(8)) ^ k2)
    z = z * prime
    return z ^ (z >> np.uint64(28))


def test_temperature_0_says_that_it_marks_nothing(sampler: cm.Sampler) -> None:
    sequence = sampler.sequence()
    for step in range(50):
        assert sequence.sample(row(step), temperature=0) == int(np.argmax(row(step)))
    stats = sequence.stats
    assert (stats.marked, stats.greedy, stats.is_marked) == (0, 50, False)
    assert stats.expected_log10_p == 0
    assert "NOT MARKED" in repr(stats)
    assert stats.as_dict()["is_marked"] is False


def test_candidates_are_drawn_and_pads_are_not_looked_at(sampler: cm.Sampler) -> None:
    sequences = [sampler.sequence(seed=i, response_so_far=range(30)) for i in range(2)]
    ids = [[5, 9, -1], [700, 3, 8]]
    weights = [[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]
    single = [sequences[0].select_candidates([5, 9], [0.5, 0.5])]
    single.append(sequences[1].select_candidates(np.array(ids[1]), np.array(weights[1])))
    assert sampler.sample_candidates_batch(ids, weights, sequences).tolist() == single


def test_rollback_and_fork(sampler: cm.Sampler) -> None:
    sequence = sampler.sequence(seed=3)
    for step in range(60):
        sequence.sample(row(step))
    before = sequence.select(row(60))
    copy = sequence.fork(seed=4)
    for step in range(60, 70):
        sequence.sample(row(step))
    sequence.rollback(10)
    # A narrow or wide position gives the same token again.
    assert sequence.select(row(60)) == before
    assert list(copy.tokens) == list(sequence.tokens)
    with pytest.raises(cm.CountermarkError, match=r"count must be in 0\.\.60, got 61"):
        sequence.rollback(61)


def _sequence(sampler: cm.Sampler) -> cm.Sequence:
    return sampler.sequence(seed=1, response_so_far=range(30))


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (
            lambda s: s.select(row(0)[:999]),
            "size_mismatch",
            "at least vocab_size = 1000 values, got 999",
        ),
        (lambda s: s.select(np.r_[row(0)[:-1], np.float32("nan")]), "invalid_logits", r"\[999\]"),
        (lambda s: s.select(np.r_[np.float32("inf"), row(0)[1:]]), "invalid_logits", r"is \+inf"),
        (
            lambda s: s.select(np.full(VOCAB, -np.inf, np.float32)),
            "no_candidate",
            "no candidate is left",
        ),
        (lambda s: s.select(row(0).astype(float)), "invalid_option", "float64"),
        (lambda s: s.select(row(0).byteswap().view(row(0).dtype.newbyteorder())), "", "byte order"),
        (lambda s: s.select(np.stack([row(0)])), "size_mismatch", r"1 dimension .*got 2"),
        (lambda s: s.select(row(0)[::2]), "invalid_option", "stride of 2"),
        (lambda s: s.select([1.0] * VOCAB), "invalid_option", "got list"),
        (lambda s: s.select(row(0), temperature=-1), "invalid_option", "temperature .* got -1"),
        (lambda s: s.select(row(0), temperature=float("nan")), "invalid_option", "got nan"),
        (lambda s: s.select(row(0), top_k=-1), "invalid_option", "top_k .* got -1"),
        (lambda s: s.select(row(0), top_p=0), "invalid_option", r"top_p .* \(0, 1\], got 0"),
        (lambda s: s.select(row(0), min_p=1.5), "invalid_option", "min_p .* got 1.5"),
        (lambda s: s.select_candidates([1, 2], [0.0, 0.0]), "no_candidate", "every weight is 0"),
        (lambda s: s.select_candidates([], []), "no_candidate", "no candidate"),
        (lambda s: s.select_candidates([1, 2], [1.0, -0.5]), "invalid_weights", "negative"),
        (lambda s: s.select_candidates([1, 2], [1.0, np.nan]), "invalid_weights", "NaN"),
        (lambda s: s.select_candidates([1, 1], [0.5, 0.5]), "duplicate_candidate", "twice"),
        (lambda s: s.select_candidates([1, 1000], [0.5, 0.5]), "token_out_of_range", "vocab_size"),
        (lambda s: s.select_candidates([1], [0.5, 0.5]), "size_mismatch", "1 entries .* 2"),
        (lambda s: s.select_candidates([0.5, 1], [0.5, 0.5]), "invalid_option", "integers"),
        (lambda s: s.observe(-1), "token_out_of_range", r"token is -1, .* 0\.\.999"),
        (lambda s: s.observe(1000), "token_out_of_range", r"token is 1000, .* 0\.\.999"),
    ],
)
def test_what_is_refused_leaves_the_sequence_alone(
    sampler: cm.Sampler, call: Callable[[cm.Sequence], Any], code: str, message: str
) -> None:
    sequence = _sequence(sampler)
    before = sequence.select(row(1))
    with pytest.raises(cm.CountermarkError, match=message) as caught:
        call(sequence)
    assert caught.value.code == (code or "invalid_option")
    assert isinstance(caught.value, ValueError)
    assert len(sequence) == 30
    assert sequence.select(row(1)) == before


def test_accounts_go_with_profiles_that_have_them(ring: cm.KeyRing) -> None:
    with pytest.raises(cm.CountermarkError, match='"prod" has no accounts'):
        cm.Sampler(ring, "prod").sequence(account=1)
    tokens = [
        [s.sample(row(step)) for step in range(60)]
        for s in (
            cm.Sampler(ring, "named").sequence(account=a, seed=0) for a in (None, 0, 2**64 - 1)
        )
    ]
    assert len({tuple(t) for t in tokens}) == 3


def test_response_so_far_is_observed(sampler: cm.Sampler) -> None:
    observed = sampler.sequence(seed=1)
    for token in range(30):
        observed.observe(token)
    assert sampler.sequence(seed=1, response_so_far=range(30)).select(row(0)) == observed.select(
        row(0)
    )
    with pytest.raises(cm.CountermarkError, match=r"response_so_far\[1\] is -3"):
        sampler.sequence(response_so_far=[1, -3])


def test_a_sequence_in_use_by_another_thread_is_refused() -> None:
    big = np.zeros(5_000_000, np.float32)
    ring = cm.KeyRing.generate()
    ring.create_profile("wide")
    sequence = cm.Sampler(ring, "wide").sequence()
    # So low a temperature takes its time: long enough for this thread to come to its turn.
    worker = threading.Thread(target=sequence.select, args=(big,), kwargs={"temperature": 1e-15})
    worker.start()
    refused = False
    while worker.is_alive() and not refused:
        try:
            len(sequence)
        except cm.CountermarkError as error:
            refused = "in use by another thread" in str(error)
    worker.join()
    assert refused


def test_long_calls_release_the_gil() -> None:
    ring = cm.KeyRing.generate()
    ring.create_profile("wide")
    sequence = cm.Sampler(ring, "wide").sequence()
    # So low a temperature is left to the definition, which weighs every logit and takes its time.
    logits = np.zeros(10_000_000, np.float32)
    assert_releases_the_gil(lambda: sequence.select(logits, temperature=1e-15))
    text = np.random.default_rng(1).integers(0, 100_000, 4_000_000, dtype=np.int32)
    detector = cm.Detector(ring)
    assert_releases_the_gil(lambda: detector.detect_many([text], threads=1))


def assert_releases_the_gil(call: Callable[[], object]) -> None:
    # The longest pause of a spinning thread tells: with the GIL held it would be the whole call.
    longest = 0.0
    stop = threading.Event()

    def spin() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not stop.is_set():
            now = time.perf_counter()
            longest = max(longest, now - last)
            last = now

    spinner = threading.Thread(target=spin)
    spinner.start()
    start = time.perf_counter()
    call()
    took = time.perf_counter() - start
    stop.set()
    spinner.join()
    assert longest < took / 2


def test_sequences_that_nobody_else_holds_stay_alive(sampler: cm.Sampler) -> None:
    rows = np.stack([row(i) for i in range(4)])
    alone = sampler.sample_batch(rows, [sampler.sequence(seed=i) for i in range(4)])
    drawn = sampler.sample_batch(rows, (sampler.sequence(seed=i) for i in range(4)))
    assert drawn.tolist() == alone.tolist()
    assert len(sampler.placements(sampler.sequence() for _ in range(3))[0]) == 3
    sampler.observe_batch((sampler.sequence() for _ in range(2)), [1, 2])
    with pytest.raises(cm.CountermarkError, match="must be a list of Sequence"):
        sampler.placements([sampler.sequence(), None])  # type: ignore[list-item]


def test_shapes_of_candidates_must_match(sampler: cm.Sampler) -> None:
    sequences = [sampler.sequence() for _ in range(2)]
    with pytest.raises(cm.CountermarkError, match=r"ids must have the shape of weights, \[2, 3\]"):
        sampler.sample_candidates_batch(np.ones((3, 2), int), np.ones((2, 3)), sequences)
    with pytest.raises(cm.CountermarkError, match=r"weights must have the shape \[2, width\]"):
        sampler.sample_candidates_batch([1, 2], [0.5, 0.5], sequences)


def test_a_refused_tensor_is_given_back(sampler: cm.Sampler) -> None:
    torch = pytest.importorskip("torch")
    import weakref

    class Storage(np.ndarray):
        pass

    array = np.zeros(VOCAB, np.float64).view(Storage)
    watch = weakref.ref(array)
    with pytest.raises(cm.CountermarkError, match="got DLPack type"):
        sampler.sequence().select(torch.from_numpy(array))
    del array
    assert watch() is None
    with pytest.raises(cm.CountermarkError, match="cannot be read through DLPack"):
        sampler.sequence().select(torch.zeros(VOCAB, requires_grad=True))


def test_rows_out_of_alignment_are_refused(sampler: cm.Sampler) -> None:
    raw = np.zeros(4 * VOCAB + 1, np.uint8)
    with pytest.raises(cm.CountermarkError, match="aligned"):
        sampler.sequence().select(np.frombuffer(raw, np.float32, VOCAB, offset=1))
    ids = np.frombuffer(raw, np.int32, 30, offset=1)
    assert len(sampler.sequence(response_so_far=ids)) == 30


def test_a_batch_may_mix_profiles_during_a_rotation(ring: cm.KeyRing) -> None:
    old, new = cm.Sampler(ring, "prod"), cm.Sampler(ring, "named")
    rows = np.stack([row(0), row(1)])
    mixed = new.sample_batch(
        rows, [old.sequence(seed=0, response_so_far=range(30)), new.sequence(seed=1)]
    )
    assert mixed[0] == old.sequence(seed=0, response_so_far=range(30)).select(rows[0])
