"""Countermark in other people's servers. Each module imports its host where it is used."""
