"""The SchNet kernel, compiled once per instruction set; everything else is in setup.cfg.

The extensions are optional: without a C++ compiler the package installs without them and says so
when a model is evaluated.
"""

import platform

from setuptools import Extension, setup

FOLDER = "mlpotential/inference/schnet/csrc"
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
FLAGS += ["-fvisibility=hidden", "-pthread"]
INSTRUCTION_SETS = {"portable": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma"]
    INSTRUCTION_SETS["avx512"] = ["-mavx2", "-mfma", *AVX512]
HEADERS = ("schnet.h", "evaluation.h", "network.h", "dense.h", "vector.h", "team.h")

setup(
    ext_modules=[
        Extension(
            f"mlpotential.inference.schnet._schnet_{name}",
            sources=[f"{FOLDER}/schnet.cpp"],
            depends=[f"{FOLDER}/{header}" for header in HEADERS],
            extra_compile_args=[*FLAGS, *flags],
            extra_link_args=["-pthread"],
            language="c++",
            optional=True,
        )
        for name, flags in INSTRUCTION_SETS.items()
    ]
)
