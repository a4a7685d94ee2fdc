"""Hypothesis without a deadline: a busy machine is no failing test."""

from hypothesis import settings

settings.register_profile("erldist-proto", deadline=None)
settings.load_profile("erldist-proto")
