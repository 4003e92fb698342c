"""What a caller's script has told torch as a whole, and what must not reach a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def own_torch_state() -> Iterator[None]:
    """Undoes, inside, what a script may have switched on around the call.

    - inference_mode: nothing could be differentiated, all forces would be zero;
    - autocast: products in half precision, forces wrong in the second digit;
    - a default device, on which tensors made on the way would land.

    As a context or as a decorator.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
