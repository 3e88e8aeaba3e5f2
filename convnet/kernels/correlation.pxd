"""What all passes of a convolution share: geometry, strips, tables, and the gradient behind fused layers.

Inline, for conv.pyx; see there for the idea.
"""

from libc.math cimport NAN
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from convnet.kernels.runtime cimport cn_kernels, kernels_for


cdef struct Convolution:
    # A layer's settings, for images of one size. A transposed one has x and y of its own, of c and o channels, weights
    # (c, o / groups, kh, kw), and the stride, padding and dilation of the convolution whose data gradient it is.
    Py_ssize_t item, c, h, w, o, oh, ow, kh, kw, stride_y, stride_x, top, left, dilation_y, dilation_x, groups
    bint relu, transposed
    double ceiling                         # of the ReLU; NaN for none
    Py_ssize_t pool_y, pool_x              # windows of a fused max pool, on maps of oh x ow; 1 without


cdef struct Axis:
    # One axis of a correlation, in pixels: output i reads source pixels i * step + t * spread - before for taps t.
    Py_ssize_t size     # of the source
    Py_ssize_t out      # number of outputs
    Py_ssize_t step
    Py_ssize_t before   # padding in front; negative crops
    Py_ssize_t taps
    Py_ssize_t reach    # offset from the first tap to the last
    Py_ssize_t spread   # offset from one tap to the next


cdef struct Upstream:
    # The gradient with respect to a convolution's output, given behind what was fused to the convolution:
    const char *dy
    const char *y                          # what a fused ReLU gave out, or NULL
    const char *codes                      # those of a fused ReLU and max pool, or NULL
    Py_ssize_t pool_y, pool_x              # its windows, which lie side by side; 1 without
    Py_ssize_t rows, pixels, channels      # of dy as given


cdef struct Correlation:
    const cn_kernels *kernels
    Py_ssize_t item, n, c, groups, cols    # item: bytes of an element; c: source channels; cols: outputs of a group
    Axis y, x
    Py_ssize_t strip_rows, strips          # output rows of a strip; strips of an image
    # Images that a task may take at once where a strip is a whole one, else 1. Who prepares says how many are wanted:
    # the tables take time to fill (for one image of one channel 6 us if they were for all that fit).
    Py_ssize_t most_images
    Py_ssize_t images                      # that it does take
    Py_ssize_t image_step                  # source elements from one of them to the next
    bint padded                            # whether strips are copied
    Py_ssize_t row_pixels                  # source pixels from one row to the next, in a strip
    Py_ssize_t strip_bytes                 # of a copied strip; 0 when read in place
    Py_ssize_t result_bytes                # of a strip's other side, where it is kept in scratch memory; else 0
    Py_ssize_t depth                       # taps times channels of a group
    int32_t *row_offset
    int32_t *k_offset
    const char *source
    const Upstream *upstream               # in place of `source` in the data gradient of a fused convolution
    char *scratch                          # for each worker: a strip, then a result


cdef struct Strip:
    # What is computed at once: some rows of an image, or all rows of some images.
    Py_ssize_t image, images, first_row, rows


