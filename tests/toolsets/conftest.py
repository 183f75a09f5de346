"""Property tests here prove results, never speed: a busy machine must not fail them."""

from hypothesis import settings

settings.register_profile("results only", deadline=None)
settings.load_profile("results only")
