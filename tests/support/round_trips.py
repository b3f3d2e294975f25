"""Counts of round trips that a reader's request takes."""

from reco_store.read.pinning import flattened, queue


def steps(client, request) -> int:
    """Drive a request, and count its round trips."""
    step, count = next(request), 0
    try:
        while True:
            count += 1
            pipeline = client.pipeline(transaction=False)
            queue(pipeline, step, clustered=False)
            step = request.send(flattened(pipeline.execute(), step, clustered=False))
    except StopIteration:
        return count
