"""Encoders and decoders: plain modules without distributions. One kind a file."""

from pyro_vae.networks.conv import Conv as Conv
from pyro_vae.networks.gated_mlp import GatedMLP as GatedMLP
from pyro_vae.networks.linear import Linear as Linear
from pyro_vae.networks.mlp import MLP as MLP
from pyro_vae.networks.module_network import ModuleNetwork as ModuleNetwork
from pyro_vae.networks.resnet import Resnet as Resnet
from pyro_vae.networks.temporal_conv import TemporalConv as TemporalConv
from pyro_vae.networks.topic_decoder import TopicDecoder as TopicDecoder
