/* Slide each filter over the maps, unturned, and sum the products: z = correlate2d(x, w) + b. */
static void correlate2d(const float *x, const float *w, const float *b, Geometry g, float *z)
{
    const int channels = g.channels / g.groups, maps = g.maps / g.groups;
    for (int f = 0; f < g.maps; f++) {
        const float *group = x + f / maps * channels * g.height * g.width;
        const float *filter = w + f * channels * g.overlay_rows * g.overlay_columns;
        for (int p = 0; p < g.rows; p++) {
            const int row = p * g.stride_rows - g.top;
            const int first_i = first_tap(row, g.dilation_rows);
            const int end_i = end_tap(row, g.dilation_rows, g.overlay_rows, g.height);
            for (int q = 0; q < g.columns; q++) {
                const int column = q * g.stride_columns - g.left;
                const int first_j = first_tap(column, g.dilation_columns);
                const int end_j = end_tap(column, g.dilation_columns, g.overlay_columns, g.width);
                float sum = b[f];
                for (int c = 0; c < channels; c++)
                    for (int i = first_i; i < end_i; i++) {
                        const float *pixels = group + (c * g.height + row + i * g.dilation_rows) * g.width;
                        const float *weights = filter + (c * g.overlay_rows + i) * g.overlay_columns;
                        for (int j = first_j; j < end_j; j++)
                            sum += weights[j] * pixels[column + j * g.dilation_columns];
                    }
                *z++ = sum;
            }
        }
    }
}

/* Let every number of x paint its weighted filter where the filter stood: z = convolve2d(x, w, "full") + b.
   A pixel (r, c) of the result receives from tap (i, j) of place (p, q) if p * stride + i * dilation - top = r. */
static void convolve2d_full(const float *x, const float *w, const float *b, Geometry g, float *z)
{
    const int channels = g.channels / g.groups, maps = g.maps / g.groups;
    for (int m = 0; m < g.maps; m++) {
        const int first = m / maps * channels;
        for (int r = 0; r < g.rows; r++)
            for (int c = 0; c < g.columns; c++) {
                float sum = b[m];
                for (int i = 0; i < g.overlay_rows; i++) {
                    const int row = r + g.top - i * g.dilation_rows, p = row / g.stride_rows;
                    if (row < 0 || row % g.stride_rows != 0 || p >= g.height)
                        continue;
                    for (int j = 0; j < g.overlay_columns; j++) {
                        const int column = c + g.left - j * g.dilation_columns, q = column / g.stride_columns;
                        if (column < 0 || column % g.stride_columns != 0 || q >= g.width)
                            continue;
                        for (int f = first; f < first + channels; f++)
                            sum += x[(f * g.height + p) * g.width + q]
                                 * w[((f * maps + m % maps) * g.overlay_rows + i) * g.overlay_columns + j];
                    }
                }
                *z++ = sum;
            }
    }
}

/* Each row of x through a fully connected layer: z = w x + b, a row of w for each neuron. */
static void fully_connected(const float *x, const float *w, const float *b, int rows, int inputs, int neurons,
                            float *z)
{
    for (int r = 0; r < rows; r++)
        for (int m = 0; m < neurons; m++) {
            float sum = b[m];
            for (int k = 0; k < inputs; k++)
                sum += w[m * inputs + k] * x[r * inputs + k];
            *z++ = sum;
        }
}

/* y = u v, a product of matrices for each of `count`; `next_u` numbers lie between one u and the next. */
static void matmul(const float *u, int next_u, const float *v, int next_v, int count, int rows, int inner,
                   int columns, float *y)
{
    for (int n = 0; n < count; n++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) {
                float sum = 0.0f;
                for (int k = 0; k < inner; k++)
                    sum += u[n * next_u + i * inner + k] * v[n * next_v + k * columns + j];
                *y++ = sum;
            }
}

