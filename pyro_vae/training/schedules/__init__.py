"""Learning-rate schedules: a factor for each epoch. One kind a file."""

from pyro_vae.training.schedules.constant import Constant as Constant
from pyro_vae.training.schedules.cosine import Cosine as Cosine
from pyro_vae.training.schedules.piecewise_constant import PiecewiseConstant as PiecewiseConstant
from pyro_vae.training.schedules.schedule import Schedule as Schedule
