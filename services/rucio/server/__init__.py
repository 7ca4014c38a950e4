"""The Rucio process, in an environment of its own (`.venv-rucio`) without the project's packages."""
