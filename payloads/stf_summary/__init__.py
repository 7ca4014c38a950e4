"""Summary of STFs: hits, clusters and ADC spectra as a ROOT file and as JSON. `python3 -m payloads.stf_summary --help`."""

VERSION = "1.0"
