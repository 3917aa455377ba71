/* SPDX-License-Identifier: Apache-2.0
 *
 * messages.c: what the runtime says of models that are wrong: which node and operator, which attribute or input, its value and what is allowed.
 * Optimised and not, the words are the same. Files beside the model are in external.c, broken bytes in reader.c.
 */
#include "tests/unit/runtime/model.h"

#define MAX_INPUTS 3

static const struct {
    const char *model;
    const char *inputs[MAX_INPUTS]; /* types, for zeros; or with values */
    const char *message;
} cases[] = {
    {"in x f32[1,1,4,4]\nconst w f32[1,1,1,1]:1\ny = Conv(x,w) strides=2\nout y\n",
     {"f32[1,1,4,4]"},
     "node 'y' (Conv): attribute 'strides' is the integer 2, must be a list of integers"},
    {"in x f32[2,2]\ny = Softmax(x) axis=1.0\nout y\n", {"f32[2,2]"}, "node 'y' (Softmax): attribute 'axis' is the float 1, must be an integer"},
    {"in x f32[2,2]\ny = Flatten(x) axis='a'\nout y\n", {"f32[2,2]"}, "node 'y' (Flatten): attribute 'axis' is the text \"a\", must be an integer"},
    {"in x f32[2,2]\ny = LeakyRelu(x) alpha=[1]\nout y\n",
     {"f32[2,2]"},
     "node 'y' (LeakyRelu): attribute 'alpha' is a list of integers, must be a float"},
    {"in x f32[1,1,4,4]\nconst w f32[1,1,1,1]:1\ny = Conv(x,w) auto_pad='BOTH'\nout y\n",
     {"f32[1,1,4,4]"},
     "node 'y' (Conv): attribute 'auto_pad' = \"BOTH\" is not supported, only NOTSET, VALID, SAME_UPPER, SAME_LOWER"},
    {"in x f32[4,4]\nconst w f32[1,1,1,1]:1\ny = Conv(x,w)\nout y\n",
     {"f32[4,4]"},
     "node 'y' (Conv): input float32[4,4] and weights float32[1,1,1,1] must have one rank, from 3 to 8"},
    {"in x f32[1,3,4,4]\nconst w f32[1,2,1,1]:1,1\ny = Conv(x,w)\nout y\n",
     {"f32[1,3,4,4]"},
     "node 'y' (Conv): weights float32[1,2,1,1] do not fit input float32[1,3,4,4] in 1 groups"},
    {"in x f32[1,2,4,4]\nconst w f32[1,2,1,1]:1,1\ny = Conv(x,w) group=0\nout y\n",
     {"f32[1,2,4,4]"},
     "node 'y' (Conv): attribute 'group' = 0 is outside 1 to 2147483647"},
    {"in x f32[1,1,4,4]\nconst w f32[1,1,1,1]:1\ny = Conv(x,w) pads=[-1,0,0,0]\nout y\n",
     {"f32[1,1,4,4]"},
     "node 'y' (Conv): attribute 'pads' = -1 is outside 0 to 2147483647"},
    {"in x f32[1,1,4,4]\nconst w f32[1,1,1,1]:1\ny = Conv(x,w) pads=[1,1]\nout y\n",
     {"f32[1,1,4,4]"},
     "node 'y' (Conv): attribute 'pads' has 2 values, needs 4"},
    {"in x f32[1,1,4,4]\nconst w f32[1,1,1,1]:1\ny = Conv(x,w) strides=[0,1]\nout y\n",
     {"f32[1,1,4,4]"},
     "node 'y' (Conv): attribute 'strides' = 0 is outside 1 to 2147483647"},
    {"in x f32[1,1,2,2]\ny = MaxPool(x) kernel_shape=[5,5]\nout y\n",
     {"f32[1,1,2,2]"},
     "node 'y' (MaxPool): the window of 5 (kernel 5, dilation 1) is larger than the padded input of 2 at spatial axis 0"},
    {"in x f32[1,1,2,2]\ny = MaxPool(x)\nout y\n", {"f32[1,1,2,2]"}, "node 'y' (MaxPool): attribute 'kernel_shape' has 0 values, needs 2"},
    {"in x f32[1,1,4,4]\nconst w f32[1,1,1,1]:1\ny = Conv(x,w) kernel_shape=[2,2]\nout y\n",
     {"f32[1,1,4,4]"},
     "node 'y' (Conv): attribute 'kernel_shape' differs from the weights float32[1,1,1,1]"},
    {"in x f32[2,2]\ny = Softmax(x) axis=2\nout y\n", {"f32[2,2]"}, "node 'y' (Softmax): attribute 'axis' = 2 is outside -2 to 1 for rank 2"},
    {"in x f32[2,2]\ny = Concat(x,x) axis=5\nout y\n", {"f32[2,2]"}, "node 'y' (Concat): attribute 'axis' = 5 is outside -2 to 1 for rank 2"},
    {"in x f32[2,2]\ny = Concat(x,x)\nout y\n", {"f32[2,2]"}, "node 'y' (Concat): attribute 'axis' is missing"},
    {"in x f32[2,2]\nin z f32[3,3]\ny = Concat(x,z) axis=0\nout y\n",
     {"f32[2,2]", "f32[3,3]"},
     "node 'y' (Concat): input 1 is float32[3,3], which does not join float32[2,2] along axis 0"},
    {"in x f32[2,2]\ny = Transpose(x) perm=[0,0]\nout y\n", {"f32[2,2]"}, "node 'y' (Transpose): attribute 'perm' names axis 0 twice"},
    {"in x f32[2,2]\ny = Transpose(x) perm=[0]\nout y\n",
     {"f32[2,2]"},
     "node 'y' (Transpose): attribute 'perm' has 1 values, the input is float32[2,2]"},
    {"in x f32[2,3]\nin z f32[2,3]\ny = MatMul(x,z)\nout y\n",
     {"f32[2,3]", "f32[2,3]"},
     "node 'y' (MatMul): inputs float32[2,3] and float32[2,3] do not multiply"},
    {"in x f32[2,3]\nin z f32[3,4]\nin b f32[3]\ny = Gemm(x,z,b)\nout y\n",
     {"f32[2,3]", "f32[3,4]", "f32[3]"},
     "node 'y' (Gemm): input 2 (C) is float32[3], which does not broadcast to float32[2,4]"},
    {"in x f32[2,3]\nin z f32[2]\ny = Add(x,z)\nout y\n",
     {"f32[2,3]", "f32[2]"},
     "node 'y' (Add): inputs float32[2,3] and float32[2] do not broadcast"},
    {"in x f32[2]\nin z i64[2]\ny = Add(x,z)\nout y\n",
     {"f32[2]", "i64[2]"},
     "node 'y' (Add): input 1 has type int64, but an earlier one has float32"},
    {"in x s[2]\ny = Relu(x)\nout y\n",
     {"s[2]:a,b"},
     "node 'y' (Relu): input 0 has type string, which is not supported here, only float32, int8, int16, int32, int64, float16, float64, bfloat16"},
    {"in x f32[2]\ny = Add(x)\nout y\n", {"f32[2]"}, "node 'y' (Add) has 1 inputs, needs 2"},
    {"in x f32[2]\ny = Add(x,)\nout y\n", {"f32[2]"}, "node 'y' (Add) has 1 inputs, needs 2"},
    {"in x f32[2]\ny,z = Relu(x)\nout y\n", {"f32[2]"}, "node 'y' (Relu) has 2 outputs, may have 1"},
    {"in x f32[2,3]\nconst s i64[2]:4,2\ny = Reshape(x,s)\nout y\n", {"f32[2,3]"}, "node 'y' (Reshape): float32[2,3] cannot become float32[4,2]"},
    {"in x f32[2,3]\nconst s i64[2]:-1,-1\ny = Reshape(x,s)\nout y\n",
     {"f32[2,3]"},
     "node 'y' (Reshape): dim 1 of the shape is -1: only one may be -1"},
    {"in x f32[2,3]\nconst s i64[2]:-2,3\ny = Reshape(x,s)\nout y\n",
     {"f32[2,3]"},
     "node 'y' (Reshape): dim 0 of the shape is -2: must be a size, 0 or -1"},
    {"in x f32[1]\nconst s i64[2]:4611686018427387904,4611686018427387904\ny = Expand(x,s)\nout y\n",
     {"f32[1]"},
     "node 'y' (Expand): output 0 would be float32[4611686018427387904,4611686018427387904]: too large"},
    {"in x f32[1]\nconst s i64[1]:-5\ny = Expand(x,s)\nout y\n", {"f32[1]"}, "node 'y' (Expand): dim 0 of the shape is -5, must be at least 0"},
    {"in x f32[4]\nconst s i64[1]:9223372036854775807\ny = Tile(x,s)\nout y\n",
     {"f32[4]"},
     "node 'y' (Tile): repeat 0 is 9223372036854775807: negative, or too much for axis 0 of float32[4]"},
    {"const s i64[3]:1000000,1000000,1000000\ny = ConstantOfShape(s)\nout y\n",
     {},
     "node 'y' (ConstantOfShape): output 0 would be float32[1000000,1000000,1000000]: too large"},
    {"in x f32[3]\nconst i i64[1]:7\ny = Gather(x,i)\nout y\n", {"f32[3]"}, "node 'y' (Gather): input 1: index 7 is outside -3 to 2 (axis 0)"},
    {"in x f32[3]\nin i f32[1]\ny = Gather(x,i)\nout y\n",
     {"f32[3]", "f32[1]:1"},
     "node 'y' (Gather): input 1 has type float32, which is not supported here, only int32, int64"},
    {"in x f32[3]\nconst a i64[1]:0\nconst b i64[1]:2\nconst c i64[1]:0\nconst s i64[1]:0\ny = Slice(x,a,b,c,s)\nout y\n",
     {"f32[3]"},
     "node 'y' (Slice): the step of axis 0 is 0, must be another number than 0"},
    {"in x f32[3,3]\nconst a i64[2]:0,0\nconst b i64[2]:2,2\nconst c i64[2]:0,0\ny = Slice(x,a,b,c)\nout y\n",
     {"f32[3,3]"},
     "node 'y' (Slice): axis 0 is given twice"},
    {"in x f32[4]\nconst s i64[2]:1,2\ny,z = Split(x,s)\nout y\nout z\n",
     {"f32[4]"},
     "node 'y' (Split): the parts have the sum 3, axis 0 of the input has 4"},
    {"in x f32[2,3]\nconst a i64[1]:0\ny = Squeeze(x,a)\nout y\n", {"f32[2,3]"}, "node 'y' (Squeeze): axis 0 of float32[2,3] is not 1"},
    {"in x f32[2]\nconst a i64[2]:0,0\ny = Unsqueeze(x,a)\nout y\n", {"f32[2]"}, "node 'y' (Unsqueeze): axis 0 is given twice"},
    {"in x f32[2]\nconst k i64[1]:5\ny,i = TopK(x,k)\nout y\nout i\n", {"f32[2]"}, "node 'y' (TopK): k = 5 is outside 0 to 2, the size of axis 0"},
    {"in x f32[2]\ny = Cast(x) to=99\nout y\n", {"f32[2]"}, "node 'y' (Cast): attribute 'to' = 99 is outside 1 to 26"},
    {"in x f32[2]\ny = Cast(x)\nout y\n", {"f32[2]"}, "node 'y' (Cast): attribute 'to' is missing or undefined (0)"},
    {"in x f32[2]\na = Add(x,b)\nb = Relu(a)\nout b\n", {"f32[2]"}, "node 'a' (Add) is part of a cycle"},
    {"in x f32[2]\na = Relu(x)\na = Abs(x)\nout a\n", {"f32[2]"}, "node 'a' (Abs): value 'a' is defined twice"},
    {"in x f32[2]\na = Relux(x)\nout a\n", {"f32[2]"}, "node 'a' (Relux): this operator is not supported (opset 17)"},
    {"in x f32[2]\na = com.bar::Relu(x)\nout a\n", {"f32[2]"}, "node 'a' (com.bar::Relu): the model imports no opset of domain 'com.bar'"},
    {"in x f32[2,2]\ny = Einsum(x) equation='i1'\nout y\n",
     {"f32[2,2]"},
     "node 'y' (Einsum): attribute 'equation' = \"i1\" makes no sense at position 1"},
    {"in x f32[1,1,2,2]\nconst r f32[0]\nconst s f32[3]:1,1,2\ny = Resize(x,r,s)\nout y\n",
     {"f32[1,1,2,2]"},
     "node 'y' (Resize): 3 scales or sizes for 4 axes"},
    {"in x f32[1,1,2]\nconst w f32[1,4,2]:1,1,1,1,1,1,1,1\nconst r f32[1,4,1]:1,1,1,1\ny = LSTM(x,w,r) hidden_size=3\nout y\n",
     {"f32[1,1,2]"},
     "node 'y' (LSTM): attribute 'hidden_size' = 3, but R is float32[1,4,1]"},
    {"in x f32[1,3,2,2]\nconst s f32[2]:1,1\ny = BatchNormalization(x,s,s,s,s)\nout y\n",
     {"f32[1,3,2,2]"},
     "node 'y' (BatchNormalization): input 1 is float32[2], must be one value for each of 3 channels"},
    {"graph t\nq = Relu(x)\nout q\nend\nin x f32[2]\ny = If(x) then_branch=@t else_branch=@t\nout y\n",
     {"f32[2]"},
     "node 'y' (If): the condition is float32[2], must be one bool"},
    {"graph t\nq = Relu(x)\nout q\nend\nin x f32[2]\nin c b[]\ny = If(c) then_branch=@t\nout y\n",
     {"f32[2]", "b[]:1"},
     "node 'y' (If): attribute 'else_branch' is missing or no graph"},
    {"graph t\nin i i64[]\nout i\nend\nconst m i64[]:2\nin x f32[2]\ny = Loop(m,,x) body=@t\nout y\n",
     {"f32[2]"},
     "node 'y' (Loop): the body has 1 inputs, must have those for the iteration, the condition and 1 states"},
    {"in x f32[2]\nconst s f32[2,2]:1,1,1,1\ny = QuantizeLinear(x,s)\nout y\n",
     {"f32[2]"},
     "node 'y' (QuantizeLinear): scale float32[2,2] is neither one value nor one for each index of axis 0 of float32[2]"},
    {"in x f32[2]\nconst s f32[]:1\nconst z u8[]:1\nq = QuantizeLinear(x,s,z)\nconst y i8[]:1\nd = DequantizeLinear(q,s,y)\nout d\n",
     {"f32[2]"},
     "node 'd' (DequantizeLinear): input is uint8, but the zero point is int8"},
    {"in x f32[2,2]\ny = Relu(x)\nout y\n", {"f32[2]"}, "input 'x' is float32[2], the model takes float32[2,2] (-1: any)"},
    {"in x f32[2,2]\ny = Relu(x)\nout y\n", {"f32[2,3]"}, "input 'x' is float32[2,3], the model takes float32[2,2] (-1: any)"},
    {"in x f32[2]\ny = Relu(x)\nout y\n", {"i64[2]"}, "input 'x' is int64, the model takes float32"},
    {"in x f32[2]\nin z f32[2]\ny = Add(x,z)\nout y\n", {"f32[2]"}, "input 'z' is not set"},
    {"in x f32[2,2]\nconst i i64[1,3]:0,0,0\ny = GatherND(x,i)\nout y\n",
     {"f32[2,2]"},
     "node 'y' (GatherND): indices int64[1,3] with batch_dims 0 do not fit input float32[2,2]"},
    {"in x f32[2]\nconst i i64[1]:9\nconst u f32[1]:1\ny = ScatterElements(x,i,u)\nout y\n",
     {"f32[2]"},
     "node 'y' (ScatterElements): input 1: index 9 is outside -2 to 1 (axis 0)"},
    {"const a i64[]:0\nconst b i64[]:5\nconst d i64[]:0\ny = Range(a,b,d)\nout y\n",
     {},
     "node 'y' (Range): start 0, limit 5 and delta 0 make no finite range"},
    {"in x f32[1,3,2,2]\ny = DepthToSpace(x) blocksize=2\nout y\n",
     {"f32[1,3,2,2]"},
     "node 'y' (DepthToSpace): channels of float32[1,3,2,2] are not a multiple of 2 squared"},
    {"const i i64[1]:0\nconst d i64[]:-1\nconst v f32[2]:0,1\ny = OneHot(i,d,v)\nout y\n",
     {},
     "node 'y' (OneHot): depth -1 of indices int64[1] is out of range"},
    {"in x f32[2,2]\nconst s f32[2]:1,1\ny = LayerNormalization(x,s) axis=5\nout y\n",
     {"f32[2,2]"},
     "node 'y' (LayerNormalization): attribute 'axis' = 5 is outside -2 to 1 for rank 2"},
    {"in x f32[2,2]\nconst a i64[1]:4\ny = ReduceSum(x,a)\nout y\n", {"f32[2,2]"}, "node 'y' (ReduceSum): axis = 4 is outside -2 to 1 for rank 2"},
    {"opset 23\nin x f32[1,2,3]\ny = Attention(x,x,x) q_num_heads=2 kv_num_heads=2\nout y\n",
     {"f32[1,2,3]"},
     "node 'y' (Attention): input 0 is float32[1,2,3], which does not divide into 2 heads"},
    {"function F(a) -> b\nb = Relu(a)\nend\nin x f32[1]\ny = com.foo::F(x,x)\nout y\n",
     {"f32[1]"},
     "node 'y' (com.foo::F) has 2 inputs and 1 outputs, the function has 1 and 1"},
    {"in x f32[2]\nconst p i64[3]:0,0,0\ny = Pad(x,p)\nout y\n", {"f32[2]"}, "node 'y' (Pad): 3 pads for 1 axes"},
    {"in x f32[2]\nconst p i64[2]:1,1\ny = Tile(x,p)\nout y\n", {"f32[2]"}, "node 'y' (Tile): 2 repeats for an input of rank 1"},
};

