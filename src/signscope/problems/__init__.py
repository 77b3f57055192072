"""Problems: a covariance, a start, a target and a noise law, from formulas or from data."""

from signscope.problems.covariance import DENSE_REACH, Covariance, Dense, Diagonal, as_covariance
from signscope.problems.data_matrix import DataMatrix
from signscope.problems.datasets import BUNDLED, breast_cancer, bundled, diabetes, digits
from signscope.problems.features import features_from_text, random_features
from signscope.problems.files import load_matrix, load_table
from signscope.problems.kronecker import Kronecker
from signscope.problems.least_squares import LeastSquares, as_problem
from signscope.problems.low_rank import DiagonalPlusLowRank
from signscope.problems.matrix_free import MatrixFree
from signscope.problems.operator_names import parse_operator
from signscope.problems.rows import Rows
from signscope.problems.spectra import (
    blocks,
    constant,
    log_spaced,
    marchenko_pastur,
    parse_spectrum,
    power_law,
    rescaled,
    rotated,
    two_level,
)
from signscope.problems.structured import Structured
from signscope.problems.synthetic import gaussian_problem
from signscope.problems.toeplitz import Circulant, Toeplitz

__all__ = [
    "BUNDLED",
    "DENSE_REACH",
    "Circulant",
    "Covariance",
    "DataMatrix",
    "Dense",
    "Diagonal",
    "DiagonalPlusLowRank",
    "Kronecker",
    "LeastSquares",
    "MatrixFree",
    "Rows",
    "Structured",
    "Toeplitz",
    "as_covariance",
    "as_problem",
    "blocks",
    "breast_cancer",
    "bundled",
    "constant",
    "diabetes",
    "digits",
    "features_from_text",
    "gaussian_problem",
    "load_matrix",
    "load_table",
    "log_spaced",
    "marchenko_pastur",
    "parse_operator",
    "parse_spectrum",
    "power_law",
    "random_features",
    "rescaled",
    "rotated",
    "two_level",
]
