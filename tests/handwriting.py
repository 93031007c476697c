"""Ten digits as a hand draws them: strokes through points in percent of the drawing area."""

_DIGITS = (
    "52,18 36,24 28,44 30,66 42,82 58,80 70,62 70,40 62,22 50,17",
    "52,16 51,40 50,62 49,84",
    "30,34 38,20 54,16 66,26 64,42 50,58 34,74 28,82 46,80 72,80",
    "30,24 44,16 60,20 64,32 56,44 42,48 58,52 68,64 62,78 46,86 28,80",
    "42,16 34,36 28,56 50,57 74,56 / 62,34 61,60 60,86",
    "66,18 50,18 36,19 34,34 32,46 46,42 60,46 68,60 62,76 46,84 28,80",
    "60,16 44,28 33,48 30,68 40,82 56,82 66,70 60,56 46,54 33,64",
    "28,22 50,20 70,20 60,42 52,62 46,84",
    "64,24 50,16 36,24 40,38 54,48 66,62 62,80 46,84 34,76 36,60 52,48 62,38 64,26",
    "66,32 54,18 38,22 34,36 44,48 58,44 66,30 66,52 62,70 56,86",
)


def strokes_of(digit):
    """Return the strokes of a digit: lists of points (x, y) from 0 to 1."""
    strokes = (stroke.split() for stroke in _DIGITS[digit].split("/"))
    return [[tuple(int(part) / 100 for part in point.split(",")) for point in s] for s in strokes]
