# Deformed images, as in ``deformation.augment``: fixed point, VL pixels at a time.

cdef enum:
    TASK_IMAGES = 16

cdef struct Deformation:
    # The fields of ``layout.Deformation``.
    int64_t side
    int64_t controls
    int64_t line
    int64_t rotation
    int64_t shear
    int64_t scale
    int64_t shift
    int64_t thickness
    int64_t elastic
    int64_t elastic_bits

cdef struct Images:
    # One call, and the next of its tasks.
    const uint8_t *images
    const int64_t *order
    uint8_t *out
    int64_t n
    int64_t seed
    int64_t epoch
    const int32_t *firsts
    const int32_t *weights
    int32_t *scratch  # of all threads
    int64_t scratch_size  # int32 of one thread
    const Deformation *plan
    int64_t next_task

cdef struct Places:
    # Where the int32 of a thread lie, and the distances of rows.
    int32_t *controls  # the displacements of the control points, first all along x
    int32_t *bent  # control rows of displacements, for every column
    int32_t *pixels  # the image with zeros around it: a row and column before, two after
    int32_t *extremes  # of three pixels in a row of it
    int32_t *words  # four neighbouring pixels each
    int64_t ld  # of pixels and extremes
    int64_t ldw  # of words

cdef struct Affine:
    # The position in the image of the output pixel (0, 0), and the steps to the next ones.
    int64_t x
    int64_t y
    int64_t x_across
    int64_t y_across
    int64_t x_down
    int64_t y_down


cdef inline int64_t whole(int64_t n) noexcept nogil:
    """Return n rounded up to whole vectors of the largest size."""
    return divide_up(n, 16) * 16


cdef int64_t places_in(int32_t *base, const Deformation *plan, Places *places) noexcept nogil:
    """Set the places of a thread from ``base`` on; return their int32."""
    cdef int64_t n = plan.controls
    places.ldw = whole(plan.side + 2)
    places.ld = places.ldw + 16
    places.controls = base
    places.bent = base + whole(2 * n * n)
    places.pixels = places.bent + 2 * n * plan.line
    places.extremes = places.pixels + (plan.side + 3) * places.ld
    places.words = places.extremes + (plan.side + 2) * places.ld
    return places.words + (plan.side + 2) * places.ldw - base


cdef inline int64_t drawn(uint32_t key, int64_t unit) noexcept nogil:
    """Return a random number of a sample, in units of 2**-31."""
    return <int32_t> mix(key ^ (<uint32_t> unit * <uint32_t> GOLDEN))


cdef void draw_controls(uint32_t key, const Deformation *plan, const Places *places) noexcept nogil:
    """Draw the displacements of the control points."""
    cdef ivec bits
    cdef int64_t part, v
    for part in range(divide_up(2 * plan.controls * plan.controls, VL)):
        v = part * VL
        bits = as_signed(random_lanes(key, FIRST_CONTROL + v))
        store_ints(places.controls + v, ((bits >> 16) * splat_ints(plan.elastic)) >> 15)


cdef void bend_rows(
    const Deformation *plan, const Places *places, const int32_t *weights
) noexcept nogil:
    """Interpolate the displacements of each row of control points, along x and y."""
    cdef int64_t n = plan.controls, row, column, part, v
    cdef const int32_t *controls = places.controls
    cdef ivec total
    for row in range(2 * n):
        for part in range(divide_up(plan.line, VL)):
            v = part * VL
            total = splat_ints(0)
            for column in range(n):
                total = total + splat_ints(controls[row * n + column]) * load_ints(
                    weights + column * plan.line + v
                )
            store_ints(places.bent + row * plan.line + v, total >> WEIGHT_BITS)


cdef inline int64_t turn(int64_t angle, int64_t *sine) noexcept nogil:
    """Return the cosine of an angle up to a right one, and set its sine, by their series."""
    cdef int64_t one = 1 << TURN_BITS, square = (angle * angle) >> TURN_BITS
    cdef int64_t cosine = one, quotient = one, k
    for k in range(9, 0, -2):
        cosine = one - ((square * cosine) >> TURN_BITS) // (k * (k + 1))
    for k in range(8, 0, -2):
        quotient = one - ((square * quotient) >> TURN_BITS) // (k * (k + 1))
    sine[0] = (angle * quotient) >> TURN_BITS
    return cosine


