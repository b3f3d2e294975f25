"""Control state of a namespace: lock, registry, inventory, hidden items, experiments.

All changes of the live generation go through one Lua script.
"""

__all__ = ["collector", "experiments", "hide_list", "inventory", "lock", "registry", "rights"]
