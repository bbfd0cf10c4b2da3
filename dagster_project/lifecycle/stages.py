"""The stages of a tick, in order. One word each: it names the file in every room, the asset group and the gate."""

STAGES = ("ingest", "enrich", "score", "decide", "draft", "review", "deliver", "evaluate")
