"""ASE's own test files, with our calculator wherever they use EMT; README.md has the table.

Tests that cannot pass are named in `EXPECTED_FAILURES` and left out: any other failure fails.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import ase.test
import pytest

HERE = Path(__file__).parent
ASE_TESTS = Path(ase.test.__file__).parent

WITHOUT_EMT = [  # they check calculators, dynamics or filters in general
    "calculator/test_traj.py",
    "md/test_md_logger.py",
    "md/test_nvt_npt.py",
    "md/test_position_distribution.py",
    "md/test_velocity_distribution.py",
    "test_calc_properties.py",
    "test_stress.py",
]

NUMBER = "a number of EMT itself"
STEPS = "the number of steps that EMT needs"
OTHER_PROCESS = "compares with a child process, where EMT is not replaced"
CUTOFF = "asks for the attribute `rc` of EMT"
STUCK = "that the constrained optimizer gets on"
ROUNDING = "that energies of modes which are zero agree to a factor"
ONE_PATH = "that default and dynamic bands find one path"
EXPECTED_FAILURES = {
    "ase4/test_optimize.py::test_new_optimizer_frechet[BFGS]": STEPS,
    "ase4/test_optimize.py::test_new_optimizer_frechet[LBFGS]": STEPS,
    "ase4/test_optimize.py::test_optimizer[BFGS]": STEPS,
    "ase4/test_optimize.py::test_optimizer[LBFGS]": STEPS,
    "ase4/test_optimize.py::test_restart[BFGS]": NUMBER,
    "ase4/test_optimize.py::test_restart[LBFGS]": NUMBER,
    "ase4/symopt/test_restart.py::test_restart_consistent": STEPS,
    "ase4/symopt/test_surface.py::test_relaxation_old": STEPS,
    "ase4/symopt/test_surface.py::test_relaxation_symopt": STEPS,
    "calculator/test_subprocess_calculator.py::test_subprocess_calculator_emt": OTHER_PROCESS,
    "calculator/test_subprocess_calculator.py::test_subprocess_calculator_optimize": OTHER_PROCESS,
    "db/test_db2.py::test_db2[db]": NUMBER,
    "db/test_db2.py::test_db2[json]": NUMBER,
    "forcefields/test_forceqmmm.py::test_forceqmmm": CUTOFF,
    "neb/test_autoneb.py::test_Au2Ag": NUMBER,
    "neb/test_dynamic_neb.py::test_dynamic_neb": ONE_PATH,
    "optimize/test_cellawarebfgs.py::test_elasticity_tensor": NUMBER,
    "optimize/test_climb_fix_internals.py::test_climb_fix_internals[0.0]": STUCK,
    "optimize/test_climb_fix_internals.py::test_climb_fix_internals[0.01]": STUCK,
    "precon/test_lbfgs.py::test_preconlbfgs": NUMBER,
    "test_dimer_method.py::test_dimer_method": NUMBER,
    "test_eos.py::test_eos": NUMBER,
    "test_hcp.py::test_hcp": NUMBER,
    "test_thermochemistry.py::test_ideal_gas_thermo_ch3_v4": NUMBER,
    "test_thermochemistry.py::test_ideal_gas_thermo_monoatomic": NUMBER,
    "test_thermochemistry.py::test_ideal_gas_thermo_n2": NUMBER,
    "vibrations/test_bond_polarizability_raman.py::test_bulk": ROUNDING,
    "vibrations/test_franck_condon.py::test_ch4_all": NUMBER,
}


def files_with_emt() -> list[str]:
    """All test files of ASE that use EMT."""
    found = []
    for path in sorted(ASE_TESTS.rglob("test_*.py")):
        if re.search(r"from ase\.calculators\.emt import EMT|emt\.EMT", path.read_text()):
            found.append(path.relative_to(ASE_TESTS).as_posix())
    return found


def run_ase_tests(names: list[str], folder: Path) -> str:
    """Runs them in a process of its own; the report of those that were not expected to fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "emt_swap", "-p", "no:cacheprovider"]
    command += ["-c", os.devnull, "--rootdir", str(ASE_TESTS), "--timeout", "600"]
    for name in EXPECTED_FAILURES:
        command += ["--deselect", name]
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    result = subprocess.run(
        [*command, *(str(ASE_TESTS / name) for name in names)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PATH": commands},  # some run the command ase
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    return result.stdout


def counts(report: str) -> tuple[int, int]:
    """Passed tests, and evaluations by our calculator in the process itself."""
    passed = re.search(r"(\d+) passed", report)
    evaluations = re.search(r"EMT was replaced: (\d+) evaluations", report)
    assert passed is not None, report
    assert evaluations is not None, report
    return int(passed[1]), int(evaluations[1])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_file_that_uses_emt(tmp_path):
    files = sorted({*files_with_emt(), *WITHOUT_EMT})
    n_passed, n_evaluations = counts(run_ase_tests(files, tmp_path))
    assert n_passed >= 500
    assert n_evaluations > 5000


def test_what_is_left_out_exists_and_is_explained():
    """A name that ASE changes would otherwise be left out in silence, or not at all."""
    table = (HERE / "README.md").read_text()
    for name, reason in EXPECTED_FAILURES.items():
        file, test = name.split("::")
        function = test.split("[")[0]
        assert f"def {function}(" in (ASE_TESTS / file).read_text(), f"{name}: ASE has it no more"
        assert f"| `{file}` | " in table, f"{file} is not in README.md"
        assert function in table, f"{name} is not in README.md"
        assert reason in table, f"{reason} is not in README.md"
