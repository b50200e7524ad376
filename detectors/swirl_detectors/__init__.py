"""The detectors of Swirl, one algorithm a file; ``detectors/README.md`` says which sees what."""
