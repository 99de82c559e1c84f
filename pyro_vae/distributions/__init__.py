"""Distributions that Pyro does not have, or not in the form that is needed here.

One class a file. They know nothing of VAEs.
"""

from pyro_vae.distributions.categorical import Categorical as Categorical
from pyro_vae.distributions.continuous_bernoulli import (
    ContinuousBernoulli as ContinuousBernoulli,
)
from pyro_vae.distributions.discretized_logistic import (
    DiscretizedLogistic as DiscretizedLogistic,
)
from pyro_vae.distributions.levels import Levels as Levels
from pyro_vae.distributions.multinomial import Multinomial as Multinomial
from pyro_vae.distributions.ordered_logistic import OrderedLogistic as OrderedLogistic
