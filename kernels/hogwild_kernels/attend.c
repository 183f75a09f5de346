/* Attention of packed query rows over shared segments on a CPU; attention.py has the definition. Keys and values are
   float32, or bfloat16; all else is float32. Where the processor multiplies bfloat16, two by two, queries and weights are
   rounded to it, as the definition does; elsewhere keys and values are widened tile by tile.

   A piece is a stretch of one segment. A task is one KV head and one piece: all rows of the head's group meet the
   piece's keys and values, which are read once, tile by tile, with a running softmax (flash attention, arXiv
   2205.14135). A second pass joins the pieces (flash-decoding). Pieces and tiles depend on lengths alone, so the result
   does not depend on the number of threads. Scores are kept by token, rows side by side, so neither keys nor values
   are turned over: a few keys times all rows, then all rows times the values. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lanes.h"

#if LANES == 16
#define WIDE 4
#else
#define WIDE 2
#endif
#define TILE 64      /* tokens whose scores are held at once */
#define COLUMNS 128  /* rows of one head's group that a task takes, about */
#define DEPTH 32     /* terms that are added up in a row: the error of a sum grows with their number */
#if defined(__AVX512BF16__) && LANES == 16
#include <immintrin.h>
#define PAIRED 1
#else
#define PAIRED 0
#endif
#define AHEAD 16     /* tokens between the keys that are used and those that are fetched from memory */

typedef uint32_t bits __attribute__((may_alias));
typedef uint16_t half __attribute__((may_alias));

typedef struct {
    int64_t kv_heads, group, rows, head_dim, value_dim, rotary_dim, interleaved, segments, pieces, threads;
    int64_t query_head, query_row;             /* strides, in numbers */
    int64_t narrow;                            /* whether keys and values are bfloat16 */
    float scaling, softcap;                    /* softcap 0: none */
    const float *query, *cos, *sin, *sinks;    /* cos, sin [segments][rows][rotary_dim], sinks [heads], or null */
    const int32_t *first, *visible;            /* [rows][segments], or null */
    const int32_t *piece;                      /* [pieces][3]: segment, start, stop */
    const char *const *keys, *const *values;   /* per segment */
    const int64_t *strides;                    /* [segments][4]: keys by head, by token, values by head, by token */
    float *partial;                            /* [kv_heads][pieces][group][rows][2 + value_dim]: top, total, sums */
    float *out, *mass;                         /* [heads][rows][value_dim]; [heads][rows][segments], zeros, or null */
} attention;

INLINE vec splat(float x) { return x - (vec){0}; }

INLINE vec choose(ivec mask, vec a, vec b) { return (vec)(((ivec)a & mask) | ((ivec)b & ~mask)); }

INLINE vec larger(vec a, vec b) { return choose(a > b, a, b); }

/* To two units in the last place; 0 below -87 */
INLINE vec exponential(vec x) {
    const vec magic = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    vec low = larger(x, splat(-87.0f)), z = low * splat(1.44269504088896341f) + magic;
    vec n = z - magic;
    vec f = low - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
    vec p = splat(1.9875691500e-4f);
    p = p * f + splat(1.3981999507e-3f);
    p = p * f + splat(8.3334519073e-3f);
    p = p * f + splat(4.1665795894e-2f);
    p = p * f + splat(1.6666665459e-1f);
    p = p * f + splat(5.0000001201e-1f);
    p = p * f * f + f + splat(1.0f);
    ivec power = (ivec)p + (((ivec)z - (ivec)magic) << 23);
    vec exact = choose(x < splat(-87.0f), (vec){0}, (vec)power);
    return choose(x == x, exact, x); /* no number stays none */
}

/* sum + cell * row; with PAIR each cell of four bytes holds two bfloat16, whose two products are added */
INLINE vec add_product(const int PAIR, vec sum, float cell, vec row) {
#if PAIRED
    if (PAIR) return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_ps(cell), (__m512bh)row);
#endif
    return sum + cell * row;
}

#if PAIRED
/* Two rows of float32 as one of pairs; `second` may be null, for zeros */
INLINE void round_to_pairs(const float *first, const float *second, float *pairs) {
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(first)));
    if (second) {
        __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(second)));
        low = _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
    }
    _mm512_storeu_si512(pairs, low);
}
#endif

/* cells [count][padded] of float32, in place, as [(count + 1) / 2][padded] pairs; returns how many rows those are */
INLINE int64_t paired_rows(float *cells, int64_t count, int64_t padded) {
#if PAIRED
    for (int64_t i = 0; i < count; i += 2)
        for (int64_t m = 0; m < padded; m += LANES) {
            const float *first = cells + i * padded + m;
            round_to_pairs(first, i + 1 < count ? first + padded : 0, cells + i / 2 * padded + m);
        }
#endif
    return (count + 1) / 2;
}

