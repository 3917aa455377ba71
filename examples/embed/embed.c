/* SPDX-License-Identifier: Apache-2.0
 *
 * embed.c: which digit is this? The whole of what it takes to run a model from C: embed ../digits/digits.onnx
 */
#include <pintle/runtime.h>

#include <stdio.h>

static float image[64] = {0, 0, 11, 15, 4, 0, 0, 0, 0, 5, 16, 15, 15, 0, 0, 0, 0, 0, 14, 11, 16, 2, 0, 0, 0, 0, 0, 4, 16, 5, 0, 0,
                          0, 0, 0, 4, 16, 6, 0, 0, 0, 0, 0, 7, 16, 10, 3, 0, 0, 0, 11, 16, 16, 16, 16, 6, 0, 0, 11, 16, 10, 5, 13, 6};

int main(int argc, char **argv)
{
    struct pt_err err;
    struct pt_session *session = NULL;
    struct pt_run *run = NULL;
    struct pt_tensor x = {.dtype = PT_FLOAT, .rank = 4, .dims = {1, 1, 8, 8}, .data = image, .size_bytes = sizeof image};
    if (argc != 2 || pt_session_open(argv[1], NULL, &session, &err) < 0 || pt_run_create(session, &run, &err) < 0 ||
        pt_run_set_input(run, 0, &x, &err) < 0 || pt_run_execute(run, &err) < 0) {
        fprintf(stderr, "error: %s\n", argc == 2 ? err.msg : "usage: embed MODEL.onnx");
        return 1;
    }
    const struct pt_tensor *p = pt_run_output(run, (size_t)pt_session_output_index(session, "probabilities"));
    if (!p || p->size_bytes != 10 * sizeof(float)) {
        fprintf(stderr, "error: %s is not the digits model\n", argv[1]);
        return 1;
    }
    const float *probability = p->data;
    int best = 0;
    for (int i = 1; i < 10; i++)
        best = probability[i] > probability[best] ? i : best;
    printf("%d (%.1f %%)\n", best, 100 * (double)probability[best]);
    pt_run_destroy(run);
    pt_session_close(session);
    return 0;
}