cdef Affine draw_affine(uint32_t key, const Deformation *plan) noexcept nogil:
    """Draw the rotation, shear, scale and shift of a sample."""
    cdef Affine to
    cdef int64_t sine, cosine = turn((plan.rotation * drawn(key, ROTATED)) >> 31, &sine)
    cdef int64_t one = 1 << POSITION_BITS, last = plan.side - 1
    cdef int64_t width = one + ((plan.scale * drawn(key, WIDENED)) >> 31)
    cdef int64_t height = one + ((plan.scale * drawn(key, HEIGHTENED)) >> 31)
    cdef int64_t slant = (((plan.shear * drawn(key, SHEARED)) >> 31) * height) >> POSITION_BITS
    to.x_across, to.y_across = (cosine * width) >> TURN_BITS, (sine * width) >> TURN_BITS
    to.x_down = (cosine * slant - sine * height) >> TURN_BITS
    to.y_down = (sine * slant + cosine * height) >> TURN_BITS
    to.x = to.y = last << (POSITION_BITS - 1)
    to.x += ((plan.shift * drawn(key, SHIFTED_X)) >> 31) - ((last * (to.x_across + to.x_down)) >> 1)
    to.y += ((plan.shift * drawn(key, SHIFTED_Y)) >> 31) - ((last * (to.y_across + to.y_down)) >> 1)
    return to


cdef inline int64_t whole_part(int64_t part, int64_t side) noexcept nogil:
    """Return where a part of a row begins: the last one overlaps, so that it is a whole vector."""
    return max(min(part * VL, side - VL), <int64_t> 0)


cdef void read_image(const uint8_t *image, int64_t side, const Places *places) noexcept nogil:
    """Copy an image between the zeros around it."""
    cdef int32_t *pixels = places.pixels + places.ld + 1
    cdef int64_t row, part, v, n = min(side, <int64_t> VL)
    for row in range(side):
        for part in range(divide_up(side, VL)):
            v = whole_part(part, side)
            store_ints(pixels + row * places.ld + v, load_bytes_first(image + row * side + v, n))


cdef inline ivec extreme(ivec a, ivec b, ivec c, bint thickens) noexcept nogil:
    """Return the largest of three, or the smallest."""
    if thickens:
        a = choose(a < b, b, a)
        return choose(a < c, c, a)
    a = choose(a < b, a, b)
    return choose(a < c, a, c)


cdef void thicken(int64_t thickness, int64_t side, const Places *places) noexcept nogil:
    """Move each pixel towards the largest of its 3 x 3 neighbours, or the smallest."""
    cdef bint thickens = thickness > 0
    cdef ivec factor = splat_ints(thickness if thickens else -thickness), found, pixel
    cdef int64_t row, part, v, ld = places.ld
    cdef int32_t *p
    for row in range(1, side + 1):
        for part in range(divide_up(side, VL)):
            v = part * VL
            p = places.pixels + row * ld + 1 + v
            found = extreme(load_ints(p - 1), load_ints(p), load_ints(p + 1), thickens)
            store_ints(places.extremes + row * ld + 1 + v, found)
    for row in range(1, side + 1):
        for part in range(divide_up(side, VL)):
            v = part * VL
            p = places.extremes + row * ld + 1 + v
            found = extreme(load_ints(p - ld), load_ints(p), load_ints(p + ld), thickens)
            p = places.pixels + row * ld + 1 + v
            pixel = load_ints(p)
            pixel = pixel + (((found - pixel) * factor + splat_ints(128)) >> 8)
            store_ints(p, pixel & ((splat_ints(v - side) + lanes()) >> 31))


cdef void join_pixels(int64_t side, const Places *places) noexcept nogil:
    """Put each pixel, the next, and those below them into one word, also those that are zero."""
    cdef int64_t row, part, v, ld = places.ld
    cdef const int32_t *p
    cdef ivec upper, lower
    for row in range(side + 2):
        for part in range(divide_up(places.ldw, VL)):
            v = part * VL
            p = places.pixels + row * ld + v
            upper = load_ints(p) | (load_ints(p + 1) << 8)
            lower = load_ints(p + ld) | (load_ints(p + ld + 1) << 8)
            store_ints(places.words + row * places.ldw + v, upper | (lower << 16))


cdef inline ivec bent_by(
    const int32_t *bent, int64_t line, const ivec *row_weights
) noexcept nogil:
    """Return VL displacements, interpolated from four rows."""
    return (
        row_weights[0] * load_ints(bent) + row_weights[1] * load_ints(bent + line)
        + row_weights[2] * load_ints(bent + 2 * line) + row_weights[3] * load_ints(bent + 3 * line)
    )


cdef inline ivec interpolate(ivec four, ivec x, ivec y) noexcept nogil:
    """Return the pixel among four at a place in units of 2**-8."""
    cdef ivec upper = low_bytes(four), lower = low_bytes(four >> 16)
    upper = (upper << 8) + (low_bytes(four >> 8) - upper) * x
    lower = (lower << 8) + (low_bytes(four >> 24) - lower) * x
    return ((upper << 8) + (lower - upper) * y + splat_ints(1 << 15)) >> 16


