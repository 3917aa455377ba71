/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_ml.c: ai.onnx.ml, each operator by small cases worked out by hand. Whole trained models are in tests/conformance.
 */
#include "tests/unit/runtime/model.h"

#define ML "ai.onnx.ml::"

static void features(void **state)
{
    (void)state;
    test_op(1, ML "ArrayFeatureExtractor", "", "f32[2,3]:1,2,3,4,5,6 | i64[1,2]:2,0", "f32[2,2]:3,1,6,4");
    test_op(1, ML "ArrayFeatureExtractor", "", "s[2]:a,b | i64[1]:1", "s[1,1]:b");
    test_op_fails(1, ML "ArrayFeatureExtractor", "", "f32[1,3]:1,2,3 | i64[1]:3", "index 3 is outside 0 to 2");
    test_op_fails(1, ML "ArrayFeatureExtractor", "", "f32[1,3]:1,2,3 | i64[1]:-1", "index -1 is outside");
    test_op(1, ML "Binarizer", "threshold=0.5", "f64[3]:0.5,0.6,nan", "f64[3]:0,1,0");
    test_op(1, ML "Binarizer", "", "i32[2]:0,7", "i32[2]:0,1");
    test_op(1, ML "FeatureVectorizer", "inputdimensions=[2,1]", "i64[2,2]:1,2,3,4 | f64[2,1]:0.5,0.25", "f32[2,3]:1,2,0.5,3,4,0.25");
    test_op_fails(1, ML "FeatureVectorizer", "inputdimensions=[2,2]", "i64[1,2]:1,2 | f64[1,1]:0.5", "says 2 features");
    test_op_fails(1, ML "FeatureVectorizer", "", "f32[1,2]:1,2 | f32[2,1]:0.5,1", "but input 0 has 1 rows");
    test_op(1, ML "Imputer", "imputed_value_floats=[9.0,8.0] replaced_value_float=nan", "f32[2,2]:nan,1,2,nan", "f32[2,2]:9,1,2,8");
    test_op(1, ML "Imputer", "imputed_value_int64s=[5] replaced_value_int64=-1", "i32[3]:-1,0,-1", "i32[3]:5,0,5");
    test_op_fails(1, ML "Imputer", "imputed_value_floats=[1.0]", "i64[1]:1", "'imputed_value_int64s' is missing");
    test_op_fails(1, ML "Imputer", "imputed_value_floats=[1.0,2.0]", "f32[1,3]:1,2,3", "2 imputed values for 3 features");
    test_op(1, ML "Normalizer", "norm='L2'", "f32[2,2]:3,-4,0,0", "f32[2,2]:0.6,-0.8,0,0");
    test_op(1, ML "Normalizer", "norm='L1'", "i64[1,2]:3,-1", "f32[1,2]:0.75,-0.25");
    test_op(1, ML "Normalizer", "", "f64[1,2]:-3,2", "f32[1,2]:-1.5,1");
    test_op(1, ML "Scaler", "offset=[1.0,2.0] scale=[2.0]", "f32[2,2]:1,2,3,4", "f32[2,2]:0,0,4,4");
    test_op_fails(1, ML "Scaler", "offset=[1.0,2.0]", "f32[1,3]:1,2,3", "'offset' has 2 values for 3 features");
}

