"""The numbers of `src/linear/tests.rs`, by scikit-learn 1.9.1: `python linear_reference.py`."""

import numpy as np
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    TweedieRegressor,
)

N = 2_000
i = np.arange(N, dtype=np.int64)
first = ((i * 7_919 % 1_009).astype(np.float32) / np.float32(1_009.0)).astype(np.float64)
second = (np.float32(1_000.0) + (i * 104_729 % 2_003).astype(np.float32) / np.float32(20.0)).astype(np.float64)
codes = i * 15_485_863 % 7 % 5
weights = (1 + i * 31 % 4) / 2.0
noise = (i * 32_452_843 % 997) / 997.0
X = np.column_stack([first, second] + [(codes == code).astype(float) for code in range(5)])
score = 2.0 * first - 0.02 * (second - 1_050.0) + 0.4 * codes - 1.5
binary = (noise < 1.0 / (1.0 + np.exp(-score))).astype(int)
classes = np.floor(np.clip(score + 3.0 * noise, 0.0, 2.9)).astype(int)
counts = np.exp(score / 2.0) * (0.5 + noise)

# scikit-learn's solvers do not scale; a column around 1,050 would stop them early. A shift moves the intercept only.
centre = np.array([0.0, 1_050.0, 0, 0, 0, 0, 0])
Z = X - centre


def show(name, coefficients, intercept, centre=centre):
    coefficients = np.atleast_2d(coefficients)
    intercept = np.atleast_1d(intercept) - coefficients @ centre
    print(name)
    # Feature by feature, the weights of all outputs.
    print("  weights   ", [float(f"{w:.10g}") for w in coefficients.T.ravel()])
    print("  intercepts", [float(f"{b:.10g}") for b in intercept])


for w, tag in [(None, ""), (weights, " weighted")]:
    tight = dict(tol=1e-12, max_iter=100_000)
    m = LogisticRegression(C=1 / 2.0, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(Z, binary, w)
    show("logistic alpha 2" + tag, m.coef_, m.intercept_)
    m = LogisticRegression(C=1 / 2.0, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(Z, classes, w)
    show("softmax alpha 2" + tag, m.coef_, m.intercept_)
    for name, model in [
        ("poisson 0.01", PoissonRegressor(alpha=0.01, solver="newton-cholesky", tol=1e-10, max_iter=1000)),
        ("gamma 0.01", GammaRegressor(alpha=0.01, solver="newton-cholesky", tol=1e-10, max_iter=1000)),
        ("tweedie 0.01", TweedieRegressor(power=1.5, alpha=0.01, solver="newton-cholesky", tol=1e-10, max_iter=1000)),
        ("ridge 3", Ridge(alpha=3.0)),
        ("lasso 0.01", Lasso(alpha=0.01, **tight)),
        ("elastic net 0.02 0.5", ElasticNet(alpha=0.02, l1_ratio=0.5, **tight)),
    ]:
        m = model.fit(Z, counts, w)
        show(name + tag, m.coef_, m.intercept_)
    m = LinearRegression().fit(Z[:, :6], counts, w)
    show("least squares without the last category" + tag, np.append(m.coef_, 0.0), m.intercept_)
    # Its solver of elastic nets needs features of one scale.
    scale = np.array([1, 30.0, 1, 1, 1, 1, 1])
    m = LogisticRegression(C=1 / 20.0, l1_ratio=0.5, solver="saga", tol=1e-9, max_iter=200_000).fit(Z / scale, binary, w)
    show("elastic-net logistic alpha 20, second / 30" + tag, m.coef_, m.intercept_, centre / scale)