cdef void sample_row(
    int64_t row, const Images *asked, const Places *places, const Affine *affine, uint8_t *out
) noexcept nogil:
    """Write a row of the deformed image."""
    cdef const Deformation *plan = asked.plan
    cdef int64_t line = plan.line, first = asked.firsts[row], part, v, i
    cdef const int32_t *bent = places.bent + first * line
    cdef ivec outside = splat_ints(plan.side + 1), one = splat_ints(1)
    cdef ivec row_weights[4]
    cdef ivec steps, x, y, place
    for i in range(4):
        row_weights[i] = splat_ints(asked.weights[(first + i) * line + row])
    for part in range(divide_up(plan.side, VL)):
        v = whole_part(part, plan.side)
        steps = splat_ints(v) + lanes()
        x = bent_by(bent + v, line, row_weights) >> <int> plan.elastic_bits
        y = bent_by(bent + plan.controls * line + v, line, row_weights) >> <int> plan.elastic_bits
        x = x + splat_ints(affine.x + row * affine.x_down) + splat_ints(affine.x_across) * steps
        y = y + splat_ints(affine.y + row * affine.y_down) + splat_ints(affine.y_across) * steps
        place = least_unsigned((y >> POSITION_BITS) + one, outside) * splat_ints(places.ldw)
        place = place + least_unsigned((x >> POSITION_BITS) + one, outside)
        x = low_bytes(x >> (POSITION_BITS - 8))
        y = low_bytes(y >> (POSITION_BITS - 8))
        x = interpolate(gather_ints(places.words, place), x, y)
        store_bytes_first(out + v, x, min(plan.side, <int64_t> VL))


cdef void augment_image(const Images *asked, const Places *places, int64_t number) noexcept nogil:
    """Write one deformed image."""
    cdef const Deformation *plan = asked.plan
    cdef int64_t sample = asked.order[number], side = plan.side, row, thickness
    cdef uint32_t key = row_key(asked.seed, asked.epoch, sample, AUGMENTATION_LAYER)
    cdef Affine affine = draw_affine(key, plan)
    read_image(asked.images + sample * side * side, side, places)
    thickness = (plan.thickness * drawn(key, THICKENED)) >> 31
    if thickness:
        thicken(thickness, side, places)
    join_pixels(side, places)
    draw_controls(key, plan, places)
    bend_rows(plan, places, asked.weights)
    for row in range(side):
        sample_row(row, asked, places, &affine, asked.out + (sample * side + row) * side)


cdef void take_images(void *arguments, int64_t thread, int64_t threads) noexcept nogil:
    """Take images from the shared counter, a few at a time, until none are left."""
    cdef Images *asked = <Images *> arguments
    cdef int32_t *base = asked.scratch + thread * asked.scratch_size
    cdef int64_t first, number
    cdef Places places
    memset(base, 0, places_in(base, asked.plan, &places) * sizeof(int32_t))
    while True:
        first = atomic_add(&asked.next_task, 1) * TASK_IMAGES
        if first >= asked.n:
            return
        for number in range(first, min(first + TASK_IMAGES, asked.n)):
            augment_image(asked, &places, number)


def augment_images(
    arrays, plan, const int32_t[::1] firsts, const int32_t[:, ::1] weights, int64_t seed,
    int64_t epoch, int64_t desk, int64_t threads,
):
    """Deform images together with the threads at the desk: see ``threads.run_tasks``.

    ``arrays`` are the images, their order and the output; the plan of the options comes next.
    """
    cdef const uint8_t[:, ::1] images = arrays[0]
    cdef const int64_t[::1] order = arrays[1]
    cdef uint8_t[:, ::1] out = arrays[2]
    cdef Deformation numbers = plan._asdict()
    cdef Places places
    cdef Images asked
    if not order.shape[0]:
        return
    asked.images, asked.order, asked.out = &images[0, 0], &order[0], &out[0, 0]
    asked.n, asked.seed, asked.epoch, asked.next_task = order.shape[0], seed, epoch, 0
    asked.firsts, asked.weights, asked.plan = &firsts[0], &weights[0, 0], &numbers
    asked.scratch_size = whole(places_in(NULL, &numbers, &places)) + LINE_FLOATS
    asked.scratch = <int32_t *> allocate(threads * asked.scratch_size * sizeof(int32_t))
    with nogil:
        lead(desk, take_images, &asked, threads)
    release(asked.scratch)
