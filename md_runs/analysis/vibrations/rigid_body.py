"""The motions of a molecule as a whole: three translations and three rotations (linear: two).

With positions r from the centre of mass, a rigid motion is v = V + w x r. In mass-weighted
coordinates, sqrt(m) v, rigid motions span a space whose orthogonal complement holds the vibrations
(C. Eckart, Phys. Rev. 47, 552 (1935), doi:10.1103/PhysRev.47.552). A structure r is in the Eckart
frame of a reference a where sum m a x r = 0, and that is where its mass-weighted distance from the
reference is least (K. N. Kudin, A. Y. Dymarsky, J. Chem. Phys. 122, 224105 (2005),
doi:10.1063/1.1929739), so that a singular value decomposition finds the rotation.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def centred(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Positions (or velocities) relative to the centre of mass, [..., n_atoms, 3]."""
    centre = np.einsum("i,...ix->...x", masses, positions) / masses.sum()
    return positions - centre[..., None, :]


def inertia_tensors(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Moments of inertia about the centre of mass, [..., n_atoms, 3] -> [..., 3, 3] (amu A^2)."""
    r = centred(positions, masses)
    second_moments = np.einsum("i,...ix,...iy->...xy", masses, r, r)
    trace = np.trace(second_moments, axis1=-2, axis2=-1)
    return trace[..., None, None] * np.eye(3) - second_moments


def rotation_axes(positions: np.ndarray, masses: np.ndarray, tolerance: float) -> np.ndarray:
    """Principal axes about which the molecule can turn: three, linear two, a single atom none.

    Args:
        positions: [n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        tolerance: an axis counts if its moment of inertia exceeds this share of the largest.

    Returns:
        Unit vectors, [n_axes, 3].
    """
    moments, axes = np.linalg.eigh(inertia_tensors(positions, masses))
    return axes.T[moments > tolerance * max(moments[-1], np.finfo(float).tiny)]


def rigid_vectors(positions: np.ndarray, masses: np.ndarray, tolerance: float) -> np.ndarray:
    """Orthonormal mass-weighted translations and rotations, [3 to 6, n_atoms, 3]."""
    root_mass = np.sqrt(masses)[:, None]
    r = centred(positions, masses)
    translations = [root_mass * axis for axis in np.eye(3)]
    rotations = [
        root_mass * np.cross(axis, r) for axis in rotation_axes(positions, masses, tolerance)
    ]
    vectors = np.stack([*translations, *rotations])
    return vectors / np.linalg.norm(vectors, axis=(1, 2), keepdims=True)


def without_translation(velocities: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Velocities without that of the centre of mass, [..., n_atoms, 3]."""
    return centred(velocities, masses)


def without_rotation(
    velocities: np.ndarray, positions: np.ndarray, masses: np.ndarray, is_linear: bool
) -> np.ndarray:
    """Velocities without the turning of the molecule as a whole about its centre of mass.

    The angular velocity w follows from the angular momentum L = I w at each frame.

    Args:
        velocities: without translation, [n_frames, n_atoms, 3].
        positions: [n_frames, n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        is_linear: a linear molecule does not turn about its axis, though its bending makes that
            moment of inertia differ from zero.
    """
    r = centred(positions, masses)
    moments, axes = np.linalg.eigh(inertia_tensors(positions, masses))
    angular_momenta = np.einsum("i,fix->fx", masses, np.cross(r, velocities))
    along_axes = np.einsum("fxk,fx->fk", axes, angular_momenta)
    turns = moments > 0
    if is_linear:
        turns[:, 0] = False
    angular_velocities = np.einsum(
        "fxk,fk->fx", axes, np.divide(along_axes, moments, out=np.zeros_like(moments), where=turns)
    )
    return velocities - np.cross(angular_velocities[:, None, :], r)


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
    r, a = centred(positions, masses), centred(reference, masses)
    if is_linear:
        return _shortest_rotations(r, a, masses)
    u, _, vt = np.linalg.svd(np.einsum("i,ix,fiy->fxy", masses, a, r))
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # never a reflection
    return u @ vt


def _shortest_rotations(r: np.ndarray, a: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Rotations that bring sum m z r onto the axis, where the reference is a = z axis."""
    axis, across, _ = np.linalg.svd(a.T)[0].T
    directions = np.einsum("i,fix->fx", masses * (a @ axis), r)
    normals = np.cross(directions, axis)
    sines = np.linalg.norm(normals, axis=1, keepdims=True)
    angles = np.arctan2(sines, (directions @ axis)[:, None])
    turns_about = np.divide(normals, sines, out=np.tile(across, (len(r), 1)), where=sines > 0)
    return Rotation.from_rotvec(angles * turns_about).as_matrix()