static void categories(void **state)
{
    (void)state;
    test_op(1, ML "LabelEncoder", "classes_strings=['a','b'] default_int64=9", "s[3]:b,x,a", "i64[3]:1,9,0");
    test_op(1, ML "LabelEncoder", "classes_strings=['a','b']", "i64[3]:1,2,0", "s[3]:b,_Unused,a");
    test_op(2, ML "LabelEncoder", "keys_strings=['a','b'] values_floats=[1.5,2.5]", "s[2]:b,x", "f32[2]:2.5,-0.0");
    test_op(2, ML "LabelEncoder", "keys_floats=[nan,2.0] values_strings=['n','t'] default_string='d'", "f32[3]:2,nan,0", "s[3]:t,n,d");
    test_op(2, ML "LabelEncoder", "keys_int64s=[1,1] values_int64s=[5,6]", "i64[2]:1,2", "i64[2]:5,-1");
    test_op(4, ML "LabelEncoder", "keys_int64s=[1,1] values_int64s=[5,6]", "i64[2]:1,2", "i64[2]:6,-1");
    test_op(4, ML "LabelEncoder", "keys_tensor={i16[2]:3,4} values_tensor={f64[2]:0.5,0.25} default_tensor={f64[1]:7}", "i16[3]:4,3,9",
            "f64[3]:0.25,0.5,7");
    test_op_fails(2, ML "LabelEncoder", "keys_int64s=[1] values_int64s=[5,6]", "i64[1]:1", "are not two lists of one length");
    test_op_fails(2, ML "LabelEncoder", "keys_int64s=[1] keys_floats=[1.0] values_int64s=[5]", "i64[1]:1", "are both given");
    test_op_fails(2, ML "LabelEncoder", "keys_int64s=[1] values_int64s=[5]", "f32[1]:1", "does not go with keys of int64");
    test_op(1, ML "CategoryMapper", "cats_strings=['a','b'] cats_int64s=[4,5]", "s[2]:b,x", "i64[2]:5,-1");
    test_op(1, ML "CategoryMapper", "cats_strings=['a','b'] cats_int64s=[4,5] default_string='?'", "i64[2]:5,0", "s[2]:b,?");
    test_op_fails(1, ML "CategoryMapper", "cats_strings=['a']", "i64[1]:5", "are not both given");
    test_op(1, ML "OneHotEncoder", "cats_int64s=[3,1]", "f32[1,3]:1,3,7", "f32[1,3,2]:0,1,1,0,0,0");
    test_op(1, ML "OneHotEncoder", "cats_strings=['a','b']", "s[2]:b,x", "f32[2,2]:0,1,0,0");
    test_op_fails(1, ML "OneHotEncoder", "cats_int64s=[3,1] zeros=0", "i64[2]:1,7", "element 1 of the input is no category");
}

static void linear_models(void **state)
{
    (void)state;
    test_op(1, ML "LinearRegressor", "coefficients=[1.0,2.0,3.0,4.0] intercepts=[0.5,0.0] targets=2", "f32[1,2]:1,1", "f32[1,2]:3.5,7");
    test_op(1, ML "LinearRegressor", "coefficients=[1.0,2.0] post_transform='LOGISTIC'", "i64[1,2]:0,0", "f32[1,1]:0.5");
    test_op_fails(1, ML "LinearRegressor", "coefficients=[1.0,2.0]", "f32[1,3]:1,1,1", "the coefficients are for 2 features");
    test_op_fails(1, ML "LinearRegressor", "coefficients=[1.0,2.0] intercepts=[1.0,2.0]", "f32[1,2]:1,1", "'intercepts' has 2 values for 1 targets");
    const char *binary = "coefficients=[1.0] intercepts=[0.0] classlabels_strings=['no','yes'] post_transform='LOGISTIC'";
    test_op(1, ML "LinearClassifier", binary, "f32[2,1]:0,1.0986123", "s[2]:no,yes | f32[2,2]:0.5,0.5,0.25,0.75");
    test_op(1, ML "LinearClassifier", "coefficients=[1.0,0.0,-1.0] intercepts=[0.0,0.5,0.0] classlabels_ints=[7,8,9] post_transform='SOFTMAX'",
            "f64[2,1]:0.5,-1", "i64[2]:7,9 | f32[2,3]:0.4223188,0.4223188,0.1553624,0.0776948,0.3482074,0.5740978");
    test_op_fails(1, ML "LinearClassifier", "coefficients=[1.0,2.0] intercepts=[1.0,2.0] classlabels_ints=[1,2,3]", "f32[1,1]:1",
                  "3 labels for 2 classes");
    test_op_fails(1, ML "LinearClassifier", "coefficients=[1.0] intercepts=[1.0]", "f32[1,1]:1", "'classlabels_ints' or one like it is missing");
}

