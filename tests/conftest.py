"""For all tests: hypothesis without a clock, since boards, emulators and shared machines are slow."""

from hypothesis import HealthCheck, settings

settings.register_profile("edgeface", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgeface")
