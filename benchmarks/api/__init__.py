"""How fast REST and the live feed are, on a web process that runs."""
