"""The report: statistics, coverage, the funnel and a gallery of a data set, on one HTML page."""
