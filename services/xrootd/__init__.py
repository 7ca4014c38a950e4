"""XRootD over the testbed's storage: one server per RSE, third-party copy between them, remote reads for everybody."""
