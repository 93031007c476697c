"""C code that is the same for every network, in the order of the file, with $placeholders."""

INCLUDES = """
#include <math.h>
#include <stdint.h>

#define INPUTS $inputs
#define OUTPUTS $outputs
"""

FLASH = """
/* On AVR the tables stay in flash, which has its own instruction; elsewhere they are constants. */
#ifdef __AVR__
#include <avr/pgmspace.h>
#define FLASH PROGMEM
#define FLASH_BYTE(p) pgm_read_byte(p)
#define FLASH_LONG(p) pgm_read_dword(p)
#define FLASH_FLOAT(p) pgm_read_float(p)
#else
#define FLASH
#define FLASH_BYTE(p) (*(p))
#define FLASH_LONG(p) (*(p))
#define FLASH_FLOAT(p) (*(p))
#endif
"""

TOO_LARGE_FOR_AVR = """
#ifdef __AVR__
#error "AVR reads tables of at most 32767 bytes, 65000 in all: use int8 weights or fewer units"
#endif
"""

FLOAT_DENSE = """
/* z = x @ w + b for x[n], w[n][m], b[m], z[m]; skips zeros, which most pixels are. */
static void dense(const float *x, int n, const float *w, const float *b, float *z, int m)
{
    for (int j = 0; j < m; j++)
        z[j] = FLASH_FLOAT(&b[j]);
    for (int i = 0; i < n; i++, w += m) {
        if (x[i] == 0.0f)
            continue;
        for (int j = 0; j < m; j++)
            z[j] += x[i] * FLASH_FLOAT(&w[j]);
    }
}
"""

INT8_DENSE = """
/* z = (o + x @ w) * s * step + b for x[n], w[m][n], o[m], s[m], b[m], z[m]; integer sums.
 * If the byte 128 represents 0, o = -128 * sum of w corrects for it; otherwise o is 0. */
static void dense(const uint8_t *x, int n, float step, const int8_t *w, const int32_t *o,
                  const float *s, const float *b, float *z, int m)
{
    for (int j = 0; j < m; j++, w += n) {
        int32_t sum = o ? (int32_t)FLASH_LONG(&o[j]) : 0;
        for (int i = 0; i < n; i++)
            sum += (int8_t)FLASH_BYTE(&w[i]) * x[i];
        z[j] = (float)sum * (FLASH_FLOAT(&s[j]) * step) + FLASH_FLOAT(&b[j]);
    }
}
"""

ACTIVATIONS = {
    "logistic": """
static void apply_logistic(float *z, int n)
{
    for (int i = 0; i < n; i++)
        z[i] = 1.0f / (1.0f + expf(-z[i]));
}
""",
    "relu": """
static void apply_relu(float *z, int n)
{
    for (int i = 0; i < n; i++)
        z[i] = z[i] > 0.0f ? z[i] : 0.0f;
}
""",
    "tanh": """
static void apply_tanh(float *z, int n)
{
    for (int i = 0; i < n; i++)
        z[i] = tanhf(z[i]);
}
""",
}

INT8_ROUND = """
/* x = a / step + zero, rounded; the step makes the largest |a| equal to `levels` steps. */
static float quantize(const float *a, int n, int zero, int levels, uint8_t *x)
{
    float top = 0.0f;
    for (int i = 0; i < n; i++)
        top = fabsf(a[i]) > top ? fabsf(a[i]) : top;
    float per_step = top > 1e-30f ? (float)levels / top : 0.0f;
    for (int i = 0; i < n; i++)
        x[i] = (uint8_t)(a[i] * per_step + ((float)zero + 0.5f));
    return top / (float)levels;
}
"""

# The public functions of each link function.
FUNCTIONS = {
    "softmax": """
int ${prefix}_predict($input)
{
    const float *z = logits($name);
    int best = 0;
    for (int j = 1; j < OUTPUTS; j++)
        if (z[j] > z[best])
            best = j;
    return best;
}

void ${prefix}_predict_proba($input, float probabilities[OUTPUTS])
{
    const float *z = logits($name);
    float top = z[0], sum = 0.0f;
    for (int j = 1; j < OUTPUTS; j++)
        top = z[j] > top ? z[j] : top;
    for (int j = 0; j < OUTPUTS; j++) {
        probabilities[j] = expf(z[j] - top);
        sum += probabilities[j];
    }
    for (int j = 0; j < OUTPUTS; j++)
        probabilities[j] /= sum;
}
""",
    "logistic": """
void ${prefix}_predict($input, uint8_t labels[OUTPUTS])
{
    const float *z = logits($name);
    for (int j = 0; j < OUTPUTS; j++)
        labels[j] = (uint8_t)(z[j] > 0.0f);
}

void ${prefix}_predict_proba($input, float probabilities[OUTPUTS])
{
    const float *z = logits($name);
    for (int j = 0; j < OUTPUTS; j++)
        probabilities[j] = 1.0f / (1.0f + expf(-z[j]));
}
""",
    "identity": """
void ${prefix}_predict($input, float values[OUTPUTS])
{
    const float *z = logits($name);
    for (int j = 0; j < OUTPUTS; j++)
        values[j] = z[j];
}
""",
    "exp": """
void ${prefix}_predict($input, float values[OUTPUTS])
{
    const float *z = logits($name);
    for (int j = 0; j < OUTPUTS; j++)
        values[j] = expf(z[j]);
}
""",
}

CLASS_NAME = """
void ${prefix}_class_name(int label, char name[$name_size])
{
    for (int i = 0; i < $name_size; i++)
        name[i] = (char)FLASH_BYTE(&names[label][i]);
}
"""

MAIN = """
#ifdef MNISTCORE_MAIN
#include <stdio.h>

int main(void)
{
    static $type input[INPUTS];
    static float outputs[OUTPUTS];
    size_t bytes;
    while ((bytes = fread(input, 1, sizeof input, stdin)) == sizeof input) {
$show
        for (int j = 0; j < OUTPUTS; j++)
            printf("%.9g ", (double)outputs[j]);
        printf("\\n");
    }
    if (bytes > 0)
        fprintf(stderr, "the last $what has %d of %d bytes\\n", (int)bytes, (int)sizeof input);
    return bytes > 0;
}
#endif
"""

# What the program does with an input before it prints the outputs.
SHOW = {
    "softmax": """
        printf("%d ", ${prefix}_predict(input));
        ${prefix}_predict_proba(input, outputs);
""",
    "logistic": """
        static uint8_t labels[OUTPUTS];
        ${prefix}_predict(input, labels);
        for (int j = 0; j < OUTPUTS; j++)
            printf("%d ", labels[j]);
        ${prefix}_predict_proba(input, outputs);
""",
    "identity": "        ${prefix}_predict(input, outputs);",
    "exp": "        ${prefix}_predict(input, outputs);",
}