/* The largest number under each place of the overlay; a border never wins, a NaN always. */
static void maxpool(const float *x, Geometry g, float *a)
{
    for (int c = 0; c < g.maps; c++)
        for (int p = 0; p < g.rows; p++)
            for (int q = 0; q < g.columns; q++) {
                const int row = p * g.stride_rows - g.top, column = q * g.stride_columns - g.left;
                const int end_i = end_tap(row, g.dilation_rows, g.overlay_rows, g.height);
                const int end_j = end_tap(column, g.dilation_columns, g.overlay_columns, g.width);
                float largest = -INFINITY;
                for (int i = first_tap(row, g.dilation_rows); i < end_i; i++)
                    for (int j = first_tap(column, g.dilation_columns); j < end_j; j++) {
                        const float pixel = x[(c * g.height + row + i * g.dilation_rows) * g.width
                                              + column + j * g.dilation_columns];
                        if (pixel > largest || pixel != pixel)
                            largest = pixel;
                    }
                *a++ = largest;
            }
}

/* The sum under each place of the overlay, in a border of zeros, over the divisor. */
static void avgpool(const float *x, Geometry g, float divisor, float *a)
{
    for (int c = 0; c < g.maps; c++)
        for (int p = 0; p < g.rows; p++)
            for (int q = 0; q < g.columns; q++) {
                const int row = p * g.stride_rows - g.top, column = q * g.stride_columns - g.left;
                const int end_i = end_tap(row, g.dilation_rows, g.overlay_rows, g.height);
                const int end_j = end_tap(column, g.dilation_columns, g.overlay_columns, g.width);
                float total = 0.0f;
                for (int i = first_tap(row, g.dilation_rows); i < end_i; i++)
                    for (int j = first_tap(column, g.dilation_columns); j < end_j; j++)
                        total += x[(c * g.height + row + i * g.dilation_rows) * g.width
                                   + column + j * g.dilation_columns];
                *a++ = total / divisor;
            }
}

/* Sums of n numbers, `inner` apart, over the divisor: with divisor n the mean. */
static void sum(const float *x, int outer, int n, int inner, float divisor, float *y)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            float total = 0.0f;
            for (int k = 0; k < n; k++)
                total += x[(o * n + k) * inner + i];
            *y++ = total / divisor;
        }
}

/* The largest of n numbers, `inner` apart; a NaN wins. */
static void reduce_max(const float *x, int outer, int n, int inner, float *y)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            float largest = x[o * n * inner + i];
            for (int k = 1; k < n; k++) {
                const float number = x[(o * n + k) * inner + i];
                if (number > largest || number != number)
                    largest = number;
            }
            *y++ = largest;
        }
}

/* The smallest of n numbers, `inner` apart; a NaN wins. */
static void reduce_min(const float *x, int outer, int n, int inner, float *y)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            float smallest = x[o * n * inner + i];
            for (int k = 1; k < n; k++) {
                const float number = x[(o * n + k) * inner + i];
                if (number < smallest || number != number)
                    smallest = number;
            }
            *y++ = smallest;
        }
}

/* The natural logarithm: z = 2^k m with m near 1, and log m = 2 (t + t^3 / 3 + t^5 / 5 + ...)
   of t = (m - 1) / (m + 1). */
static float log_of(float z)
{
    int k = 0;
    if (z == 0.0f || !(z < INFINITY))
        return z == 0.0f ? -INFINITY : z;
    if (z < 0.0f)
        return NAN;
    for (; z > 1.5f; k++)
        z *= 0.5f;
    for (; z < 0.75f; k--)
        z *= 2.0f;
    const float t = (z - 1.0f) / (z + 1.0f), square = t * t;
    const float series = 1.0f + square * (1.0f / 3 + square * (1.0f / 5 + square * (1.0f / 7 + square / 9)));
    return 0.69314718f * (float)k + 2.0f * t * series;
}

