/* The register tile: R rows by N vectors of c stay in registers while k runs. Every convolution pass, dense layer and
   weight gradient is made of it. Included once per instruction set and type, after simd.h. */

/* The depth is cut into blocks of at most this many so that a column group of b (3 vectors of 64 B or 2 of 32 B: 48 or
   32 KiB at most) stays close while all rows pass over it, and so that no accumulator chain grows beyond it. */
#ifndef CN_DEPTH_BLOCK
#if defined(CN_SIMD_AVX512)
#define CN_DEPTH_BLOCK 256
#else
#define CN_DEPTH_BLOCK 512
#endif
#endif

/* Rows of a tile of 1, 2 and 3 vectors: as many accumulators as there are registers left beside N vectors of b and
   one broadcast, and at least 8 = 4 cycles of FMA latency x 2 FMAs a cycle. Above 8 the row pointers leave the
   registers. */
#ifndef CN_ROWS_1
#if defined(CN_SIMD_AVX512) || defined(CN_SIMD_NEON)
#define CN_ROWS_1 8
#define CN_ROWS_2 8
#if defined(CN_SIMD_NEON) /* gcc loads all rows of a column of a first: 8 x 3 + 3 + 8 registers would exceed 32 */
#define CN_ROWS_3 7
#else
#define CN_ROWS_3 8
#endif
#define CN_VECTORS 3 /* in a group: fewest loads a product */
#else
#define CN_ROWS_1 8
#define CN_ROWS_2 6
#define CN_ROWS_3 4
#define CN_VECTORS 2
#endif
#define CN_MOST_ROWS 8
#define CN_MOST_VECTORS 3
#endif

typedef struct {
    ptrdiff_t depth;
    const T *a;
    const int32_t *a_row, *a_k;
    const T *b;
    ptrdiff_t b_k, b_vector;
    T *c;
    const int32_t *c_row;
    const T *bias; /* where the tile's columns start, or NULL */
    int accumulate, two_chains;
    ptrdiff_t last; /* lanes of the last vector that exist, 1 to LANES */
} NAME(tile_args);

/* Column v of a tile's row of c, whole or, for the last column, its first `last` lanes. The callers test `last` outside
   their loops: with 9 products a row (3 x 3 taps, 1 channel) a branch for each vector costs as much as the products. */
static CN_INLINE V NAME(load_column)(const T *c, const int N, const int v, ptrdiff_t last) {
    return v < N - 1 || last == LANES ? v_load(c + v * LANES) : v_load_part(c + v * LANES, last);
}

static CN_INLINE void NAME(store_column)(T *c, V a, const int N, const int v, ptrdiff_t last) {
    if (v < N - 1 || last == LANES)
        v_store(c + v * LANES, a);
    else
        v_store_part(c + v * LANES, a, last);
}

/* One k: acc[i][:] += a[i, k] * b[k, :] */
static CN_INLINE void NAME(tile_step)(const int R, const int N, const int part, V (*acc)[CN_MOST_VECTORS],
                                      const T *const *row, ptrdiff_t a_k, const T *b, ptrdiff_t b_vector,
                                      ptrdiff_t last) {
    V column[CN_MOST_VECTORS];
    CN_UNROLL for (int v = 0; v < N; v++) column[v] =
        part && v == N - 1 ? v_load_part(b + v * b_vector, last) : v_load(b + v * b_vector);
    CN_UNROLL for (int i = 0; i < R; i++) {
        const V a = v_set1(row[i][a_k]);
        CN_UNROLL for (int v = 0; v < N; v++) acc[i][v] = v_fma(a, column[v], acc[i][v]);
    }
}

/* `part`: b itself ends after `last` lanes, so its last vector must not be loaded whole. */
static CN_INLINE void NAME(tile)(const int R, const int N, const int part, const NAME(tile_args) *t) {
    const T *row[CN_MOST_ROWS];
    V acc[CN_MOST_ROWS][CN_MOST_VECTORS];
    const ptrdiff_t last = t->last;
    const int32_t *c_row = t->c_row;
    T *c = t->c;
    CN_UNROLL for (int i = 0; i < R; i++) row[i] = t->a + t->a_row[i];
    if (t->accumulate) {
        CN_UNROLL for (int i = 0; i < R; i++) CN_UNROLL for (int v = 0; v < N; v++) acc[i][v] =
            NAME(load_column)(c + c_row[i], N, v, last);
    } else {
        CN_UNROLL for (int v = 0; v < N; v++) {
            const V start = t->bias ? NAME(load_column)(t->bias, N, v, last) : v_zero();
            CN_UNROLL for (int i = 0; i < R; i++) acc[i][v] = start;
        }
    }
    const T *b = t->b;
    const int32_t *a_k = t->a_k, *end = a_k + t->depth;
    const ptrdiff_t b_k = t->b_k, b_vector = t->b_vector;
    if (R * N < 8 && t->two_chains) {
        V second[CN_MOST_ROWS][CN_MOST_VECTORS];
        CN_UNROLL for (int i = 0; i < R; i++) CN_UNROLL for (int v = 0; v < N; v++) second[i][v] = v_zero();
        for (; a_k < end - 1; a_k += 2, b += 2 * b_k) {
            NAME(tile_step)(R, N, part, acc, row, a_k[0], b, b_vector, last);
            NAME(tile_step)(R, N, part, second, row, a_k[1], b + b_k, b_vector, last);
        }
        CN_UNROLL for (int i = 0; i < R; i++) CN_UNROLL for (int v = 0; v < N; v++) acc[i][v] =
            v_add(acc[i][v], second[i][v]);
    }
    for (; a_k < end; a_k++, b += b_k) NAME(tile_step)(R, N, part, acc, row, *a_k, b, b_vector, last);
    if (last == LANES) {
        CN_UNROLL for (int i = 0; i < R; i++) CN_UNROLL for (int v = 0; v < N; v++)
            v_store(c + c_row[i] + v * LANES, acc[i][v]);
    } else {
        CN_UNROLL for (int i = 0; i < R; i++) CN_UNROLL for (int v = 0; v < N; v++)
            NAME(store_column)(c + c_row[i], acc[i][v], N, v, last);
    }
}

