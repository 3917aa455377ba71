/* SPDX-License-Identifier: Apache-2.0
 *
 * plot.c: see plot.h.
 */
#include "cli/plot.h"

#include <math.h>

enum { WIDTH = 960, LEFT = 64, RIGHT = 16, HEAD = 40, PANEL = 170, GAP = 44, COLUMNS = WIDTH - LEFT - RIGHT, TICKS = 4 };

static const char *const colours[PT_PLOT_CURVES] = {"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#7f7f7f"};

static void put_text(struct pt_buf *b, const char *s)
{
    for (; *s; s++)
        if (*s == '<')
            pt_buf_puts(b, "&lt;");
        else if (*s == '&')
            pt_buf_puts(b, "&amp;");
        else
            pt_buf_putc(b, *s);
}

/* 1, 2 or 5 times a power of ten, so that `TICKS` steps cover v. */
static double nice_step(double v)
{
    double raw = v / TICKS, power = pow(10, floor(log10(raw > 0 ? raw : 1))), x = raw / power;
    return (x <= 1 ? 1 : x <= 2 ? 2 : x <= 5 ? 5 : 10) * power;
}

static double largest(const struct pt_plot_panel *p, size_t count)
{
    double most = p->limit;
    for (size_t c = 0; c < p->curve_count; c++)
        for (size_t i = 0; i < count; i++)
            most = p->curves[c].y[i] > most ? p->curves[c].y[i] : most;
    return p->top > 0 ? p->top : most > 0 ? most : 1;
}

static void put_curve(struct pt_buf *b, const double *y, size_t count, double top, double base, const char *colour)
{
    size_t columns = count < COLUMNS ? count : COLUMNS;
    pt_buf_printf(b, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.3\" points=\"", colour);
    for (size_t k = 0; k < columns; k++) {
        double most = 0;
        for (size_t i = k * count / columns; i < (k + 1) * count / columns; i++)
            most = y[i] > most ? y[i] : most;
        double x = LEFT + (columns > 1 ? (double)k * COLUMNS / (double)(columns - 1) : 0);
        pt_buf_printf(b, "%.1f,%.1f ", x, base - PANEL * fmin(1, most / top));
    }
    pt_buf_puts(b, "\"/>\n");
}

static void put_axes(struct pt_buf *b, const struct pt_plot_panel *p, double top, double base)
{
    double step = nice_step(top);
    for (double v = 0; v <= top * 1.0001; v += step) {
        double y = base - PANEL * v / top;
        pt_buf_printf(b,
                      "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                      LEFT, y, WIDTH - RIGHT, y, LEFT - 6, y + 4, v);
    }
    if (p->limit > 0 && p->limit < top)
        pt_buf_printf(b, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#000\" stroke-dasharray=\"4 3\"/>\n", LEFT,
                      base - PANEL * p->limit / top, WIDTH - RIGHT, base - PANEL * p->limit / top);
}

static void put_legend(struct pt_buf *b, const struct pt_plot_panel *p, double y)
{
    pt_buf_printf(b, "<text x=\"%d\" y=\"%.1f\" font-weight=\"bold\">", LEFT, y);
    put_text(b, p->title);
    pt_buf_puts(b, ", ");
    put_text(b, p->unit);
    pt_buf_puts(b, "</text>\n");
    for (size_t c = 0; c < p->curve_count; c++) {
        double x = LEFT + 260 + 110 * (double)c;
        pt_buf_printf(b, "<line x1=\"%.0f\" y1=\"%.1f\" x2=\"%.0f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"3\"/><text x=\"%.0f\" y=\"%.1f\">", x,
                      y - 4, x + 18, y - 4, colours[c], x + 24, y);
        put_text(b, p->curves[c].name);
        pt_buf_puts(b, "</text>\n");
    }
}

void pt_plot_svg(struct pt_buf *out, const char *title, const struct pt_plot_panel *panels, size_t panel_count, size_t count, double end,
                 const char *x_unit)
{
    double height = HEAD + (double)panel_count * (PANEL + GAP) + 24, step = nice_step(end);
    pt_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\" font-family=\"sans-serif\" "
                  "font-size=\"12\">\n"
                  "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"22\" font-size=\"15\" font-weight=\"bold\">",
                  WIDTH, height, WIDTH, height, LEFT);
    put_text(out, title);
    pt_buf_puts(out, "</text>\n");
    double base = HEAD;
    for (size_t i = 0; i < panel_count; i++) {
        double top = largest(&panels[i], count);
        put_legend(out, &panels[i], base + 22);
        base += GAP - 10 + PANEL;
        put_axes(out, &panels[i], top, base);
        for (size_t c = 0; c < panels[i].curve_count && count; c++)
            put_curve(out, panels[i].curves[c].y, count, top, base, colours[c]);
        base += 10;
    }
    for (double v = 0; v <= end * 1.0001; v += step)
        pt_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g%s</text>\n", LEFT + COLUMNS * v / end, base + 14, v,
                      v + step > end ? x_unit : "");
    pt_buf_puts(out, "</svg>\n");
}
