"""Data: one source a file, and the data sets that they load."""

from pyro_vae.data.array import Array as Array
from pyro_vae.data.binarized_mnist import BinarizedMNIST as BinarizedMNIST
from pyro_vae.data.celeba import Celeba as Celeba
from pyro_vae.data.cifar10 import CIFAR10 as CIFAR10
from pyro_vae.data.csv import CSV as CSV
from pyro_vae.data.dataset import DataSet as DataSet
from pyro_vae.data.dataset import Split as Split
from pyro_vae.data.digits import Digits as Digits
from pyro_vae.data.emnist import EMNIST as EMNIST
from pyro_vae.data.fashion_mnist import FashionMNIST as FashionMNIST
from pyro_vae.data.huggingface import Huggingface as Huggingface
from pyro_vae.data.identity import Identity as Identity
from pyro_vae.data.image_folder import ImageFolder as ImageFolder
from pyro_vae.data.kmnist import KMNIST as KMNIST
from pyro_vae.data.mnist import MNIST as MNIST
from pyro_vae.data.omniglot import Omniglot as Omniglot
from pyro_vae.data.parquet import Parquet as Parquet
from pyro_vae.data.prepare import Raw as Raw
from pyro_vae.data.prepare import as_dataset as as_dataset
from pyro_vae.data.source import Source as Source
from pyro_vae.data.sparse_counts import SparseCounts as SparseCounts
from pyro_vae.data.support import check_support as check_support
from pyro_vae.data.svhn import SVHN as SVHN
from pyro_vae.data.torchvision import Torchvision as Torchvision
from pyro_vae.data.twenty_newsgroups import TwentyNewsgroups as TwentyNewsgroups
