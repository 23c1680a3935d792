"""Running nodes: graph, plan, scheduler, workers, progress."""