/* The square root: z = 4^k m with m near 1, and Newton's steps for m. */
static float root_of(float z)
{
    float power = 1.0f;
    if (z == 0.0f || !(z < INFINITY))
        return z;
    if (z < 0.0f)
        return NAN;
    for (; z > 2.0f; power *= 2.0f)
        z *= 0.25f;
    for (; z < 0.5f; power *= 0.5f)
        z *= 4.0f;
    float root = 0.5f * (1.0f + z);
    for (int step = 0; step < 3; step++)
        root = 0.5f * (root + z / root);
    return power * root;
}

/* u^v: products where v is an integer, else e^(v log u). */
static float power_of(float u, float v)
{
    const float size = v < 0.0f ? -v : v;
    if (!(size < 1e6f) || size != (float)(int)size)
        return expf(v * log_of(u));
    float product = 1.0f;
    for (int k = (int)size; k > 0; k /= 2) {
        if (k % 2 == 1)
            product *= u;
        u *= u;
    }
    return v < 0.0f ? 1.0f / product : product;
}

/* The hyperbolic tangent by e^x; by its series where that loses digits. */
static float tanh_of(float x)
{
    const float square = x * x;
    if (square < 0.09f)
        return x * (1.0f + square * (-1.0f / 3 + square * (2.0f / 15 + square * (-17.0f / 315
            + square * 62.0f / 2835))));
    const float decay = expf(x > 0.0f ? -2.0f * x : 2.0f * x), size = (1.0f - decay) / (1.0f + decay);
    return x > 0.0f ? size : -size;
}

/* The error function by e^x, to 1.5e-7 (M. Abramowitz and I. Stegun, 7.1.26); by its series where that loses digits. */
static float erf_of(float x)
{
    const float size = x < 0.0f ? -x : x, square = x * x, t = 1.0f / (1.0f + 0.3275911f * size);
    if (size < 0.5f)
        return 1.1283792f * x * (1.0f + square * (-1.0f / 3 + square * (0.1f + square * (-1.0f / 42
            + square * (1.0f / 216 - square / 1320)))));
    const float tail = expf(-square) * t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f
        + t * 1.061405429f))));
    return x < 0.0f ? tail - 1.0f : 1.0f - tail;
}

/* a = e^z / sum(e^z) over n numbers, `inner` apart; less the largest z first, so that no exponential overflows. */
static void softmax(const float *z, int outer, int n, int inner, float *a)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            const int first = o * n * inner + i;
            float largest = z[first], total = 0.0f;
            for (int k = 1; k < n; k++)
                if (z[first + k * inner] > largest)
                    largest = z[first + k * inner];
            for (int k = 0; k < n; k++)
                total += a[first + k * inner] = expf(z[first + k * inner] - largest);
            for (int k = 0; k < n; k++)
                a[first + k * inner] /= total;
        }
}

/* y = log softmax(z) over n numbers, `inner` apart: z less the largest, less the logarithm of the sum. */
static void log_softmax(const float *z, int outer, int n, int inner, float *y)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            const int first = o * n * inner + i;
            float largest = z[first], total = 0.0f;
            for (int k = 1; k < n; k++)
                if (z[first + k * inner] > largest)
                    largest = z[first + k * inner];
            for (int k = 0; k < n; k++)
                total += expf(z[first + k * inner] - largest);
            for (int k = 0; k < n; k++)
                y[first + k * inner] = z[first + k * inner] - largest - log_of(total);
        }
}

/* Activations that add up to 1: y = a / sum(a), equal where every activation is 0. */
static void shares(const float *a, int n, float *y)
{
    float total = 0.0f;
    for (int i = 0; i < n; i++)
        total += a[i];
    for (int i = 0; i < n; i++)
        y[i] = total > 0.0f ? a[i] / total : 1.0f / (float)n;
}

/* y = scale x + shift, a scale and a shift for every `repeat` numbers, `count` of them in turn: batch normalisation
   that no convolution could take in, and arithmetic with constants. */
