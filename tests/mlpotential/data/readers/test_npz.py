"""MD17, revised MD17 and sGDML archives, and hostile ones."""

from __future__ import annotations

import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError

MD17 = ("z", "R", "E", "F")
REVISED = ("nuclear_charges", "coords", "energies", "forces")


def water(names: tuple[str, ...] = MD17) -> dict[str, Any]:
    """Four frames: atomic numbers, positions, energies, forces."""
    random = np.random.default_rng(8)
    shape = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    arrays = (
        np.array([8, 1, 1], np.uint8),
        shape + 0.02 * random.normal(size=(4, 3, 3)),
        -100.0 + random.normal(size=(4, 1)),
        random.normal(size=(4, 3, 3)),
    )
    return dict(zip(names, arrays, strict=True))


def read_arrays(tmp_path: Path, arrays: dict[str, Any], **options: Any) -> ReferenceData:
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    return read_reference_data(path, **{"energy_unit": "eV", "length_unit": "Angstrom", **options})


@pytest.mark.parametrize("names", [MD17, REVISED])
@pytest.mark.parametrize("energy_shape", [(4,), (4, 1)])
def test_known_layouts(
    tmp_path: Path, names: tuple[str, ...], energy_shape: tuple[int, ...]
) -> None:
    arrays = water(names)
    numbers, positions, energies, forces = (arrays[name] for name in names)
    arrays[names[2]] = energies.reshape(energy_shape)
    data = read_arrays(tmp_path, arrays)
    assert len(data) == 4
    np.testing.assert_array_equal(data.energies, energies[:, 0])
    for k, graph in enumerate(data):
        np.testing.assert_array_equal(graph.atomic_numbers, numbers)
        np.testing.assert_array_equal(graph.positions, positions[k])
        np.testing.assert_array_equal(graph.forces, forces[k])
        assert graph.cell is None


def test_other_keys(tmp_path: Path) -> None:
    arrays = water()
    arrays["ccsd"] = arrays["E"] - 1.0
    data = read_arrays(tmp_path, arrays, energy_key="ccsd")
    np.testing.assert_array_equal(data.energies, arrays["ccsd"][:, 0])


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("F", r"set.npz: no forces \(looked for F, forces\); keys there: E, R, z"),
        ("E", r"set.npz: no energy \(looked for E, energies\); keys there: F, R, z"),
        (
            "z",
            "set.npz: atomic numbers are expected under exactly one of z, nuclear_charges, Z",
        ),
        ("R", "set.npz: positions are expected under exactly one of R, coords; keys there: z, E"),
    ],
)
def test_absent_arrays(tmp_path: Path, absent: str, message: str) -> None:
    """Fault 38 and 47."""
    arrays = water()
    del arrays[absent]
    with pytest.raises(DataError, match=message):
        read_arrays(tmp_path, arrays)


def test_two_energies_ask_for_the_key(tmp_path: Path) -> None:
    arrays = water()
    with pytest.raises(DataError, match="energy could be any of E, energies: say which"):
        read_arrays(tmp_path, {**arrays, "energies": arrays["E"]})


def test_nan_label_names_the_frame(tmp_path: Path) -> None:
    """Fault 39."""
    arrays = water()
    arrays["E"][2] = np.nan
    with pytest.raises(DataError, match=r"set.npz, frame 2: the energy is nan"):
        read_arrays(tmp_path, arrays)
    arrays = water()
    arrays["F"][3, 1, 0] = np.inf
    with pytest.raises(DataError, match=r"set.npz, frame 3: the force on atom 1 is \[inf"):
        read_arrays(tmp_path, arrays)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("R", np.zeros((4, 2, 3)), r"positions have shape \(4, 2, 3\) .* shape \(4, 3, 3\)"),
        ("R", np.zeros(()), r"positions have shape \(\)"),
        ("R", np.zeros((4, 3, 3), complex), "positions have shape .* type complex128"),
        ("F", np.zeros((3, 3, 3)), r"forces \(F\) have shape \(3, 3, 3\)"),
        ("E", np.zeros((4, 2)), r"energy \(E\) have shape \(4, 2\) .* \(4,\) or \(4, 1\)"),
        ("E", np.array(["a"] * 4), r"energy \(E\) have shape \(4,\) and type <U1"),
        ("z", np.full((3, 3), 1), "positions of 4 frames, but atomic numbers of 3"),
        ("z", np.full((4, 3, 1), 1), r"atomic numbers have shape \(4, 3, 1\) .* expected whole"),
        ("z", np.array([8.0, 1.0, 1.0]), "atomic numbers have shape .* type float64"),
        ("z", np.array([8, 1, 0]), "frame 0: atom 2 has atomic number 0, outside 1...118"),
        ("z", np.array([], int), r"positions have shape \(4, 3, 3\)"),
    ],
)
def test_unexpected_arrays(tmp_path: Path, key: str, value: np.ndarray, message: str) -> None:
    """Fault 43."""
    with pytest.raises(DataError, match=r"set.npz.*" + message):
        read_arrays(tmp_path, {**water(), key: value})


