"""Which operators of a traced network multiply and add, and how often.

The rule: a convolution, a matrix product and whatever is built of them counts one for each product of two
numbers that it forms, as papers do. Normalisation (folded into the convolution before it when deployed),
pooling, resampling, activations and other element-wise work count zero. Biases count zero.

A handle is what fvcore calls one: it takes the inputs and outputs of one node of a `torch.jit` trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

__all__ = ["HANDLES", "Handle", "is_free", "shape"]

Handle = Callable[[Sequence[Any], Sequence[Any]], int]


def shape(value: Any) -> list[int] | None:
    """The sizes of a traced tensor; None where the value is no tensor."""
    return list(value.type().sizes()) if value.isCompleteTensor() else None


def _sizes(value: Any) -> list[int]:
    sizes = shape(value)
    if sizes is None:
        raise TypeError(f"expected a tensor of known shape, got {value.type()}")
    return sizes


def _list(value: Any) -> list[Any]:
    """The elements of a traced list, themselves traced."""
    return list(value.node().inputs())


def _numbers(value: Any) -> list[int]:
    """The elements of a traced list of numbers; none where the list was left out."""
    if value.node().kind() == "prim::ListConstruct":
        return [int(element.toIValue()) for element in _list(value)]
    return list(value.toIValue() or ())


def _product(left: int) -> Handle:
    """A matrix product contracts the last dimension of the argument at `left`, once for each output."""

    def count(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
        return prod(_sizes(outputs[0])) * _sizes(inputs[left])[-1]

    return count


def _addbmm(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    batch, _, contracted = _sizes(inputs[1])
    return prod(_sizes(outputs[0])) * batch * contracted


def _outer(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return prod(_sizes(outputs[0]))


def _tensordot(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    left, contracted = _sizes(inputs[0]), _numbers(inputs[2])
    return prod(_sizes(outputs[0])) * prod(left[dimension] for dimension in contracted)


def _bilinear(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """y_o = x1 W_o x2: first x1 with every column of W_o, then the result with x2."""
    _, first, second = _sizes(inputs[2])
    return prod(_sizes(outputs[0])) * (first + 1) * second


def _convolution(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Every weight meets each position once: of the output, or of the input where it is transposed.

    The weight's second dimension is already divided by the groups.
    """
    images, weight, transposed = _sizes(inputs[0]), _sizes(inputs[1]), inputs[6].toIValue()
    positions = (images if transposed else _sizes(outputs[0]))[2:]
    return images[0] * prod(positions) * prod(weight)


