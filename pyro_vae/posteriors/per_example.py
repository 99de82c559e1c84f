"""The diagonal normal of each training datum, without an encoder."""

from __future__ import annotations

from pyro_vae.posteriors.diagonal_normal import DiagonalNormal

__all__ = ["PerExample"]


class PerExample(DiagonalNormal):
    r"""Independent normals, their means and scales free for each training datum: no encoder.

    .. math:: q(z_n \mid x_n) = N(z_n \mid \mu_n, \mathrm{diag}(\sigma_n^2))

    Classical (non-amortized) variational inference: each (mu_n, sigma_n) is a parameter of its
    own, looked up by the values of x_n (:class:`~pyro_vae.networks.lookup.Lookup`), so that equal
    data share one. A declared encoder is not built, but kept in the declaration for ``swap``.

    Only the training data have parameters, which ``fit``, or ``vae.initialize(x)``, creates: no
    other data can be encoded or scored, ``fit`` takes no validation split and no data that are
    redrawn for every batch, and the prior ``vamp`` is refused.

    Shapes:
        maps ``(*, 2, latent_dim)`` to batch_shape ``(*,)`` and event_shape ``(latent_dim,)``;
        ``log_prob`` is in nats.

    Args:
        latent_dim: Size M of the latent code, at least 1.
        min_scale: Lower bound of each scale, above 0.
        max_scale: Upper bound of each scale.

    References:
        | Variational inference: a review for statisticians (Blei, Kucukelbir and McAuliffe, 2017)
        | https://arxiv.org/abs/1601.00670

    Example:
        >>> import torch
        >>> from pyro_vae import VAE
        >>> vae, x = VAE((4,), 2, posterior="per_example"), torch.randn(5, 4)
        >>> vae.initialize(x)
        >>> vae.encode(x[3:]).batch_shape
        torch.Size([2])
    """

    amortized = False
