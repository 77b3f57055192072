"""The functions of `passes`, compiled by numba: every number is read once, at the speed of memory.

Eight numbers are eight lanes of one vector, whose comparison with zero is the byte that travels. The vectors are
written out, because loops over single bits cost up to twice the time. Numbers are compared, multiplied and added as in
`passes`, each time with a rounding, so bits and parameters are the same.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

LANES = 8
"""Numbers per vector, coordinates per byte."""
WORDS = 512
"""Words of a ballot counted at a time, in the innermost cache."""
DIGITS = 7
"""Binary digits of a count of at most 127 voters."""


def _vectors(function: Callable[..., Any]) -> Any:
    """An intrinsic of numba, whose first argument is numba's own (which type checkers cannot know)."""
    return intrinsic(function)


@_vectors
def _compare(typing: Any, values: Any, place: Any) -> Any:
    """Three bytes of eight numbers: which are above zero, which at least zero, which finite."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, vector = _lanes(context, builder, signature, args)
        numbers = builder.load(pointer, align=1)
        zero, top, bottom = (ir.Constant(vector, [x] * LANES) for x in (0.0, float("inf"), float("-inf")))
        facts = [
            builder.fcmp_ordered(">", numbers, zero),
            builder.fcmp_ordered(">=", numbers, zero),
            builder.and_(builder.fcmp_ordered("<", numbers, top), builder.fcmp_ordered(">", numbers, bottom)),
        ]
        bytes_ = [builder.bitcast(fact, ir.IntType(LANES)) for fact in facts]
        return context.make_tuple(builder, signature.return_type, bytes_)

    return types.UniTuple(types.uint8, 3)(values, types.intp), generate


@_vectors
def _average(typing: Any, average: Any, place: Any, values: Any, kept: Any, new: Any) -> Any:
    """``kept`` times eight numbers plus ``new`` times eight others, in three roundings."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, vector = _lanes(context, builder, signature, args)
        source, _ = _lanes(context, builder, signature, args, array=2)
        past = builder.fmul(builder.load(pointer, align=1), _spread(builder, vector, args[3]))
        present = builder.fmul(builder.load(source, align=1), _spread(builder, vector, args[4]))
        builder.store(builder.fadd(past, present), pointer, align=1)
        return context.get_dummy_value()

    return types.void(average, types.intp, values, kept, new), generate


@_vectors
def _write(typing: Any, out: Any, place: Any, byte: Any, length: Any) -> Any:
    """Eight times ``length`` where a bit is set, ``-length`` elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, vector = _lanes(context, builder, signature, args)
        builder.store(_signed(builder, vector, args[2], args[3]), pointer, align=1)
        return context.get_dummy_value()

    return types.void(out, types.intp, types.uint8, length), generate


@_vectors
def _subtract(typing: Any, values: Any, place: Any, byte: Any, length: Any, kept: Any) -> Any:
    """Eight numbers times ``kept``, minus ``length`` where a bit is set, plus ``length`` elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, vector = _lanes(context, builder, signature, args)
        numbers = builder.fmul(builder.load(pointer, align=1), _spread(builder, vector, args[4]))
        builder.store(builder.fsub(numbers, _signed(builder, vector, args[2], args[3])), pointer, align=1)
        return context.get_dummy_value()

    return types.void(values, types.intp, types.uint8, length, kept), generate


def _lanes(context: Any, builder: Any, signature: Any, args: Any, *, array: int = 0) -> tuple[Any, Any]:
    """Where eight numbers of an array lie (its place is the second argument), and the type of the vector."""
    data = context.make_array(signature.args[array])(context, builder, args[array]).data
    vector = ir.VectorType(context.get_data_type(signature.args[array].dtype), LANES)
    return builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer()), vector


def _signed(builder: Any, vector: Any, byte: Any, length: Any) -> Any:
    lengths = _spread(builder, vector, length)
    return builder.select(builder.bitcast(byte, ir.VectorType(ir.IntType(1), LANES)), lengths, builder.fneg(lengths))


def _spread(builder: Any, vector: Any, number: Any) -> Any:
    """One number in every lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _compiled(arguments: str) -> Callable[[Callable[..., Any]], Any]:
    """For float32 and float64, when this file is imported; the code is kept beside it or in the user's cache."""
    kinds = [arguments.replace("T", kind) for kind in (("f4", "f8") if "T" in arguments else ("",))]

    def decorate(function: Callable[..., Any]) -> Any:
        options = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
        try:
            return njit(kinds, cache=True, **options)(function)
        except RuntimeError:  # there is no place for a cache
            return njit(kinds, **options)(function)

    return decorate


