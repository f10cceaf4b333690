"""From a score to the probability of the named event: that the candidate is wanted."""
