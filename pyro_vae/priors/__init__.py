"""Priors p(z): one kind a file."""

from pyro_vae.priors.conditional import Conditional as Conditional
from pyro_vae.priors.diagonal_normal import DiagonalNormal as DiagonalNormal
from pyro_vae.priors.dirichlet import Dirichlet as Dirichlet
from pyro_vae.priors.gaussian_mixture import GaussianMixture as GaussianMixture
from pyro_vae.priors.gaussian_process import GaussianProcess as GaussianProcess
from pyro_vae.priors.hierarchical import Hierarchical as Hierarchical
from pyro_vae.priors.laplace import Laplace as Laplace
from pyro_vae.priors.maf import MAF as MAF
from pyro_vae.priors.multivariate_normal import MultivariateNormal as MultivariateNormal
from pyro_vae.priors.neural_spline import NeuralSpline as NeuralSpline
from pyro_vae.priors.real_nvp import RealNVP as RealNVP
from pyro_vae.priors.standard_normal import StandardNormal as StandardNormal
from pyro_vae.priors.student_t import StudentT as StudentT
from pyro_vae.priors.uniform_sphere import UniformSphere as UniformSphere
from pyro_vae.priors.vamp import Vamp as Vamp
