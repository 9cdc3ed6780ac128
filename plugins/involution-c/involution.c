/// A plugin of Lamina with one layer, `com.example.involution` (Li et al. 2021): a convolution
/// whose kernel is computed from the input at each position and shared by the channels of a group,
///
///   h = relu(A x + a)    k = B h + b    y[c, p] = sum over t of k[g(c), t, p] * x[c, p + t]
///
/// with zeros around the input. x and y are [N, C, H, W]; A is [R, C] with R = max(C / reduction,
/// 1), B is [groups * kernel_size^2, R].
#include "lamina/lamina_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lamina_host *host;

// -- The layer -----------------------------------------------------------------------------------

/// What `create` makes: the attributes.
typedef struct {
  int64_t kernel_size;
  int64_t groups;
  int64_t reduction;
} involution;

/// Order of the parameters.
enum { REDUCE_WEIGHT, REDUCE_BIAS, SPAN_WEIGHT, SPAN_BIAS, PARAMETER_COUNT };

/// The extents of a call, all positive but `n`, `h` and `w`, which may be 0.
typedef struct {
  int64_t n, c, h, w;
  /// Rows of A, and of B: one for each tap of each group.
  int64_t hidden, taps;
} extents;

static lamina_status fail(lamina_error *error, lamina_status status, const char *expected,
                          int64_t found) {
  snprintf(error->message, sizeof error->message, "expected %s, found %lld", expected,
           (long long)found);
  error->code = status;
  return status;
}

static lamina_status create(const lamina_layer_class *layer_class,
                            const lamina_attributes *attributes, void **layer,
                            lamina_error *error) {
  (void)layer_class;
  involution made = {.kernel_size = 3, .groups = 1, .reduction = 4};
  lamina_status status = host->attribute_int(attributes, "kernel_size", &made.kernel_size, error);
  if (!status) status = host->attribute_int(attributes, "groups", &made.groups, error);
  if (!status) status = host->attribute_int(attributes, "reduction", &made.reduction, error);
  if (status) return status;
  if (made.kernel_size < 1 || made.kernel_size > 31 || made.kernel_size % 2 == 0) {
    return fail(error, LAMINA_ERROR_GRAPH, "an odd kernel_size in 1...31", made.kernel_size);
  }
  if (made.groups < 1 || made.groups > 65536) {
    return fail(error, LAMINA_ERROR_GRAPH, "groups in 1...65536", made.groups);
  }
  if (made.reduction < 1 || made.reduction > 65536) {
    return fail(error, LAMINA_ERROR_GRAPH, "reduction in 1...65536", made.reduction);
  }
  involution *copy = malloc(sizeof *copy);
  if (!copy) return fail(error, LAMINA_ERROR_LIMIT, "memory for a layer", 0);
  *copy = made;
  *layer = copy;
  return LAMINA_OK;
}

static void destroy(const lamina_layer_class *layer_class, void *layer) {
  (void)layer_class;
  free(layer);
}

/// Reads the extents, or says what was expected of the input.
static lamina_status measure(const involution *layer, const lamina_plugin_tensor *x, extents *e,
                             lamina_error *error) {
  if (x->type != LAMINA_FLOAT32) {
    return fail(error, LAMINA_ERROR_SHAPE, "a float32 input (type 1)", x->type);
  }
  if (x->rank != 4) return fail(error, LAMINA_ERROR_SHAPE, "an input of 4 axes", x->rank);
  *e = (extents){.n = x->shape[0], .c = x->shape[1], .h = x->shape[2], .w = x->shape[3]};
  if (e->c < 1 || e->c % layer->groups != 0) {
    return fail(error, LAMINA_ERROR_SHAPE, "channels that the groups divide", e->c);
  }
  e->hidden = e->c / layer->reduction > 1 ? e->c / layer->reduction : 1;
  e->taps = layer->groups * layer->kernel_size * layer->kernel_size;
  return LAMINA_OK;
}

/// a * b, or the largest number, which the host refuses.
static uint64_t times(uint64_t a, uint64_t b) {
  return a && b > UINT64_MAX / a ? UINT64_MAX : a * b;
}

static lamina_status infer_shapes(const lamina_layer_class *layer_class, const void *layer,
                                  lamina_inference *inference, lamina_error *error) {
  (void)layer_class;
  const involution *self = layer;
  extents e;
  const lamina_status status = measure(self, &inference->inputs[0], &e, error);
  if (status) return status;
  const uint64_t positions = times((uint64_t)(e.n * e.h), (uint64_t)e.w);
  const uint64_t rows = (uint64_t)(e.hidden + e.taps);
  inference->forward_scratch = times(positions, times(rows, sizeof(float)));
  inference->backward_scratch = times(inference->forward_scratch, 2);
  inference->multiply_adds =
      times(positions, times((uint64_t)e.hidden, (uint64_t)(e.c + e.taps)) +
                           times((uint64_t)e.c, (uint64_t)(self->kernel_size * self->kernel_size)));
  return LAMINA_OK;
}

