"""The continuous-filter convolution as compiled loops on a CPU, with derivatives of any order.

With messages m, features b and a gradient a of m, all is one trilinear form,

    sum_p W_p . (a_i o b_j + a_j o b_i),                                                   (1)

so convolution (its derivative by a) and pair product (by W) are each other's derivatives: gradients
of a loss that holds forces need both, twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mlpotential.nn import cfconv, convolution_library


def compiled_convolution(features: Tensor, filters: Tensor, pair_index: Tensor) -> Tensor:
    """`cfconv.continuous_filter_convolution`, compiled where it can be, to rounding the same."""
    if _can_be_compiled(features, filters):
        messages: Tensor = _Convolution.apply(features, filters, pair_index)
        return messages
    return cfconv.continuous_filter_convolution(features, filters, pair_index)


def compiled_pair_product(first: Tensor, second: Tensor, pair_index: Tensor) -> Tensor:
    """`cfconv.pair_product`, compiled where it can be."""
    if _can_be_compiled(first, second):
        products: Tensor = _PairProduct.apply(first, second, pair_index)
        return products
    return cfconv.pair_product(first, second, pair_index)


def _can_be_compiled(first: Tensor, second: Tensor) -> bool:
    """Plain tensors of one dtype on the CPU; those of batched gradients are not."""
    return (
        first.device.type == second.device.type == "cpu"
        and first.dtype == second.dtype
        and first.dtype in convolution_library.NAMES
        and not any(map(torch._C._functorch.is_legacy_batchedtensor, (first, second)))
        and torch._C._functorch.maybe_current_level() is None
        and convolution_library.library() is not None
    )


class _Convolution(torch.autograd.Function):
    """m_i = sum_j b_j o W_ij."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, filters: Tensor, pair_index: Tensor) -> Tensor:
        ctx.save_for_backward(features, filters, pair_index)
        return convolution_library.convolve(features, filters, pair_index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, filters, pair_index = ctx.saved_tensors
        of_features = of_filters = None
        if ctx.needs_input_grad[0]:
            of_features = compiled_convolution(gradient, filters, pair_index)
        if ctx.needs_input_grad[1]:
            of_filters = compiled_pair_product(gradient, features, pair_index)
        return of_features, of_filters, None


class _PairProduct(torch.autograd.Function):
    """G_ij = a_i o b_j + a_j o b_i."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, pair_index: Tensor) -> Tensor:
        ctx.save_for_backward(first, second, pair_index)
        return convolution_library.product(first, second, pair_index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        first, second, pair_index = ctx.saved_tensors
        of_first = of_second = None
        if ctx.needs_input_grad[0]:
            of_first = compiled_convolution(second, gradient, pair_index)
        if ctx.needs_input_grad[1]:
            of_second = compiled_convolution(first, gradient, pair_index)
        return of_first, of_second, None
