"""A molecule as a rigid body: its centre of mass, moments of inertia and Eckart frame.

In mass-weighted coordinates, sqrt(m) v, rigid motions span a space whose orthogonal complement
holds the vibrations (C. Eckart, Phys. Rev. 47, 552 (1935), doi:10.1103/PhysRev.47.552), see
`degrees_of_freedom`. A structure r is in the Eckart frame of a reference a where sum m a x r = 0,
and that is where its mass-weighted distance from the reference is least (K. N. Kudin, A. Y.
Dymarsky, J. Chem. Phys. 122, 224105 (2005), doi:10.1063/1.1929739), so that a singular value
decomposition finds the rotation.
"""

from __future__ import annotations

import numpy as np
import scipy

from mlpotential.errors import DataError

CONVERGED = 1e-8  # A, chosen: change of the mean structure
MOST_ITERATIONS = 50


def centered(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Positions (or velocities) relative to the centre of mass, [..., n_atoms, 3]."""
    center = np.einsum("i,...ix->...x", masses, positions) / masses.sum()
    return positions - center[..., None, :]


def inertia_tensors(r: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Moments of inertia about the origin of r, [..., n_atoms, 3] (A) -> [..., 3, 3] (amu A^2)."""
    second_moments = np.einsum("i,...ix,...iy->...xy", masses, r, r)
    trace = np.trace(second_moments, axis1=-2, axis2=-1)
    return trace[..., None, None] * np.eye(3) - second_moments


def eckart_rotations(
    positions: np.ndarray, reference: np.ndarray, masses: np.ndarray, is_linear: bool
) -> np.ndarray:
    """The rotations R that turn structures into the Eckart frame of a reference, r -> R r.

    Args:
        positions: [n_frames, n_atoms, 3] (A).
        reference: [n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        is_linear: the reference is linear; its structures are turned the shortest way, because
            turns about its axis mean nothing.

    Returns:
        Proper rotations, [n_frames, 3, 3].
    """
    r, a = centered(positions, masses), centered(reference, masses)
    if is_linear:
        return _shortest_rotations(r, a, masses)
    u, _, vt = np.linalg.svd(np.einsum("i,ix,fiy->fxy", masses, a, r))
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # never a reflection
    return u @ vt


def in_eckart_frame(
    positions: np.ndarray, reference: np.ndarray, masses: np.ndarray, is_linear: bool
) -> np.ndarray:
    """Structures turned and shifted into the Eckart frame of a reference, where it is.

    Args: as of `eckart_rotations`.

    Returns:
        [n_frames, n_atoms, 3] (A), each with the reference's centre of mass.
    """
    r = centered(positions, masses)
    turned = r @ eckart_rotations(r, reference, masses, is_linear).swapaxes(1, 2)
    return turned + masses @ reference / masses.sum()


def frames_on_their_mean(
    positions: np.ndarray, masses: np.ndarray, reference: np.ndarray, is_linear: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Frames laid on their mean structure.

    Args:
        positions: [n_frames, n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        reference: the structure that frames are laid on first, [n_atoms, 3] (A).
        is_linear: the molecule is, and so is the mean.

    Returns:
        The frames, [n_frames, n_atoms, 3], and the mean, [n_atoms, 3] (A), both about the centre of
        mass.

    Raises:
        DataError: if there is no such structure.
    """
    r, mean = centered(positions, masses), centered(reference, masses)
    for _ in range(MOST_ITERATIONS):
        frames = r @ eckart_rotations(r, mean, masses, is_linear).swapaxes(1, 2)
        before, mean = mean, frames.mean(axis=0)
        if is_linear:
            axis = np.linalg.svd(before)[2][0]
            mean = np.outer(mean @ axis, axis)
        if np.abs(mean - before).max() < CONVERGED:
            return frames, mean
    raise DataError(
        f"the mean structure still changes after {MOST_ITERATIONS} superpositions: does the "
        "molecule keep one structure?"
    )


def _shortest_rotations(r: np.ndarray, a: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Rotations that bring sum m z r onto the axis, where the reference is a = z axis."""
    axis, across, _ = np.linalg.svd(a.T)[0].T
    directions = np.einsum("i,fix->fx", masses * (a @ axis), r)
    normals = np.cross(directions, axis)
    sines = np.linalg.norm(normals, axis=1, keepdims=True)
    angles = np.arctan2(sines, (directions @ axis)[:, None])
    turns_about = np.divide(normals, sines, out=np.tile(across, (len(r), 1)), where=sines > 0)
    return scipy.spatial.transform.Rotation.from_rotvec(angles * turns_about).as_matrix()
