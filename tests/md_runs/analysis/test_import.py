"""The lazy table of contents of the analysis."""

import pytest

import md_runs.analysis


def test_the_table_of_contents_is_right() -> None:
    for names in md_runs.analysis.CONTENTS.values():
        for name in names:
            assert callable(getattr(md_runs.analysis, name))
    with pytest.raises(AttributeError, match=r"'md_runs.analysis' has no attribute 'normal_mode'"):
        _ = md_runs.analysis.normal_mode
