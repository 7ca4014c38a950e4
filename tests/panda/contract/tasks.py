"""Tasks that need no data catalogue: their inputs are listed by address."""

from __future__ import annotations

import time
from typing import Any

QUEUE = "E1_BNL"


def parameters(count: int = 2, **changes: Any) -> dict[str, Any]:
    """A task of `count` jobs under a name that is new."""
    name = f"user.swf.contract.{time.time_ns()}"
    output = "user.swf.$JEDITASKID._${SN/P}.out.json"
    return {
        "taskName": f"{name}/",
        "uniqueTaskName": True,
        "vo": "wlcg",
        "architecture": None,
        "transUses": "",
        "transHome": None,
        "processingType": "panda-client-2.2.0-jedi-run",
        "prodSourceLabel": "test",
        "site": QUEUE,
        "excludedSite": [],
        "includedSite": None,
        "nFilesPerJob": 1,
        "cliParams": "prun",
        "skipScout": True,
        "osInfo": "Linux-x86_64",
        "workingGroup": "EIC",
        "nMaxFilesPerJob": 200,
        "respectSplitRule": True,
        "sourceURL": "http://127.0.0.1:25080",
        "log": {
            "dataset": f"{name}.log/",
            "container": f"{name}.log/",
            "type": "template",
            "param_type": "log",
            "value": f"{name}.log.$JEDITASKID.${{SN}}.log.tgz",
        },
        "jobParameters": [
            {"type": "constant", "value": '-j "" --sourceURL ${SURL}'},
            {
                "type": "template",
                "value": output,
                "param_type": "output",
                "dataset": f"{name}_out.json/",
                "container": f"{name}_out.json/",
                "hidden": True,
            },
            {"type": "constant", "value": f"-o \"{{'out.json': '{output}'}}\""},
            {"type": "constant", "value": '-i "${IN/T}"'},
        ],
        "pfnList": [f"root://127.0.0.1//d/swf.{number}.stf" for number in range(1, count + 1)],
        "noInput": True,
        "nFiles": count,
        **changes,
    }
