"""The reliable list: one atomic script a transition. Redis and the standard library only."""
