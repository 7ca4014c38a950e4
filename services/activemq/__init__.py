"""Embedded ActiveMQ Classic: Debian's package with a configuration of our own, all of it on the loopback interface."""
