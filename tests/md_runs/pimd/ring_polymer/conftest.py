"""Makes importable what runs CUDA kernels on a CPU, and the models they are tested with."""

import sys
from pathlib import Path

INFERENCE = Path(__file__).parents[3] / "mlpotential/inference"
sys.path[:0] = [str(INFERENCE), str(INFERENCE / "cuda")]
