"""The report: statistics, coverage, the funnel and a gallery of a data set, on one HTML page."""

MODULES = ("altair", "jinja2", "vl_convert")  # that the report needs, from the extra `report`
