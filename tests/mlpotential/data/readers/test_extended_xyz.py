"""The extended XYZ reader against ASE's, and everything that is damaged, ragged or ambiguous."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.io import read, write

from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError

FRAME = """2
Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 pbc="F F F"
H 0.0 0.0 0.0 0.25 0.0 0.478000
H 0.0 0.0 0.8 -0.25 0.0 -0.478000
"""


def read_text(tmp_path: Path, text: str, **options: object) -> ReferenceData:
    path = tmp_path / "set.extxyz"
    path.write_text(text)
    return read_reference_data(path, energy_unit="eV", length_unit="Angstrom", **options)


def test_agrees_with_ase_on_molecules_crystals_and_slabs(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    skewed = bulk("Si")
    skewed.set_cell(skewed.cell + 0.2 * random.normal(size=(3, 3)), scale_atoms=True)
    slab = fcc111("Cu", (1, 1, 3), vacuum=6.0)
    slab.info.clear()
    structures = [Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]), skewed, slab]
    for k, atoms in enumerate(structures):
        atoms.info["REF_energy"] = -10.5 * k
        atoms.arrays["REF_forces"] = random.normal(size=(len(atoms), 3))
        atoms.info["remark"] = 'quoted "text" = here'
    write(tmp_path / "mixed.xyz", structures, format="extxyz")
    data = read_reference_data(tmp_path / "mixed.xyz", energy_unit="eV", length_unit="Angstrom")
    for graph, atoms in zip(data, read(tmp_path / "mixed.xyz", ":"), strict=True):
        np.testing.assert_array_equal(graph.atomic_numbers, atoms.numbers)
        np.testing.assert_array_equal(graph.positions, atoms.positions)
        np.testing.assert_array_equal(graph.forces, atoms.arrays["REF_forces"])
        assert graph.energy.item() == atoms.info["REF_energy"]
        np.testing.assert_array_equal(graph.pbc[0], atoms.pbc)
        if atoms.pbc.any():
            np.testing.assert_array_equal(graph.cell[0], atoms.cell)
        else:
            assert graph.cell is None


def test_gzip_and_windows_line_ends(tmp_path: Path) -> None:
    plain = read_text(tmp_path, FRAME * 2)
    path = tmp_path / "set.extxyz.gz"
    path.write_bytes(gzip.compress((FRAME * 2).replace("\n", "\r\n").encode()))
    packed = read_reference_data(path, energy_unit="eV", length_unit="Angstrom")
    assert packed.sha256 == plain.sha256


def test_lattice_without_pbc_is_periodic(tmp_path: Path) -> None:
    text = FRAME.replace('pbc="F F F"', 'Lattice="4 0 0 0 5 0 0 1 6"')
    (graph,) = read_text(tmp_path, text)
    assert graph.pbc.all()
    np.testing.assert_array_equal(graph.cell[0], [[4, 0, 0], [0, 5, 0], [0, 1, 6]])


def test_atomic_numbers_instead_of_symbols(tmp_path: Path) -> None:
    text = FRAME.replace("species:S:1", "Z:I:1").replace("\nH", "\n1")
    assert read_text(tmp_path, text).sha256 == read_text(tmp_path, FRAME).sha256


def test_letter_case_of_gpumd(tmp_path: Path) -> None:
    """`lattice=` and `properties=` mean what they say; twice is refused."""
    text = FRAME.replace('pbc="F F F"', 'Lattice="4 0 0 0 5 0 0 1 6" pbc="T T T"')
    plain = read_text(tmp_path, text).sha256
    for old, new in (("Lattice", "lattice"), ("Properties", "properties"), ("pbc", "PBC")):
        assert read_text(tmp_path, text.replace(old, new)).sha256 == plain
    twice = text.replace("Lattice", 'lattice="1 0 0 0 1 0 0 0 1" Lattice')
    with pytest.raises(DataError, match=r"frame 0 .* 'Lattice' stands twice"):
        read_text(tmp_path, twice)


def test_deuterium_and_tritium_are_hydrogen(tmp_path: Path) -> None:
    text = FRAME.replace("\nH", "\nD", 1).replace("\nH", "\nT", 1)
    assert read_text(tmp_path, text).sha256 == read_text(tmp_path, FRAME).sha256


def test_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    plain = read_text(tmp_path, FRAME * 2).sha256
    for text in ("\ufeff" + FRAME * 2, FRAME + "\n  \n" + FRAME, FRAME * 2 + "\n\n"):
        assert read_text(tmp_path, text).sha256 == plain
    (tmp_path / "set.extxyz").write_text(FRAME, encoding="utf-16")
    with pytest.raises(DataError, match=r"set.extxyz is UTF-16 text: save it as UTF-8"):
        read_reference_data(tmp_path / "set.extxyz", energy_unit="eV", length_unit="Angstrom")


def test_many_frames_take_no_quadratic_time(tmp_path: Path) -> None:
    """4000 packed frames in seconds; a reader that seeks in the packed file needs minutes."""
    path = tmp_path / "long.extxyz.gz"
    path.write_bytes(gzip.compress((FRAME * 4000).encode()))
    start = time.process_time()
    data = read_reference_data(path, energy_unit="eV", length_unit="Angstrom")
    assert len(data) == 4000
    assert time.process_time() - start < 10.0


# Keys


def test_explicit_keys(tmp_path: Path) -> None:
    text = FRAME.replace("energy=", "dft=").replace("forces:", "gradient_down:")
    data = read_text(tmp_path, text, energy_key="dft", forces_key="gradient_down")
    assert data.energies.tolist() == [-1.5]
    assert data[0].forces[1, 2] == -0.478


def test_absent_label_names_frame_and_keys(tmp_path: Path) -> None:
    """Fault 38 and 47."""
    without_forces = "2\nProperties=species:S:1:pos:R:3:dft_forces:R:3 energy=1\n"
    text = FRAME + without_forces + "".join(FRAME.splitlines(keepends=True)[2:])
    message = (
        r"set.extxyz, frame 1 \(line 5\): no forces \(looked for forces, REF_forces\); "
        "keys there: dft_forces. .*forces_key"
    )
    with pytest.raises(DataError, match=message):
        read_text(tmp_path, text)
    assert len(read_text(tmp_path, text, properties=("energy",))) == 2


def test_absent_energy_names_frame_and_keys(tmp_path: Path) -> None:
    text = FRAME + FRAME.replace("energy=", "total_energy=")
    with pytest.raises(DataError, match=r"frame 1 \(line 5\): no energy .* there: total_energy"):
        read_text(tmp_path, text)


def test_absent_explicit_key(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no energy under the key 'enrgy' .* mean 'energy'\?"):
        read_text(tmp_path, FRAME, energy_key="enrgy")


def test_two_candidates_ask_for_the_key(tmp_path: Path) -> None:
    both = FRAME.replace("energy=-1.5", "energy=-1.5 REF_energy=-2.5")
    with pytest.raises(DataError, match=r"frame 0 .*any of energy, REF_energy: say .* energy_key"):
        read_text(tmp_path, both)
    assert read_text(tmp_path, both, energy_key="REF_energy").energies.tolist() == [-2.5]


def test_key_that_changes_along_the_file(tmp_path: Path) -> None:
    text = FRAME + FRAME.replace("energy=", "REF_energy=")
    with pytest.raises(DataError, match=r"frame 1 \(line 5\): energy stands under 'REF_energy', b"):
        read_text(tmp_path, text)


# Damage. Line numbers count from 1, frames from 0.


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # 39: labels that are not numbers
        ("energy=-1.5", "energy=nan", r"frame 1 \(line 5\): the energy is nan"),
        ("energy=-1.5", "energy=none", r"frame 1 \(line 5\): energy should be one number"),
        ("-0.478000", "NaN", r"frame 1 \(line 5\): the force on atom 1 is \[-0.25, 0.0, nan\]"),
        ("0.8", "inf", r"frame 1 \(line 5\): the position of atom 1 is not finite"),
        ("0.8", "0.8x", r"frame 1, line 8: pos should be three numbers, not 0.0 0.0 0.8x"),
        ("-0.478000", "*******", r"frame 1, line 8: forces should be three numbers, not .*\*"),
        # 43: ragged rows, wrong atom count
        (" -0.478000", "", r"frame 1, line 8: expected 7 columns, found 6"),
        ("-0.478000", "-0.4 78", r"frame 1, line 8: expected 7 columns, found 8"),
        ("2\n", "3\n", r"frame 1 \(line 5\): 3 atoms are announced, but the file ends after 2"),
        ("2\n", "1\n", r"frame 2 \(line 8\): expected the number of atoms, found 'H 0.0 0.0 0.8"),
        ("2\n", "two\n", r"frame 1 \(line 5\): expected the number of atoms, found 'two'"),
        ("2\n", "0\n", r"frame 1 \(line 5\): frame 1 has no atoms: remove it"),
        # hostile or only Python's numbers
        ("2\n", "9" * 5000 + "\n", r"frame 1 \(line 5\): expected the number of atoms, found '999"),
        ("2\n", "\u00b2\n", r"frame 1 \(line 5\): expected the number of atoms"),
        ("forces:R:3", "forces:R:" + "9" * 5000, r"frame 1 \(line 5\): cannot understand Prop"),
        ("forces:R:3", "forces:R:\u00b3", r"frame 1 \(line 5\): cannot understand Properties="),
        ("0.8", "1_4", r"frame 1, line 8: pos should be three numbers, not 0.0 0.0 1_4"),
        ("0.8", "\uff11", r"frame 1, line 8: pos should be three numbers"),
        ("-1.5", "-1_5", r"frame 1 \(line 5\): energy should be one number, not '-1_5'"),
        ("-1.5", "-1.5 energy=5", r"frame 1 .*: 'energy' stands twice, with '-1.5' and '5'"),
        ("-1.5", '-1.5 x="_JSON ' + "[" * 9000 + '"', r"frame 1 .* JSON is nested too deeply"),
        ("-1.5", '-1.5 x="_JSON [1,"', r"frame 1 .* the comment line cannot be read"),
        ("H 0.0 0.0 0.8", "2 0.0 0.0 0.8", r"frame 1, line 8: unknown element '2': numbers may be"),
        (
            "Properties=species:S:1:pos:R:3:forces:R:3 energy=",
            "",
            r"7; without Properties=|found 7",
        ),
        # other nonsense
        ("H 0.0 0.0 0.8", "Hx 0.0 0.0 0.8", r"frame 1, line 8: unknown element 'Hx'"),
        ("H 0.0 0.0 0.8", "X 0.0 0.0 0.8", r"frame 1 \(line 5\): .*atomic number 0, outside"),
        ('"F F F"', '"T T T"', r"frame 1 \(line 5\): the structure is periodic but has no cell"),
        ('"F F F"', '"yes"', r"frame 1 \(line 5\): pbc should be like \"T T F\", not 'yes'"),
        ("pos:R:3", "pos:R:2", r"frame 1, line 7: expected 6 columns, found 7"),
        ("pos:R:3", "pos:Q:3", r"frame 1 \(line 5\): cannot understand Properties="),
        ("pos:R:3", "xyz:R:3", r"frame 1 \(line 5\): Properties=.* lacks species \(or Z\) or pos"),
        ("forces:R:3", "pos:R:3", r"frame 1 \(line 5\): a name occurs twice"),
        ("forces:R:3", "forces:S:3", r"frame 1 \(line 5\): forces is not three columns"),
        ("energy", 'Lattice="1 2" energy', r"frame 1 \(line 5\): the comment line cannot be read"),
    ],
)
def test_damage_is_named_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in FRAME
    with pytest.raises(DataError, match=r"set.extxyz, " + message):
        read_text(tmp_path, FRAME + FRAME.replace(old, new, 1))


def test_wrong_atom_count_before_another_frame(tmp_path: Path) -> None:
    text = FRAME.replace("2\n", "3\n", 1) + FRAME
    message = r"frame 0, line 5: expected 7 columns, found 1 \('2'\); is the number of atoms right"
    with pytest.raises(DataError, match=message):
        read_text(tmp_path, text)


@pytest.mark.parametrize("n_cut", range(1, 9))
def test_last_number_cut(tmp_path: Path, n_cut: int) -> None:
    """Fault 44: ASE reads `-0.` for `-0.478000` without a word."""
    cut = (FRAME * 2)[:-n_cut]
    with pytest.raises(DataError, match=r"ends without a newline in line 8: the last number may"):
        read_text(tmp_path, cut)


def test_every_cut_is_noticed_or_leaves_whole_frames(tmp_path: Path) -> None:
    text = FRAME * 2
    for length in range(len(text)):
        if length == len(FRAME):
            assert len(read_text(tmp_path, text[:length])) == 1
        else:
            with pytest.raises(DataError):
                read_text(tmp_path, text[:length])


@pytest.mark.parametrize("text", ["", "\n\n", "   \n"])
def test_empty_file(tmp_path: Path, text: str) -> None:
    """Fault 45."""
    with pytest.raises(DataError, match=r"set.extxyz is empty"):
        read_text(tmp_path, text)


def test_one_frame_is_enough(tmp_path: Path) -> None:
    """Fault 45 and 46: one frame, and frames of different atoms."""
    assert len(read_text(tmp_path, FRAME)) == 1
    three = FRAME.replace("2\n", "3\n", 1) + "O 0.0 1.0 0.0 1.0 1.0 1.0\n"
    assert read_text(tmp_path, FRAME + three).elements == (1, 8)


def test_binary_and_cut_gzip(tmp_path: Path) -> None:
    path = tmp_path / "set.xyz"
    path.write_bytes(b"2\n\xff\xfe\x00")
    with pytest.raises(DataError, match=r"set.xyz is not a text file \(byte 2\)"):
        read_reference_data(path, energy_unit="eV", length_unit="Angstrom")
    packed = gzip.compress((FRAME * 20).encode())
    path = tmp_path / "set.xyz.gz"
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 1
    for content in (packed[:-10], FRAME.encode(), bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"set.xyz.gz is cut or not a gzip file"):
            read_reference_data(path, energy_unit="eV", length_unit="Angstrom")


def test_a_packed_file_of_nothing_is_refused_at_once(tmp_path: Path) -> None:
    """3 MB of gzip are 3 GB of zeros, or of line ends; 30 MB show it."""
    path = tmp_path / "bomb.extxyz.gz"
    for content, message in (
        (b"\0" * 3 * 10**7, "is not a text file"),
        (b" " * 3 * 10**7, "is not a text file"),
        (b"\n" * 3 * 10**7, "more than 100 blank lines"),
        (b"0\n" * 10**6, "frame 0 has no atoms"),
    ):
        path.write_bytes(gzip.compress(content, 1))
        tracemalloc.start()
        with pytest.raises(DataError, match=message):
            read_reference_data(path, energy_unit="eV", length_unit="Angstrom")
        assert tracemalloc.get_traced_memory()[1] < 7e7  # four of the longest lines
        tracemalloc.stop()
