"""Likelihoods p(x|z): one kind a file."""

from pyro_vae.likelihoods.bernoulli import Bernoulli as Bernoulli
from pyro_vae.likelihoods.beta import Beta as Beta
from pyro_vae.likelihoods.categorical import Categorical as Categorical
from pyro_vae.likelihoods.columns import Columns as Columns
from pyro_vae.likelihoods.continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from pyro_vae.likelihoods.discretized_logistic import DiscretizedLogistic as DiscretizedLogistic
from pyro_vae.likelihoods.gaussian import Gaussian as Gaussian
from pyro_vae.likelihoods.laplace import Laplace as Laplace
from pyro_vae.likelihoods.multinomial import Multinomial as Multinomial
from pyro_vae.likelihoods.negative_binomial import NegativeBinomial as NegativeBinomial
from pyro_vae.likelihoods.ordinal import Ordinal as Ordinal
from pyro_vae.likelihoods.poisson import Poisson as Poisson
from pyro_vae.likelihoods.student_t import StudentT as StudentT