static lamina_status list_parameters(const lamina_layer_class *layer_class, const void *layer,
                                     const lamina_plugin_tensor *inputs, size_t input_count,
                                     lamina_parameter *parameters, size_t capacity, size_t *count,
                                     lamina_error *error) {
  (void)layer_class, (void)input_count;
  extents e;
  const lamina_status status = measure(layer, &inputs[0], &e, error);
  if (status) return status;
  const lamina_parameter all[PARAMETER_COUNT] = {
      [REDUCE_WEIGHT] = {.name = "reduce_weight", .rank = 2, .shape = {e.hidden, e.c}},
      [REDUCE_BIAS] = {.name = "reduce_bias", .rank = 1, .shape = {e.hidden}},
      [SPAN_WEIGHT] = {.name = "span_weight", .rank = 2, .shape = {e.taps, e.hidden}},
      [SPAN_BIAS] = {.name = "span_bias", .rank = 1, .shape = {e.taps}},
  };
  *count = PARAMETER_COUNT;
  for (size_t i = 0; i < PARAMETER_COUNT && i < capacity; i++) {
    parameters[i] = all[i];
    parameters[i].type = LAMINA_FLOAT32;
    parameters[i].role = LAMINA_PARAMETER_WEIGHT;
    parameters[i].initializer =
        all[i].rank == 2 ? LAMINA_INITIALIZER_HE_NORMAL : LAMINA_INITIALIZER_ZEROS;
  }
  return LAMINA_OK;
}

// -- One pass ------------------------------------------------------------------------------------

/// What the threads of a pass share. Hidden values and kernels lie in scratch memory, for each
/// image and row first the hidden channels, then the taps, each of `w` elements; their gradients
/// likewise.
typedef struct {
  const involution *layer;
  extents e;
  const float *x, *dy;
  const float *parameters[PARAMETER_COUNT];
  float *rows, *row_gradients;
  float *y, *dx;
  float *gradients[PARAMETER_COUNT];
} pass;

/// Hidden values and kernels of one image's row; `base` is `rows` or `row_gradients`.
static float *row_of(const pass *p, float *base, int64_t image, int64_t row) {
  return base + (image * p->e.h + row) * (p->e.hidden + p->e.taps) * p->e.w;
}

static const float *line(const pass *p, const float *maps, int64_t image, int64_t c, int64_t row) {
  return maps + ((image * p->e.c + c) * p->e.h + row) * p->e.w;
}

/// h = relu(A x + a) and k = B h + b of one row.
static void compute_kernels(const pass *p, int64_t image, int64_t row) {
  const extents e = p->e;
  float *h = row_of(p, p->rows, image, row), *k = h + e.hidden * e.w;
  for (int64_t r = 0; r < e.hidden; r++) {
    for (int64_t j = 0; j < e.w; j++) h[r * e.w + j] = p->parameters[REDUCE_BIAS][r];
    for (int64_t c = 0; c < e.c; c++) {
      const float weight = p->parameters[REDUCE_WEIGHT][r * e.c + c];
      const float *x = line(p, p->x, image, c, row);
      for (int64_t j = 0; j < e.w; j++) h[r * e.w + j] += weight * x[j];
    }
    for (int64_t j = 0; j < e.w; j++) {
      if (h[r * e.w + j] < 0) h[r * e.w + j] = 0;
    }
  }
  for (int64_t t = 0; t < e.taps; t++) {
    for (int64_t j = 0; j < e.w; j++) k[t * e.w + j] = p->parameters[SPAN_BIAS][t];
    for (int64_t r = 0; r < e.hidden; r++) {
      const float weight = p->parameters[SPAN_WEIGHT][t * e.hidden + r];
      for (int64_t j = 0; j < e.w; j++) k[t * e.w + j] += weight * h[r * e.w + j];
    }
  }
}

/// Positions j of a line for which j + shift lies in it too.
static int64_t first_column(int64_t shift) { return shift < 0 ? -shift : 0; }
static int64_t end_column(int64_t shift, int64_t w) { return shift > 0 ? w - shift : w; }

