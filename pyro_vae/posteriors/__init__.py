"""Posteriors q(z|x): one kind a file."""

from pyro_vae.posteriors.diagonal_normal import DiagonalNormal as DiagonalNormal
from pyro_vae.posteriors.gaussian_mixture import GaussianMixture as GaussianMixture
from pyro_vae.posteriors.hierarchical import Hierarchical as Hierarchical
from pyro_vae.posteriors.householder import Householder as Householder
from pyro_vae.posteriors.iaf import IAF as IAF
from pyro_vae.posteriors.ladder import Ladder as Ladder
from pyro_vae.posteriors.laplace import Laplace as Laplace
from pyro_vae.posteriors.low_rank_normal import LowRankNormal as LowRankNormal
from pyro_vae.posteriors.multivariate_normal import MultivariateNormal as MultivariateNormal
from pyro_vae.posteriors.neural_spline import NeuralSpline as NeuralSpline
from pyro_vae.posteriors.nice import NICE as NICE
from pyro_vae.posteriors.per_example import PerExample as PerExample
from pyro_vae.posteriors.planar import Planar as Planar
from pyro_vae.posteriors.power_spherical import PowerSpherical as PowerSpherical
from pyro_vae.posteriors.real_nvp import RealNVP as RealNVP
from pyro_vae.posteriors.student_t import StudentT as StudentT