INLINE vec capped(vec x, float cap) {
    vec y = x / cap;
    vec t = exponential(splat(-2.0f) * larger(y, -y));
    vec r = (splat(1.0f) - t) / (splat(1.0f) + t) * cap;
    return choose(x < splat(0.0f), -r, r);
}

/* The keys or values of one head in one segment: where they begin, bytes from token to token, numbers of a token */
enum { WHOLE, NARROW, PAIRS }; /* float32; bfloat16 to be widened; bfloat16 to be multiplied two by two */
typedef struct {
    const char *begin;
    int64_t step, dim;
    int kind;
} lane;

/* Have eight tokens on their way into the caches */
INLINE void fetch(const lane *from, int64_t at) {
    for (int64_t t = at; t < at + 8; t++)
        for (int64_t b = 0; b < (from->kind ? 2 : 4) * from->dim; b += 64)
            __builtin_prefetch(from->begin + t * from->step + b);
}

/* `tokens` tokens in float32, or as they are pairs of one token, and cells from token to token; in `room` where they
   have to be widened */
static const float *widened(const lane *from, int64_t at, int64_t tokens, float *room, int64_t *step) {
    if (from->kind != NARROW) {
        *step = from->step / 4;
        return (const float *)(from->begin + at * from->step);
    }
    *step = from->dim;
    for (int64_t t = 0; t < tokens; t++) {
        const half *narrow = (const half *)(from->begin + (at + t) * from->step);
        bits *wide = (bits *)(room + t * from->dim);
        for (int64_t d = 0; d < from->dim; d++) wide[d] = (bits)narrow[d] << 16;
    }
    return room;
}

/* `tokens` tokens of bfloat16 as [(tokens + 1) / 2][dim] pairs, each of two tokens */
static const float *paired_tokens(const lane *from, int64_t at, int64_t tokens, float *room) {
#if PAIRED
    for (int64_t t = 0; t < tokens; t += 2) {
        const char *first = from->begin + (at + t) * from->step;
        for (int64_t d = 0; d < from->dim; d += LANES) {
            __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(first + 2 * d)));
            if (t + 1 < tokens) {
                const __m256i *second = (const __m256i *)(first + from->step + 2 * d);
                low = _mm512_or_si512(low, _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(second)), 16));
            }
            _mm512_storeu_si512(room + t / 2 * from->dim + d, low);
        }
    }
#endif
    return room;
}

/* scores [R keys][N vectors of rows] = keys [R][dim] times rows [dim][padded]; dim counts cells */
INLINE void score_block(const int PAIR, const int R, const int N, const float *keys, int64_t step, const float *rows,
                        int64_t padded, int64_t dim, float *scores) {
    const int64_t depth = PAIR ? DEPTH / 2 : DEPTH;
    for (int64_t from = 0; from < dim; from += depth) {
        const int64_t to = dim - from < depth ? dim : from + depth;
        vec sum[8][4];
        UNROLLED for (int r = 0; r < R; r++)
            UNROLLED for (int n = 0; n < N; n++) sum[r][n] = (vec){0};
        for (int64_t d = from; d < to; d++) {
            vec row[4];
            UNROLLED for (int n = 0; n < N; n++) row[n] = *(const vec *)(rows + d * padded + n * LANES);
            UNROLLED for (int r = 0; r < R; r++)
                UNROLLED for (int n = 0; n < N; n++)
                    sum[r][n] = add_product(PAIR, sum[r][n], keys[r * step + d], row[n]);
        }
        UNROLLED for (int r = 0; r < R; r++)
            UNROLLED for (int n = 0; n < N; n++) {
                vec *score = (vec *)(scores + r * padded + n * LANES);
                if (from) sum[r][n] += *score;
                *score = sum[r][n];
            }
    }
}

INLINE void score_keys(const int PAIR, const int R, const float *keys, int64_t step, const float *rows, int64_t padded,
                       int64_t dim, float *scores) {
    int64_t c = 0;
    for (; c + 2 * LANES <= padded; c += 2 * LANES)
        score_block(PAIR, R, 2, keys, step, rows + c, padded, dim, scores + c);
    if (c < padded) score_block(PAIR, R, 1, keys, step, rows + c, padded, dim, scores + c);
}

