/* Linear layers on a CPU, float32: a few rows times many weights, which are read once, at the speed of the memory.

   Weights are packed: PANEL outputs side by side, input by input, so that one row of a panel is two registers, and what a
   thread reads lies in a row. The number of rows changes no bit of any of them. */

#include <string.h>

#include "lanes.h"

#define PANEL (2 * LANES) /* outputs that are computed at once */
#define DEPTH 256         /* terms that are added up in a row: the error of a sum grows with their number */
#define AHEAD 64          /* inputs between the weights that are used and those that are fetched from memory */

int panel(void) { return PANEL; }

/* out [R][PANEL] = bias [PANEL] + x [R][inputs] times weights [inputs][PANEL] */
INLINE void block(const int R, const float *x, int64_t step, const float *weights, const float *bias, int64_t inputs,
                  float *out, int64_t out_step) {
    for (int64_t from = 0; from < inputs; from += DEPTH) {
        const int64_t to = inputs - from < DEPTH ? inputs : from + DEPTH;
        vec sum[8][2];
        UNROLLED for (int r = 0; r < R; r++) {
            sum[r][0] = (vec){0};
            sum[r][1] = (vec){0};
        }
        for (int64_t k = from; k < to; k++) {
            const float *row = weights + k * PANEL;
            vec left = *(const vec *)row, right = *(const vec *)(row + LANES);
            __builtin_prefetch(row + AHEAD * PANEL);
            __builtin_prefetch(row + AHEAD * PANEL + 16);
            UNROLLED for (int r = 0; r < R; r++) {
                sum[r][0] += x[r * step + k] * left;
                sum[r][1] += x[r * step + k] * right;
            }
        }
        UNROLLED for (int r = 0; r < R; r++) {
            vec *held = (vec *)(out + r * out_step);
            held[0] = sum[r][0] + (from ? held[0] : *(const vec *)bias);
            held[1] = sum[r][1] + (from ? held[1] : *(const vec *)(bias + LANES));
        }
    }
}

static __attribute__((noinline)) void rows_of(int64_t rows, const float *x, int64_t step, const float *weights,
                                              const float *bias, int64_t inputs, float *out, int64_t out_step) {
    for (; rows >= 8; rows -= 8, x += 8 * step, out += 8 * out_step)
        block(8, x, step, weights, bias, inputs, out, out_step);
    for (; rows >= 4; rows -= 4, x += 4 * step, out += 4 * out_step)
        block(4, x, step, weights, bias, inputs, out, out_step);
    for (; rows >= 2; rows -= 2, x += 2 * step, out += 2 * out_step)
        block(2, x, step, weights, bias, inputs, out, out_step);
    if (rows) block(1, x, step, weights, bias, inputs, out, out_step);
}

/* out [rows][outputs] = bias + x [rows][inputs], rows `step` numbers apart, times packed weights and a packed bias
   [panels][PANEL], filled up with zeros */
void linear(const float *x, int64_t step, const float *weights, const float *bias, float *out, int64_t rows,
            int64_t inputs, int64_t outputs, int64_t threads) {
    const int64_t panels = (outputs + PANEL - 1) / PANEL, last = outputs - (panels - 1) * PANEL;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t p = 0; p < panels; p++) {
        const float *mine = weights + p * PANEL * inputs, *added = bias + p * PANEL;
        if (p < panels - 1 || last == PANEL) {
            rows_of(rows, x, step, mine, added, inputs, out + p * PANEL, outputs);
            continue;
        }
        for (int64_t r = 0; r < rows; r++) { /* a panel that is not full */
            float part[PANEL];
            rows_of(1, x + r * step, step, mine, added, inputs, part, PANEL);
            memcpy(out + r * outputs + p * PANEL, part, sizeof(float) * last);
        }
    }
}
