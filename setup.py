"""The SchNet kernel, the sums of training and the cell list, compiled once per instruction set.

Everything else is in setup.cfg.

The extensions are optional: without a C++ compiler the package installs without them and says so
when a model is evaluated.
"""

import platform

from setuptools import Extension, setup

FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
FLAGS += ["-fvisibility=hidden", "-g0", "-pthread"]  # Python itself asks for debug symbols
INSTRUCTION_SETS = {"portable": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma"]
    INSTRUCTION_SETS["avx512"] = ["-mavx2", "-mfma", *AVX512]
SCHNET = "mlpotential/inference/schnet/csrc"
CONVOLUTION = "mlpotential/nn/csrc"
CELL_LIST = "mlpotential/cell_list/csrc"
SCHNET_HEADERS = ("schnet.h", "evaluation.h", "network.h", "dense.h", "vector.h", "team.h")
LIBRARIES = {  # by name: source and what else it depends on
    "mlpotential.inference.schnet._schnet": (
        f"{SCHNET}/schnet.cpp",
        [*(f"{SCHNET}/{header}" for header in SCHNET_HEADERS), f"{CONVOLUTION}/processor.h"],
    ),
    "mlpotential.nn._convolution": (
        f"{CONVOLUTION}/convolution.cpp",
        [f"{CONVOLUTION}/convolution.h", f"{CONVOLUTION}/processor.h", f"{SCHNET}/team.h"],
    ),
    "mlpotential.cell_list._cell_list": (
        f"{CELL_LIST}/cell_list.cpp",
        [f"{CELL_LIST}/cell_list.h", f"{CONVOLUTION}/processor.h", f"{SCHNET}/team.h"],
    ),
}

setup(
    ext_modules=[
        Extension(
            f"{library}_{name}",
            sources=[source],
            depends=depends,
            extra_compile_args=[*FLAGS, *flags],
            extra_link_args=["-pthread"],
            language="c++",
            optional=True,
        )
        for library, (source, depends) in LIBRARIES.items()
        for name, flags in INSTRUCTION_SETS.items()
    ]
)
