"""The compiled convolution against plain loops and torch: values and derivatives of any order."""

import numpy as np
import pytest
import torch

from mlpotential.errors import RunError
from mlpotential.nn import cfconv, convolution_library
from mlpotential.nn.compiled_cfconv import compiled_convolution, compiled_pair_product

pytestmark = pytest.mark.skipif(convolution_library.library() is None, reason="not compiled")


def case(dtype=torch.float64, width=5, n_atoms=7, n_pairs=23):
    """Random features, filters and pairs, one of an atom with its own image."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n_atoms, width, generator=generator, dtype=dtype)
    filters = torch.randn(n_pairs, width, generator=generator, dtype=dtype)
    pairs = torch.randint(n_atoms, (2, n_pairs), generator=generator)
    pairs[:, 0] = pairs[0, 0]
    return features, filters, pairs


@pytest.mark.parametrize("width", [1, 5, 16, 130])
def test_against_a_loop(width):
    features, filters, pairs = case(width=width)
    expected = np.zeros(features.shape)
    for w, i, j in zip(filters.numpy(), *pairs.tolist(), strict=True):
        expected[i] += w * features[j].numpy()
        expected[j] += w * features[i].numpy()
    found = compiled_convolution(features, filters, pairs)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * abs(expected).max())
    products = compiled_pair_product(features, 2 * features, pairs)
    i, j = pairs
    np.testing.assert_allclose(products, 4 * features[i] * features[j], rtol=1e-14)


def test_derivatives():
    """To the second order of either, which together make third derivatives of the form."""
    features, filters, pairs = case(width=2, n_atoms=3, n_pairs=4)
    inputs = (features.requires_grad_(), filters.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, w: compiled_convolution(x, w, pairs), inputs)
    assert torch.autograd.gradgradcheck(lambda x, w: compiled_convolution(x, w, pairs), inputs)
    both = (features, features.detach().flip(0).requires_grad_())
    assert torch.autograd.gradgradcheck(lambda a, b: compiled_pair_product(a, b, pairs), both)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_as_torch(dtype, tolerance):
    features, filters, pairs = case(dtype, width=33, n_atoms=40, n_pairs=900)
    found = compiled_convolution(features, filters, pairs)
    expected = cfconv.continuous_filter_convolution(features, filters, pairs)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=30 * tolerance * abs(expected).max())


def test_rows_that_lie_apart_and_no_pairs():
    features, filters, pairs = case(width=6)
    found = compiled_convolution(features[:, ::2], filters.T.contiguous().T[:, :3], pairs)
    expected = cfconv.continuous_filter_convolution(features[:, ::2], filters[:, :3], pairs)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not compiled_convolution(features, filters[:0], pairs[:, :0]).any()


def test_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(convolution_library, "NUMBERS_OF_A_THREAD", 1)
    features, filters, pairs = case(torch.float32, width=130, n_atoms=40, n_pairs=900)
    answers, before = [], torch.get_num_threads()
    try:
        for n_threads in (1, 3, 64):
            torch.set_num_threads(n_threads)
            answers.append(compiled_convolution(features, filters, pairs))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(answer, answers[0]) for answer in answers)


def test_batched_gradients_take_the_other_way():
    """They cannot look into compiled loops; the numbers are the same."""
    features, filters, pairs = case(width=3, n_atoms=4)
    features.requires_grad_()
    energy = (compiled_convolution(features, filters, pairs) ** 2).sum()
    (gradient,) = torch.autograd.grad(energy, features, create_graph=True)
    units = torch.eye(gradient.numel(), dtype=gradient.dtype).reshape(-1, *gradient.shape)
    (rows,) = torch.autograd.grad(gradient, features, units, is_grads_batched=True)
    expected = torch.autograd.functional.hessian(
        lambda x: (cfconv.continuous_filter_convolution(x, filters, pairs) ** 2).sum(),
        features.detach(),
    )
    np.testing.assert_allclose(rows.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(convolution_library, "INTERFACE", 0)
    convolution_library.library.cache_clear()
    with pytest.raises(RunError, match="install the package anew"):
        compiled_convolution(*case())
    convolution_library.library.cache_clear()


def test_without_a_library_it_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(convolution_library, "find_library", lambda *_: None)
    convolution_library.library.cache_clear()
    features, filters, pairs = case()
    found = [compiled_convolution(features, filters, pairs) for _ in range(2)]
    convolution_library.library.cache_clear()
    assert [r.message.partition(":")[0] for r in caplog.records] == [
        "there is no compiled convolution"
    ]
    expected = cfconv.continuous_filter_convolution(features, filters, pairs)
    assert torch.equal(found[1], expected)
