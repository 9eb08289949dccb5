"""The table of reads, landed beside each raw asset's rows: what was requested and received, in counts."""

from samegoal_pipelines.tables.declaration import flag, integer, number, table, text

READS = table(
    "Reads",
    "One row per Qmlativ object that was read for the asset",
    text("Object", "Qmlativ's object, also the name of the landed file", required=True),
    text("Path", "The requested path, relative to the base URL", required=True),
    text("Fields", "JSON list of the requested fields", required=True),
    text("Missing", "JSON list of the optional fields that are not granted", required=True),
    text("SchoolYearIDs", "JSON list of the requested school years; empty: not year-bound", required=True),
    text("YearsNotRead", "JSON list of older school years whose search by date failed", required=True),
    text("Arrived", "JSON object: rows per listing, from which tomorrow guesses the pages", required=True),
    integer("Rows", "Rows without repeats and without other people's rows", required=True),
    integer("Unreadable", "Of these, rows with a value of the wrong type", required=True),
    integer("Repeats", "Exact repeats that were dropped", required=True),
    integer("Pages", "Pages read", required=True),
    integer("ShortPages", "Pages shorter than requested that were not the last", required=True),
    integer("Retries", "Requests that had to be repeated", required=True),
    integer("Rereads", "Reads that were repeated: pages did not fit or could not be checked", required=True),
    flag("GapsChecked", "Qmlativ showed that no row was lost; if not, two reads had to agree", required=True),
    number("Seconds", "Seconds from the first request to the last row", required=True),
    key=("Object",),
)
