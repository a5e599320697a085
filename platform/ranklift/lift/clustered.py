"""A second opinion on the delta method: regression on pages with errors clustered by unit.

Liang and Zeger 1986, "Longitudinal data analysis using generalized linear models". It reads
every page where the delta method needs moments alone, so it is a check and not the default.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from ranklift.lift.ratio import Difference, t_quantile
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest

# A fit leaves about this much of values that are all the same.
ROUNDING = 1e-13


def cluster_robust(
    pages: pl.DataFrame,
    outcome: str,
    arm: str,
    unit: str,
    *,
    control: str,
    confidence_level: float = 0.95,
) -> Difference | Unavailable:
    """Return the least-squares difference of a page's mean outcome, with errors clustered by unit.

    `outcome`, `arm` and `unit` name columns of `pages`, one row a page; one arm is `control`. The
    variance has the small-sample factor units / (units - 1) (pages - 1) / (pages - 2).

    Raises:
        InvalidRequest: there are not two arms, or the confidence level is not between 0 and 1.
    """
    # Imported here: it takes longer to import than a report takes to make.
    import statsmodels.api as sm

    names = pages[arm].unique().sort().to_list()
    if len(names) != 2 or control not in names:
        raise InvalidRequest.of(
            arm, f'holds {names or "no arms"}, must hold "{control}" and one other arm'
        )
    outcomes = pages[outcome].cast(pl.Float64).fill_null(np.nan).to_numpy()
    if not np.isfinite(outcomes).all():
        return Unavailable(f"{outcome} is missing or infinite on some pages")
    treated = (pages[arm] != control).to_numpy()
    codes = pages[unit].rank("dense").to_numpy()
    for side, mask in (("control", ~treated), ("arm", treated)):
        units = np.unique(codes[mask]).size
        if units < 2:
            return Unavailable(f"{side}: {units} exposed units, at least 2 are needed")
    fitted = sm.OLS(outcomes, sm.add_constant(treated.astype(np.float64))).fit(
        cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
    )
    control_value, found = map(float, fitted.params)
    error, freedom = float(fitted.bse[1]), float(fitted.df_resid_inference)
    if error <= ROUNDING * np.abs(outcomes).max():
        return Unavailable("no variance in either arm: nothing to test")
    half = t_quantile(confidence_level, freedom) * error
    return Difference(
        control_value=control_value,
        arm_value=control_value + found,
        difference=found,
        difference_lower=found - half,
        difference_upper=found + half,
        standard_error=error,
        degrees_of_freedom=freedom,
        p_value=float(fitted.pvalues[1]),
    )
