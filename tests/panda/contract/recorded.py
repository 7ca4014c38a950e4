"""What a real server 1.0.4 replied, and the comparison with what the server under contract replies."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

FILE = Path(__file__).parents[2] / "data" / "panda" / "recorded_exchanges.jsonl"
OWNER = "Alice Tester"

# Fields whose value is of the moment: ids, times, random names. Their type must be the same.
_MOMENT = (
    "PandaID jediTaskID taskID reqID jobsetID parent_tid datasetID fileID row_ID id GUID logGUID creationTime"
    " modificationTime stateChangeTime prodDBUpdateTime creationDate startTime activatedTime jobName job_id"
)
OF_THE_MOMENT = frozenset(_MOMENT.split())
# Fields that differ from the real server's on purpose, and why.
DIFFERENT = {
    "requestType": "the real one keeps a digest of the task's parameters there; nothing reads it",
    "splitRule": "only rules that this server follows are listed",
    "destinationDBlock": "outputs go into the dataset itself, not into a numbered part of it for each site",
    "destinationDblock": "the same, as a pilot is told",
    "ddmEndPointOut": "the recorded site had no storage; here it is the queue's RSE",
}


@dataclass(frozen=True)
class Exchange:
    """One request with its recorded reply."""

    number: int
    verb: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    status: int
    content_type: str
    reply: str

    def replied(self, owner: str) -> Any:
        """The reply's document, with the user's name instead of the recorded one; of a list cut off, what is whole."""
        text = self.reply.replace(OWNER, owner)
        try:
            return json.loads(text)
        except ValueError:
            head, _, rest = text.partition('"data": [')
            first, _ = json.JSONDecoder().raw_decode(rest)
            return {**json.loads(head + '"data": null}'), "data": [first]}


def exchanges() -> list[Exchange]:
    """All recorded exchanges, in their order."""
    return [_exchange(number, json.loads(line)) for number, line in enumerate(FILE.read_text().splitlines())]


def _exchange(number: int, row: dict[str, Any]) -> Exchange:
    names = {"CONTENT_TYPE": "Content-Type", "HTTP_ACCEPT": "Accept", "HTTP_ORIGIN": "Origin"}
    return Exchange(
        number=number,
        verb=row["m"],
        path=row["p"],
        query=row["q"],
        headers={names[name]: value for name, value in row["h"].items() if name in names},
        body=row["body"],
        status=int(row["status"].split()[0]),
        content_type=dict(row["rh"])["Content-Type"],
        reply=row["resp"],
    )


def compare(exchange: Exchange, response: httpx.Response, owner: str) -> list[str]:
    """All differences between the recorded and the given reply; ids in texts do not count."""
    found = []
    if response.status_code != exchange.status:
        found.append(f"status {response.status_code}, not {exchange.status}")
    if response.headers["content-type"] != exchange.content_type:
        found.append(f"content type {response.headers['content-type']}, not {exchange.content_type}")
    if not exchange.reply.startswith('{"'):
        return found + (
            [] if response.text == exchange.reply else [f"{response.text!r}, not {exchange.reply!r}"]
        )
    return found + differences(exchange.replied(owner), response.json(), "reply")


def differences(recorded: Any, given: Any, place: str) -> list[str]:
    """Where two documents differ in keys, types, or values that are not of the moment."""
    name = place.rpartition(".")[2].partition("[")[0]
    if name in DIFFERENT:
        return []
    if _kind(recorded) != _kind(given):
        return [f"{place}: {given!r}, not {recorded!r}"]
    if isinstance(recorded, dict) and "__datetime__" not in recorded:
        return _in_objects(recorded, given, place)
    if isinstance(recorded, list):
        return _in_lists(recorded, given, place)
    if name in OF_THE_MOMENT or _without_ids(recorded) == _without_ids(given):
        return []
    return [f"{place}: {given!r}, not {recorded!r}"]


def _in_objects(recorded: dict[str, Any], given: dict[str, Any], place: str) -> list[str]:
    found = [f"{place}.{name} is missing" for name in recorded.keys() - given.keys()]
    found += [f"{place}.{name} is too much" for name in given.keys() - recorded.keys()]
    for name in recorded.keys() & given.keys():
        found += differences(recorded[name], given[name], f"{place}.{name}")
    return found


def _in_lists(recorded: list[Any], given: list[Any], place: str) -> list[str]:
    """Files of a job come in any order."""
    if all(isinstance(one, dict) and "type" in one for one in recorded):
        recorded, given = (sorted(one, key=lambda file: file["type"]) for one in (recorded, given))
    if len(recorded) > len(given):
        return [f"{place}: {len(given)} items, not {len(recorded)}"]
    found = []
    for number, (one, other) in enumerate(zip(recorded, given, strict=False)):
        found += differences(one, other, f"{place}[{number}]")
    return found


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "time" if "__datetime__" in value else "object"
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


def _without_ids(value: Any) -> Any:
    return re.sub(r"\d+", "N", value) if isinstance(value, str) else value
