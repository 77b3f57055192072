"""The list operations of torch under short names: the one place that touches its underscored functions."""

from typing import Any

import torch

_torch: Any = torch

add_ = _torch._foreach_add_
copy_ = _torch._foreach_copy_
div_ = _torch._foreach_div_
flattened = _torch._C._nn.flatten_dense_tensors
lerp = _torch._foreach_lerp
lerp_ = _torch._foreach_lerp_
mul_ = _torch._foreach_mul_
norm = _torch._foreach_norm
sign = _torch._foreach_sign
sign_ = _torch._foreach_sign_
sub = _torch._foreach_sub
sub_ = _torch._foreach_sub_
