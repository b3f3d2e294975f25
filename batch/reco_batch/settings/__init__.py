"""Settings: what can be configured, its default, its bounds and its origin.

Each setting is one annotated field (`fields`, `run_config`, `gate_thresholds`); flags, environment
variables, reco.toml and the documentation are generated from it. `hyperparameters` has the presets.
"""

__all__ = [
    "address",
    "fields",
    "gate_thresholds",
    "hyperparameters",
    "option",
    "precedence",
    "processors",
    "run_config",
    "search_space",
    "target",
    "toml_template",
]