/// One row of the output of one image.
static void forward_row(void *user, size_t index) {
  const pass *p = user;
  const extents e = p->e;
  const int64_t image = (int64_t)index / e.h, row = (int64_t)index % e.h;
  const int64_t size = p->layer->kernel_size, half = size / 2;
  compute_kernels(p, image, row);
  const float *k = row_of(p, p->rows, image, row) + e.hidden * e.w;
  for (int64_t c = 0; c < e.c; c++) {
    const int64_t group = c / (e.c / p->layer->groups);
    float *y = p->y + ((image * e.c + c) * e.h + row) * e.w;
    memset(y, 0, (size_t)e.w * sizeof *y);
    for (int64_t t = 0; t < size * size; t++) {
      const int64_t other = row + t / size - half, shift = t % size - half;
      if (other < 0 || other >= e.h) continue;
      const float *x = line(p, p->x, image, c, other);
      const float *tap = k + (group * size * size + t) * e.w;
      for (int64_t j = first_column(shift); j < end_column(shift, e.w); j++) {
        y[j] += tap[j] * x[j + shift];
      }
    }
  }
}

/// Gradients of the kernels and hidden values of one row of one image.
static void backward_row(void *user, size_t index) {
  const pass *p = user;
  const extents e = p->e;
  const int64_t image = (int64_t)index / e.h, row = (int64_t)index % e.h;
  const int64_t size = p->layer->kernel_size, half = size / 2;
  compute_kernels(p, image, row);
  const float *h = row_of(p, p->rows, image, row);
  float *dh = row_of(p, p->row_gradients, image, row), *dk = dh + e.hidden * e.w;
  memset(dh, 0, (size_t)((e.hidden + e.taps) * e.w) * sizeof *dh);
  for (int64_t c = 0; c < e.c; c++) {
    const int64_t group = c / (e.c / p->layer->groups);
    const float *dy = line(p, p->dy, image, c, row);
    for (int64_t t = 0; t < size * size; t++) {
      const int64_t other = row + t / size - half, shift = t % size - half;
      if (other < 0 || other >= e.h) continue;
      const float *x = line(p, p->x, image, c, other);
      float *tap = dk + (group * size * size + t) * e.w;
      for (int64_t j = first_column(shift); j < end_column(shift, e.w); j++) {
        tap[j] += dy[j] * x[j + shift];
      }
    }
  }
  for (int64_t r = 0; r < e.hidden; r++) {
    for (int64_t t = 0; t < e.taps; t++) {
      const float weight = p->parameters[SPAN_WEIGHT][t * e.hidden + r];
      for (int64_t j = 0; j < e.w; j++) dh[r * e.w + j] += weight * dk[t * e.w + j];
    }
    for (int64_t j = 0; j < e.w; j++) {
      if (!(h[r * e.w + j] > 0)) dh[r * e.w + j] = 0;
    }
  }
}

/// The gradient of one channel of one image: through the sum, and through the kernels.
static void backward_channel(void *user, size_t index) {
  const pass *p = user;
  const extents e = p->e;
  const int64_t image = (int64_t)index / e.c, c = (int64_t)index % e.c;
  const int64_t size = p->layer->kernel_size, half = size / 2;
  const int64_t group = c / (e.c / p->layer->groups);
  for (int64_t row = 0; row < e.h; row++) {
    const float *k = row_of(p, p->rows, image, row) + e.hidden * e.w;
    const float *dh = row_of(p, p->row_gradients, image, row);
    const float *dy = line(p, p->dy, image, c, row);
    float *plane = p->dx + (image * e.c + c) * e.h * e.w;
    for (int64_t t = 0; t < size * size; t++) {
      const int64_t other = row + t / size - half, shift = t % size - half;
      if (other < 0 || other >= e.h) continue;
      const float *tap = k + (group * size * size + t) * e.w;
      for (int64_t j = first_column(shift); j < end_column(shift, e.w); j++) {
        plane[other * e.w + j + shift] += dy[j] * tap[j];
      }
    }
    for (int64_t r = 0; r < e.hidden; r++) {
      const float weight = p->parameters[REDUCE_WEIGHT][r * e.c + c];
      for (int64_t j = 0; j < e.w; j++) plane[row * e.w + j] += weight * dh[r * e.w + j];
    }
  }
}

/// Adds the sum over a line of a * b, or of a where `b` is NULL, to `*sum`.
static void add_line(double *sum, const float *a, const float *b, int64_t w) {
  for (int64_t j = 0; j < w; j++) *sum += (double)a[j] * (b ? (double)b[j] : 1.0);
}

