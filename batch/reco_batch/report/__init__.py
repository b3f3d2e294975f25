"""HTML report of a run, made from its artifact alone, so it can be made again on any machine.

`page` gathers the facts, section by section (`checks`, `quality`, `movers`, `coverage`, `chosen`,
`training_curves`, `sample_users`), and `render` fills the template. `plots` draws SVG, `text`
formats numbers and sanitises texts.
"""

__all__ = ["report_file"]
