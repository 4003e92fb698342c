"""Figures of analysis results: `plot_x(result, ax=None) -> Axes` draws, `x_figure` arranges panels.

Nothing is computed here and nothing is shown: results come from `md_runs.analysis`, and the figure
of an Axes is saved with `ax.figure.savefig(path)`. What figures share is in `style`.

Arguments mean the same in all of them: `ax`, where to draw, None for a figure of its own; `labels`,
names of model and reference, or of molecules; `comparison`, of two sets of modes; `spectra`,
`distributions` and `spreads`, results by the name of their run, or by the number of beads;
`convergence`, of the same runs; `pairs`, each a classical and a path-integral distribution;
`panels`, such mappings, one for each panel; `max_wavenumber_per_cm`, the right end of the axis
(1/cm); `sticks`, of normal modes, and `peaks`, to be marked.
"""