/* scores [tokens][padded]; has the values on their way, which are read next, and the keys of the tile after it */
INLINE void score_tokens(const int PAIR, const lane *keys, const lane *values, int64_t at, int64_t tokens,
                         const float *rows, int64_t padded, float *room, float *scores) {
    int64_t step, t = 0, dim = PAIR ? keys->dim / 2 : keys->dim;
    const float *wide = widened(keys, at, tokens, room, &step);
    for (; t + 8 <= tokens; t += 8) {
        fetch(keys, at + t + AHEAD);
        fetch(values, at + t);
        score_keys(PAIR, 8, wide + t * step, step, rows, padded, dim, scores + t * padded);
    }
    for (; t < tokens; t++) score_keys(PAIR, 1, wide + t * step, step, rows, padded, dim, scores + t * padded);
}

static __attribute__((noinline)) void score_tile(const lane *keys, const lane *values, int64_t at, int64_t tokens,
                                                 const float *rows, int64_t padded, float *room, float *scores) {
    if (PAIRED && keys->kind == PAIRS)
        score_tokens(1, keys, values, at, tokens, rows, padded, room, scores);
    else
        score_tokens(0, keys, values, at, tokens, rows, padded, room, scores);
}

/* out [R rows][N vectors] = out * scale + weights [tokens][padded] transposed times values [tokens][N vectors]; with
   PAIR `tokens` are pairs of them */
INLINE void value_block(const int PAIR, const int R, const int N, const float *weights, int64_t padded,
                        const float *values, int64_t step, int64_t tokens, const float *scale, float *out,
                        int64_t out_step) {
    vec sum[8][4];
    UNROLLED for (int r = 0; r < R; r++)
        UNROLLED for (int n = 0; n < N; n++) sum[r][n] = (vec){0};
    for (int64_t t = 0; t < tokens; t++) {
        vec value[4];
        UNROLLED for (int n = 0; n < N; n++) value[n] = *(const vec *)(values + t * step + n * LANES);
        UNROLLED for (int r = 0; r < R; r++)
            UNROLLED for (int n = 0; n < N; n++)
                sum[r][n] = add_product(PAIR, sum[r][n], weights[t * padded + r], value[n]);
    }
    UNROLLED for (int r = 0; r < R; r++)
        UNROLLED for (int n = 0; n < N; n++) {
            vec *held = (vec *)(out + r * out_step + n * LANES);
            *held = *held * scale[r] + sum[r][n];
        }
}

INLINE void value_rows(const int PAIR, const int R, const float *weights, int64_t padded, const float *values,
                       int64_t step, int64_t tokens, const float *scale, float *out, int64_t dim) {
    const int N = R <= 4 ? WIDE : 2;
    int64_t d = 0;
    for (; d + N * LANES <= dim; d += N * LANES)
        value_block(PAIR, R, N, weights, padded, values + d, step, tokens, scale, out + d, dim);
    for (; d < dim; d += LANES)
        value_block(PAIR, R, 1, weights, padded, values + d, step, tokens, scale, out + d, dim);
}

INLINE void value_tokens(const int PAIR, const float *weights, int64_t padded, const float *values, int64_t step,
                         int64_t tokens, const float *scale, float *out, int64_t num_rows, int64_t dim) {
    int64_t m = 0;
    for (; m + 8 <= num_rows; m += 8)
        value_rows(PAIR, 8, weights + m, padded, values, step, tokens, scale + m, out + m * dim, dim);
    for (; m + 4 <= num_rows; m += 4)
        value_rows(PAIR, 4, weights + m, padded, values, step, tokens, scale + m, out + m * dim, dim);
    for (; m + 2 <= num_rows; m += 2)
        value_rows(PAIR, 2, weights + m, padded, values, step, tokens, scale + m, out + m * dim, dim);
    for (; m < num_rows; m++)
        value_rows(PAIR, 1, weights + m, padded, values, step, tokens, scale + m, out + m * dim, dim);
}

/* weights [tokens][padded], which are rounded in place where values are pairs */
static __attribute__((noinline)) void value_tile(float *weights, int64_t padded, const lane *values, int64_t at,
                                                 int64_t tokens, const float *scale, float *out, int64_t num_rows,
                                                 float *room) {
    int64_t step = values->dim;
    if (PAIRED && values->kind == PAIRS) {
        const float *pairs = paired_tokens(values, at, tokens, room);
        int64_t count = paired_rows(weights, tokens, padded);
        value_tokens(1, weights, padded, pairs, step, count, scale, out, num_rows, values->dim);
        return;
    }
    const float *wide = widened(values, at, tokens, room, &step);
    value_tokens(0, weights, padded, wide, step, tokens, scale, out, num_rows, values->dim);
}

