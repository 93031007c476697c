# The constants of ``layout`` and ``threads`` that C must know at compile time. Each build also
# exports them to Python (``cpdef``), where a test compares every one with the original.

cpdef enum:  # from ``layout``
    # The columns of the layer table.
    KIND = 0
    FAN_IN = 1
    FAN_OUT = 2
    ACTIVATION = 3
    WEIGHT_OFFSET = 4
    BIAS_OFFSET = 5
    DECAY = 6
    DROPOUT = 7
    # A code in its KIND column.
    NORMALIZED = 1
    # The codes in its ACTIVATION column.
    IDENTITY = 0
    LOGISTIC = 1
    TANH = 2
    RELU = 3
    # The codes of ``options["optimizer"]``.
    SGD = 0
    ADAM = 1
    ADAMW = 2
    # The entries of ``metrics``.
    LOSS_SUM = 0
    WEIGHT_SUM = 1
    HIT_SUM = 2
    # Which zeros are skipped.
    SKIP_NOTHING = 0
    SKIP_HIDDEN = 1
    SKIP_ALL = 2
    # The random numbers that deform an image, and its numbers in fixed point.
    ROTATED = 0
    SHEARED = 1
    WIDENED = 2
    HEIGHTENED = 3
    SHIFTED_X = 4
    SHIFTED_Y = 5
    THICKENED = 6
    FIRST_CONTROL = 8
    AUGMENTATION_LAYER = 0xFFFFFFFF
    POSITION_BITS = 16
    TURN_BITS = 30
    WEIGHT_BITS = 14
    # Updates from one entry into the average of the parameters to the next.
    AVERAGE_EVERY = 8
    # A factor in the hash that makes random numbers.
    GOLDEN = 0x9E3779B9

cpdef enum:  # from ``threads``
    MAX_THREADS = 64
    PATIENCE = 2000
    LONG_WAIT = 1000000
    TOLERABLE = 8
    ALONE = 0
    # The entries of a gate.
    ARRIVALS = 0
    JOINED = 16
    LEFT = 32
    SIZE = 48
    CALLED = 49
    SHUT = 50
    TEAM = 51
    BEGAN = 52
    ALLOWANCE = 53
    WAITED = 64
    LAST_STEP = 80
    # The entries of a desk.
    NUMBER = 0
    FUNCTION = 1
    ARGUMENTS = 2
    COUNT = 3
    INSIDE = 16
    AT_WORK = 32
    PRESENT = 48
    DESK_LINE = 16
    CLOSED_BIT = 32  # CLOSED is 1 << 32
    LINGER = 20_000
