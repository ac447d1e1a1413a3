"""GPT-2 and what is said about it: the network, its loss, its names, its size.

Words: `stored` weights have the posts' names; the `hub`'s are Hugging Face's.
"""

from skerry_train.model.flops import flops_per_token, parameters, peak_flops, utilization
from skerry_train.model.gpt import GPT
from skerry_train.model.names import from_hub, from_stored, to_hub, to_stored

__all__ = [
    "GPT",
    "flops_per_token",
    "from_hub",
    "from_stored",
    "parameters",
    "peak_flops",
    "to_hub",
    "to_stored",
    "utilization",
]
