"""The backplane that ``type: sample`` selects."""

from sample_backplane.backplane import SampleBackplane
from sample_backplane.options import SampleOptions

__all__ = ["SampleBackplane", "SampleOptions"]
