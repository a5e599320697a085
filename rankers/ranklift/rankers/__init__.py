"""Rankers: models that score the documents of a query, how they learn, and how they are served.

`base` says what a ranker is: it encodes texts into pairs, and scores pairs. `artefacts` keeps one
in a folder; `bm25` and `cross_encoder` are the two there are, the latter with one of the `engines`
as its forward pass; `training` makes them; `evaluation` compares them; `server` puts them on a
socket, `serving` decides what is computed when, and `bench` measures servers. Nothing but
`cross_encoder`, `engines`, `backbones`, `losses`, `training` and `bench.peak` needs torch.
"""
