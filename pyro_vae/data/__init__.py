"""Data: one source a file, and the data sets that they load."""

from pyro_vae.core.plugins import kinds_in
from pyro_vae.data.dataset import DataSet as DataSet
from pyro_vae.data.dataset import Split as Split
from pyro_vae.data.identity import Identity as Identity
from pyro_vae.data.prepare import Raw as Raw
from pyro_vae.data.prepare import as_dataset as as_dataset
from pyro_vae.data.source import Source as Source
from pyro_vae.data.support import check_support as check_support

globals().update(kinds_in(__name__, __path__))
