#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""learn.py OUT: trains small models, exports them to ONNX and stores inputs with two sets of expected outputs, those of the library itself and
those of ONNX Runtime. Everything is seeded."""
import pathlib
import sys
import warnings

import numpy as np
import onnxruntime
from onnx import numpy_helper
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as MlFloat
from sklearn import (cluster, compose, datasets, decomposition, discriminant_analysis, ensemble, feature_extraction, feature_selection,
                     gaussian_process, impute, isotonic, kernel_approximation, linear_model, mixture, multiclass, naive_bayes, neighbors,
                     neural_network, pipeline, preprocessing, svm, tree)
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

warnings.filterwarnings("ignore")
RNG = np.random.default_rng(7)
ROWS = 60  # of test data


def table(classes, features=6, rows=300, targets=1):
    """Training data and test data, float32 values so that nothing depends on rounding them."""
    if classes:
        x, y = datasets.make_classification(rows + ROWS, features, n_informative=features - 1, n_redundant=1, n_classes=classes, random_state=3)
    else:
        x, y = datasets.make_regression(rows + ROWS, features, n_targets=targets, noise=3.0, random_state=4)
        y = y / 50
    x = x.astype(np.float32)
    return x[:rows], y[:rows], x[rows:]


def holes(x):
    x = x.copy()
    x[RNG.random(x.shape) < 0.15] = np.nan
    return x


class Store:
    def __init__(self, out):
        self.out = pathlib.Path(out)

    def save(self, name, model, feeds, expected):
        """expected: arrays in the order of the model's outputs, None for one that the library has no word for."""
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        computed = session.run(None, feeds)
        folder = self.out / name
        for i, outputs in enumerate((expected, computed)):
            data = folder / f"test_data_set_{i}"
            data.mkdir(parents=True)
            for k, info in enumerate(session.get_inputs()):
                (data / f"input_{k}.pb").write_bytes(numpy_helper.from_array(feeds[info.name], info.name).SerializeToString())
            for k, have in enumerate(computed):
                want = have if k >= len(outputs) or outputs[k] is None else np.asarray(outputs[k])
                if want.dtype.kind in "fiub" and want.dtype != have.dtype:
                    want = want.astype(have.dtype)
                if want.dtype.kind == "U":
                    want = want.astype(object)
                (data / f"output_{k}.pb").write_bytes(numpy_helper.from_array(want.reshape(have.shape)).SerializeToString())
        (folder / "model.onnx").write_bytes(model.SerializeToString())

    def sklearn(self, name, estimator, x, y, test, dtype=np.float32, options=None, types=None, feeds=None, expect=None):
        estimator.fit(x, y)
        test = test.astype(dtype) if feeds is None else test
        kind = {np.float32: FloatTensorType, np.float64: DoubleTensorType, np.int64: Int64TensorType}.get(dtype)
        types = types or [("x", kind([None, test.shape[1]]))]
        options = options or {}
        for attempt in ({**options, id(estimator): {"zipmap": False}}, options):  # not every converter knows of zipmap
            try:
                model = to_onnx(estimator, initial_types=types, options=attempt, target_opset={"": 21, "ai.onnx.ml": 3})
                break
            except NameError:
                continue
        if expect is None:
            expect = [getattr(estimator, "predict", None) or estimator.transform][0]
            expect = [expect(test)] + ([estimator.predict_proba(test)] if hasattr(estimator, "predict_proba") else [])
        else:
            expect = expect(estimator, test)
        self.save(name, model, feeds or {"x": test}, expect)


def linear(store):
    for classes in 2, 4:
        x, y, t = table(classes)
        store.sklearn(f"logistic-{classes}", linear_model.LogisticRegression(), x, y, t)
        store.sklearn(f"logistic-strings-{classes}", linear_model.LogisticRegression(), x, np.array([f"class {v}" for v in y]), t)
        store.sklearn(f"ridge-classifier-{classes}", linear_model.RidgeClassifier(), x, y, t)
        store.sklearn(f"linear-svc-{classes}", svm.LinearSVC(random_state=0), x, y, t)
        store.sklearn(f"one-vs-rest-{classes}", multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), x, y, t)
        store.sklearn(f"gaussian-nb-{classes}", naive_bayes.GaussianNB(), x, y, t)
        store.sklearn(f"bernoulli-nb-{classes}", naive_bayes.BernoulliNB(), x, y, t)
        store.sklearn(f"knn-{classes}", neighbors.KNeighborsClassifier(3), x, y, t)
        store.sklearn(f"mlp-{classes}", neural_network.MLPClassifier((12,), max_iter=300, random_state=0), x, y, t)
    x, y, t = table(0)
    store.sklearn("linear", linear_model.LinearRegression(), x, y, t)
    store.sklearn("linear-double", linear_model.LinearRegression(), x, y, t, np.float64)
    store.sklearn("lasso", linear_model.Lasso(0.01), x, y, t)
    store.sklearn("knn-regressor", neighbors.KNeighborsRegressor(4), x, y, t)
    store.sklearn("mlp-regressor", neural_network.MLPRegressor(hidden_layer_sizes=(10, 5), max_iter=300, random_state=0), x, y, t)
    x, y, t = table(0, targets=3)
    store.sklearn("ridge-3", linear_model.Ridge(), x, y, t)


