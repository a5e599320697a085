"""Rankers: models that score the documents of a query, how they learn, and how they are served.

`base` says what a ranker is; `artefacts` keeps one in a folder; `bm25` and
`cross_encoder` are the two there are; `training` makes them; `evaluation`
compares them; `server` puts them on a socket. Nothing but `cross_encoder`,
`backbones`, `losses` and `training` needs torch.
"""
