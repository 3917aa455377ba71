/* SPDX-License-Identifier: Apache-2.0
 *
 * operator_world.h: the cluster of the operator's benches: memapi in virtual time with ModelDeployments, the controller in the same process, and
 * somebody who plays the nodes: whatever pod is there becomes ready, whatever is deleted goes.
 */
#ifndef PT_BENCH_OPERATOR_WORLD_H
#define PT_BENCH_OPERATOR_WORLD_H

#include "operator/memapi/memapi.h"
#include "operator/model/operator.h"

#define WORLD_NS "bench"
#define WORLD_EDITOR "bench" /* the field manager of what is done from outside */

struct world_pod {
    char name[80], uid[64], owner[64]; /* owner: the ModelDeployment */
    bool ends;                         /* is being deleted */
};
struct world {
    struct pt_vsched clock;
    struct pt_memapi *api;
    struct pt_operator *op;
    struct world_pod *pods; /* as world_pods() saw them last */
    size_t count, room;
    bool all; /* of them: also those for which nothing is to be done */
    int replicas;
};

void world_fail(const char *what) __attribute__((noreturn));
void world_create(struct world *w, int replicas, struct pt_memapi_options *o); /* o: without clock and admission */
void world_destroy(struct world *w);
void world_start_operator(struct world *w, uint64_t seed);
void world_stop_operator(struct world *w);
void world_request(struct world *w, enum pt_verb verb, const struct pt_resource *res, const char *name, const char *sub, const char *body);
void world_write(struct world *w, int number, int version); /* the ModelDeployment model-NUMBER; version 1 creates it, others edit it */
void world_write_all(struct world *w, int count, int version);
void world_run(struct world *w, int64_t ms);
void world_until_settled(struct world *w);
void world_pods(struct world *w);   /* reads w->pods anew */
void world_slices(struct world *w); /* what the controllers of EndpointSlices would have made by now: one per Service */

#endif
