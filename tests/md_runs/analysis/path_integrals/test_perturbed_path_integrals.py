"""Perturbed path integrals: closed forms of oscillators, quadrature, exact quantum limits."""

import harmonic_ring_polymer as oscillator
import numpy as np
import pytest
from numpy.testing import assert_allclose

from md_runs.analysis.path_integrals.energies import HBAR, path_integral_energies
from md_runs.analysis.path_integrals.perturbed_path_integrals import (
    TRUSTED_ERROR,
    perturbed_distance_distribution,
    perturbed_energies,
)
from mlpotential.errors import ConfigError, DataError

KT, KELVIN = oscillator.KT, oscillator.KELVIN


@pytest.mark.parametrize("n_beads", [1, 2, 4])
def test_oscillators_come_near_infinitely_many_beads(n_beads: int) -> None:
    """beta hbar omega = 3, six degrees of freedom: the estimators are right, and close to exact."""
    masses, u = np.array([1.0, 5.0]), 3.0
    beads = oscillator.sample(u, n_beads, 20_000, masses, seed=n_beads)
    found = perturbed_energies(*beads, masses, KELVIN)
    plain = path_integral_energies(*beads, masses, KELVIN)
    total = 6 * oscillator.perturbed_energy(u, n_beads) * KT
    expected = {
        "kinetic_energy": 0.5 * total,
        "potential_energy": 0.5 * total,
        "total_energy": total,
        "heat_capacity": 6 * oscillator.perturbed_heat_capacity(u, n_beads),
        "mean_perturbation": 6 * oscillator.perturbation(u, n_beads),
        "bead_error": 1 - oscillator.energy(u, n_beads) / oscillator.perturbed_energy(u, n_beads),
    }
    for name, exact in expected.items():
        estimate = getattr(found, name)
        assert abs(estimate.value - exact) < 4 * estimate.standard_error, name
    assert found.total_energy.standard_error < 0.01 * total
    for name in ("kinetic_energy", "potential_energy", "total_energy"):
        quantum = 6 * oscillator.energy(u, None) * KT * (1.0 if name == "total_energy" else 0.5)
        before = abs(getattr(plain, name).value - quantum)
        after = abs(getattr(found, name).value - quantum)
        assert after < 0.25 * before, name
        correction = getattr(found, name.replace("energy", "correction"))
        assert correction.value == pytest.approx(
            getattr(found, name).value - getattr(plain, name).value
        )
    quantum = 6 * oscillator.heat_capacity(u, None)
    before, after = (abs(e.heat_capacity.value - quantum) for e in (plain, found))
    assert after < (0.5 if n_beads == 1 else 0.2) * before + 2 * found.heat_capacity.standard_error


def test_how_far_first_order_carries() -> None:
    """The limits that the module states, from closed forms."""
    for u in np.arange(1.0, 9.1, 0.5):
        quantum = oscillator.energy(u, None)
        for n_beads in (2, 3, 4, 6, 8, 16, 32):
            corrected = oscillator.perturbed_energy(u, n_beads)
            if 1 - oscillator.energy(u, n_beads) / corrected <= TRUSTED_ERROR:
                assert abs(corrected / quantum - 1) < 0.01
    assert abs(oscillator.perturbed_energy(3.0, 1) / oscillator.energy(3.0, None) - 1) < 0.06


