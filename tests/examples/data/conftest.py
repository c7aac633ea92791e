"""As tests of graphrec's own data sets: a cache for each test, and real data only where GRAPHREC_DATA names it."""

from tests.dataset_fixtures import cache, check_levels, real_data, samples, serve

__all__ = ["cache", "check_levels", "real_data", "samples", "serve"]
