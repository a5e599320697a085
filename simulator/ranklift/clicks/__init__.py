"""Click models: how what was shown becomes what was clicked.

Pure functions over numpy arrays, shared by the simulator (which samples
clicks), by retraining (which removes position bias from them) and by whoever
estimates off-policy. Every model has the same three verbs: `fit` additive
counts, `sample` with keyed randomness and the latent variables returned,
`score` a log. `keys` is the randomness, `counts` the log, and each model one
file.
"""