static void support_vectors(void **state)
{
    (void)state;
    const char *svr = "coefficients=[1.0,-2.0] support_vectors=[1.0,0.0,0.0,1.0] n_supports=2 rho=[0.5]";
    test_op(1, ML "SVMRegressor", svr, "f32[1,2]:3,1", "f32[1,1]:1.5");
    test_op(1, ML "SVMRegressor", "coefficients=[1.0] support_vectors=[1.0] n_supports=1 rho=[0.0] kernel_type='POLY' kernel_params=[2.0,1.0,3.0]",
            "f32[1,1]:1", "f32[1,1]:27");
    test_op(1, ML "SVMRegressor",
            "coefficients=[1.0] support_vectors=[1.0] n_supports=1 rho=[-0.9] kernel_type='RBF' kernel_params=[0.5,0.0,0.0] one_class=1",
            "f32[2,1]:1,3", "f32[2,1]:1,-1");
    test_op_fails(1, ML "SVMRegressor", "coefficients=[1.0] support_vectors=[1.0] n_supports=2 rho=[0.0]", "f32[1,1]:1",
                  "do not fit 2 support vectors");
    const char *svc = "coefficients=[1.0,-1.0] support_vectors=[1.0,-1.0] vectors_per_class=[1,1] rho=[0.0] classlabels_ints=[3,4]";
    test_op(1, ML "SVMClassifier", svc, "f32[2,1]:2,-2", "i64[2]:3,4 | f32[2,2]:-4,4,4,-4");
    const char *prob = "coefficients=[1.0,-1.0] support_vectors=[1.0,-1.0] vectors_per_class=[1,1] rho=[0.0] classlabels_ints=[3,4] prob_a=[-1.0] "
                       "prob_b=[0.0]";
    test_op(1, ML "SVMClassifier", prob, "f32[1,1]:0", "i64[1]:4 | f32[1,2]:0.5,0.5");
    test_op_fails(1, ML "SVMClassifier", "coefficients=[1.0,-1.0] support_vectors=[1.0,-1.0] vectors_per_class=[2] rho=[0.0] classlabels_ints=[3,4]",
                  "f32[1,1]:0", "'vectors_per_class' has 1 values for 2 labels");
}

/* x <= 1 ? 10 : (y > 2 ? 20 : 30), as one tree */
#define TREE                                                                                                                                         \
    "nodes_treeids=[0,0,0,0,0] nodes_nodeids=[0,1,2,3,4] nodes_featureids=[0,0,1,0,0] nodes_values=[1.0,0.0,2.0,0.0,0.0] "                           \
    "nodes_modes=['BRANCH_LEQ','LEAF','BRANCH_GT','LEAF','LEAF'] nodes_truenodeids=[1,0,3,0,0] nodes_falsenodeids=[2,0,4,0,0] "
#define TARGETS "target_treeids=[0,0,0] target_nodeids=[1,3,4] target_ids=[0,0,0] target_weights=[10.0,20.0,30.0] n_targets=1 "

static void tree_regressors(void **state)
{
    (void)state;
    test_op(1, ML "TreeEnsembleRegressor", TREE TARGETS, "f32[4,2]:1,9,2,3,2,2,nan,nan", "f32[4,1]:10,20,30,30");
    test_op(1, ML "TreeEnsembleRegressor", TREE TARGETS "nodes_missing_value_tracks_true=[0,0,1,0,0]", "f64[2,2]:nan,nan,nan,1", "f32[2,1]:20,30");
    test_op(3, ML "TreeEnsembleRegressor", TREE TARGETS "base_values=[0.5] aggregate_function='MIN'", "i64[1,2]:1,9", "f32[1,1]:10.5");
    test_op(3, ML "TreeEnsembleRegressor",
            "nodes_treeids=[0,0,0] nodes_nodeids=[0,1,2] nodes_featureids=[0,0,0] nodes_values_as_tensor={f64[3]:0.1,0,0} "
            "nodes_modes=['BRANCH_LT','LEAF','LEAF'] nodes_truenodeids=[1,0,0] nodes_falsenodeids=[2,0,0] target_treeids=[0,0] "
            "target_nodeids=[1,2] target_ids=[0,0] target_weights_as_tensor={f64[2]:1,2} n_targets=1",
            "f64[3,1]:0.1,0.0999999999999999,0.2", "f32[3,1]:2,1,2");
    test_op_fails(1, ML "TreeEnsembleRegressor", TREE TARGETS, "f32[1,1]:1", "the trees ask for feature 1");
    test_op_fails(1, ML "TreeEnsembleRegressor", TREE "target_treeids=[0] target_nodeids=[2] target_ids=[0] target_weights=[1.0] n_targets=1",
                  "f32[1,2]:1,1", "a weight is for node 2 of tree 0, which is no leaf");
    test_op_fails(1, ML "TreeEnsembleRegressor", TREE "target_treeids=[0] target_nodeids=[1] target_ids=[1] target_weights=[1.0] n_targets=1",
                  "f32[1,2]:1,1", "a leaf adds to target 1, there are 1");
    test_op_fails(1, ML "TreeEnsembleRegressor",
                  "nodes_treeids=[0,0] nodes_nodeids=[0,1] nodes_featureids=[0,0] nodes_values=[1.0,0.0] nodes_modes=['BRANCH_LEQ','BRANCH_LEQ'] "
                  "nodes_truenodeids=[1,0] nodes_falsenodeids=[1,0] " TARGETS,
                  "f32[1,1]:1", "1 trees have 0 nodes without a parent");
    test_op_fails(1, ML "TreeEnsembleRegressor",
                  "nodes_treeids=[0,0] nodes_nodeids=[0,1] nodes_featureids=[0,0] nodes_values=[1.0,0.0] nodes_modes=['BRANCH_LEQ','LEAF'] "
                  "nodes_truenodeids=[1,0] nodes_falsenodeids=[5,0] " TARGETS,
                  "f32[1,1]:1", "node 0 of tree 0 has a child 5, which is not there");
}