#define TILE(R, N)                                                                                                     \
    static void NAME(tile_##R##_##N)(const NAME(tile_args) *t) { NAME(tile)(R, N, 0, t); }                             \
    static void NAME(tile_part_##R##_##N)(const NAME(tile_args) *t) { NAME(tile)(R, N, 1, t); }
#define ROW_OF_TILES(R, N) {NAME(tile_##R##_##N), NAME(tile_part_##R##_##N)}
#define TILES_4(M, N) M(1, N) M(2, N) M(3, N) M(4, N)
/* clang-format off */
TILES_4(TILE, 1) TILE(5, 1) TILE(6, 1) TILE(7, 1) TILE(8, 1)
TILES_4(TILE, 2) TILE(5, 2) TILE(6, 2)
TILES_4(TILE, 3)
#if CN_ROWS_2 == 8
TILE(7, 2) TILE(8, 2)
#endif
#if CN_ROWS_3 >= 7
TILE(5, 3) TILE(6, 3) TILE(7, 3)
#endif
#if CN_ROWS_3 == 8
TILE(8, 3)
#endif

typedef void (*NAME(tile_function))(const NAME(tile_args) *);
static const NAME(tile_function) NAME(tiles)[CN_MOST_VECTORS][CN_MOST_ROWS][2] = {
    {ROW_OF_TILES(1, 1), ROW_OF_TILES(2, 1), ROW_OF_TILES(3, 1), ROW_OF_TILES(4, 1), ROW_OF_TILES(5, 1),
     ROW_OF_TILES(6, 1), ROW_OF_TILES(7, 1), ROW_OF_TILES(8, 1)},
    {ROW_OF_TILES(1, 2), ROW_OF_TILES(2, 2), ROW_OF_TILES(3, 2), ROW_OF_TILES(4, 2), ROW_OF_TILES(5, 2),
     ROW_OF_TILES(6, 2),
#if CN_ROWS_2 == 8
     ROW_OF_TILES(7, 2), ROW_OF_TILES(8, 2)
#endif
    },
    {ROW_OF_TILES(1, 3), ROW_OF_TILES(2, 3), ROW_OF_TILES(3, 3), ROW_OF_TILES(4, 3),
#if CN_ROWS_3 >= 7
     ROW_OF_TILES(5, 3), ROW_OF_TILES(6, 3), ROW_OF_TILES(7, 3),
#endif
#if CN_ROWS_3 == 8
     ROW_OF_TILES(8, 3)
#endif
    },
};
/* clang-format on */

/* All rows of a group of N vectors, in tiles of nearly equal height. */
static void NAME(product_rows)(NAME(tile_args) t, ptrdiff_t rows, int N, int part) {
    static const int most_rows[CN_MOST_VECTORS] = {CN_ROWS_1, CN_ROWS_2, CN_ROWS_3};
    ptrdiff_t tiles = (rows + most_rows[N - 1] - 1) / most_rows[N - 1];
    for (; tiles > 0; tiles--) {
        ptrdiff_t height = (rows + tiles - 1) / tiles;
        NAME(tiles)[N - 1][height - 1][part](&t);
        t.a_row += height;
        t.c_row += height;
        rows -= height;
    }
}

static void NAME(product)(const cn_product *p) {
    const ptrdiff_t vectors = (p->cols + LANES - 1) / LANES;
    const ptrdiff_t groups = (vectors + CN_VECTORS - 1) / CN_VECTORS;
    const ptrdiff_t blocks = p->depth > 0 ? (p->depth + CN_DEPTH_BLOCK - 1) / CN_DEPTH_BLOCK : 1;
    const int in_place = p->b_vector == LANES;
    for (ptrdiff_t block = 0; block < blocks; block++) {
        const ptrdiff_t k = block * p->depth / blocks, k_end = (block + 1) * p->depth / blocks;
        for (ptrdiff_t group = 0; group < groups; group++) {
            const ptrdiff_t v = group * vectors / groups, v_end = (group + 1) * vectors / groups;
            const ptrdiff_t last = (v_end < vectors ? v_end * LANES : p->cols) - (v_end - 1) * LANES;
            NAME(tile_args) t = {
                .depth = k_end - k,
                .a = p->a,
                .a_row = p->a_row,
                .a_k = p->a_k + k,
                .b = (const T *)p->b + v * p->b_vector + k * p->b_k,
                .b_k = p->b_k,
                .b_vector = p->b_vector,
                .c = (T *)p->c + v * LANES,
                .c_row = p->c_row,
                .bias = p->bias ? (const T *)p->bias + v * LANES : NULL,
                .accumulate = p->accumulate || block > 0,
                .two_chains = p->two_chains,
                .last = last,
            };
            NAME(product_rows)(t, p->rows, (int)(v_end - v), in_place && last < LANES);
        }
    }
}
#undef TILE
#undef ROW_OF_TILES
#undef TILES_4
