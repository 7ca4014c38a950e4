"""The PostgreSQL channel on which the relay tells how far the journal is sequenced (payload: the position)."""

LIVE_CHANNEL = "swf_live"
