"""bifurk watches how a model's weights move while it trains."""

__version__ = "0.1.0"
