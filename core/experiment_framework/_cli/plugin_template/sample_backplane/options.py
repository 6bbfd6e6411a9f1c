"""What a person may write under ``options``."""

from experiment_framework.plugin import option, options


@options
class SampleOptions:
    """Options of the sample backplane."""

    path: str = option(help="File that events are appended to, in a folder that exists.")
