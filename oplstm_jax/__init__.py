"""LSTMs that learn to learn: OP-LSTM and its baselines as pure JAX functions (arXiv 2310.14139)."""

from oplstm_jax import zoo
from oplstm_jax.learners import (
    finetune,
    lstm,
    make,
    maml,
    op_lstm,
    op_lstm_general,
    op_lstm_head,
    op_lstm_sequential,
    pi_lstm,
    protonet,
    random_guess,
    sap,
    scratch,
    warp_maml,
)
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.nets.resnet12 import ResNet12
from oplstm_jax.nets.sap_conv4 import SapConv4
from oplstm_jax.nets.transformer import VisionTransformer
from oplstm_jax.nets.warp_conv4 import WarpConv4
from oplstm_jax.types import Episode, Learner, Split

__version__ = "0.1.0"
__all__ = [
    "MLP",
    "Conv4",
    "Episode",
    "Learner",
    "ResNet12",
    "SapConv4",
    "Split",
    "VisionTransformer",
    "WarpConv4",
    "finetune",
    "lstm",
    "make",
    "maml",
    "op_lstm",
    "op_lstm_general",
    "op_lstm_head",
    "op_lstm_sequential",
    "pi_lstm",
    "protonet",
    "random_guess",
    "sap",
    "scratch",
    "warp_maml",
    "zoo",
]
