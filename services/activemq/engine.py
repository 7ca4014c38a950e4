"""ActiveMQ Classic as an engine of the testbed: Debian's package, started as a plain process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

from services.activemq.configuration import AUTO, STOMP, STOMP_TLS, USER, render
from services.activemq.stomp import StompError, StompSession
from services.base import Engine, EngineError
from services.ports import LOOPBACK, is_free, port
from services.remembered import password, write_private

INSTALLATION = Path("/usr/share/activemq")
JAR = INSTALLATION / "bin" / "activemq.jar"
# Statistics answer STOMP clients in JSON or XML only if ActiveMQ finds these.
TRANSLATORS = tuple(Path("/usr/share/java") / name for name in ("xstream.jar", "xpp3.jar", "jettison.jar"))
INSTALL = (
    "apt-get install --no-install-recommends activemq default-jre-headless libxstream-java libjettison-java"
)
# The ports that the world expects, by their names in ports.json.
USUAL_PORTS = {AUTO: 61616, STOMP: 61613, STOMP_TLS: 61614}
KEYSTORE = "ACTIVEMQ_KEYSTORE"


class ActiveMQ(Engine):
    """One broker for STOMP and OpenWire clients, with its store under `<home>/activemq/data`."""

    name = "activemq"
    selected_by = "ACTIVEMQ_HOST"

    @property
    def port(self) -> int:
        """TCP port that takes STOMP and OpenWire alike: 61616 if that was free when it was chosen."""
        return self._port(AUTO)

    @property
    def stomp_port(self) -> int:
        """TCP port for STOMP alone: 61613 if that was free when it was chosen."""
        return self._port(STOMP)

    @property
    def tls_port(self) -> int:
        """TCP port for STOMP over TLS; served only when `ACTIVEMQ_KEYSTORE` is set at the start."""
        return self._port(STOMP_TLS)

    def environment(self) -> dict[str, str]:
        """`ACTIVEMQ_*` for any client, under the names that the existing swf agents read."""
        return {
            "ACTIVEMQ_HOST": LOOPBACK,
            "ACTIVEMQ_PORT": str(self.port),
            "ACTIVEMQ_STOMP_PORT": str(self.stomp_port),
            "ACTIVEMQ_USER": USER,
            "ACTIVEMQ_PASSWORD": password(self.home, self.name),
        }

    def embedded(self) -> bool:
        """Whether `ACTIVEMQ_*` name this very broker, or none: another one may listen on the same host."""
        return not os.environ.get(self.selected_by) or all(
            os.environ.get(name) == value for name, value in self.environment().items()
        )

    def missing(self) -> str | None:
        """None when Debian's package and a Java are installed."""
        absent = [name for name, found in {"ActiveMQ": JAR.exists(), "Java": _java()}.items() if not found]
        return f"{' and '.join(absent)} not found. Install: {INSTALL}" if absent else None

    def run(self) -> NoReturn:
        """Write the configuration anew and become the broker.

        Raises:
            EngineError: the package or Java is missing, or a port is taken.
        """
        if reason := self.missing():
            raise EngineError(reason)
        for name, number in self._connectors().items():
            if not is_free(number):
                raise EngineError(
                    f"port {number} is taken: is this ActiveMQ running already? If another program has it,"
                    f" remove '{name}' from {self.home / 'ports.json'} to have another port chosen"
                )
        configuration = self._configure()
        options = [
            "-Xms64m",
            "-Xmx256m",
            # For a broker that shares two processors and is restarted often: compiled quickly and plainly, it needs from
            # the first minute on what the thorough compiler brings it to after ten thousands of messages, 150 instead of
            # 450 us for one, and no threads that compile and collect beside its clients.
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Djava.awt.headless=true",
            f"-Djava.io.tmpdir={self.directory / 'tmp'}",
            f"-Dactivemq.home={INSTALLATION}",
            f"-Dactivemq.base={self.directory}",
            f"-Dactivemq.conf={configuration.parent}",
            f"-Dactivemq.data={self.directory / 'data'}",
            f"-Dlog4j.configuration=file:{Path(__file__).with_name('log4j.properties')}",
            # Otherwise a thread for every destination.
            "-Dorg.apache.activemq.UseDedicatedTaskRunner=false",
        ]
        java = str(_java())
        command = [java, *options, "-jar", str(JAR), "start", f"xbean:file:{configuration}"]
        os.chdir(self.directory)
        os.execv(java, command)  # noqa: S606 - becoming the server is the contract of run()

    def ready(self) -> str | None:
        """None when a STOMP login on both ports succeeds."""
        if reason := self.missing():
            return reason
        for number in (self.port, self.stomp_port):
            try:
                StompSession(
                    (LOOPBACK, number), user=USER, password=password(self.home, self.name), timeout=2
                ).close()
            except (OSError, StompError) as error:
                return f"no STOMP login on {LOOPBACK}:{number}: {error}"
        return None

    def _port(self, name: str) -> int:
        return port(self.home, name, USUAL_PORTS[name])

    def _connectors(self) -> dict[str, int]:
        """Name to port of what this broker is going to listen on, in the order in which it opens them.

        `ready()` asks the plain ones, so they come last.
        """
        plain = {AUTO: self.port, STOMP: self.stomp_port}
        return {STOMP_TLS: self.tls_port, **plain} if os.environ.get(KEYSTORE) else plain

    def _configure(self) -> Path:
        """Write what the broker reads; returns its main configuration file, which holds the password."""
        for folder in ("conf", "data", "tmp", "lib"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        for jar in TRANSLATORS:
            link = self.directory / "lib" / jar.name
            link.unlink(missing_ok=True)
            if jar.exists():
                link.symlink_to(jar)
        text = render(
            data=self.directory / "data",
            secret=password(self.home, self.name),
            addresses={name: (LOOPBACK, number) for name, number in self._connectors().items()},
            keystore=os.environ.get(KEYSTORE, ""),
            keystore_secret=os.environ.get(f"{KEYSTORE}_PASSWORD", ""),
        )
        path = self.directory / "conf" / "activemq.xml"
        write_private(path, text)
        return path


def _java() -> str | None:
    """The Java of `JAVA_HOME`, else the one on the PATH."""
    own = os.environ.get("JAVA_HOME")
    return (shutil.which("java", path=f"{own}/bin") if own else None) or shutil.which("java")
