"""PanDA's real client in a process of its own: it takes the server from the environment when it is imported.

The file is also that process's program. Requests and answers are pickles, each after its length.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any


class ClientProcess:
    """Calls functions of `pandaclient.Client`, and `PrunScript.main`.

    Args:
        environment: what is set in addition to, and instead of, this process's own.
        folder: working directory.
    """

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PANDA", "OIDC_"))}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            cwd=folder,
            env={**kept, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._requests: Any = self._process.stdin
        self._answers: Any = self._process.stdout

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """What `pandaclient.Client.<name>` returns; specifications of jobs come as dictionaries."""
        return self._ask(("Client", name, arguments, named))

    def prun(self, folder: Path, *arguments: str) -> dict[str, Any]:
        """The parameters that `PrunScript.main(True, arguments)` makes in `folder`; it uploads the sandbox."""
        parameters: dict[str, Any] = self._ask(("prun", str(folder), arguments, {}))
        return parameters

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._process.wait(60)
        self._answers.close()

    def _ask(self, request: tuple[Any, ...]) -> Any:
        _write(self._requests, request)
        answered, value = _read(self._answers)
        assert answered, value
        return value


def _write(stream: Any, value: Any) -> None:
    data = pickle.dumps(value)
    stream.write(struct.pack("<I", len(data)) + data)
    stream.flush()


def _read(stream: Any) -> Any:
    head = stream.read(4)
    if len(head) < 4:
        raise EOFError("the client's process has ended")
    return pickle.loads(stream.read(struct.unpack("<I", head)[0]))


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_plain(one) for one in value)
    if hasattr(value, "_attributes"):
        plain = {name: getattr(value, name) for name in value._attributes}
        return {**plain, "Files": _plain(list(getattr(value, "Files", [])))}
    return value


def _obey(request: tuple[str, str, tuple[Any, ...], dict[str, Any]]) -> Any:
    module, name, arguments, named = request
    if module == "Client":
        from pandaclient import Client

        return _plain(getattr(Client, name)(*arguments, **named))
    from pandaclient import PrunScript

    before = Path.cwd()
    os.chdir(name)
    try:
        return PrunScript.main(True, list(arguments))
    finally:
        os.chdir(before)


def _serve() -> None:
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            request = _read(requests)
        except EOFError:
            return
        with redirect_stdout(io.StringIO()) as said:
            try:
                answer = True, _obey(request)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the caller is told, whatever it is
                answer = False, f"{type(error).__name__}: {error}\n{said.getvalue()}"
        _write(answers, answer)


if __name__ == "__main__":
    _serve()
