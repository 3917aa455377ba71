/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_graph.c: bytes as choices: a model of any operators with any attributes, grown node by node (tests/graphs/generate.h), so that every byte
 * reaches the operators and none dies in the reader. Each node runs alone, on the reference operators; the model runs optimised and not, and gives
 * the same. The first byte says whether attributes and constants may be extreme; then only what breaks is a finding, not what differs.
 */
#include "tests/graphs/compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct choices c = {.bytes = data, .len = size, .at = 1};
    struct pt_err err = {0};
    if (size < 2)
        return 0;
    if (compare_graph(&c, 12, data[0] & 1, false, &err) < 0 && !(data[0] & 1)) {
        printf("%s\n", err.msg);
        fflush(stdout); /* with the model, which has been printed */
        abort();
    }
    return 0;
}
