"""The numbers of `src/trees/tests/shap.rs`, by LightGBM 4.7.0 and PyPI's shap: `python shap_reference.py`.

Trees of LightGBM on multiples of 1/64, so that thresholds are exact as `f32`; what each feature contributes by
`shap.TreeExplainer` with the covers of the nodes (`tree_path_dependent`).
"""

import lightgbm
import numpy as np
import shap

N = 400
i = np.arange(N, dtype=np.int64)
X = np.column_stack([(i * factor % modulus) / 64.0 for factor, modulus in [(7_919, 101), (104_729, 67), (15_485_863, 29), (32_452_843, 13)]])
score = X[:, 0] * 2 - X[:, 1] * X[:, 2] * 4 + (X[:, 3] > 0.1) * X[:, 0]
y = (score + (i * 49_979_687 % 97) / 97.0 > 1.2).astype(int)
model = lightgbm.train({"objective": "binary", "num_leaves": 6, "min_data_in_leaf": 10, "verbose": -1, "boost_from_average": False}, lightgbm.Dataset(X, y), 4)


def nodes(tree):
    """Breadth first: `(feature, threshold, first child)` or `(output, cover)`."""
    order, found = [tree], []
    for node in order:
        if "leaf_value" in node:
            found.append(f"Leaf({node['leaf_value']!r}, {node['leaf_count']}.0)")
        else:
            found.append(f"Split({node['split_feature']}, {node['threshold']!r}, {len(order)})")
            order += [node["left_child"], node["right_child"]]
    return found


print("const TREES: [&[At]; 4] = [")
for tree in model.dump_model()["tree_info"]:
    print("    &[" + ", ".join(nodes(tree["tree_structure"])) + "],")
print("];")
rows = X[[3, 77, 150, 299]]
explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
values = np.asarray(explainer.shap_values(rows))
if values.ndim == 3:
    values = values[..., 1] if values.shape[-1] == 2 else values[1]
base = np.ravel(explainer.expected_value)[-1]
print("const ROWS: [([f32; 4], [f64; 5]); 4] = [")
for row, parts in zip(rows, values):
    assert abs(parts.sum() + base - model.predict(row[None], raw_score=True)[0]) < 1e-9
    print(f"    ({[float(x) for x in row]}, {[float(f'{part:.12g}') for part in [*parts, base]]}),")
print("];")
print(f"shap {shap.__version__}, lightgbm {lightgbm.__version__}")
