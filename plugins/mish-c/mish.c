/// A plugin of Lamina with one layer, `com.example.mish`: y = x * tanh(ln(1 + e^x)) (Misra 2019).
#include "lamina/lamina_plugin.h"

#include <math.h>

static const lamina_host *host;

/// tanh(ln(1 + e^x)) without overflow: with u = e^-|x|, (1 + 2u) / (1 + 2u + 2u^2) for x >= 0 and
/// (u^2 + 2u) / (u^2 + 2u + 2) for x < 0.
static float tanh_softplus(float x) {
  const float u = expf(-fabsf(x));
  return x >= 0 ? (1 + 2 * u) / (1 + 2 * u + 2 * u * u) : (u * u + 2 * u) / (u * u + 2 * u + 2);
}

static float sigmoid(float x) {
  const float u = expf(-fabsf(x));
  return x >= 0 ? 1 / (1 + u) : u / (1 + u);
}

static float mish(float x) {
  // 0 * infinity is not a number, and the limit is 0.
  return x == -INFINITY ? 0 : x * tanh_softplus(x);
}

static float mish_slope(float x) {
  if (isinf(x)) return x > 0 ? 1 : 0;
  const float t = tanh_softplus(x);
  return t + x * sigmoid(x) * (1 - t * t);
}

static size_t element_count(const lamina_plugin_tensor *tensor) {
  size_t count = 1;
  for (int32_t axis = 0; axis < tensor->rank; axis++) count *= (size_t)tensor->shape[axis];
  return count;
}

/// Elements are shared out to threads in blocks.
enum { BLOCK = 4096 };

typedef struct {
  const float *x;
  const float *output_gradient;
  float *result;
  size_t count;
} work;

static size_t block_end(const work *w, size_t block) {
  const size_t end = (block + 1) * BLOCK;
  return end < w->count ? end : w->count;
}

static void forward_block(void *user, size_t block) {
  const work *w = user;
  for (size_t i = block * BLOCK; i < block_end(w, block); i++) w->result[i] = mish(w->x[i]);
}

static void backward_block(void *user, size_t block) {
  const work *w = user;
  for (size_t i = block * BLOCK; i < block_end(w, block); i++) {
    w->result[i] += w->output_gradient[i] * mish_slope(w->x[i]);
  }
}

/// Writes what was expected, for the one message this layer has.
static lamina_status fail(lamina_error *error, lamina_status status, const char *message) {
  size_t i = 0;
  for (; message[i] && i < sizeof error->message - 1; i++) error->message[i] = message[i];
  error->message[i] = 0;
  error->code = status;
  return status;
}

/// There are no attributes, so a layer holds nothing.
static lamina_status create(const lamina_layer_class *layer_class,
                            const lamina_attributes *attributes, void **layer,
                            lamina_error *error) {
  (void)layer_class, (void)attributes, (void)error;
  *layer = NULL;
  return LAMINA_OK;
}

/// The output is like the input, as it comes.
static lamina_status infer_shapes(const lamina_layer_class *layer_class, const void *layer,
                                  lamina_inference *inference, lamina_error *error) {
  (void)layer_class, (void)layer;
  if (inference->inputs[0].type != LAMINA_FLOAT32) {
    return fail(error, LAMINA_ERROR_SHAPE, "expected a float32 input");
  }
  return LAMINA_OK;
}

static lamina_status forward(const lamina_layer_class *layer_class, const void *layer,
                             const lamina_forward_call *call, lamina_error *error) {
  (void)layer_class, (void)layer, (void)error;
  work w = {.x = call->inputs[0].data,
            .result = call->outputs[0].data,
            .count = element_count(&call->inputs[0])};
  host->parallel_for(call->threads, (w.count + BLOCK - 1) / BLOCK, forward_block, &w);
  return LAMINA_OK;
}

/// Adds dy * mish'(x) to the gradient of the input, where that is wanted.
static lamina_status backward(const lamina_layer_class *layer_class, const void *layer,
                              const lamina_backward_call *call, lamina_error *error) {
  (void)layer_class, (void)layer, (void)error;
  if (!call->input_gradients[0].data || !call->output_gradients[0].data) return LAMINA_OK;
  work w = {.x = call->inputs[0].data,
            .output_gradient = call->output_gradients[0].data,
            .result = call->input_gradients[0].data,
            .count = element_count(&call->inputs[0])};
  host->parallel_for(call->threads, (w.count + BLOCK - 1) / BLOCK, backward_block, &w);
  return LAMINA_OK;
}

static const char *const no_attributes[] = {NULL};

static const lamina_layer_class mish_class = {
    .struct_size = sizeof(lamina_layer_class),
    .flags = LAMINA_LAYER_READS_INPUTS | LAMINA_LAYER_IN_PLACE | LAMINA_LAYER_BATCHWISE,
    .kind = "com.example.mish",
    .kind_version = 1,
    .minimum_inputs = 1,
    .maximum_inputs = 1,
    .attribute_names = no_attributes,
    .create = create,
    .infer_shapes = infer_shapes,
    .forward = forward,
    .backward = backward,
};

static const lamina_layer_class *const classes[] = {&mish_class};

static const lamina_plugin plugin = {
    .struct_size = sizeof(lamina_plugin),
    .abi_major = LAMINA_PLUGIN_ABI_MAJOR,
    .abi_minor_required = 0,
    .id = "com.example.mish",
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