def test_two_anharmonic_beads_against_quadrature() -> None:
    """ln Z - <W> of V = a x^2 + b x^4 in each direction, and its derivatives, on a grid."""
    n_grid = 301
    x = np.linspace(-1.0, 1.0, n_grid)
    potential, force = 4.0 * x**2 + 40.0 * x**4, -8.0 * x - 160.0 * x**3
    both = 0.5 * (potential[:, None] + potential)
    squares = force[:, None] ** 2 + force**2

    def log_z(beta: float, mass: float = 1.0, scale: float = 1.0) -> float:
        """Of the perturbed partition function of one direction; `scale` multiplies V."""
        springs = 2 * mass / (beta * HBAR) ** 2 * (x[:, None] - x) ** 2
        weights = np.exp(-beta * (springs + scale * both))
        W = HBAR**2 * beta**3 / (24 * 8) * scale**2 * squares / mass
        return float(np.log(mass / beta * weights.sum()) - (W * weights).sum() / weights.sum())

    def derivatives(function, place: float) -> tuple[float, float]:
        step = 1e-3 * place
        f = [function(place + k * step) for k in (-2, -1, 0, 1, 2)]
        first = (8 * (f[3] - f[1]) - (f[4] - f[0])) / (12 * step)
        second = (16 * (f[3] + f[1]) - (f[4] + f[0]) - 30 * f[2]) / (12 * step**2)
        return first, second

    beta = 1 / KT
    first, second = derivatives(log_z, beta)
    expected = {
        "total_energy": -3 * first,
        "heat_capacity": 3 * beta**2 * second,
        "kinetic_energy": 3 * KT * derivatives(lambda m: log_z(beta, m), 1.0)[0],
        "potential_energy": -3 * KT * derivatives(lambda s: log_z(beta, 1.0, s), 1.0)[0],
    }
    springs = 2 / (beta * HBAR) ** 2 * (x[:, None] - x) ** 2
    weights = np.exp(-beta * (springs + both))
    drawn = np.random.default_rng(9).choice(
        n_grid**2, p=(weights / weights.sum()).ravel(), size=(60_000, 1, 3)
    )
    place = np.stack(np.divmod(drawn, n_grid), axis=1)
    found = perturbed_energies(
        x[place], force[place], potential[place].sum(axis=(2, 3)), np.ones(1), KELVIN
    )
    for name, exact in expected.items():
        estimate = getattr(found, name)
        assert abs(estimate.value - exact) < 3 * estimate.standard_error, name
    assert found.total_energy.standard_error < 0.02 * expected["total_energy"]
    assert found.heat_capacity.standard_error < 0.3