def test_no_frames(tmp_path: Path) -> None:
    """Fault 45."""
    arrays = {name: (a if name == "z" else a[:0]) for name, a in water().items()}
    with pytest.raises(DataError, match=r"set.npz holds no structures"):
        read_arrays(tmp_path, arrays)


def test_units_stated_by_sgdml(tmp_path: Path) -> None:
    arrays = {**water(), "type": np.array(b"d"), "r_unit": "Ang", "e_unit": "kcal/mol"}
    assert len(read_arrays(tmp_path, arrays, energy_unit="kcal/mol")) == 4
    message = r"set.npz \(e_unit\) states the energy unit 'kcal/mol', but 'eV' was declared"
    with pytest.raises(DataError, match=message):
        read_arrays(tmp_path, arrays)
    message = r"set.npz \(r_unit\) states the length unit 'Ang', but 'Bohr' was declared"
    with pytest.raises(DataError, match=message):
        read_arrays(tmp_path, arrays, energy_unit="kcal/mol", length_unit="Bohr")


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"type": np.array(b"m")}, "model"),
        ({"type": "m"}, "model"),
        ({"type": "t"}, "task"),
        ({"sig": 10, "perms": np.zeros((1, 3))}, "model"),
    ],
)
def test_sgdml_models_are_refused(tmp_path: Path, extra: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=f"set.npz is an sGDML {what}, not a data set"):
        read_arrays(tmp_path, {**water(), **extra})


def test_lattice_of_unknown_orientation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds a cell under 'lattice', and the format does not fix"
    ):
        read_arrays(tmp_path, {**water(), "lattice": np.eye(3)})


@pytest.mark.parametrize(
    "key", ["cell", "box", "Lattice", "lattice_vectors", "unit_cell", "simulation_box", "cells"]
)
def test_no_cell_is_passed_over(tmp_path: Path, key: str) -> None:
    """Unless it is zero, or said to be periodic in no direction."""
    arrays = water()
    for cell in (9.0 * np.eye(3), np.tile(9.0 * np.eye(3), (4, 1, 1)), np.full((4, 3), 9.0)):
        for pbc in ({}, {"pbc": np.array([True, True, False])}):
            with pytest.raises(DataError, match=f"set.npz holds a cell under '{key}', and the"):
                read_arrays(tmp_path, {**arrays, key: cell, **pbc})
        for none in ({"pbc": np.zeros((4, 3), bool)}, {key: 0.0 * cell}):
            assert read_arrays(tmp_path, {**arrays, key: cell, **none})[0].cell is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("F_unit", "Hartree/Bohr", r"\(F_unit\) states the force unit 'Hartree/Bohr', but 'eV/Ang"),
        (
            "energy_unit",
            np.array([b"Ha"]),
            r"\(energy_unit\) states the energy unit 'Ha', but 'eV'",
        ),
        ("units", "real", r"\(units\) states the energy unit 'kcal/mol', but 'eV'"),
    ],
)
def test_other_units_that_are_stated(tmp_path: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=r"set.npz " + message):
        read_arrays(tmp_path, {**water(), key: np.asarray(value)})


def test_charges_of_frames(tmp_path: Path) -> None:
    assert len(read_arrays(tmp_path, {**water(), "Q": np.ones(4)})) == 4
    with pytest.warns(SuspiciousDataWarning, match=r"differ in charge: 0 \(first in set.npz, fra"):
        read_arrays(tmp_path, {**water(), "Q": np.array([0.0, 0.0, 1.0, 0.0])})


def test_big_endian(tmp_path: Path) -> None:
    arrays = water()
    plain = read_arrays(tmp_path, arrays).sha256
    swapped = {key: a.astype(a.dtype.newbyteorder(">")) for key, a in arrays.items()}
    assert read_arrays(tmp_path, swapped | {"z": arrays["z"].astype(">i4")}).sha256 == plain


def test_one_name_twice(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **water())
    with zipfile.ZipFile(tmp_path / "set.npz") as archive:
        energies = archive.read("E.npy")
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(tmp_path / "set.npz", "a") as archive,
    ):
        archive.writestr("E.npy", energies)
    with pytest.raises(DataError, match=r"set.npz holds 'E' twice"):
        read_reference_data(tmp_path / "set.npz", energy_unit="eV", length_unit="Angstrom")


def test_arrays_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    """The header of a deflated array tells; the largest has 72 MB of zeros in 70 kB."""
    for key, shape, message in (
        ("F", (4, 3, 10**5), r"forces \(F\) have shape \(4, 3, 100000\)"),
        ("type", (10**5,), "type has shape"),
        ("R", (10**6, 3, 3), r"'R' has shape .* one number again and again"),
    ):
        np.savez_compressed(tmp_path / "set.npz", **{**water(), key: np.zeros(shape)})
        tracemalloc.start()
        with pytest.raises(DataError, match=message):
            read_reference_data(tmp_path / "set.npz", energy_unit="eV", length_unit="Angstrom")
        assert tracemalloc.get_traced_memory()[1] < 10**7
        tracemalloc.stop()


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    with pytest.raises(DataError, match=r"set.npz: 'E' holds Python objects, which could run code"):
        read_arrays(tmp_path, {**water(), "E": np.array(Bomb(trace), dtype=object)})
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(DataError, match=r"raw.npz is not a NumPy archive"):
        read_reference_data(tmp_path / "raw.npz", energy_unit="eV", length_unit="Angstrom")
    assert not trace.exists()


