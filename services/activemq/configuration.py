"""The broker's configuration: `activemq.xml` with its addresses and secrets filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from xml.sax.saxutils import escape, quoteattr

USER = "admin"
# Names of connectors: STOMP and OpenWire on one port, STOMP alone, STOMP over TLS.
AUTO, STOMP, STOMP_TLS = "activemq", "activemq-stomp", "activemq-stomp-tls"
# Clients share their processor with what they do: a heart-beat may be late by its own length.
GRACE = "transport.hbGracePeriodMultiplier=2"
URIS = {
    AUTO: f"auto+nio://{{}}:{{}}?protocols=default,stomp&{GRACE}",
    STOMP: f"stomp+nio://{{}}:{{}}?{GRACE}",
    STOMP_TLS: f"stomp+nio+ssl://{{}}:{{}}?{GRACE}",
}


def render(
    data: Path,
    secret: str,
    addresses: Mapping[str, tuple[str, int]],
    *,
    keystore: str = "",
    keystore_secret: str = "",
) -> str:
    """The text of the configuration.

    Args:
        data: where the broker keeps its messages.
        secret: password of the one account, `USER`.
        addresses: name of a connector to host and port.
        keystore: path of the keystore (JKS or PKCS 12) with the broker's certificate, for `STOMP_TLS`.
    """
    template = Template(Path(__file__).with_name("activemq.xml").read_text())
    return template.substitute(
        data=escape(str(data), {'"': "&quot;"}),
        user=USER,
        password=escape(secret, {'"': "&quot;"}),
        tls=_tls(keystore, keystore_secret) if keystore else "",
        connectors="\n".join(_connector(name, *address) for name, address in addresses.items()),
    )


def _connector(name: str, host: str, port: int) -> str:
    return f'      <transportConnector name="{name}" uri={quoteattr(URIS[name].format(host, port))}/>'


def _tls(keystore: str, secret: str) -> str:
    path = quoteattr(Path(keystore).resolve().as_uri())
    return (
        f"    <sslContext><sslContext keyStore={path} keyStorePassword={quoteattr(secret)}/></sslContext>\n"
    )