class QuarticWell:
    """V = 2 x^2 + 20 x^4 in each direction for 2 amu: levels and ring polymers, on one grid.

    The kernel of one step in imaginary time makes paths of P beads by matrix products; levels come
    from the sinc representation of D. T. Colbert, W. H. Miller, J. Chem. Phys. 96, 1982 (1992),
    doi:10.1063/1.462100.
    """

    mass = 2.0
    x = np.linspace(-1.1, 1.1, 181)
    potential, force = 2 * x**2 + 20 * x**4, -4 * x - 80 * x**3

    def exact(self) -> dict[str, float]:
        """Energies in kT, the heat capacity in k, of infinitely many beads and one direction."""
        step, apart = self.x[1] - self.x[0], np.arange(181)[:, None] - np.arange(181)
        kinetic = np.divide(
            2 * (-1.0) ** apart, apart**2, out=np.zeros((181, 181)), where=apart != 0
        )
        kinetic[apart == 0] = np.pi**2 / 3
        kinetic *= HBAR**2 / (2 * self.mass * step**2)
        levels, states = np.linalg.eigh(kinetic + np.diag(self.potential))
        share = np.exp(-(levels - levels[0]) / KT)
        share /= share.sum()
        energy, potential = share @ levels, share @ (self.potential @ states**2)
        return {
            "kinetic_energy": (energy - potential) / KT,
            "potential_energy": potential / KT,
            "total_energy": energy / KT,
            "heat_capacity": (share @ levels**2 - energy**2) / KT**2,
        }

    def kernel(self, n_beads: int, beta: float = 1 / KT) -> np.ndarray:
        springs = self.mass * n_beads / (2 * beta * HBAR**2) * (self.x[:, None] - self.x) ** 2
        both = 0.5 * (self.potential[:, None] + self.potential)
        return np.exp(-springs - beta / n_beads * both) / np.sqrt(beta)

    def energy(self, n_beads: int) -> float:
        """Of P beads and one direction, in kT: the logarithmic derivative of the trace."""
        betas = np.array([1 - 1e-4, 1 + 1e-4]) / KT
        traces = [np.trace(np.linalg.matrix_power(self.kernel(n_beads, b), n_beads)) for b in betas]
        return float(-np.diff(np.log(traces))[0] / np.diff(betas)[0] / KT)

    def sample(self, n_beads: int, n_frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Independent closed paths, bead after bead from their conditional distributions."""
        rng, kernel = np.random.default_rng(n_beads), self.kernel(n_beads)
        start = np.diag(np.linalg.matrix_power(kernel, n_beads))
        path = [rng.choice(len(self.x), p=start / start.sum(), size=3 * n_frames)]
        for bead in range(1, n_beads):
            back = np.linalg.matrix_power(kernel, n_beads - bead)
            running = np.cumsum(kernel[path[-1]] * back[path[0]], axis=1)
            heights = rng.uniform(size=(3 * n_frames, 1)) * running[:, -1:]
            path.append((running < heights).sum(axis=1))
        place = np.stack(path, axis=1).reshape(n_frames, 3, n_beads).swapaxes(1, 2)[:, :, None]
        return self.x[place], self.force[place], self.potential[place].sum(axis=(2, 3))


@pytest.mark.parametrize(("n_beads", "share_left"), [(1, 0.25), (2, 0.1), (4, 0.1)])
def test_an_anharmonic_oscillator_comes_near_its_levels(n_beads: int, share_left: float) -> None:
    """Against exact quantum mechanics: what P beads miss, and what is left of it."""
    well = QuarticWell()
    beads = well.sample(n_beads, 8000)
    masses, exact = np.array([well.mass]), well.exact()
    plain = path_integral_energies(*beads, masses, KELVIN)
    found = perturbed_energies(*beads, masses, KELVIN)
    assert abs(plain.total_energy.value - 3 * KT * well.energy(n_beads)) < (
        4 * plain.total_energy.standard_error
    )
    for name in ("kinetic_energy", "potential_energy", "total_energy"):
        quantum, estimate = 3 * KT * exact[name], getattr(found, name)
        before = abs(getattr(plain, name).value - quantum)
        after = abs(estimate.value - quantum)
        assert before > 0.1 * quantum, name
        assert after < share_left * before + 2 * estimate.standard_error, name
        assert estimate.standard_error < 0.03 * quantum, name
    if n_beads > 1:
        before, after = (
            abs(e.heat_capacity.value - 3 * exact["heat_capacity"]) for e in (plain, found)
        )
        assert after < 0.1 * before + 2 * found.heat_capacity.standard_error


def bonds(n_beads: int, n_frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two oscillators at places 1.5 A apart, beta hbar omega = 6, reduced mass 2 amu."""
    masses = np.array([3.0, 6.0])
    positions, forces, _ = oscillator.sample(6.0, n_beads, n_frames, masses, seed=20 + n_beads)
    return positions + np.array([[0.0, 0, 0], [1.5, 0, 0]]), forces, masses


def length_density(r: np.ndarray, variance: float) -> np.ndarray:
    """Of the length of a vector with a normal spread about 1.5 A in every direction."""
    lower, upper = (np.exp(-((r - s * 1.5) ** 2) / (2 * variance)) for s in (1, -1))
    return r / (1.5 * np.sqrt(2 * np.pi * variance)) * (lower - upper)


def test_a_distribution_comes_near_infinitely_many_beads() -> None:
    n_beads = 4
    positions, forces, masses = bonds(n_beads, 40_000)
    found = perturbed_distance_distribution(
        positions, forces, masses, KELVIN, "bond", np.array([[0, 1]])
    )
    per_kT = np.sum(1 / masses) * HBAR**2 / (36.0 * KT)  # variance = energy in kT times this
    r = np.linspace(0.5, 2.5, 20_001)
    exact, plain, corrected = (
        length_density(r, per_kT * e)
        for e in (
            oscillator.energy(6.0, None),
            oscillator.energy(6.0, n_beads),
            oscillator.perturbed_energy(6.0, n_beads),
        )
    )

    def moments(density: np.ndarray) -> tuple[float, float]:
        mean = np.sum(r * density) / density.sum()
        return mean, np.sqrt(np.sum((r - mean) ** 2 * density) / density.sum())

    for estimates, density in (
        ((found.mean, found.standard_deviation), corrected),
        ((found.plain_mean, found.plain_standard_deviation), plain),
    ):
        for estimate, truth in zip(estimates, moments(density), strict=True):
            # 2e-4 A: what first order misses of the moments, which are not linear in the variance
            assert abs(estimate.value - truth) < 4 * estimate.standard_error + 2e-4
    bins = np.abs(r[None] - found.distances[:, None]) <= 0.5 * found.bin_width
    quantum = np.array([exact[b].mean() if b.any() else 0.0 for b in bins])
    before = np.abs(found.plain_density - quantum).sum() * found.bin_width
    after = np.abs(found.density - quantum).sum() * found.bin_width
    assert before > 0.1
    assert after < 0.25 * before
    assert found.density.sum() * found.bin_width == pytest.approx(1.0, abs=1e-10)
    correction, error = found.density - found.plain_density, found.correction_error
    assert np.abs(correction / error).max() > 10


def test_all_pairs_make_the_pair_density() -> None:
    positions, forces, masses = bonds(2, 200)
    whole = perturbed_distance_distribution(positions, forces, masses, KELVIN, "h")
    single = perturbed_distance_distribution(
        positions, forces, masses, KELVIN, "h", np.array([[1, 0]])
    )
    assert_allclose(whole.density, single.density, atol=1e-12)
    chunks = [[a[k : k + 30] for k in range(0, 200, 30)] for a in (positions, forces)]
    stream = perturbed_distance_distribution(*chunks, masses, KELVIN, "h")
    assert_allclose(stream.density, whole.density, atol=1e-9)


@pytest.mark.parametrize(("n_beads", "n_frames", "verdict"), [(1, 400, "no"), (32, 400, "yes")])
def test_the_verdict_on_the_number_of_beads(n_beads: int, n_frames: int, verdict: str) -> None:
    masses = np.ones(4)
    beads = oscillator.sample(3.0, n_beads, n_frames, masses, seed=2)
    found = perturbed_energies(*beads, masses, KELVIN)
    assert found.are_beads_enough() == verdict
    assert found.is_trustworthy == (n_beads > 1)
    margin = abs(found.bead_error.value)
    assert found.are_beads_enough(tolerance=margin) == "undecided"


@pytest.mark.slow
def test_error_bars_cover_the_truth() -> None:
    """68 % bands of 200 runs of 1000 frames with 2 beads."""
    masses = np.ones(1)
    whole = oscillator.sample(3.0, 2, 200 * 1000, masses, seed=5)
    total = 3 * oscillator.perturbed_energy(3.0, 2) * KT
    truth = {
        "kinetic_energy": 0.5 * total,
        "total_energy": total,
        "heat_capacity": 3 * oscillator.perturbed_heat_capacity(3.0, 2),
        "bead_error": 1 - oscillator.energy(3.0, 2) / oscillator.perturbed_energy(3.0, 2),
    }
    covered = []
    for run in range(200):
        piece = slice(1000 * run, 1000 * (run + 1))
        found = perturbed_energies(*(a[piece] for a in whole), masses, KELVIN)
        estimates = {name: getattr(found, name) for name in truth}
        covered.append(
            [abs(e.value - truth[name]) < e.standard_error for name, e in estimates.items()]
        )
    share = np.mean(covered, axis=0)
    assert ((share > 0.60) & (share < 0.76)).all(), share


@pytest.mark.slow
def test_error_bars_of_distributions_cover_the_truth() -> None:
    """68 % bands of 200 runs of 200 frames with 2 beads; the truth is that of all of them."""
    positions, forces, masses = bonds(2, 200 * 200)
    options = {"pairs": np.array([[0, 1]]), "bin_width": 0.1}
    truth = perturbed_distance_distribution(positions, forces, masses, KELVIN, "bond", **options)
    middle = truth.plain_density > 0.3 * truth.plain_density.max()
    covered = {"density": [], "mean": [], "standard_deviation": []}
    for run in range(200):
        piece = slice(200 * run, 200 * (run + 1))
        found = perturbed_distance_distribution(
            positions[piece], forces[piece], masses, KELVIN, "bond", **options
        )
        same = np.rint((truth.distances[middle] - found.distances[0]) / 0.1).astype(int)
        deviation = np.abs(found.density[same] - truth.density[middle])
        covered["density"].append(deviation < found.standard_error[same])
        for name in ("mean", "standard_deviation"):
            estimate = getattr(found, name)
            exact = getattr(truth, name).value
            covered[name].append(abs(estimate.value - exact) < estimate.standard_error)
    share = {name: np.mean(within) for name, within in covered.items()}
    assert all(0.60 < s < 0.76 for s in share.values()), share


def test_incomplete_runs_are_refused() -> None:
    positions, forces, masses = bonds(2, 20)
    with pytest.raises(DataError, match="forces of every bead"):
        perturbed_distance_distribution(positions, forces[:, :1], masses, KELVIN, "bond")
    with pytest.raises(DataError, match="atoms 0 to 9, but the trajectory has atoms 0 to 1"):
        perturbed_distance_distribution(
            positions, forces, masses, KELVIN, "bond", np.array([[0, 9]])
        )
    with pytest.raises(ConfigError, match="bin_width"):
        perturbed_distance_distribution(positions, forces, masses, KELVIN, "bond", bin_width=0)
    with pytest.raises(ConfigError, match="temperature"):
        perturbed_energies(positions, forces, positions[..., 0, 0], masses, -3.0)