/// The gradients of one row of A and a, or of B and b. `index` counts the rows of A, then those of
/// B.
static void backward_parameter(void *user, size_t index) {
  const pass *p = user;
  const extents e = p->e;
  const int is_span = (int64_t)index >= e.hidden;
  const int64_t row = (int64_t)index - (is_span ? e.hidden : 0);
  const int64_t columns = is_span ? e.hidden : e.c;
  float *weights = p->gradients[is_span ? SPAN_WEIGHT : REDUCE_WEIGHT];
  float *biases = p->gradients[is_span ? SPAN_BIAS : REDUCE_BIAS];
  // The last column is that of the bias.
  for (int64_t column = 0; column <= columns; column++) {
    float *target = column == columns ? biases : weights;
    if (!target) continue;
    double sum = 0;
    for (int64_t image = 0; image < e.n; image++) {
      for (int64_t i = 0; i < e.h; i++) {
        const float *gradient = row_of(p, p->row_gradients, image, i) + (int64_t)index * e.w;
        const float *value = column == columns ? NULL
                             : is_span         ? row_of(p, p->rows, image, i) + column * e.w
                                               : line(p, p->x, image, column, i);
        add_line(&sum, gradient, value, e.w);
      }
    }
    target[column == columns ? row : row * columns + column] += (float)sum;
  }
}

static lamina_status forward(const lamina_layer_class *layer_class, const void *layer,
                             const lamina_forward_call *call, lamina_error *error) {
  (void)layer_class;
  pass p = {
      .layer = layer, .x = call->inputs[0].data, .y = call->outputs[0].data, .rows = call->scratch};
  const lamina_status status = measure(layer, &call->inputs[0], &p.e, error);
  if (status || !p.e.n || !p.e.h || !p.e.w) return status;
  for (int i = 0; i < PARAMETER_COUNT; i++) p.parameters[i] = call->parameters[i].data;
  host->parallel_for(call->threads, (size_t)(p.e.n * p.e.h), forward_row, &p);
  return LAMINA_OK;
}

static lamina_status backward(const lamina_layer_class *layer_class, const void *layer,
                              const lamina_backward_call *call, lamina_error *error) {
  (void)layer_class;
  if (!call->output_gradients[0].data) return LAMINA_OK;
  pass p = {.layer = layer,
            .x = call->inputs[0].data,
            .dy = call->output_gradients[0].data,
            .dx = call->input_gradients[0].data,
            .rows = call->scratch};
  const lamina_status status = measure(layer, &call->inputs[0], &p.e, error);
  if (status || !p.e.n || !p.e.h || !p.e.w) return status;
  p.row_gradients = p.rows + p.e.n * p.e.h * (p.e.hidden + p.e.taps) * p.e.w;
  int wants_parameters = 0;
  for (int i = 0; i < PARAMETER_COUNT; i++) {
    p.parameters[i] = call->parameters[i].data;
    p.gradients[i] = call->parameter_gradients[i].data;
    wants_parameters |= p.gradients[i] != NULL;
  }
  host->parallel_for(call->threads, (size_t)(p.e.n * p.e.h), backward_row, &p);
  if (p.dx) host->parallel_for(call->threads, (size_t)(p.e.n * p.e.c), backward_channel, &p);
  if (wants_parameters) {
    host->parallel_for(call->threads, (size_t)(p.e.hidden + p.e.taps), backward_parameter, &p);
  }
  return LAMINA_OK;
}

// -- The tables ----------------------------------------------------------------------------------

static const char *const attribute_names[] = {"kernel_size", "groups", "reduction", NULL};

static const lamina_layer_class involution_class = {
    .struct_size = sizeof(lamina_layer_class),
    .flags = LAMINA_LAYER_READS_INPUTS | LAMINA_LAYER_BATCHWISE,
    .kind = "com.example.involution",
    .kind_version = 1,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .attribute_names = attribute_names,
    .create = create,
    .destroy = destroy,
    .infer_shapes = infer_shapes,
    .list_parameters = list_parameters,
    .forward = forward,
    .backward = backward,
};

static const lamina_layer_class *const classes[] = {&involution_class};

static const lamina_plugin plugin = {
    .struct_size = sizeof(lamina_plugin),
    .abi_major = LAMINA_PLUGIN_ABI_MAJOR,
    .abi_minor_required = 0,
    .id = "com.example.involution",
    .version = "1.0.0",
    .vendor = "Example",
    .class_count = 1,
    .classes = classes,
};

const lamina_plugin *lamina_plugin_entry(const lamina_host *given, lamina_error *error) {
  (void)error;
  host = given;
  return &plugin;
}
