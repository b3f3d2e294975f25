"""Settings: defaults, allowed values and origins of everything that can be configured.

Each setting is one annotated field in `all_settings`, `run_config` or `gate_thresholds`; options,
environment variables, reco.toml and help are made from it. To add an option, begin in `run_config`.
`hyperparameters` contains the presets.
"""

__all__ = [
    "address",
    "all_settings",
    "gate_thresholds",
    "hyperparameters",
    "input_keys",
    "precedence",
    "processors",
    "rules",
    "run_config",
    "search_space",
    "setting_metadata",
    "target",
    "toml_template",
]