def usable() -> bool:
    """Whether numba compiles; it can be told not to (NUMBA_DISABLE_JIT)."""
    return not vars(config)["DISABLE_JIT"]


@_compiled("boolean(T[::1], u1[::1], u1[::1], b1)")
def pack(values: np.ndarray, zeros: np.ndarray, out: np.ndarray, check: bool) -> bool:
    """Signs as bits, and whether all numbers are finite."""
    step, good = np.intp(len(zeros) > 1), np.uint8(255)
    for byte in range(len(out)):
        above, least, finite = _compare(values, byte * LANES)
        out[byte] = above | (least & zeros[byte * step])
        good &= finite
    return not check or good == np.uint8(255)


@_compiled("void(T[::1], T[::1], T, T, u1[::1], u1[::1])")
def average_and_pack(
    average: np.ndarray, values: np.ndarray, kept: float, new: float, zeros: np.ndarray, out: np.ndarray
) -> None:
    """The average takes the values in; its signs as bits."""
    step = np.intp(len(zeros) > 1)
    for byte in range(len(out)):
        _average(average, byte * LANES, values, kept, new)
        above, least, _ = _compare(average, byte * LANES)
        out[byte] = above | (least & zeros[byte * step])


@_compiled("void(u1[::1], T[::1], T)")
def unpack(packed: np.ndarray, out: np.ndarray, length: float) -> None:
    """Signed lengths from bits."""
    for byte in range(len(packed)):
        _write(out, byte * LANES, packed[byte], length)


@_compiled("void(T[::1], u1[::1], T, T)")
def step(values: np.ndarray, packed: np.ndarray, length: float, kept: float) -> None:
    """Numbers times ``kept``, moved by ``length`` against their bits."""
    whole = len(values) // LANES
    for byte in range(whole):
        _subtract(values, byte * LANES, packed[byte], length, kept)
    for lane in range(whole * LANES, len(values)):
        up = packed[whole] >> np.uint8(lane - whole * LANES) & np.uint8(1)
        values[lane] = values[lane] * kept - (length if up else -length)


@_compiled("void(u8[:, ::1], u8[::1], u8[::1])")
def vote(ballots: np.ndarray, ties: np.ndarray, out: np.ndarray) -> None:
    """Majority of every bit, and the bit of the tie where as many are set as not.

    Args:
        ballots: Words, one row per voter, at most 127.
        ties: Bits of the ties, one word for all or one for each.
        out: Where the words go; may be a row of the ballots.
    """
    voters, length = ballots.shape
    step = np.intp(len(ties) > 1)
    if voters == 2:
        for word in range(length):
            one, other = ballots[0, word], ballots[1, word]
            out[word] = (one & other) | ((one ^ other) & ties[word * step])
        return
    planes = np.zeros((DIGITS, WORDS), dtype=np.uint64)  # plane k holds binary digit k of 64 counts per word
    carry, more = np.empty(WORDS, dtype=np.uint64), np.empty(WORDS, dtype=np.uint64)
    for first in range(0, length, WORDS):
        size, digits = min(WORDS, length - first), 0
        for voter in range(voters):
            for word in range(size):
                carry[word] = ballots[voter, first + word]
            digits += voter + 1 == 1 << digits
            for digit in range(digits):
                for word in range(size):
                    old = planes[digit, word] if 1 << digit <= voter else np.uint64(0)
                    planes[digit, word] = old ^ carry[word]
                    carry[word] &= old
        equal = carry  # from here on: where no digit so far differs from half the voters
        for word in range(size):
            more[word], equal[word] = 0, ~np.uint64(0)
        for digit in range(digits - 1, -1, -1):
            half = np.uint64(0) - np.uint64(voters // 2 >> digit & 1)
            for word in range(size):
                more[word] |= equal[word] & planes[digit, word] & ~half
                equal[word] &= ~(planes[digit, word] ^ half)
        for word in range(size):
            tie = ties[(first + word) * step] if voters % 2 == 0 else np.uint64(0)
            out[first + word] = more[word] | (equal[word] & tie)
