"""A real i-PI writes the dipoles and charges that a model gives it as extras."""

import re

import numpy as np
import pytest
from ase.io import write
from numpy.testing import assert_allclose

from calculators import MLPotentialCalculator
from calculators.ipi_driver import driver_path
from calculators.ipi_units import BOHR_PER_ANGSTROM
from md_runs.pimd.ipi_process import ipi_process
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import save_model

INPUT = """<simulation verbosity='low'>
  <output prefix='run'>
    <trajectory filename='pos' stride='1' format='xyz'>positions</trajectory>
    <trajectory filename='dipole' stride='1' extra_type='dipole'>extras</trajectory>
    <trajectory filename='charges' stride='1' extra_type='charges'>extras</trajectory>
  </output>
  <total_steps>3</total_steps>
  <prng><seed>1</seed></prng>
  <ffdirect name='model' pbc='false'>
    <pes>custom</pes> <pes_path>{driver}</pes_path> <batch_size>2</batch_size>
    <parameters>{{model: model.safetensors, structure: ethanol.xyz, device: cpu}}</parameters>
  </ffdirect>
  <system>
    <initialize nbeads='2'>
      <file mode='xyz'>start.xyz</file>
      <velocities mode='thermal' units='kelvin'>300</velocities>
    </initialize>
    <forces><force forcefield='model'></force></forces>
    <motion mode='dynamics'>
      <dynamics mode='nve'><timestep units='femtosecond'>0.5</timestep></dynamics>
    </motion>
    <ensemble><temperature units='kelvin'>300</temperature></ensemble>
  </system>
</simulation>"""


@pytest.mark.slow
def test_extras_of_each_bead(dipole_potential, ethanol, tmp_path):
    save_model(tmp_path / "model.safetensors", dipole_potential, AtomGraph.from_atoms(ethanol))
    write(tmp_path / "ethanol.xyz", ethanol, format="extxyz")
    rows = [
        f"{s} {' '.join(f'{x:.9f}' for x in p)}"
        for s, p in zip(ethanol.symbols, ethanol.positions * BOHR_PER_ANGSTROM, strict=True)
    ]
    header = ["9", "# CELL(abcABC): 200 200 200 90 90 90 cell{atomic_unit} positions{atomic_unit}"]
    (tmp_path / "start.xyz").write_text("\n".join([*header, *rows]) + "\n")
    (tmp_path / "input.xml").write_text(INPUT.format(driver=driver_path()))
    with ipi_process("input.xml", tmp_path) as process:
        assert process.wait(timeout=300) == 0
    ethanol.calc = MLPotentialCalculator(dipole_potential, device="cpu")
    for bead in range(2):
        frames = (tmp_path / f"run.pos_{bead}.xyz").read_text().splitlines()
        positions = np.array([x.split()[1:] for x in frames if re.match("[CHO] ", x.strip())])
        dipoles, charges = (
            np.loadtxt(tmp_path / f"run.{name}_{bead}") for name in ("dipole", "charges")
        )
        assert len(dipoles) == len(positions) // 9 == 4
        for k, geometry in enumerate(positions.astype(float).reshape(-1, 9, 3)):
            ethanol.positions = geometry / BOHR_PER_ANGSTROM
            assert_allclose(dipoles[k], ethanol.get_dipole_moment() * BOHR_PER_ANGSTROM, atol=2e-4)
            assert_allclose(charges[k], ethanol.get_charges(), atol=2e-4)
    assert np.ptp(dipoles, axis=0).max() > 1e-3
