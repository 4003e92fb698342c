"""Equations as MathML, which browsers draw themselves: no script is fetched, no LaTeX needed."""

from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Writes an equation within a line."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Writes an equation on lines of its own."""
    equation = tex2mathml(node.astext(), as_block=True)
    unscrolled = equation.replace("<math ", '<math style="overflow: visible" ', 1)
    translator.body.append(f'<div style="padding: 0.5em 0">{unscrolled}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
