"""A user's own condition on images, as SQL. It is run by engine.reading.sql.run_query, which refuses what writes."""

from __future__ import annotations

AS_LISTED = "len(filename), filename, file_row_number"  # of raw.images: the order in which images were listed


def ranked_by_condition(where: str) -> str:
    """A SELECT of image_id and rank. `where`: a condition on the view `images`, or a whole SELECT.

    The rank is the image's place in the order of that SELECT, or the order in which images were listed.
    """
    text = where.strip().rstrip(";").strip()
    if text.split(maxsplit=1)[0].lower() not in ("select", "with", "from", "(select"):
        condition = f"SELECT image_id FROM images WHERE ({text}\n)"
        text = f"SELECT image_id FROM raw.images WHERE image_id IN ({condition}) ORDER BY {AS_LISTED}"
    # The closing bracket is on a line of its own, because the text may end in a comment.
    numbered = f"SELECT image_id, row_number() OVER () AS rank FROM ({text}\n)"
    return f"SELECT image_id, min(rank) AS rank FROM ({numbered}) WHERE image_id IS NOT NULL GROUP BY image_id"
