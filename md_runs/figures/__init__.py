"""Figures of analysis results: `plot_x(result, ax=None) -> Axes` draws, `x_figure` arranges panels.

Nothing is computed here and nothing is shown: results come from `md_runs.analysis`, and the figure
of an Axes is saved with `ax.figure.savefig(path)`. What figures share is in `style`.
"""
