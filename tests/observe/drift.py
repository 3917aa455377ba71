# SPDX-License-Identifier: Apache-2.0
"""Figures of drift, and which test is taken, are those that Evidently itself gives of the same data."""
import json
import math
import sys

import numpy as np
import pandas as pd
from evidently.legacy.calculations import stattests
from evidently.legacy.core import ColumnType

from monitoring import Monitored, close, reference_and_now
from server_test import assert_equal, main

NAMES = {"ks": "ks", "chi2": "chisquare", "z": "z", "wasserstein": "wasserstein", "jensen_shannon": "jensenshannon"}


def figure(test, a, b, kind):
    return test(pd.Series(a), pd.Series(b), feature_type=kind, threshold=None)


def case_drift_beside_evidently():
    reference, now = reference_and_now()
    reference = reference[:240]
    with Monitored(6) as m:
        for i in range(0, 240, 40):
            m.infer(reference[i:i + 40])
        status, profile = m.call("GET", "/monitoring/profile")
        assert_equal(status, 200)
    with Monitored(6, profile=json.dumps(profile)) as m:
        for i in range(0, 240, 40):
            m.infer(now[i:i + 40])
        columns = {c["column"]: c for c in m.report()["drift"]["columns"]}
    seen = set()
    for k in range(6):
        c, a, b = columns[f"x[{k}]"], reference[:, k].astype(float), now[:, k].astype(float)
        for name, test in (("psi", stattests.psi_stat_test), ("jensen_shannon", stattests.jensenshannon_stat_test), ("wasserstein_normed", stattests.wasserstein_stat_test)):
            close(c[name], figure(test, a, b, ColumnType.Numerical).drift_score, f"x[{k}] {name}")
        if len(np.unique(a)) == 4:
            close(c["chi2_p"], figure(stattests.chi_stat_test, a, b, ColumnType.Categorical).drift_score, f"x[{k}] chi2")
        chosen = stattests.get_stattest(pd.Series(a), pd.Series(b), ColumnType.Numerical, None)
        theirs = figure(chosen, a, b, ColumnType.Numerical)
        assert_equal((NAMES[c["test"]], c["threshold"]), (chosen.name, theirs.actual_threshold))
        # scipy's test of two samples takes the exact distribution where Pintle takes its limit: near, and the same verdict
        if c["test"] == "ks":
            assert abs(c["score"] - theirs.drift_score) <= 0.1 * max(theirs.drift_score, 0.05), (k, c["score"], theirs.drift_score)
        else:
            close(c["score"], theirs.drift_score, f"x[{k}] {chosen.name}")
        assert_equal(c["drifted"], bool(theirs.drifted))
        seen.add(c["test"])
    assert_equal(seen, {"ks", "chi2", "z"})
    assert not math.isnan(columns["x[1]"]["psi"])


if __name__ == "__main__":
    sys.exit(main(globals()))