def vectors(store):
    for classes in 2, 4:
        x, y, t = table(classes, rows=120)
        for kernel in "linear", "poly", "rbf", "sigmoid":
            store.sklearn(f"svc-{kernel}-{classes}", svm.SVC(kernel=kernel, probability=True, random_state=0), x, y, t)
        store.sklearn(f"svc-scores-{classes}", svm.SVC(), x, y, t)
        store.sklearn(f"nu-svc-{classes}", svm.NuSVC(probability=True, random_state=0), x, np.array(list("abcd"))[y], t)
    x, y, t = table(0, rows=120)
    for kernel in "linear", "poly", "rbf", "sigmoid":
        store.sklearn(f"svr-{kernel}", svm.SVR(kernel=kernel), x, y, t)
    store.sklearn("nu-svr", svm.NuSVR(), x, y, t)
    store.sklearn("one-class-svm", svm.OneClassSVM(), x, y, t, expect=lambda m, v: [m.predict(v)])


def trees(store):
    for classes in 2, 4:
        x, y, t = table(classes)
        models = {
            "tree": tree.DecisionTreeClassifier(max_depth=6, random_state=0),
            "forest": ensemble.RandomForestClassifier(20, max_depth=6, random_state=0),
            "extra-trees": ensemble.ExtraTreesClassifier(20, max_depth=6, random_state=0),
            "gradient-boosting": ensemble.GradientBoostingClassifier(n_estimators=15, random_state=0),
            "hist-gradient-boosting": ensemble.HistGradientBoostingClassifier(max_iter=15, random_state=0),
            "ada-boost": ensemble.AdaBoostClassifier(n_estimators=10, random_state=0),
            "bagging": ensemble.BaggingClassifier(n_estimators=5, random_state=0),
            "voting": ensemble.VotingClassifier([("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3))], voting="soft", flatten_transform=False),
            "stacking": ensemble.StackingClassifier([("a", tree.DecisionTreeClassifier(max_depth=3, random_state=0))], linear_model.LogisticRegression()),
        }
        for name, model in models.items():
            store.sklearn(f"{name}-{classes}", model, x, y, t)
        store.sklearn(f"forest-strings-{classes}", ensemble.RandomForestClassifier(5, random_state=0), x, np.array(list("wxyz"))[y], t)
        store.sklearn(f"hist-gradient-boosting-nan-{classes}", ensemble.HistGradientBoostingClassifier(max_iter=15, random_state=0), holes(x), y, holes(t))
    x, y, t = table(0)
    models = {
        "tree-regressor": tree.DecisionTreeRegressor(max_depth=6, random_state=0),
        "forest-regressor": ensemble.RandomForestRegressor(20, max_depth=6, random_state=0),
        "extra-trees-regressor": ensemble.ExtraTreesRegressor(20, max_depth=6, random_state=0),
        "gradient-boosting-regressor": ensemble.GradientBoostingRegressor(n_estimators=15, random_state=0),
        "hist-gradient-boosting-regressor": ensemble.HistGradientBoostingRegressor(max_iter=15, random_state=0),
        "ada-boost-regressor": ensemble.AdaBoostRegressor(n_estimators=6, random_state=0),
    }
    for name, model in models.items():
        store.sklearn(name, model, x, y, t)
    store.sklearn("isolation-forest", ensemble.IsolationForest(n_estimators=10, random_state=0), x, y, t,
                  expect=lambda m, v: [m.predict(v), m.decision_function(v)])


def transforms(store):
    x, y, t = table(3)
    store.sklearn("lda", discriminant_analysis.LinearDiscriminantAnalysis(), x, y, t)
    store.sklearn("kmeans", cluster.KMeans(4, n_init=1, random_state=0), x, y, t, expect=lambda m, v: [m.predict(v), m.transform(v)])
    steps = {
        "pca": decomposition.PCA(3, random_state=0),
        "svd": decomposition.TruncatedSVD(3, random_state=0),
        "standard-scaler": preprocessing.StandardScaler(),
        "min-max-scaler": preprocessing.MinMaxScaler(),
        "max-abs-scaler": preprocessing.MaxAbsScaler(),
        "robust-scaler": preprocessing.RobustScaler(),
        "normalizer-l1": preprocessing.Normalizer("l1"),
        "normalizer-l2": preprocessing.Normalizer("l2"),
        "binarizer": preprocessing.Binarizer(threshold=0.3),
        "polynomial": preprocessing.PolynomialFeatures(2),
        "discretizer": preprocessing.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
        "power": preprocessing.PowerTransformer(),
        "select": feature_selection.SelectKBest(k=3),
    }
    for name, step in steps.items():
        store.sklearn(name, step, x, y, t, expect=lambda m, v: [m.transform(v)])
    store.sklearn("imputer-mean", impute.SimpleImputer(), holes(x), y, holes(t), expect=lambda m, v: [m.transform(v)])
    store.sklearn("imputer-constant", impute.SimpleImputer(strategy="constant", fill_value=-1), holes(x), y, holes(t),
                  expect=lambda m, v: [m.transform(v)])
    store.sklearn("gaussian-mixture", mixture.GaussianMixture(3, reg_covar=0.01, random_state=0), x, y, t)


def columns(store):
    """Numbers with holes and words, each with its own preparation."""
    x, y, t = table(3)
    words = np.array(["red", "green", "blue", "Grün"], object)

    def mixed(a):
        return np.concatenate([holes(a[:, :3]).astype(object), words[RNG.integers(0, 4, (len(a), 2))]], 1)

    x, t = mixed(x), mixed(t)
    numbers = pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler())
    for name, encoder in {"one-hot": preprocessing.OneHotEncoder(handle_unknown="ignore"), "ordinal": preprocessing.OrdinalEncoder()}.items():
        prepare = compose.ColumnTransformer([("numbers", numbers, [0, 1, 2]), ("words", encoder, [3, 4])])
        for kind, model in {"logistic": linear_model.LogisticRegression(), "forest": ensemble.RandomForestClassifier(10, random_state=0)}.items():
            store.sklearn(f"columns-{name}-{kind}", pipeline.make_pipeline(prepare, model), x, y, t,
                          types=[("numbers", FloatTensorType([None, 3])), ("words", StringTensorType([None, 2]))],
                          feeds={"numbers": t[:, :3].astype(np.float32), "words": t[:, 3:]})


def texts(store):
    subjects, verbs, objects = ["The cat", "a dog", "My neighbour", "Everyone"], ["sees", "LIKES", "does not like", "hears"], ["music", "the Moon", "rain", "fish, fresh"]
    lines = np.array([f"{s} {v} {o}." for s in subjects for v in verbs for o in objects], object)
    y = np.array(["not" not in line and "LIKES" in line for line in lines]).astype(int)
    order = RNG.permutation(len(lines))
    train, test = order[:48], order[48:]
    for name, vectorizer in {"tfidf": feature_extraction.text.TfidfVectorizer(ngram_range=(1, 2)), "counts": feature_extraction.text.CountVectorizer()}.items():
        model = pipeline.make_pipeline(vectorizer, linear_model.LogisticRegression())
        store.sklearn(f"text-{name}", model, lines[train], y[train], lines[test], types=[("x", StringTensorType([None, 1]))],
                      feeds={"x": lines[test].reshape(-1, 1)},
                      options={id(vectorizer): {"tokenexp": "[a-zA-Z0-9_]{2,}", "locale": "C.UTF-8"}})


def boosted(store):
    import lightgbm
    import xgboost

    for classes in 2, 4:
        x, y, t = table(classes)
        x, t = holes(x), holes(t)
        model = xgboost.XGBClassifier(n_estimators=12, max_depth=4, random_state=0, n_jobs=1).fit(x, y)
        exported = convert_xgboost(model, initial_types=[("x", MlFloat([None, x.shape[1]]))], target_opset=15)
        store.save(f"xgboost-{classes}", exported, {"x": t}, [model.predict(t), model.predict_proba(t)])
        model = lightgbm.LGBMClassifier(n_estimators=12, random_state=0, n_jobs=1, verbose=-1).fit(x, y)
        exported = convert_lightgbm(model, initial_types=[("x", MlFloat([None, x.shape[1]]))], target_opset=15, zipmap=False)
        store.save(f"lightgbm-{classes}", exported, {"x": t}, [model.predict(t), model.predict_proba(t)])
    x, y, t = table(0)
    x, t = holes(x), holes(t)
    model = xgboost.XGBRegressor(n_estimators=12, max_depth=4, random_state=0, n_jobs=1).fit(x, y)
    store.save("xgboost-regressor", convert_xgboost(model, initial_types=[("x", MlFloat([None, x.shape[1]]))], target_opset=15), {"x": t}, [model.predict(t)])
    model = lightgbm.LGBMRegressor(n_estimators=12, random_state=0, n_jobs=1, verbose=-1).fit(x, y)
    store.save("lightgbm-regressor", convert_lightgbm(model, initial_types=[("x", MlFloat([None, x.shape[1]]))], target_opset=15), {"x": t},
               [model.predict(t)])


def main():
    store = Store(sys.argv[1])
    for part in linear, vectors, trees, transforms, columns, texts, boosted:
        part(store)
    print(f"{len(list(store.out.iterdir()))} models")


if __name__ == "__main__":
    main()
