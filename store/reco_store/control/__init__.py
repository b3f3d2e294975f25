"""Control state of a namespace: lock, registry, inventory, hidden items, experiments.

One Lua script makes every change of the live generation.
"""

__all__ = [
    "collector",
    "experiments",
    "generation_registry",
    "hide_list",
    "inventory",
    "lock",
    "rights",
]
