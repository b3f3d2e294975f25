"""Settings: defaults, allowed values and origins of everything that can be configured.

Each setting is one annotated field in `fields`, `run_config` or `gate_thresholds`; options,
environment variables, reco.toml and help are made from it. `hyperparameters` contains the presets.
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
