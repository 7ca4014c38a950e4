"""The server's rucio.cfg. Rucio reads it when it is imported, so it has to be written before."""

from __future__ import annotations

import io
import os
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from services.remembered import write_private
from services.rucio.settings import Settings

# Not `rucio`: the database may be shared, and somebody else's Rucio may live there.
SCHEMA = "swf_rucio"


def configure(settings: Settings) -> None:
    """Write the file and point this process at it. Call it before anything imports Rucio."""
    path = Path(settings.directory) / "rucio.cfg"
    _write(path, _rucio(settings))
    os.environ["RUCIO_CONFIG"] = str(path)


def use_memory_cache() -> None:
    """Keep what Rucio caches in this process: there is no memcached, and no other process to share it with.

    Without a cache every third statement of a transfer looks up the name of a storage element. Call it after
    `configure()` and before anything imports Rucio's core.
    """
    from rucio.common.cache import MemcacheRegion

    def configure_region(region: Any, expiration_time: int, _memcached_expire_time: int | None) -> None:
        # Pickled, as memcached would: what callers do to a cached object must not change the cache.
        region.configure("dogpile.cache.memory_pickle", expiration_time=expiration_time)

    MemcacheRegion._configure_region = configure_region


def use_checked_schemas() -> None:
    """Check what clients send against Rucio's schemas, and not, at every request, those schemas against theirs.

    That was a fifth of the registration of a file. Call it after `configure()`.
    """
    import rucio.common.schema
    from jsonschema import validators
    from jsonschema.exceptions import best_match

    def validate(instance: Any, schema: Any) -> None:
        if error := best_match(validators.validator_for(schema)(schema).iter_errors(instance)):
            raise error

    rucio.common.schema.validate = validate


def _rucio(settings: Settings) -> dict[str, dict[str, str]]:
    return {
        "common": {"loglevel": "WARNING"},
        "database": {
            "default": settings.database,
            "schema": SCHEMA,
            "pool_size": "12",
            "max_overflow": "12",
        },
        "policy": {"permission": "generic", "schema": "generic"},
        "transfers": {"stats_enabled": "False"},
        # Events would pile up in a table for a broker that is not there; mail is the one kind never written.
        "hermes": {"services_list": "email"},
    }


def _write(path: Path, sections: dict[str, dict[str, str]]) -> None:
    parser = ConfigParser(interpolation=None)
    # The readers interpolate: a per cent sign, as in a quoted password, has to be doubled.
    parser.read_dict(
        {
            name: {key: value.replace("%", "%%") for key, value in body.items()}
            for name, body in sections.items()
        }
    )
    text = io.StringIO()
    parser.write(text)
    write_private(path, text.getvalue())
