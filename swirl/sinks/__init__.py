"""How effects leave: one dependency, one file."""
