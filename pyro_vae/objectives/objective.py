"""The contract of an objective: what training maximizes."""

from __future__ import annotations

from abc import abstractmethod

from pyro_vae.core.condition import Condition
from pyro_vae.core.declarable import Declarable
from pyro_vae.core.errors import IncompatibleComponents
from pyro_vae.objectives.pyro_elbos import Trace_ELBO

__all__ = ["Objective"]


class Objective(Declarable, home="pyro_vae.objectives"):
    """What training maximizes, as a Pyro loss for ``SVI``.

    How to write one:
        1. One class in one file of ``pyro_vae/objectives``. Its name in snake case is its
           ``kind``, and its constructor's annotated arguments are its schema.
        2. ``pyro_loss()`` returns a Pyro ELBO whose loss is in nats, summed over the batch, to
           be minimized. It keeps the ELBO's terms in ``log_likelihood`` and ``kl``, and what was
           maximized in ``bound`` if that is not their difference.
        3. A schedule belongs to the loss: ``begin_epoch`` changes a tensor in place.
        4. ``check`` refuses a run that does not suit the objective, before it starts.
    """

    @abstractmethod
    def pyro_loss(self) -> Trace_ELBO:
        """A new Pyro loss for ``SVI(model, guide, optim, loss)``."""

    def loss_for(self, condition: Condition | None) -> Trace_ELBO:
        """The loss of a model with this condition, which may be summed out.

        Raises:
            IncompatibleComponents: if the objective cannot sum it out.
        """
        if condition is None or not condition.latent:
            return self.pyro_loss()
        return self.enumerated_loss()

    def enumerated_loss(self) -> Trace_ELBO:
        """The loss of a program whose classes are summed out; by default there is none.

        Raises:
            IncompatibleComponents: if there is none.
        """
        raise IncompatibleComponents(
            "condition: semi_supervised needs the ELBO, whose classes are summed out exactly: "
            "expected objective elbo with beta 1, no warm_up, no free_bits and estimator "
            f"pathwise, got {self.declaration}"
        )

    def check(self, epochs: int) -> None:
        """Refuse a run of so many epochs, if the objective cannot use it.

        Raises:
            DeclarationError: saying why.
        """
