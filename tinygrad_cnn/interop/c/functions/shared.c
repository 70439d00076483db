/* How an overlay (a filter, or what pooling looks at) moves over maps: at place (p, q) its tap (i, j) is on the row
   p * stride_rows + i * dilation_rows - top and the column q * stride_columns + j * dilation_columns - left. */
typedef struct {
    int channels, height, width;         /* of the maps that are read */
    int maps, rows, columns;             /* of the result */
    int overlay_rows, overlay_columns;
    int stride_rows, stride_columns;
    int top, left;                       /* border of padding before the first row and column */
    int dilation_rows, dilation_columns;
    int groups;                          /* maps of group k read the channels of group k alone */
} Geometry;

/* The first tap that is not before the map, of an overlay whose tap 0 is on row or column `start`. */
static int first_tap(int start, int dilation)
{
    return start < 0 ? (dilation - 1 - start) / dilation : 0;
}

/* The number of taps, of `taps`, before the first that is beyond the map's `length`. */
static int end_tap(int start, int dilation, int taps, int length)
{
    const int end = (length - start + dilation - 1) / dilation;
    return end < taps ? end : taps;
}

/* The numbers of x in another order, some of them, or some repeatedly:
   y[i][j][k][l] = x[first + i * step[0] + j * step[1] + k * step[2] + l * step[3]]. */
static void rearrange(const NUMBER *x, int first, const int shape[4], const int step[4], NUMBER *y)
{
    for (int i = 0; i < shape[0]; i++)
        for (int j = 0; j < shape[1]; j++)
            for (int k = 0; k < shape[2]; k++)
                for (int l = 0; l < shape[3]; l++)
                    *y++ = x[first + i * step[0] + j * step[1] + k * step[2] + l * step[3]];
}

/* The numbers of x at the indices of a table. */
static void gather(const NUMBER *x, const int *table, int n, NUMBER *y)
{
    for (int i = 0; i < n; i++)
        y[i] = x[table[i]];
}

/* x in a border of `value`: y[i * step[0] + j * step[1] + k * step[2] + l * step[3]] = x[i][j][k][l], from y[first]. */
static void pad(const NUMBER *x, const int shape[4], const int step[4], int first, NUMBER value, int n, NUMBER *y)
{
    for (int i = 0; i < n; i++)
        y[i] = value;
    for (int i = 0; i < shape[0]; i++)
        for (int j = 0; j < shape[1]; j++)
            for (int k = 0; k < shape[2]; k++)
                for (int l = 0; l < shape[3]; l++)
                    y[first + i * step[0] + j * step[1] + k * step[2] + l * step[3]] = *x++;
}

/* The parts of a result, one after the other: n numbers of x to every `next` numbers of y, `count` times. */
static void concatenate(const NUMBER *x, int n, int count, int next, NUMBER *y)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < n; k++)
            y[i * next + k] = *x++;
}
