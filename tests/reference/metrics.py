"""The numbers of src/metrics/tests.rs, from scikit-learn. Rows are made by the same arithmetic there."""
import numpy as np
from sklearn import metrics as m
n = 997
i = np.arange(n)
x = (i * 7919 % 1009) / 1009.0
noise = (i * 104729 % 997) / 997.0
p = np.floor((0.2 + 0.6 * x) * 64) / 64
y = (noise < 0.15 + 0.7 * x).astype(int)
w = 1.0 + (i % 4) * 0.5
for name, sw in [("plain", None), ("weighted", w)]:
    a = p > 0.5
    print(name, "binary")
    fpr, tpr, _ = m.roc_curve(y, p, sample_weight=sw, drop_intermediate=False)
    pr, rc, _ = m.precision_recall_curve(y, p, sample_weight=sw)
    out = dict(
        auc=m.roc_auc_score(y, p, sample_weight=sw), pr_auc=m.auc(rc, pr),
        average_precision=m.average_precision_score(y, p, sample_weight=sw),
        log_loss=m.log_loss(y, p, sample_weight=sw), brier=m.brier_score_loss(y, p, sample_weight=sw),
        accuracy=m.accuracy_score(y, a, sample_weight=sw),
        balanced_accuracy=m.balanced_accuracy_score(y, a, sample_weight=sw),
        precision=m.precision_score(y, a, sample_weight=sw), recall=m.recall_score(y, a, sample_weight=sw),
        specificity=m.recall_score(y, a, pos_label=0, sample_weight=sw),
        f1=m.f1_score(y, a, sample_weight=sw), mcc=m.matthews_corrcoef(y, a, sample_weight=sw),
        ks=np.max(np.abs(tpr - fpr)))
    out["fbeta(2)"] = m.fbeta_score(y, a, beta=2, sample_weight=sw)
    out["precision_at_recall(0.8)"] = max(q for q, r in zip(pr[:-1], rc[:-1]) if r >= 0.8)
    out["recall_at_precision(0.7)"] = max(r for q, r in zip(pr[:-1], rc[:-1]) if q >= 0.7)
    for k, v in out.items(): print(f'        ("{k}", {float(v)!r}),')
    # three classes
    q = np.stack([0.2 + 0.5 * x, 0.5 - 0.4 * x, 0.3 - 0.1 * x], 1)
    c = np.where(noise < q[:, 0], 0, np.where(noise < q[:, 0] + q[:, 1], 1, 2))
    b = q.argmax(1)
    print(name, "classes")
    out = dict(log_loss=m.log_loss(c, q, sample_weight=sw), accuracy=m.accuracy_score(c, b, sample_weight=sw),
        macro_f1=m.f1_score(c, b, average="macro", sample_weight=sw),
        weighted_f1=m.f1_score(c, b, average="weighted", sample_weight=sw),
        macro_precision=m.precision_score(c, b, average="macro", zero_division=0, sample_weight=sw),
        macro_recall=m.recall_score(c, b, average="macro", sample_weight=sw),
        balanced_accuracy=m.balanced_accuracy_score(c, b, sample_weight=sw),
        mcc=m.matthews_corrcoef(c, b, sample_weight=sw))
    out["auc_ovr"] = m.roc_auc_score(c, q, multi_class="ovr", average="macro", sample_weight=sw)
    out["top_k_accuracy(2)"] = m.top_k_accuracy_score(c, q, k=2, sample_weight=sw)
    for k, v in out.items(): print(f'        ("{k}", {float(v)!r}),')
    # values
    t = 10 + 5 * x + noise
    z = 10.5 + 4 * x
    print(name, "values")
    out = dict(mae=m.mean_absolute_error(t, z, sample_weight=sw), mse=m.mean_squared_error(t, z, sample_weight=sw),
        rmse=m.mean_squared_error(t, z, sample_weight=sw) ** .5,
        mape=m.mean_absolute_percentage_error(t, z, sample_weight=sw),
        msle=m.mean_squared_log_error(t, z, sample_weight=sw), r2=m.r2_score(t, z, sample_weight=sw),
        median_absolute_error=m.median_absolute_error(t, z, sample_weight=sw))
    out["pinball(0.9)"] = m.mean_pinball_loss(t, z, alpha=0.9, sample_weight=sw)
    for k, v in out.items(): print(f'        ("{k}", {float(v)!r}),')
