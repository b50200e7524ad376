"""The detectors that come with Swirl: one algorithm, one file. ``detectors/README.md`` says which one sees what."""
