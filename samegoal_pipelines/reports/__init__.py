"""The state of every district for a night, for people: the board, and the pages and messages made from it.

Only what is stored is read here: snapshots, pauses, landed rows. No clock (`now` is handed in), no Dagster,
and never a row's value: a report counts students and names districts.
"""
