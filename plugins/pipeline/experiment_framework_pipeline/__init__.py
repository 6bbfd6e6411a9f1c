"""Steps between ``publish`` and the backplane: sampling."""

from experiment_framework_pipeline.sampling import Sampling, SamplingOptions

__all__ = ["Sampling", "SamplingOptions"]