def test_objects_in_keys_that_are_not_needed_do_no_harm(tmp_path: Path) -> None:
    arrays = {**water(), "theory": np.array({"functional": "PBE"}, dtype=object)}
    assert len(read_arrays(tmp_path, arrays)) == 4


def test_single_array_and_foreign_zip(tmp_path: Path) -> None:
    with open(tmp_path / "set.npz", "wb") as handle:
        np.save(handle, np.zeros(3))
    with pytest.raises(DataError, match=r"set.npz is not a NumPy archive of named arrays"):
        read_reference_data(tmp_path / "set.npz", energy_unit="eV", length_unit="Angstrom")
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("z", "8 1 1")
        archive.writestr("R", "text")
    with pytest.raises(DataError, match=r"set.npz: 'z' is not a NumPy array"):
        read_reference_data(tmp_path / "set.npz", energy_unit="eV", length_unit="Angstrom")


def test_header_that_announces_more_than_there_is(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000, 3, 3), }"
    header += b" " * (117 - len(header)) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80)
    np.savez(tmp_path / "set.npz", z=np.array([8, 1, 1]))
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as archive:
        archive.writestr("R.npy", npy)
    with pytest.raises(DataError, match=r"set.npz: the array 'R' is damaged"):
        read_reference_data(tmp_path / "set.npz", energy_unit="eV", length_unit="Angstrom")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_archives(tmp_path: Path, save: Any) -> None:
    """Cut anywhere, or with a flipped bit: an error, or (in unused bytes) the same data."""
    path = tmp_path / "set.npz"
    save(path, **water())
    whole = path.read_bytes()
    original = read_reference_data(path, energy_unit="eV", length_unit="Angstrom").sha256
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"set\.npz"):
            read_reference_data(path, energy_unit="eV", length_unit="Angstrom")
    n_refused = 0
    for place in range(0, len(whole), 11):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(flipped))
        try:
            data = read_reference_data(path, energy_unit="eV", length_unit="Angstrom")
        except DataError:
            n_refused += 1
        else:
            assert data.sha256 == original
    assert n_refused > 0.7 * len(whole) / 11


def padded_waters() -> dict[str, Any]:
    """Four frames in PhysNet's layout, without a hydrogen in every other one."""
    arrays = water(("Z", "R", "E", "F"))
    n_atoms = np.array([3, 2, 3, 2])
    is_atom = np.arange(3) < n_atoms[:, None]
    arrays["Z"] = np.where(is_atom, arrays["Z"], 0)
    arrays |= {name: np.where(is_atom[..., None], arrays[name], 0.0) for name in "RF"}
    return arrays | {"N": n_atoms}


@pytest.mark.parametrize("with_n", [True, False])
def test_molecules_of_different_size_in_rows(tmp_path: Path, with_n: bool) -> None:
    arrays = padded_waters()
    n_atoms = arrays["N"]
    data = read_arrays(tmp_path, {k: v for k, v in arrays.items() if with_n or k != "N"})
    for k, graph in enumerate(data):
        assert graph.n_atoms == n_atoms[k]
        np.testing.assert_array_equal(graph.atomic_numbers, [8, 1, 1][: n_atoms[k]])
        np.testing.assert_array_equal(graph.positions, arrays["R"][k, : n_atoms[k]])
        np.testing.assert_array_equal(graph.forces, arrays["F"][k, : n_atoms[k]])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("Z", [0, 1, 1], "frame 1: Z has a zero between atoms"),
        ("Z", [0, 0, 0], "frame 1: there are no atoms"),
        ("Z", [8, 1, 1], "frame 1: N is not how many numbers in Z are not zero"),
        ("R", 1.0, "frame 1: there are positions behind the last atom"),
        ("F", 1.0, "frame 1: there are forces behind the last atom"),
    ],
)
def test_rows_filled_up_wrongly(tmp_path: Path, key: str, value: Any, message: str) -> None:
    arrays = padded_waters()
    arrays[key][1] = value
    with pytest.raises(DataError, match=message):
        read_arrays(tmp_path, arrays)


def test_units_that_nobody_declared_are_told(tmp_path: Path) -> None:
    """Units are never guessed, but said where the file states them."""
    np.savez(tmp_path / "set.npz", **water(), e_unit=np.array("kcal/mol"), r_unit=np.array("Ang"))
    message = "declare its units with energy_unit; it states e_unit: kcal/mol, r_unit: Ang"
    with pytest.raises(DataError, match=message):
        read_reference_data(tmp_path / "set.npz", length_unit="Angstrom")


def test_a_file_of_torch_by_another_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("best_model/data.pkl", b"\x80\x02}.")
    with pytest.raises(DataError, match="set.npz was saved by PyTorch, a model or tensors"):
        read_reference_data(tmp_path / "set.npz", energy_unit="eV", length_unit="Angstrom")
