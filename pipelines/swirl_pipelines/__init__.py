"""ML pipelines that run for real, instrumented with Swirl."""
