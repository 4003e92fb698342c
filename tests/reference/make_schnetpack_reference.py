"""Energies, forces and stresses of SchNetPack's SchNet with random weights, for test_peers.py.

    python make_schnetpack_reference.py

writes schnetpack_schnet.npz beside this file. It runs in an environment of its own:

    pip install schnetpack==2.1.1

Made with SchNetPack 2.1.1, torch 2.13.0, ASE 3.29.0. (SchNetPack 2.1.1 imports the name `T_co` from
`torch.utils.data.dataloader`, which torch 2.13 no longer has; an older torch needs no remedy.)

Everything is float64. SchNetPack makes its Gaussian centres and widths in float32; 21 centres from
0 to 5 A are 0.25 A apart, which float32 holds exactly, so nothing is rounded.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import schnetpack as spk
import torch
from ase import Atoms
from ase.build import molecule
from schnetpack.interfaces import AtomsConverter
from schnetpack.nn.activations import shifted_softplus
from schnetpack.transform import ASENeighborList

CUTOFF = 5.0  # A
N_FEATURES, N_INTERACTIONS, N_RBF = 16, 2, 21
SKEWED_CELL = np.array([[3.1, 0.0, 0.0], [1.4, 2.9, 0.0], [-0.9, 0.7, 3.3]])


def make_model() -> torch.nn.Module:
    representation = spk.representation.SchNet(
        n_atom_basis=N_FEATURES,
        n_interactions=N_INTERACTIONS,
        radial_basis=spk.nn.GaussianRBF(n_rbf=N_RBF, cutoff=CUTOFF),
        cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
    )
    model = spk.model.NeuralNetworkPotential(
        representation=representation,
        input_modules=[spk.atomistic.Strain(), spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(
                n_in=N_FEATURES, activation=shifted_softplus, output_key="energy"
            ),
            spk.atomistic.Forces(calc_stress=True),
        ],
        input_dtype_str="float64",
    )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


def structures() -> dict[str, Atoms]:
    """A molecule; a skewed cell smaller than the cutoff; a slab with vacuum on both sides."""
    fractional = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    made = {
        "molecule": molecule("CH3CONH2"),
        "skewed_cell": Atoms("OHCN", fractional @ SKEWED_CELL, cell=SKEWED_CELL, pbc=True),
        "slab": Atoms(
            "SiOH",
            [[0.0, 0.0, 0.0], [1.1, 0.9, 0.8], [2.4, 2.2, -0.9]],
            cell=[[4.1, 0.0, 0.0], [1.3, 3.8, 0.0], [0.0, 0.0, 20.0]],
            pbc=(True, True, False),
        ),
    }
    for seed, atoms in enumerate(made.values()):
        atoms.rattle(0.1, seed=seed)
    return made


def main() -> None:
    torch.manual_seed(20)
    model = make_model()
    converter = AtomsConverter(neighbor_list=ASENeighborList(cutoff=CUTOFF), dtype=torch.float64)
    arrays = {f"weights.{k}": v.numpy() for k, v in model.state_dict().items()}
    for name, atoms in structures().items():
        answer = model(converter(atoms))
        arrays |= {
            f"{name}.numbers": atoms.numbers,
            f"{name}.positions": atoms.positions,
            f"{name}.cell": atoms.cell.array,
            f"{name}.pbc": atoms.pbc,
            f"{name}.energy": answer["energy"].detach().numpy(),
            f"{name}.forces": answer["forces"].detach().numpy(),
        }
        if atoms.pbc.any():
            arrays[f"{name}.stress"] = answer["stress"].detach().numpy()[0]
    packages = ("schnetpack", "torch", "ase")
    arrays["versions"] = np.array([f"{name} {version(name)}" for name in packages])
    np.savez_compressed(Path(__file__).parent / "schnetpack_schnet.npz", **arrays)


if __name__ == "__main__":
    main()
