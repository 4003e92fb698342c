"""Energies and forces of torch_geometric's SchNet with random weights, for test_peers.py.

    python make_torch_geometric_reference.py

writes torch_geometric_schnet.npz beside this file. It runs in an environment of its own:

    pip install torch-geometric==2.8.1 torch ase

Made with torch_geometric 2.8.1, torch 2.13.0, ASE 3.29.0. torch_geometric's own interaction graph
needs a compiled extension and caps the number of neighbours, so it is given a plain one here: all
ordered pairs of one molecule nearer than the cutoff.

Everything is float64. torch_geometric makes its Gaussian centres in float32; 21 centres from 0 to
5 A are 0.25 A apart, which float32 holds exactly. Its ln 2 is rounded to float32, too (2e-9 off):
energies and forces are stored with that constant (`energy_as_is`, `forces_as_is`) and with ln 2 in
float64 (`energy`, `forces`), the only thing that is changed in it.
"""

import math
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase.build import molecule
from torch_geometric.nn import SchNet
from torch_geometric.nn.models.schnet import ShiftedSoftplus

CUTOFF = 5.0  # A
NAMES = ("CH3CONH2", "CH3CH2OH", "trans-butane", "SiH4")


def interaction_graph(
    positions: torch.Tensor, batch: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    n_atoms = len(batch)
    source, target = torch.cartesian_prod(torch.arange(n_atoms), torch.arange(n_atoms)).T
    allowed = (batch[source] == batch[target]) & (source != target)
    source, target = source[allowed], target[allowed]
    distances = (positions[source] - positions[target]).norm(dim=-1)
    near = distances < CUTOFF
    return torch.stack([source[near], target[near]]), distances[near]


def make_model() -> SchNet:
    model = SchNet(
        hidden_channels=16,
        num_filters=16,
        num_interactions=2,
        num_gaussians=21,
        cutoff=CUTOFF,
        interaction_graph=interaction_graph,
        readout="add",
        mean=-1.3,
        std=0.7,
        atomref=torch.randn(100, 1),
    )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


def evaluate(
    model: SchNet, numbers: torch.Tensor, positions: torch.Tensor, batch: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Energies [n_molecules] and forces [n_atoms, 3], all molecules together."""
    variable = positions.clone().requires_grad_()
    energy = model(numbers, variable, batch)
    (gradient,) = torch.autograd.grad(energy.sum(), variable)
    return energy.detach().numpy().reshape(-1), -gradient.numpy()


def main() -> None:
    torch.manual_seed(21)
    model = make_model()
    molecules = [molecule(name) for name in NAMES]
    for seed, atoms in enumerate(molecules):
        atoms.rattle(0.1, seed=seed)
    molecules[2].positions *= 1.4  # the ends of butane do not see each other
    numbers = np.concatenate([atoms.numbers for atoms in molecules])
    positions = np.concatenate([atoms.positions for atoms in molecules])
    batch = np.repeat(np.arange(len(molecules)), [len(atoms) for atoms in molecules])
    inputs = torch.from_numpy(numbers), torch.from_numpy(positions), torch.from_numpy(batch)
    energy_as_is, forces_as_is = evaluate(model, *inputs)
    for module in model.modules():
        if isinstance(module, ShiftedSoftplus):
            module.shift = math.log(2.0)
    energy, forces = evaluate(model, *inputs)
    packages = ("torch_geometric", "torch", "ase")
    np.savez_compressed(
        Path(__file__).parent / "torch_geometric_schnet.npz",
        **{f"weights.{k}": v.numpy() for k, v in model.state_dict().items()},
        mean=model.mean,
        std=model.std,
        numbers=numbers,
        positions=positions,
        batch=batch,
        energy=energy,
        forces=forces,
        energy_as_is=energy_as_is,
        forces_as_is=forces_as_is,
        versions=np.array([f"{name} {version(name)}" for name in packages]),
    )


if __name__ == "__main__":
    main()