static void tree_classifiers(void **state)
{
    (void)state;
#define CLASSES "class_treeids=[0,0,0] class_nodeids=[1,3,4] "
    test_op(1, ML "TreeEnsembleClassifier", TREE CLASSES "class_ids=[0,1,2] class_weights=[1.0,1.0,1.0] classlabels_strings=['a','b','c']",
            "f32[3,2]:1,9,2,3,2,2", "s[3]:a,b,c | f32[3,3]:1,0,0,0,1,0,0,0,1");
    test_op(1, ML "TreeEnsembleClassifier", TREE CLASSES "class_ids=[0,0,0] class_weights=[0.25,0.75,0.5] classlabels_int64s=[5,6]",
            "f32[3,2]:1,9,2,3,2,2", "i64[3]:5,6,5 | f32[3,2]:0.75,0.25,0.25,0.75,0.5,0.5");
    test_op(1, ML "TreeEnsembleClassifier",
            TREE CLASSES "class_ids=[0,0,0] class_weights=[-1.0986123,1.0986123,0.0] classlabels_int64s=[5,6] post_transform='LOGISTIC'",
            "f32[3,2]:1,9,2,3,2,2", "i64[3]:5,6,5 | f32[3,2]:0.75,0.25,0.25,0.75,0.5,0.5");
    test_op_fails(1, ML "TreeEnsembleClassifier", TREE CLASSES "class_ids=[0,1,2] class_weights=[1.0,1.0,1.0] classlabels_int64s=[5,6]",
                  "f32[1,2]:1,9", "a leaf adds to target 2, there are 2");
}

static void tree_ensembles(void **state)
{
    (void)state;
    /* x in {1, 2} or NaN ? 1 : (x == 5 ? 2 : 4) */
    const char *sets = "n_targets=1 tree_roots=[0] nodes_splits={f32[2]:0,5} nodes_featureids=[0,0] nodes_modes={u8[2]:6,4} "
                       "nodes_truenodeids=[0,1] nodes_falsenodeids=[1,2] nodes_trueleafs=[1,1] nodes_falseleafs=[0,1] leaf_targetids=[0,0,0] "
                       "leaf_weights={f32[3]:1,2,4} membership_values={f32[3]:1,2,nan} nodes_missing_value_tracks_true=[1,0]";
    test_op(5, ML "TreeEnsemble", sets, "f32[5,1]:2,5,3,1,nan", "f32[5,1]:1,2,4,1,1");
    const char *leaf = "n_targets=2 tree_roots=[0] nodes_splits={f64[1]:0} nodes_featureids=[0] nodes_modes={u8[1]:0} nodes_truenodeids=[0] "
                       "nodes_falsenodeids=[0] nodes_trueleafs=[1] nodes_falseleafs=[1] leaf_targetids=[1] leaf_weights={f64[1]:7} ";
    test_op(5, ML "TreeEnsemble", leaf, "f64[2,1]:1,2", "f64[2,2]:0,7,0,7");
    const char *loop = "n_targets=1 tree_roots=[0] nodes_splits={f32[2]:0,0} nodes_featureids=[0,0] nodes_modes={u8[2]:0,0} nodes_truenodeids=[1,0] "
                       "nodes_falsenodeids=[0,0] nodes_trueleafs=[0,0] nodes_falseleafs=[1,1] leaf_targetids=[0] leaf_weights={f32[1]:7} ";
    test_op_fails(5, ML "TreeEnsemble", loop, "f32[1,1]:1", "node 0 of a tree has two parents");
    const char *no_set = "n_targets=1 tree_roots=[0] nodes_splits={f32[1]:0} nodes_featureids=[0] nodes_modes={u8[1]:6} nodes_truenodeids=[0] "
                         "nodes_falsenodeids=[0] nodes_trueleafs=[1] nodes_falseleafs=[1] leaf_targetids=[0] leaf_weights={f32[1]:7} ";
    test_op_fails(5, ML "TreeEnsemble", no_set, "f32[1,1]:1", "'membership_values' has too few sets");
}