def _convolution_mode(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """A convolution with padding="same" or "valid"; never transposed."""
    return _sizes(inputs[0])[0] * prod(_sizes(outputs[0])[2:]) * prod(_sizes(inputs[1]))


def _attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """softmax(query key') value, a mask not skipped: each query meets each key, then each value."""
    query, key, value = (_sizes(tensor) for tensor in inputs[:3])
    return prod(_sizes(outputs[0])[:-1]) * key[-2] * (query[-1] + value[-1])


def _recurrent(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Every weight matrix of every layer and direction meets each step of each sequence once.

    The weights are the last list among the arguments, in the padded and in the packed form.
    """
    weights = [_list(value) for value in inputs if value.node().kind() == "prim::ListConstruct"][-1]
    matrices = [sizes for sizes in map(_sizes, weights) if len(sizes) == 2]
    return prod(_sizes(inputs[0])[:-1]) * sum(map(prod, matrices))


def _cell(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """One step: the input with its weights (third argument), the state with its own (fourth)."""
    return prod(_sizes(inputs[0])[:-1]) * sum(prod(_sizes(weight)) for weight in inputs[2:4])


def _einsum(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Operands are contracted pairwise, from left to right unless a path is given.

    A letter that stands in one operand only and not in the result is summed before any product, so it is
    not counted, as torch does it.
    """
    equation = inputs[0].toIValue().replace(" ", "")
    shapes = [_sizes(tensor) for tensor in _list(inputs[1])]
    terms, result = _spell(equation, shapes)
    extents: dict[str, int] = {}
    for term, sizes in zip(terms, shapes, strict=True):
        for letter, size in zip(term, sizes, strict=True):
            extents[letter] = max(extents.get(letter, 1), size)  # 1 is broadcast

    operands, total = [set(term) for term in terms], 0
    path = _numbers(inputs[2]) if len(inputs) > 2 else []
    while len(operands) > 1:
        first, second = sorted(path[:2]) if path else (0, 1)
        right, left = operands.pop(second), operands.pop(first)
        needed = set(result).union(*operands)
        total += prod(extents[letter] for letter in (left & right) | ((left | right) & needed))
        # A path counts on a result at the end; without one, a result meets the next operand.
        operands.insert(len(operands) if path else 0, (left | right) & needed)
        path = path[2:]
    return total


def _spell(equation: str, shapes: list[list[int]]) -> tuple[list[str], str]:
    """One letter for each dimension of the operands and of the result; "..." becomes circled numbers."""
    terms, arrow, result = equation.partition("->")
    spelled = []
    for term, sizes in zip(terms.split(","), shapes, strict=True):
        dots = len(sizes) - len(term.replace("...", "")) if "..." in term else 0
        # Broadcast dimensions are aligned at the right: number them from there.
        spelled.append(term.replace("...", "".join(map(chr, range(0x2460 + dots - 1, 0x245F, -1)))))
    broadcast = "".join(sorted({c for term in spelled for c in term if not c.isascii()}, reverse=True))
    if not arrow:
        letters = [c for c in "".join(spelled) if c.isascii()]
        return spelled, broadcast + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    return spelled, result.replace("...", broadcast)


_COUNTED: dict[str, Handle] = {
    "linear": _product(0),
    "mm": _product(0),
    "_int_mm": _product(0),
    "bmm": _product(0),
    "matmul": _product(0),
    "linalg_matmul": _product(0),
    "mv": _product(0),
    "dot": _product(0),
    "vdot": _product(0),
    "inner": _product(0),
    "addmm": _product(1),
    "addmv": _product(1),
    "baddbmm": _product(1),
    "addbmm": _addbmm,
    "outer": _outer,
    "ger": _outer,
    "addr": _outer,
    "kron": _outer,
    "tensordot": _tensordot,
    "einsum": _einsum,
    "bilinear": _bilinear,
    "cdist": _product(0),  # one square for each pair and coordinate
    "affine_grid_generator": _product(0),
    "_convolution": _convolution,
    "_convolution_mode": _convolution_mode,
    "scaled_dot_product_attention": _attention,
    "lstm": _recurrent,
    "gru": _recurrent,
    "rnn_tanh": _recurrent,
    "rnn_relu": _recurrent,
    "lstm_cell": _cell,
    "gru_cell": _cell,
    "rnn_tanh_cell": _cell,
    "rnn_relu_cell": _cell,
}

_FREE = {
    "shape and layout": """
        size numel sym_size sym_numel dim view view_as reshape reshape_as flatten unflatten squeeze
        unsqueeze transpose t permute movedim swapaxes swapdims numpy_T mT expand expand_as repeat
        repeat_interleave tile broadcast_to broadcast_tensors cat concat stack hstack vstack dstack chunk
        unsafe_chunk split unsafe_split split_with_sizes unsafe_split_with_sizes tensor_split unbind narrow
        select slice diagonal as_strided atleast_1d atleast_2d atleast_3d roll flip fliplr flipud rot90 tril
        triu pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
        replication_pad2d replication_pad3d _pad_circular pixel_shuffle pixel_unshuffle channel_shuffle
        native_channel_shuffle im2col col2im unfold meshgrid view_as_complex view_as_real real imag
        _pack_padded_sequence _pad_packed_sequence""",
    "creation, copies and types": """
        empty empty_like new_empty zeros zeros_like new_zeros ones ones_like new_ones full full_like
        new_full fill zero arange linspace eye scalar_tensor tensor lift_fresh one_hot clone contiguous copy
        detach alias to type_as float double half bfloat16 int long bool Int Float Bool ScalarImplicit
        IntImplicit FloatImplicit item rand rand_like randn randn_like randint randperm normal uniform
        bernoulli multinomial resolve_conj resolve_neg __getitem__ len is_nonzero""",
    "indexing": """
        index index_put index_select index_add index_copy index_fill gather scatter scatter_add
        scatter_reduce take take_along_dim masked_select masked_fill masked_scatter where nonzero
        nonzero_numpy embedding embedding_bag sort argsort topk argmax argmin searchsorted bucketize""",
    "arithmetic": """
        add sub rsub mul div floor_divide remainder fmod neg abs sign reciprocal square sqrt rsqrt pow exp
        exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan atan2 sinh cosh erf erfc floor ceil round
        trunc frac clamp clamp_min clamp_max maximum minimum fmax fmin lerp addcmul addcdiv nan_to_num
        bitwise_and bitwise_or bitwise_xor bitwise_not logical_and logical_or logical_xor logical_not
        __and__ __or__ __xor__ eq ne lt le gt ge isnan isinf isfinite""",
    "reductions": """
        sum mean prod max min amax amin aminmax all any var std var_mean std_mean median logsumexp cumsum
        cumprod norm linalg_vector_norm count_nonzero""",
    "activations": """
        relu relu6 prelu _prelu_kernel leaky_relu rrelu elu selu celu gelu silu mish sigmoid log_sigmoid
        hardsigmoid hardswish hardtanh hardshrink softshrink tanhshrink softplus softsign tanh threshold glu
        softmax log_softmax softmin dropout feature_dropout alpha_dropout feature_alpha_dropout""",
    "normalisation": """
        batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm _weight_norm
        _weight_norm_interface""",
    "pooling and resampling": """
        avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
        max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices
        max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
        fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d upsample_nearest1d
        upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
        _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d _upsample_bilinear2d_aa
        upsample_bicubic2d _upsample_bicubic2d_aa upsample_trilinear3d grid_sampler grid_sampler_2d
        grid_sampler_3d""",
    "as executed, where a trace has another name": """
        native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training native_layer_norm
        native_group_norm _adaptive_avg_pool2d _adaptive_avg_pool3d _softmax _log_softmax _to_copy
        _unsafe_view native_dropout""",
}


def _nothing(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    return 0


def _table() -> dict[str, Handle]:
    """By the name in a trace; the form that writes in place (`add_`) costs what the other (`add`) does."""
    free = {name: _nothing for names in _FREE.values() for name in names.split()}
    return {f"aten::{name}{end}": handle for name, handle in (free | _COUNTED).items() for end in ("", "_")}


HANDLES: dict[str, Handle] = _table()


def is_free(operator: str) -> bool:
    """Whether an operator, named as in a trace, is known to multiply and add nothing."""
    return HANDLES.get(operator) is _nothing
