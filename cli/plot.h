/* SPDX-License-Identifier: Apache-2.0
 *
 * plot.h: curves over a common x axis as SVG: panels below each other, each with its curves, its scale and a legend. No script, no font, no file but
 * the one.
 */
#ifndef PT_CLI_PLOT_H
#define PT_CLI_PLOT_H

#include "base/buf.h"

enum { PT_PLOT_CURVES = 6 };
struct pt_plot_panel {
    const char *title, *unit;
    struct {
        const char *name;
        const double *y; /* `count` of them */
    } curves[PT_PLOT_CURVES];
    size_t curve_count;
    double limit; /* a line across, such as an objective; 0: none */
    double top;   /* of the scale; 0: the largest value */
};
/* x runs from 0 to `end`, in `x_unit`. Curves longer than the plot is wide are drawn by the largest value of each column. */
void pt_plot_svg(struct pt_buf *out, const char *title, const struct pt_plot_panel *panels, size_t panel_count, size_t count, double end,
                 const char *x_unit);

#endif