static void runs_out_of_memory(void **state)
{
    (void)state;
    const char *head = "domain ai.onnx.ml 3\n";
    static const struct {
        const char *model, *input;
    } cases[] = {
        {"in x f32[2,2]\ny = ai.onnx.ml::TreeEnsembleRegressor(x) " TREE TARGETS "base_values=[1.0]\nout y\n", "f32[2,2]:1,2,3,4"},
        {"in x f32[2,2]\ny,z = ai.onnx.ml::TreeEnsembleClassifier(x) " TREE CLASSES
         "class_ids=[0,1,2] class_weights=[1.0,1.0,1.0] classlabels_strings=['a','b','c']\nout y\nout z\n",
         "f32[2,2]:1,2,3,4"},
        {"in x s[2]\ny = ai.onnx.ml::LabelEncoder(x) keys_strings=['a','b'] values_strings=['c','d']\nout y\n", "s[2]:a,x"},
        {"in x f32[1,1]\ny,z = ai.onnx.ml::SVMClassifier(x) coefficients=[1.0,-1.0] support_vectors=[1.0,-1.0] vectors_per_class=[1,1] rho=[0.0] "
         "classlabels_ints=[3,4]\nout y\nout z\n",
         "f32[1,1]:1"},
        {"in x f32[1,2]\nm = ai.onnx.ml::ZipMap(x) classlabels_ints=[1,2] classlabels_int64s=[1,2]\nout m\n", "f32[1,2]:1,2"},
        {"in x s[2]\nt = StringNormalizer(x) stopwords=['b'] case_change_action='UPPER'\nu = StringConcat(t,t)\ny,n = StringSplit(u)\nout y\nout n\n",
         "s[2]:a,b"},
        {"in x s[2]\ny = RegexFullMatch(x) pattern='(a|[b-d]{2,3})*'\nout y\n", "s[2]:a,bcd"},
        {"in x s[2]\ny = TfIdfVectorizer(x) mode='TF' min_gram_length=1 max_gram_length=1 max_skip_count=0 ngram_counts=[0] ngram_indexes=[0] "
         "pool_strings=['a']\nout y\n",
         "s[2]:a,b"},
        {"in x f32[3]\ny,i,j,c = Unique(x)\nz = NonZero(y)\nout y\nout z\n", "f32[3]:1,0,1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        snprintf(text, sizeof text, "opset 20\n%s%s", head, cases[i].model);
        test_out_of_memory(text, TEXTS(cases[i].input));
    }
}

/* --- maps ------------------------------------------------------------------------------------------------------------------------------------ */

static struct pt_session *open_model(const char *text, struct pt_buf *model, struct pt_run **r)
{
    struct pt_session_options o = {.thread_count = 1};
    struct pt_session *s;
    struct pt_err err = {0};
    *model = test_model(text);
    if (pt_session_open_memory(model->data, model->len, &o, &s, &err) < 0 || pt_run_create(s, r, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static void zips_maps(void **state)
{
    (void)state;
    struct pt_buf model;
    struct pt_run *r;
    struct pt_err err = {0};
    struct pt_session *s =
        open_model("domain ai.onnx.ml 1\nin x f32[2,2]\ny = ai.onnx.ml::ZipMap(x) classlabels_strings=['a','b']\nout y\n", &model, &r);
    struct pt_tensor x = test_tensor("f32[2,2]:1,2,3,4");
    assert_int_equal(pt_run_set_input(r, 0, &x, &err), 0);
    for (int again = 0; again < 2; again++) {
        if (pt_run_execute(r, &err) < 0)
            fail_msg("%s", err.msg);
        const struct pt_tensor *y = pt_run_output(r, 0);
        assert_int_equal(y->dtype, PT_SEQUENCE);
        const struct pt_sequence *q = y->data;
        assert_int_equal(q->count, 2);
        for (size_t i = 0; i < 2; i++) {
            const struct pt_map_value *m = q->items[i].data;
            assert_int_equal(q->items[i].dtype, PT_MAP);
            assert_int_equal(((const struct pt_string *)m->keys.data)[1].p[0], 'b');
            assert_true(((const float *)m->values.data)[1] == (float)(2 * i + 2));
        }
    }
    free(x.data);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&model);
    test_fails("domain ai.onnx.ml 1\nin x f32[1,3]\ny = ai.onnx.ml::ZipMap(x) classlabels_int64s=[1,2]\nout y\n", TEXTS("f32[1,3]:1,2,3"),
               "float32[1,3] for 2 labels");
}

/* Runs a model with one map as its input; its output as one text, or the error. */
static void map_case(const char *node, const char *type, const char *keys, const char *values, const char *expected, const char *error)
{
    char text[512];
    struct pt_buf model;
    struct pt_run *r;
    struct pt_err err = {0};
    snprintf(text, sizeof text, "domain ai.onnx.ml 1\nin x map:%s\ny = ai.onnx.ml::%s\nz = Identity(y)\nout z\n", type, node);
    struct pt_session *s = open_model(text, &model, &r);
    struct pt_map_value map = {test_tensor(keys), test_tensor(values)};
    struct pt_tensor x = {.dtype = PT_MAP, .data = &map, .size_bytes = sizeof map};
    if (pt_run_set_input(r, 0, &x, &err) < 0)
        fail_msg("%s", err.msg);
    int rc = pt_run_execute(r, &err);
    if (error)
        assert_non_null(rc < 0 ? strstr(err.msg, error) : NULL);
    else if (rc < 0)
        fail_msg("%s", err.msg);
    else
        test_compare(pt_run_output(r, 0), expected, node);
    free(map.keys.data);
    free(map.values.data);
    pt_run_destroy(r);
    pt_session_close(s);
    pt_buf_finish(&model);
}

static void reads_maps(void **state)
{
    (void)state;
    map_case("DictVectorizer(x) int64_vocabulary=[5,1,7]", "i64[]:f32[]", "i64[3]:1,9,7", "f32[3]:10,20,30", "f32[1,3]:0,10,30", NULL);
    map_case("DictVectorizer(x) string_vocabulary=['a','b']", "s[]:i64[]", "s[1]:b", "i64[1]:3", "i64[1,2]:0,3", NULL);
    map_case("DictVectorizer(x) string_vocabulary=['a','b']", "i64[]:i64[]", "i64[1]:1", "i64[1]:3", NULL, "does not go with a vocabulary of string");
    map_case("CastMap(x)", "i64[]:f32[]", "i64[3]:5,1,3", "f32[3]:50,10,30", "f32[1,3]:10,30,50", NULL);
    map_case("CastMap(x) cast_to='TO_STRING'", "i64[]:f32[]", "i64[2]:5,1", "f32[2]:0.5,10", "s[1,2]:10,0.5", NULL);
    map_case("CastMap(x) cast_to='TO_INT64' map_form='SPARSE' max_map=4", "i64[]:s[]", "i64[2]:3,1", "s[2]:-7,12", "i64[1,4]:0,12,0,-7", NULL);
    map_case("CastMap(x) cast_to='TO_INT64'", "i64[]:f32[]", "i64[1]:3", "f32[1]:2", "i64[1,1]:2", NULL);
    map_case("CastMap(x) map_form='SPARSE' max_map=3", "i64[]:f32[]", "i64[1]:3", "f32[1]:1", NULL, "key 3 is outside 0 to 2");
    map_case("CastMap(x)", "i64[]:s[]", "i64[1]:3", "s[1]:x1", NULL, "\"x1\" is no number");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features),        cmocka_unit_test(categories),         cmocka_unit_test(linear_models),  cmocka_unit_test(support_vectors),
        cmocka_unit_test(tree_regressors), cmocka_unit_test(tree_classifiers),   cmocka_unit_test(tree_ensembles), cmocka_unit_test(zips_maps),
        cmocka_unit_test(reads_maps),      cmocka_unit_test(runs_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
