/* A byte q stands for the number scale * (q - zero). A sum of products of bytes becomes a byte of the next array:
   total * multiplier / 2^shift, rounded, half away from 0, then `zero` added, and kept from -128 to 127. */
static int8_t rescaled(int32_t total, int32_t multiplier, int shift, int zero)
{
    const int64_t product = (int64_t)total * multiplier, half = (int64_t)1 << (shift - 1);
    const int64_t size = ((product < 0 ? -product : product) + half) >> shift;
    const int64_t byte = (product < 0 ? -size : size) + zero;
    return (int8_t)(byte < -128 ? -128 : byte > 127 ? 127 : byte);
}

/* From floats to bytes: q = x / scale + zero, rounded, and kept from -128 to 127; a NaN becomes `zero`. */
static void quantise(const float *x, int n, float per_unit, int zero, int8_t *y)
{
    for (int i = 0; i < n; i++) {
        const float level = x[i] * per_unit + (float)zero;
        if (level >= 127.0f)
            y[i] = 127;
        else if (level > -128.0f)
            y[i] = (int8_t)((int)(level + 128.5f) - 128);
        else
            y[i] = (int8_t)(level <= -128.0f ? -128 : zero);
    }
}

/* From bytes to floats. */
static void dequantise(const int8_t *x, int n, float scale, int zero, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] = scale * (float)(x[i] - zero);
}

/* Slide each filter over the maps, unturned, and sum the products: z = correlate2d(x, w) + b. */
static void correlate2d(const int8_t *x, int zero, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                        const uint8_t *shift, int new_zero, Geometry g, int8_t *z)
{
    const int channels = g.channels / g.groups, maps = g.maps / g.groups;
    for (int f = 0; f < g.maps; f++) {
        const int8_t *group = x + f / maps * channels * g.height * g.width;
        const int8_t *filter = w + f * channels * g.overlay_rows * g.overlay_columns;
        for (int p = 0; p < g.rows; p++) {
            const int row = p * g.stride_rows - g.top;
            const int first_i = first_tap(row, g.dilation_rows);
            const int end_i = end_tap(row, g.dilation_rows, g.overlay_rows, g.height);
            for (int q = 0; q < g.columns; q++) {
                const int column = q * g.stride_columns - g.left;
                const int first_j = first_tap(column, g.dilation_columns);
                const int end_j = end_tap(column, g.dilation_columns, g.overlay_columns, g.width);
                int32_t sum = b[f];
                for (int c = 0; c < channels; c++)
                    for (int i = first_i; i < end_i; i++) {
                        const int8_t *pixels = group + (c * g.height + row + i * g.dilation_rows) * g.width;
                        const int8_t *weights = filter + (c * g.overlay_rows + i) * g.overlay_columns;
                        for (int j = first_j; j < end_j; j++)
                            sum += weights[j] * (pixels[column + j * g.dilation_columns] - zero);
                    }
                *z++ = rescaled(sum, multiplier[f], shift[f], new_zero);
            }
        }
    }
}

/* The sum of the weighted inputs of neuron m. */
static int32_t weighted_sum(const int8_t *x, int zero, const int8_t *w, int inputs, int m)
{
    int32_t sum = 0;
    for (int k = 0; k < inputs; k++)
        sum += w[m * inputs + k] * (x[k] - zero);
    return sum;
}

/* Each row of x through a fully connected layer: z = w x + b, a row of w for each neuron. */
static void fully_connected(const int8_t *x, int zero, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                            const uint8_t *shift, int new_zero, int rows, int inputs, int neurons, int8_t *z)
{
    for (int r = 0; r < rows; r++)
        for (int m = 0; m < neurons; m++)
            *z++ = rescaled(b[m] + weighted_sum(x + r * inputs, zero, w, inputs, m), multiplier[m], shift[m], new_zero);
}

/* The last fully connected layer, whose scores are floats: z = w x + b, a row of w for each neuron. */
static void fully_connected_scores(const int8_t *x, int zero, const int8_t *w, const int32_t *b, const float *scale,
                                   int rows, int inputs, int neurons, float *z)
{
    for (int r = 0; r < rows; r++)
        for (int m = 0; m < neurons; m++)
            *z++ = scale[m] * (float)(b[m] + weighted_sum(x + r * inputs, zero, w, inputs, m));
}

