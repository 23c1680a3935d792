"""The gallery: which images it has, what it shows of each, and the script that draws it.

The report and `engine explore` both use it.
"""
