"""Runs nodes: graph, plan, scheduler, workers, progress."""
