"""Embedded RabbitMQ: Debian's package without its service, all of it on the loopback interface."""