/* rows [head_dim][padded]: queries of rows from..to of the group, scaled and turned to the segment */
static void turn_rows(const attention *a, int64_t head, int64_t segment, int64_t from, int64_t to, int64_t padded,
                      float *rows) {
    memset(rows, 0, sizeof(float) * a->head_dim * padded);
    const int64_t half = a->rotary_dim / 2;
    for (int64_t g = 0; g < a->group; g++)
        for (int64_t r = from; r < to; r++) {
            const float *q = a->query + (head * a->group + g) * a->query_head + r * a->query_row;
            float *column = rows + g * (to - from) + r - from;
            int64_t d = 0;
            if (a->cos) {
                const float *cos = a->cos + (segment * a->rows + r) * a->rotary_dim;
                const float *sin = a->sin + (segment * a->rows + r) * a->rotary_dim;
                for (; d < a->rotary_dim; d++) {
                    float across;
                    if (a->interleaved)
                        across = d % 2 ? q[d - 1] : -q[d + 1];
                    else
                        across = d < half ? -q[d + half] : q[d - half];
                    column[d * padded] = (q[d] * cos[d] + across * sin[d]) * a->scaling;
                }
            }
            for (; d < a->head_dim; d++) column[d * padded] = q[d] * a->scaling;
        }
}

static int64_t padded_to_lanes(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

static int64_t rows_at_once(const attention *a) {
    int64_t rows = COLUMNS / a->group;
    return rows < 1 ? 1 : rows < a->rows ? rows : a->rows;
}

/* A bound of what a row sees of a segment, `otherwise` where there is none */
INLINE int64_t seen(const int32_t *bounds, const attention *a, int64_t row, int64_t segment, int64_t otherwise) {
    return bounds ? bounds[row * a->segments + segment] : otherwise;
}

/* How a task reads what is bfloat16: two by two where the processor can, and each key's pairs lie where a number may */
static int kind_of(const attention *a, const char *keys, int64_t step) {
    if (!a->narrow) return WHOLE;
    return PAIRED && a->head_dim % 2 == 0 && (intptr_t)keys % 4 == 0 && step % 4 == 0 ? PAIRS : NARROW;
}

static void task(const attention *a, int64_t head, int64_t which, int64_t block, float *room) {
    const int64_t segment = a->piece[3 * which];
    int64_t start = a->piece[3 * which + 1], stop = a->piece[3 * which + 2];
    const int64_t from = block * rows_at_once(a), after = from + rows_at_once(a);
    const int64_t to = after < a->rows ? after : a->rows;
    const int64_t num_rows = to - from, columns = a->group * num_rows, padded = padded_to_lanes(columns);
    const int64_t *strides = a->strides + 4 * segment;
    const int64_t size = a->narrow ? 2 : 4;
    const char *first_key = a->keys[segment] + size * head * strides[0];
    const int kind = kind_of(a, first_key, size * strides[1]);
    const lane keys = {first_key, size * strides[1], a->head_dim, kind};
    const lane values = {a->values[segment] + size * head * strides[2], size * strides[3], a->value_dim, kind};
    const float none = -INFINITY;
    float *rows = room, *scores = rows + a->head_dim * padded, *largest = scores + TILE * padded;
    float *total = largest + padded, *scale = total + padded, *out = scale + padded;
    float *wide = out + columns * a->value_dim;
    int64_t all_from = start, all_to = stop, any_from = stop, any_to = start; /* what all rows see, what any row sees */
    for (int64_t r = from; r < to; r++) {
        int64_t lower = seen(a->first, a, r, segment, start), upper = seen(a->visible, a, r, segment, stop);
        if (lower > all_from) all_from = lower;
        if (lower < any_from) any_from = lower;
        if (upper < all_to) all_to = upper;
        if (upper > any_to) any_to = upper;
    }
    if (any_to < stop) stop = any_to;
    if (any_from > start) start = any_from;
    for (int64_t m = 0; m < padded; m++) largest[m] = none, total[m] = 0;
    memset(out, 0, sizeof(float) * columns * a->value_dim);
    if (start < stop) {
        turn_rows(a, head, segment, from, to, padded, rows);
        if (kind == PAIRS) paired_rows(rows, a->head_dim, padded);
    }
    for (int64_t at = start; at < stop; at += TILE) {
        const int64_t tokens = stop - at < TILE ? stop - at : TILE;
        score_tile(&keys, &values, at, tokens, rows, padded, wide, scores);
        if (a->softcap > 0)
            for (int64_t i = 0; i < tokens * padded; i += LANES)
                *(vec *)(scores + i) = capped(*(vec *)(scores + i), a->softcap);
        if (at < all_from || at + tokens > all_to)
            for (int64_t r = from; r < to; r++) {
                int64_t lower = seen(a->first, a, r, segment, at) - at;
                int64_t upper = seen(a->visible, a, r, segment, stop) - at;
                for (int64_t g = 0; g < a->group; g++) {
                    float *column = scores + g * num_rows + r - from;
                    for (int64_t t = 0; t < lower && t < tokens; t++) column[t * padded] = none;
                    for (int64_t t = upper < 0 ? 0 : upper; t < tokens; t++) column[t * padded] = none;
                }
            }
        for (int64_t m = 0; m < padded; m += LANES) {
            vec before = *(vec *)(largest + m), now = before, sum = (vec){0};
            for (int64_t t = 0; t < tokens; t++) now = larger(now, *(vec *)(scores + t * padded + m));
            vec shift = choose(now == splat(none), (vec){0}, now), lower = exponential(before - shift);
            for (int64_t t = 0; t < tokens; t++) {
                vec weight = exponential(*(vec *)(scores + t * padded + m) - shift);
                *(vec *)(scores + t * padded + m) = weight;
                sum += weight;
            }
            *(vec *)(largest + m) = now;
            *(vec *)(scale + m) = lower;
            *(vec *)(total + m) = *(vec *)(total + m) * lower + sum;
        }
        value_tile(scores, padded, &values, at, tokens, scale, out, columns, wide);
    }
    float *parts = a->partial + (head * a->pieces + which) * a->group * a->rows * (a->value_dim + 2);
    for (int64_t m = 0; m < columns; m++) {
        float *part = parts + (m / num_rows * a->rows + from + m % num_rows) * (a->value_dim + 2);
        part[0] = largest[m], part[1] = total[m];
        memcpy(part + 2, out + m * a->value_dim, sizeof(float) * a->value_dim);
    }
}

/* One row of one KV head's group, from the parts that its pieces gave */
static void join(const attention *a, int64_t head, int64_t m) {
    const int64_t width = a->value_dim + 2, step = a->group * a->rows * width;
    const float *parts = a->partial + head * a->pieces * step + m * width;
    const int64_t query_head = head * a->group + m / a->rows;
    const int64_t row = query_head * a->rows + m % a->rows;
    float *out = a->out + row * a->value_dim;
    float top = a->sinks ? a->sinks[query_head] : -INFINITY, sum = 0;
    for (int64_t p = 0; p < a->pieces; p++)
        if (parts[p * step] > top) top = parts[p * step];
    if (a->sinks) sum = expf(a->sinks[query_head] - top);
    for (int64_t p = 0; p < a->pieces; p++) sum += expf(parts[p * step] - top) * parts[p * step + 1];
    for (int64_t d = 0; d < a->value_dim; d++) out[d] = 0;
    for (int64_t p = 0; p < a->pieces; p++) {
        const float factor = expf(parts[p * step] - top) / sum;
        for (int64_t d = 0; d < a->value_dim; d++) out[d] += factor * parts[p * step + 2 + d];
        if (a->mass) a->mass[row * a->segments + a->piece[3 * p]] += factor * parts[p * step + 1];
    }
}

/* Whether bfloat16 is multiplied as it is */
int pairs(void) { return PAIRED; }

int attend(const attention *a) {
    const int64_t at_once = rows_at_once(a), blocks = (a->rows + at_once - 1) / at_once, columns = a->group * at_once;
    const int64_t wide = a->narrow ? TILE * (a->head_dim > a->value_dim ? a->head_dim : a->value_dim) : 0;
    const int64_t floats = (a->head_dim + TILE + 3) * padded_to_lanes(columns) + columns * a->value_dim + wide;
    int failed = 0;
#pragma omp parallel num_threads(a->threads)
    {
        float *room = aligned_alloc(64, (sizeof(float) * floats + 63) / 64 * 64);
        if (!room) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic) collapse(3)
        for (int64_t head = 0; head < a->kv_heads; head++)
            for (int64_t piece = 0; piece < a->pieces; piece++)
                for (int64_t block = 0; block < blocks; block++)
                    if (room) task(a, head, piece, block, room);
        free(room);
#pragma omp for schedule(static) collapse(2)
        for (int64_t head = 0; head < a->kv_heads; head++)
            for (int64_t m = 0; m < a->group * a->rows; m++) join(a, head, m);
    }
    return failed;
}
