"""Click models: how what was shown becomes what was clicked.

Pure functions over numpy arrays, shared by the simulator (which samples
clicks), by retraining (which removes position bias from them) and by whoever
estimates off-policy. `model` is the contract, the same three verbs for every
model: `fit` a log, `sample` with keyed randomness and the latent variables
returned, `score` a log. Each model is one file; `keys` is the randomness, `log`
what was shown and clicked, `counts` its additive sums.
"""