# Bytes of one strip, or of a few small images: with its weights and outputs it must share L2 (512 KiB on the smallest
# CPU we tune for). Large weights, which stay outside of it, are read once a strip, so that their strips are larger:
# together with packing by blocks, 8 x 256 x 14 x 14 to 512, 3 x 3, stride 2, takes 2.9 ms instead of 3.8 (two threads).
cdef enum:
    STRIP_BYTES = 96 * 1024
    LARGE_STRIP_BYTES = 512 * 1024
    LARGE_WEIGHT_BYTES = 512 * 1024


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t most(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t gcd(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef inline const cn_kernels *kernels_for_columns(int item, Py_ssize_t cols) noexcept nogil:
    """Half as wide vectors where they hold all columns: 8 outputs would leave half of each AVX-512 vector idle."""
    cdef const cn_kernels *narrow = kernels_for(item, True)
    return narrow if cols <= narrow.lanes else kernels_for(item, False)


# ---- axes ------------------------------------------------------------------------------------------------------------


cdef inline void forward_axis(Axis *a, Py_ssize_t size, Py_ssize_t out, Py_ssize_t taps, Py_ssize_t stride,
                              Py_ssize_t before, Py_ssize_t dilation) noexcept nogil:
    a.size, a.out, a.step, a.before = size, out, stride, before
    a.taps, a.reach, a.spread = taps, (taps - 1) * dilation, dilation


cdef inline Py_ssize_t gradient_axis(Axis *a, Py_ssize_t phase, Py_ssize_t size, Py_ssize_t out, Py_ssize_t taps,
                                     Py_ssize_t stride, Py_ssize_t before, Py_ssize_t dilation) noexcept nogil:
    """The axis of the data gradient at input pixels phase, phase + stride, ...; return its last tap of the kernel.

    Input pixel phase + i * stride met tap t at output i + (phase + before - t * dilation) / stride. Only taps for which
    that division is exact contribute: every (stride / gcd)-th. Their outputs, in rising order (taps falling), are
    dilation / gcd apart, so that the gradient is again a correlation, with step 1. No tap: a.taps = 0.
    """
    cdef Py_ssize_t common = gcd(stride, dilation), every = stride // common, t = 0
    a.size, a.out, a.step, a.spread = out, ceil_div(size - phase, stride), 1, dilation // common
    a.taps = a.reach = a.before = 0
    while t < taps and (phase + before - t * dilation) % stride:
        t += 1
    if t < taps:
        a.taps = (taps - 1 - t) // every + 1
        t += (a.taps - 1) * every
        a.reach = (a.taps - 1) * a.spread
        a.before = -((phase + before - t * dilation) // stride)
    return t


cdef inline Py_ssize_t fold_of(const cn_kernels *kernels, Py_ssize_t pixel, const Axis *x) noexcept nogil:
    """How many neighbouring output pixels of `pixel` elements to compute as columns of one.

    A window over two neighbours has one step more taps, and each neighbour's weights are zero where only the other one
    looks. Few outputs that would fill half a vector then fill it all: 1 to 8 channels, 3 x 3, with AVX-512: 12 products
    a pair of pixels instead of 18 of half the width.
    """
    cdef Py_ssize_t fold = 4
    while fold > 1 and (fold * pixel > kernels.lanes or x.out % fold or x.spread > 1
                        or x.taps + (fold - 1) * x.step >= fold * x.taps):
        fold //= 2
    return fold


cdef inline void fold_axis(Axis *x, Py_ssize_t fold) noexcept nogil:
    x.out, x.taps, x.reach, x.step = x.out // fold, x.taps + (fold - 1) * x.step, x.reach + (fold - 1) * x.step, \
        x.step * fold


cdef inline bint reads_outside(const Axis *a) noexcept nogil:
    return a.before != 0 or (a.out - 1) * a.step + a.reach >= a.size


# ---- strips ----------------------------------------------------------------------------------------------------------


cdef inline void plan_strips(Correlation *p, Py_ssize_t unit, Py_ssize_t result_pixel) noexcept nogil:
    """Choose the strip height, a multiple of `unit`, and whether strips are copied; from the shape alone.

    `result_pixel`: elements that an output pixel takes in scratch memory; 0 for none.
    """
    cdef Py_ssize_t limit = STRIP_BYTES, row_bytes, most_images, width = (p.x.out - 1) * p.x.step + p.x.reach + 1
    p.padded = reads_outside(&p.y) or reads_outside(&p.x) or p.upstream != NULL
    p.row_pixels = width if p.padded else p.x.size
    row_bytes = (p.row_pixels * p.c * p.y.step + p.x.out * result_pixel) * p.item
    if p.depth * p.cols * p.groups * p.item > LARGE_WEIGHT_BYTES:
        limit = LARGE_STRIP_BYTES
    p.strip_rows = unit * most(1, least(p.y.out // unit, limit // most(row_bytes * unit, 1)))
    p.strips = ceil_div(p.y.out, p.strip_rows)
    p.strip_rows = unit * ceil_div(p.y.out // unit, p.strips)  # even heights
    p.image_step = (p.strip_rows - 1) * p.y.step + p.y.reach + 1 if p.padded else p.y.size
    p.image_step *= p.row_pixels * p.c
    p.images = 1
    most_images = limit // most(1, most(p.image_step * p.item, row_bytes * p.strip_rows))
    p.most_images = most(1, least(p.most_images, most_images)) if p.strips == 1 else 1
    p.strip_bytes = ceil_div(p.most_images * p.image_step * p.item, 64) * 64 if p.padded else 0
    p.result_bytes = ceil_div(p.most_images * p.strip_rows * p.x.out * result_pixel * p.item, 64) * 64


cdef inline Strip strip_at(const Correlation *p, Py_ssize_t index, Py_ssize_t end) noexcept nogil:
    """The strip `index`, counted over all images, or as many whole images from it on as are taken at once."""
    cdef Strip strip
    strip.image, strip.images = index // p.strips, least(p.images, end - index)
    strip.first_row = index % p.strips * p.strip_rows
    strip.rows = least(p.strip_rows, p.y.out - strip.first_row)
    return strip


cdef inline void fill_tables(Correlation *p) noexcept nogil:
    cdef Py_ssize_t image, i, j, q, r = 0
    for image in range(p.most_images):
        for i in range(p.strip_rows):
            for j in range(p.x.out):
                p.row_offset[r] = <int32_t> (image * p.image_step
                                             + (i * p.y.step * p.row_pixels + j * p.x.step) * p.c)
                r += 1
    r = 0
    for i in range(p.y.taps):
        for j in range(p.x.taps):
            for q in range(p.c // p.groups):
                p.k_offset[r] = <int32_t> ((i * p.y.spread * p.row_pixels + j * p.x.spread) * p.c + q)
                r += 1


cdef inline char *worker_strip(const Correlation *p, int worker) noexcept nogil:
    return p.scratch + worker * (p.strip_bytes + p.result_bytes)


cdef inline char *worker_result(const Correlation *p, int worker) noexcept nogil:
    return worker_strip(p, worker) + p.strip_bytes


cdef inline void upstream_row(const Upstream *u, const cn_kernels *kernels, Py_ssize_t item, Py_ssize_t image,
                              Py_ssize_t row, Py_ssize_t first, Py_ssize_t pixels, char *to,
                              Py_ssize_t step) noexcept nogil:
    """Pixels [first, first + pixels) of a row of the convolution's output gradient, `step` elements apart."""
    cdef Py_ssize_t start = (image * u.rows + row // u.pool_y) * u.pixels * u.channels
    if u.codes != NULL:
        kernels.unpool(to, u.dy + start * item, u.codes + start, first, pixels, u.channels, step, u.pool_x,
                       row % u.pool_y * u.pool_x)
        return
    start += first * u.channels
    if step == u.channels:
        kernels.relu_gradient(to, u.dy + start * item, u.y + start * item, pixels * u.channels, NAN)
        return
    for first in range(pixels):
        kernels.relu_gradient(to + first * step * item, u.dy + (start + first * u.channels) * item,
                              u.y + (start + first * u.channels) * item, u.channels, NAN)


cdef inline void copy_row(const Correlation *p, char *to, Py_ssize_t image, Py_ssize_t y) noexcept nogil:
    """Source row y between zeros; zeros alone where y lies outside the map."""
    cdef Py_ssize_t pixel = p.c * p.item
    cdef Py_ssize_t left = least(most(p.x.before, 0), p.row_pixels)
    cdef Py_ssize_t first = most(-p.x.before, 0)
    cdef Py_ssize_t inside = most(least(p.x.size - first, p.row_pixels - left), 0)
    if not 0 <= y < p.y.size:
        memset(to, 0, p.row_pixels * pixel)
        return
    memset(to, 0, left * pixel)
    if p.upstream == NULL:
        memcpy(to + left * pixel, p.source + ((image * p.y.size + y) * p.x.size + first) * pixel, inside * pixel)
    else:
        upstream_row(p.upstream, p.kernels, p.item, image, y, first, inside, to + left * pixel, p.c)
    memset(to + (left + inside) * pixel, 0, (p.row_pixels - left - inside) * pixel)


cdef inline const char *strip_source(const Correlation *p, const Strip *strip, int worker) noexcept nogil:
    """Where the strip's tables start to count: in the map itself, or in a padded copy of the strip."""
    cdef Py_ssize_t row_bytes = p.row_pixels * p.c * p.item
    cdef Py_ssize_t i, image, y0 = strip.first_row * p.y.step - p.y.before
    cdef char *to = worker_strip(p, worker)
    if not p.padded:
        return p.source + (strip.image * p.y.size + y0) * row_bytes
    for image in range(strip.images):
        for i in range((strip.rows - 1) * p.y.step + p.y.reach + 1):
            copy_row(p, to + image * p.image_step * p.item + i * row_bytes, strip.image + image, y0 + i)
    return to