static void scale_and_shift(const float *x, const float *scale, const float *shift, int n, int count, int repeat,
                            float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = scale[i / repeat % count] * x[i] + shift[i / repeat % count];
}

/* a = max(z, 0); a NaN stays one. */
static void relu(const float *z, int n, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = z[i] < 0.0f ? 0.0f : z[i];
}

/* a = z where z > 0, else slope * z. */
static void leaky_relu(const float *z, int n, float slope, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = z[i] > 0.0f ? z[i] : slope * z[i];
}

/* a = 1 / (1 + e^-z), between 0 and 1. */
static void sigmoid(const float *z, int n, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = 1.0f / (1.0f + expf(-z[i]));
}

/* a = tanh(z), between -1 and 1. */
static void hyperbolic_tangent(const float *z, int n, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = tanh_of(z[i]);
}

/* a = z (1 + erf(z / sqrt(2))) / 2. */
static void gelu(const float *z, int n, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = 0.5f * z[i] * (1.0f + erf_of(0.70710678f * z[i]));
}

/* a = z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2. */
static void gelu_tanh(const float *z, int n, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = 0.5f * z[i] * (1.0f + tanh_of(0.79788456f * (z[i] + 0.044715f * z[i] * z[i] * z[i])));
}

/* a = log(1 + e^z), so that no exponential overflows. */
static void softplus(const float *z, int n, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = (z[i] > 0.0f ? z[i] : 0.0f) + log_of(1.0f + expf(z[i] > 0.0f ? -z[i] : z[i]));
}

/* z, kept between two bounds; a NaN stays one. */
static void clip(const float *z, int n, float low, float high, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = z[i] < low ? low : z[i] > high ? high : z[i];
}

/* |z|. */
static void absolute(const float *z, int n, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = z[i] < 0.0f ? -z[i] : z[i];
}

/* e^z. */
static void exponential(const float *z, int n, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = expf(z[i]);
}

/* y = log(z). */
static void logarithm(const float *z, int n, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = log_of(z[i]);
}

/* y = the square root of z. */
static void square_root(const float *z, int n, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = root_of(z[i]);
}

/* erf(z). */
static void error_function(const float *z, int n, float *a)
{
    for (int i = 0; i < n; i++)
        a[i] = erf_of(z[i]);
}

/* y = u + v; v has `count` numbers, used in turn, each `repeat` times. */
static void add(const float *u, const float *v, int n, int count, int repeat, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = u[i] + v[i / repeat % count];
}

/* y = u - v; v has `count` numbers, used in turn, each `repeat` times. */
static void subtract(const float *u, const float *v, int n, int count, int repeat, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = u[i] - v[i / repeat % count];
}

/* y = u v; v has `count` numbers, used in turn, each `repeat` times. */
static void multiply(const float *u, const float *v, int n, int count, int repeat, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = u[i] * v[i / repeat % count];
}

/* y = u / v; v has `count` numbers, used in turn, each `repeat` times. */
static void divide(const float *u, const float *v, int n, int count, int repeat, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = u[i] / v[i / repeat % count];
}

/* y = u^v; v has `count` numbers, used in turn, each `repeat` times. */
static void power(const float *u, const float *v, int n, int count, int repeat, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = power_of(u[i], v[i / repeat % count]);
}

/* y = the larger of u and v; a NaN wins. v has `count` numbers, used in turn, each `repeat` times. */
static void larger(const float *u, const float *v, int n, int count, int repeat, float *y)
{
    for (int i = 0; i < n; i++) {
        const float other = v[i / repeat % count];
        y[i] = u[i] > other || u[i] != u[i] ? u[i] : other;
    }
}

/* y = the smaller of u and v; a NaN wins. v has `count` numbers, used in turn, each `repeat` times. */
static void smaller(const float *u, const float *v, int n, int count, int repeat, float *y)
{
    for (int i = 0; i < n; i++) {
        const float other = v[i / repeat % count];
        y[i] = u[i] < other || u[i] != u[i] ? u[i] : other;
    }
}
