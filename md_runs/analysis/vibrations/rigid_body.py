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


def _shortest_rotations(r: np.ndarray, a: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Rotations that bring sum m z r onto the axis, where the reference is a = z axis."""
    axis, across, _ = np.linalg.svd(a.T)[0].T
    directions = np.einsum("i,fix->fx", masses * (a @ axis), r)
    normals = np.cross(directions, axis)
    sines = np.linalg.norm(normals, axis=1, keepdims=True)
    angles = np.arctan2(sines, (directions @ axis)[:, None])
    turns_about = np.divide(normals, sines, out=np.tile(across, (len(r), 1)), where=sines > 0)
    return scipy.spatial.transform.Rotation.from_rotvec(angles * turns_about).as_matrix()
