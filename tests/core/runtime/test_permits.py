"""The flags that several loops share."""

from __future__ import annotations

from typing import cast

from granian_core.runtime.permits import Permits, SharedContext
from tests.compiled import interpreted


class Leaving:
    """A context whose server begins to drain just when another loop has looked."""

    def __init__(self) -> None:
        self.waiting: list[object] = []
        self.pressed = True
        self.attention = True
        self._draining = False

    @property
    def draining(self) -> bool:
        seen, self._draining = self._draining, True
        if not seen:
            self.attention = True
        return seen


@interpreted
def test_a_drain_that_begins_meanwhile_keeps_its_attention() -> None:
    permits = Permits(1)
    context = Leaving()
    permits.contexts.append(cast("SharedContext", context))
    assert permits.settle()
    assert not context.pressed
    assert context.attention
