"""Who sees which ranker: experiments, the splitter, and the gateway in front of the rankers.

A ranking call is validated, its unit is assigned by a pure function, the arm's
ranker (or the champion in its place) answers, and the page is recorded.
"""
