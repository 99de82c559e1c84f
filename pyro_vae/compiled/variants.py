"""The forms of one step: one for each layout of its arguments and state of its program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyro_vae.compiled.backends import Replay, replay_of
from pyro_vae.compiled.capture import Capture, Outputs
from pyro_vae.core.errors import NotCapturable

__all__ = ["RARE", "Variant", "Variants"]

MOST = 8
RARE = 250
"""Steps of a rarer variant before it is captured, which cost about as much as a capture."""


@dataclass
class Variant:
    """Steps of one form: how they are made, and how many were Pyro's own."""

    first: bool = False
    made: int = 0
    refused: str = ""
    traced: Capture | None = None
    replay: Replay | None = None
    outputs: Outputs | None = None

    def compile(self, traced: Capture) -> None:
        """Compile a capture, or say why it cannot be."""
        try:
            self.replay, self.traced = replay_of(traced), None
        except Exception as error:  # whatever the compiler raises, the step has been made
            first = next(iter(str(error).splitlines()), "")
            self.refused = (
                f"Expected the captured step to compile, got {type(error).__name__}: {first}; on "
                f"a CPU a C++ compiler and room in the temporary folder are needed; or train with "
                f"Pyro's step"
            )


class Variants(dict[Any, Variant]):
    """Variants by the layout of the arguments and the number of the program's state."""

    @property
    def compiled(self) -> int:
        """How many are compiled."""
        return sum(variant.replay is not None for variant in self.values())

    def find(self, key: Any, change: str) -> Variant:
        """The variant of a key, a new one if there are not too many.

        Args:
            key: Its layout and number.
            change: What last changed in the program, in words.

        Raises:
            NotCapturable: if there are, or it was refused.
        """
        if key not in self:
            if len(self) >= MOST:
                layouts = [str(layout) for layout, _ in [*self][-2:]]
                seen = "; ".join(filter(None, [*layouts, change]))
                raise NotCapturable(
                    f"Expected arguments of static shapes and values, and a program whose numbers "
                    f"stay, got {MOST + 1} combinations so far, among them {seen}; give numbers "
                    f"that change as tensors, and data in batches of one size, or train with "
                    f"Pyro's step"
                )
            self[key] = Variant(first=not self)
        if self[key].refused:
            raise NotCapturable(self[key].refused)
        return self[key]