/* The largest number under each place of the overlay; a border never wins. */
static void maxpool(const int8_t *x, Geometry g, int8_t *a)
{
    for (int c = 0; c < g.maps; c++)
        for (int p = 0; p < g.rows; p++)
            for (int q = 0; q < g.columns; q++) {
                const int row = p * g.stride_rows - g.top, column = q * g.stride_columns - g.left;
                const int end_i = end_tap(row, g.dilation_rows, g.overlay_rows, g.height);
                const int end_j = end_tap(column, g.dilation_columns, g.overlay_columns, g.width);
                int8_t largest = -128;
                for (int i = first_tap(row, g.dilation_rows); i < end_i; i++)
                    for (int j = first_tap(column, g.dilation_columns); j < end_j; j++) {
                        const int8_t pixel = x[(c * g.height + row + i * g.dilation_rows) * g.width
                                               + column + j * g.dilation_columns];
                        if (pixel > largest)
                            largest = pixel;
                    }
                *a++ = largest;
            }
}

/* The mean under each place of the overlay, in a border of zeros; the multiplier divides. */
static void avgpool(const int8_t *x, int zero, Geometry g, int32_t multiplier, int shift, int new_zero, int8_t *a)
{
    for (int c = 0; c < g.maps; c++)
        for (int p = 0; p < g.rows; p++)
            for (int q = 0; q < g.columns; q++) {
                const int row = p * g.stride_rows - g.top, column = q * g.stride_columns - g.left;
                const int end_i = end_tap(row, g.dilation_rows, g.overlay_rows, g.height);
                const int end_j = end_tap(column, g.dilation_columns, g.overlay_columns, g.width);
                int32_t total = 0;
                for (int i = first_tap(row, g.dilation_rows); i < end_i; i++)
                    for (int j = first_tap(column, g.dilation_columns); j < end_j; j++)
                        total += x[(c * g.height + row + i * g.dilation_rows) * g.width
                                   + column + j * g.dilation_columns] - zero;
                *a++ = rescaled(total, multiplier, shift, new_zero);
            }
}

/* Sums of n numbers, `inner` apart; the multiplier makes means of them. */
static void sum(const int8_t *x, int zero, int outer, int n, int inner, int32_t multiplier, int shift, int new_zero,
                int8_t *y)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            int32_t total = 0;
            for (int k = 0; k < n; k++)
                total += x[(o * n + k) * inner + i] - zero;
            *y++ = rescaled(total, multiplier, shift, new_zero);
        }
}

/* The largest of n numbers, `inner` apart. */
static void reduce_max(const int8_t *x, int outer, int n, int inner, int8_t *y)
{
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            int8_t largest = x[o * n * inner + i];
            for (int k = 1; k < n; k++)
                if (x[(o * n + k) * inner + i] > largest)
                    largest = x[(o * n + k) * inner + i];
            *y++ = largest;
        }
}

/* The same numbers in another scale and zero; what lies beyond it becomes its end, as by relu. */
static void requantise(const int8_t *x, int n, int zero, int32_t multiplier, int shift, int new_zero, int8_t *y)
{
    for (int i = 0; i < n; i++)
        y[i] = rescaled(x[i] - zero, multiplier, shift, new_zero);
}

/* A function of one number, by a table of its value for each byte. */
static void lookup(const int8_t *z, int n, const int8_t *table, int8_t *a)
{
    for (int i = 0; i < n; i++)
        a[i] = table[z[i] + 128];
}

/* y = (scale x + shift) / 2^bits, a scale and a shift for every `repeat` numbers, `count` of them in turn. */
static void scale_and_shift(const int8_t *x, int zero, const int32_t *scale, const int32_t *shift, int bits,
                            int new_zero, int n, int count, int repeat, int8_t *y)
{
    for (int i = 0; i < n; i++) {
        const int c = i / repeat % count;
        y[i] = rescaled(scale[c] * (x[i] - zero) + shift[c], 1, bits, new_zero);
    }
}

/* y = (scale_u u + scale_v v) / 2^bits: a sum, or a difference with a negative scale. v has `count` numbers, used in
   turn, each `repeat` times. */
static void add(const int8_t *u, int zero_u, int32_t scale_u, const int8_t *v, int zero_v, int32_t scale_v, int bits,
                int new_zero, int n, int count, int repeat, int8_t *y)
{
    for (int i = 0; i < n; i++)
        y[i] = rescaled(scale_u * (u[i] - zero_u) + scale_v * (v[i / repeat % count] - zero_v), 1, bits, new_zero);
}

/* y = u v; v has `count` numbers, used in turn, each `repeat` times. */
static void multiply(const int8_t *u, int zero_u, const int8_t *v, int zero_v, int32_t multiplier, int shift,
                     int new_zero, int n, int count, int repeat, int8_t *y)
{
    for (int i = 0; i < n; i++)
        y[i] = rescaled((u[i] - zero_u) * (v[i / repeat % count] - zero_v), multiplier, shift, new_zero);
}
