"""What a ranker would do for users, estimated from pages that another ranker served.

Logged pages (`pages`, read from frames by `read`) and the candidate (`policy`) become terms
(`terms`) by one of the estimators: `weighted` and `robust` need the logger's propensities,
`position` and `clicked` a click model (`models`, `position_model`, `cascade_model`), `direct`
nothing but the click model. `estimators` names them by their assumption, and `estimate` makes of
one the forecast of a relative lift with a unit-clustered interval, or says why there is none.
"""