/* Zeros of the type, or what stands behind it. */
static struct pt_tensor tensor_of(const char *text)
{
    struct pt_buf b = PT_BUF_INIT(0);
    pt_buf_puts(&b, text);
    for (int i = 0; i < 64 && !strchr(text, ':'); i++)
        pt_buf_puts(&b, i ? ",0" : ":0");
    struct pt_tensor t = test_tensor(pt_buf_cstr(&b));
    pt_buf_finish(&b);
    return t;
}

static int open_and_run(const struct pt_buf *model, const char *const *inputs, bool no_opt, struct pt_err *err)
{
    struct pt_session_options o = {.thread_count = 1, .no_opt = no_opt, .max_arena_bytes = 64 << 20};
    struct pt_session *s = NULL;
    struct pt_run *r = NULL;
    struct pt_tensor in[MAX_INPUTS] = {0};
    int rc = pt_session_open_memory(model->data, model->len, &o, &s, err);
    if (rc == PT_OK)
        rc = pt_run_create(s, &r, err);
    for (size_t i = 0; rc == PT_OK && i < MAX_INPUTS && inputs[i]; i++) {
        in[i] = tensor_of(inputs[i]);
        rc = pt_run_set_input(r, i, &in[i], err);
    }
    if (rc == PT_OK)
        rc = pt_run_execute(r, err);
    for (size_t i = 0; i < MAX_INPUTS; i++)
        free(in[i].data);
    pt_run_destroy(r);
    pt_session_close(s);
    return rc;
}

static void say_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pt_buf model = test_model(cases[i].model);
        for (int no_opt = 0; no_opt < 2; no_opt++) {
            struct pt_err err = {0};
            if (open_and_run(&model, cases[i].inputs, no_opt, &err) == PT_OK)
                fail_msg("accepted, no_opt %d:\n%s", no_opt, cases[i].model);
            if (strcmp(err.msg, cases[i].message) != 0)
                fail_msg("no_opt %d: the error is\n%s\nexpected\n%s", no_opt, err.msg, cases[i].message);
        }
        pt_buf_finish(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(say_what_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
