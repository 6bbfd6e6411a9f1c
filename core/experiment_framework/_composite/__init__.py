"""The backplane that hands each event to several others."""

from experiment_framework._composite.options import CompositeOptions, MemberOptions
from experiment_framework._composite.plugin import CompositeBackplane

__all__ = ["CompositeBackplane", "CompositeOptions", "MemberOptions"]
