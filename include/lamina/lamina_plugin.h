/// @file
/// The plugin interface of Lamina: layers and image decoders that a shared library adds to a
/// running program.
///
/// A plugin includes this header (and with it `lamina_types.h`, nothing else), links nothing of
/// Lamina, and exports one function:
///
///     static const lamina_layer_class relu = {.struct_size = sizeof(lamina_layer_class), ...};
///     static const lamina_layer_class *const classes[] = {&relu};
///     static const lamina_plugin plugin = {.struct_size = sizeof(lamina_plugin), ...};
///
///     LAMINA_PLUGIN_EXPORT const lamina_plugin *lamina_plugin_entry(const lamina_host *host,
///                                                                  lamina_error *error) {
///       return &plugin;
///     }
///
/// `plugins/mish-c` is a complete one. A program that links Lamina needs no shared library for
/// layers of its own: it hands such a function to `lamina_context_register_plugin` of `lamina.h`.
///
/// Rules for both sides:
///
/// 1. Only what this header declares crosses the boundary: no exceptions, no longjmp, no memory
///    that the other side is to free. Every text ends with a NUL and is UTF-8.
/// 2. Tables (`lamina_host`, `lamina_plugin`, `lamina_layer_class`, ...) begin with `struct_size`,
/// the
///    `sizeof` their maker knew, and only grow at their end: a slot is read only if it lies within
///    `struct_size`, and counts as NULL or 0 otherwise. Calls (`lamina_*_call`, `lamina_inference`)
///    come from the host and grow the same way. Structs passed in arrays never change.
/// 3. Tables are immortal: the plugin neither frees nor changes them, and the host never closes the
///    library. The host copies texts that it keeps.
/// 4. A function that can fail returns a `lamina_status` and, when it is not `LAMINA_OK`, describes
///    the failure in `error`, one line, `expected ..., found ...`. What it was to write is then not
///    read. The host checks every status, count, shape and text it is given; one that breaks the
///    rules is an error that names the plugin, not undefined behaviour.
/// 5. `[any]`: may be called from any thread at any time, for one layer by several threads at once.
///    `[call]`: only during a call that was handed the argument, on any thread that works for it.
/// 6. A plugin neither changes nor relies on locale, working directory, signals, or floating-point
///    mode. The host may compute with denormal numbers as zero.
///
/// Versions: a plugin is accepted when its `abi_major` is the host's and its `abi_minor_required`
/// is not above the host's minor version. `abi_minor_required` is the oldest minor version that the
/// plugin can live with, not the one of the header it was built with: one that uses only slots of
/// 1.0 says 0 for ever.
#ifndef LAMINA_LAMINA_PLUGIN_H
#define LAMINA_LAMINA_PLUGIN_H

#include "lamina_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define LAMINA_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define LAMINA_PLUGIN_EXPORT
#endif

// -- Version -------------------------------------------------------------------------------------

/// Rises when a plugin built for the one before no longer works.
#define LAMINA_PLUGIN_ABI_MAJOR 1
/// Rises with every slot and flag that is added.
#define LAMINA_PLUGIN_ABI_MINOR 0

// -- Tensors -------------------------------------------------------------------------------------

/// A row-major tensor in memory of the host, for the duration of a call.
typedef struct lamina_plugin_tensor {
  /// The elements, aligned to their size at least; NULL where there are none: see each call. Only
  /// what a call names as to be written may be written.
  void *data;
  /// `LAMINA_FLOAT32`, ...; 0 where `data` is NULL and the shape is not known either.
  int32_t type;
  /// Number of axes, 0 to `LAMINA_MAX_RANK`.
  int32_t rank;
  /// Extents, outermost first: batch, channels, height, width for a feature map. Entries behind
  /// `rank` are 0. An extent is at most 2^31 - 1, the number of elements at most 2^40.
  int64_t shape[LAMINA_MAX_RANK];
} lamina_plugin_tensor;

/// Roles of parameters.
enum {
  /// Learned by gradient descent.
  LAMINA_PARAMETER_WEIGHT = 1,
  /// Kept up to date by the layer in training passes, such as running statistics.
  LAMINA_PARAMETER_BUFFER = 2
};

/// How a parameter starts. `scale` of `lamina_parameter` is what the brackets name.
enum {
  LAMINA_INITIALIZER_ZEROS = 1,
  LAMINA_INITIALIZER_ONES = 2,
  /// Every element this number [the number].
  LAMINA_INITIALIZER_CONSTANT = 3,
  /// Normal distribution around 0 [its deviation].
  LAMINA_INITIALIZER_NORMAL = 4,
  /// Uniform distribution on both sides of 0 [its bound].
  LAMINA_INITIALIZER_UNIFORM = 5,
  /// He et al. 2015, normal, over the input side.
  LAMINA_INITIALIZER_HE_NORMAL = 6,
  /// The same over the output side.
  LAMINA_INITIALIZER_HE_NORMAL_FAN_OUT = 7,
  /// He et al. 2015, uniform, over the input side.
  LAMINA_INITIALIZER_HE_UNIFORM = 8,
  /// The same over the output side.
  LAMINA_INITIALIZER_HE_UNIFORM_FAN_OUT = 9,
  /// LeCun et al. 1998.
  LAMINA_INITIALIZER_LECUN_NORMAL = 10,
  LAMINA_INITIALIZER_LECUN_UNIFORM = 11,
  /// Glorot and Bengio 2010.
  LAMINA_INITIALIZER_GLOROT_NORMAL = 12,
  LAMINA_INITIALIZER_GLOROT_UNIFORM = 13
};

/// A tensor that a layer needs from the model.
typedef struct lamina_parameter {
  /// Name within the node: `weight`. The plugin owns it and keeps it until the next call for this
  /// layer on this thread.
  const char *name;
  /// `LAMINA_PARAMETER_WEIGHT`, ...
  int32_t role;
  /// `LAMINA_INITIALIZER_ZEROS`, ...
  int32_t initializer;
  double scale;
  /// `LAMINA_FLOAT32`, ...
  int32_t type;
  int32_t rank;
  int64_t shape[LAMINA_MAX_RANK];
} lamina_parameter;

// -- The host ------------------------------------------------------------------------------------

/// The attributes of a node, for the duration of `create`.
typedef struct lamina_attributes lamina_attributes;

/// The threads that a call may use, for its duration.
typedef struct lamina_threads lamina_threads;

/// Types of attributes.
enum {
  /// There is no attribute of that name.
  LAMINA_ATTRIBUTE_NONE = 0,
  LAMINA_ATTRIBUTE_INT = 1,
  LAMINA_ATTRIBUTE_FLOAT = 2,
  LAMINA_ATTRIBUTE_BOOL = 3,
  LAMINA_ATTRIBUTE_STRING = 4,
  LAMINA_ATTRIBUTE_INTS = 5,
  LAMINA_ATTRIBUTE_FLOATS = 6
};

/// What the host does for a plugin. Immortal; each plugin has its own.
///
/// The readers of attributes leave `*value` as it is and return `LAMINA_OK` where the attribute is
/// absent: the caller puts the default there before. An attribute of another type is
/// `LAMINA_ERROR_GRAPH` with a message fit to be passed on. An integer serves as a number, and a
/// list of integers as one of numbers.
typedef struct lamina_host lamina_host;
struct lamina_host {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t abi_minor;
  /// 0.
  uint32_t reserved;
  /// Version of Lamina, `0.1.0`.
  const char *version;

  /// Writes one line without a newline, which is copied, to the logs of those who loaded the
  /// plugin; `level` is `LAMINA_LOG_INFO` or `LAMINA_LOG_WARNING`. [any]
  void (*log)(const lamina_host *host, int32_t level, const char *message);

  /// Calls `body(user, index)` once for every index below `count`, on the threads of the call and
  /// the caller's, and returns when all are done. Results must not depend on who does what. Called
  /// within a body, or with `threads` NULL, it does all on the caller's thread. [call]
  void (*parallel_for)(const lamina_threads *threads, size_t count,
                       void (*body)(void *user, size_t index), void *user);

  /// Number of threads that `parallel_for` uses, at least 1. [call]
  size_t (*thread_count)(const lamina_threads *threads);

  /// Number of attributes that are set. [call]
  size_t (*attribute_count)(const lamina_attributes *attributes);

  /// Name of the attribute at `index`; NULL when `index` is too large. The host owns the text,
  /// which lives until `create` returns. [call]
  const char *(*attribute_name)(const lamina_attributes *attributes, size_t index);

  /// `LAMINA_ATTRIBUTE_INT`, ..., or `LAMINA_ATTRIBUTE_NONE` where the name is not set. [call]
  int32_t (*attribute_type)(const lamina_attributes *attributes, const char *name);

  /// Reads an integer. The caller owns `value` and `error`. [call]
  lamina_status (*attribute_int)(const lamina_attributes *attributes, const char *name,
                                 int64_t *value, lamina_error *error);

  /// Reads a number; the texts `inf`, `-inf` and `nan` are numbers. The caller owns `value` and
  /// `error`. [call]
  lamina_status (*attribute_float)(const lamina_attributes *attributes, const char *name,
                                   double *value, lamina_error *error);

  /// Reads a truth value, 0 or 1. The caller owns `value` and `error`. [call]
  lamina_status (*attribute_bool)(const lamina_attributes *attributes, const char *name,
                                  int32_t *value, lamina_error *error);

  /// Reads a text, which the host owns and which lives until `create` returns. The caller owns
  /// `value` and `error`. [call]
  lamina_status (*attribute_string)(const lamina_attributes *attributes, const char *name,
                                    const char **value, lamina_error *error);

  /// Reads a list of integers, which the host owns and which lives until `create` returns, and its
  /// length. A single integer is a list of one. The caller owns `values`, `count` and `error`.
  /// [call]
  lamina_status (*attribute_ints)(const lamina_attributes *attributes, const char *name,
                                  const int64_t **values, size_t *count, lamina_error *error);

  /// The same with numbers. [call]
  lamina_status (*attribute_floats)(const lamina_attributes *attributes, const char *name,
                                    const double **values, size_t *count, lamina_error *error);

  /// What the host offers beyond this table under a name such as `lamina.something/1`, or under
  /// somebody's domain; NULL when it does not know it. Immortal. [any]
  const void *(*get_extension)(const lamina_host *host, const char *id);
};

// -- Calls ---------------------------------------------------------------------------------------

/// What a layer makes of inputs of given shapes. The host owns it and all it points to.
typedef struct lamina_inference {
  uint32_t struct_size;
  /// Number of threads a call will have.
  uint32_t threads;
  /// Types and shapes; `data` is the value where it is known before anything runs, NULL otherwise.
  const lamina_plugin_tensor *inputs;
  size_t input_count;
  /// To write: type, rank and shape of each output. They come as those of the first input.
  lamina_plugin_tensor *outputs;
  size_t output_count;
  /// To write: bytes of scratch memory that `forward` wants [0].
  size_t forward_scratch;
  /// To write: bytes of scratch memory that `backward` wants [0].
  size_t backward_scratch;
  /// To write: bytes that `forward` leaves for `backward`, such as places of maxima [0].
  size_t saved;
  /// To write: multiply-add operations of `forward`, for reports [0].
  uint64_t multiply_adds;
} lamina_inference;

/// One forward pass. The host owns it and all it points to.
typedef struct lamina_forward_call {
  uint32_t struct_size;
  /// 1 in a training pass of a layer that is not frozen.
  int32_t is_training;
  const lamina_plugin_tensor *inputs;
  size_t input_count;
  /// In the order of `list_parameters`.
  const lamina_plugin_tensor *parameters;
  size_t parameter_count;
  /// To write: every element of every output.
  const lamina_plugin_tensor *outputs;
  size_t output_count;
  /// `forward_scratch` bytes at least, aligned to 64, of undefined content.
  void *scratch;
  size_t scratch_size;
  /// To write, where a `backward` will follow: `saved` bytes, aligned to 64. NULL otherwise.
  void *saved;
  size_t saved_size;
  /// To write: the new value of each parameter of the role `LAMINA_PARAMETER_BUFFER`; `data` is
  /// NULL for weights. NULL when buffers are to stay as they are; otherwise `parameter_count` of
  /// them.
  const lamina_plugin_tensor *buffer_updates;
  /// For `parallel_for`.
  const lamina_threads *threads;
  /// The same for the same node in the same step, forward and back, whoever computes it.
  uint64_t seed;
} lamina_forward_call;

/// One backward pass. The host owns it and all it points to. A gradient is that of the loss by the
/// value, and has the value's type and shape.
typedef struct lamina_backward_call {
  uint32_t struct_size;
  int32_t is_training;
  /// Gradients of the outputs; `data` NULL: zero.
  const lamina_plugin_tensor *output_gradients;
  /// What `forward` had; `data` is NULL unless the class says `LAMINA_LAYER_READS_INPUTS`.
  const lamina_plugin_tensor *inputs;
  /// What `forward` wrote; `data` is NULL unless the class says `LAMINA_LAYER_READS_OUTPUTS`.
  const lamina_plugin_tensor *outputs;
  const lamina_plugin_tensor *parameters;
  /// To be added to, not set; `data` NULL: not wanted.
  const lamina_plugin_tensor *input_gradients;
  /// To be added to, not set; `data` NULL: not wanted, as for frozen weights and for buffers.
  const lamina_plugin_tensor *parameter_gradients;
  /// Of `inputs` and `input_gradients`.
  size_t input_count;
  /// Of `outputs` and `output_gradients`.
  size_t output_count;
  /// Of `parameters` and `parameter_gradients`.
  size_t parameter_count;
  /// `backward_scratch` bytes at least, aligned to 64, of undefined content.
  void *scratch;
  size_t scratch_size;
  /// What `forward` left.
  const void *saved;
  size_t saved_size;
  /// For `parallel_for`.
  const lamina_threads *threads;
  /// That of the forward pass.
  uint64_t seed;
} lamina_backward_call;

// -- Layers --------------------------------------------------------------------------------------

/// Flags of a layer class. Bits that the host does not know are ignored.
enum {
  /// `backward` reads the inputs of `forward`.
  LAMINA_LAYER_READS_INPUTS = 1,
  /// `backward` reads the outputs of `forward`.
  LAMINA_LAYER_READS_OUTPUTS = 2,
  /// The first output may lie in the first input's memory, when they agree in type and shape.
  LAMINA_LAYER_IN_PLACE = 4,
  /// The images of a batch do not touch each other: the host may run a part of a batch at a time.
  LAMINA_LAYER_BATCHWISE = 8,
  /// A training pass draws random numbers, from `seed` alone.
  LAMINA_LAYER_RANDOM = 16
};

/// A kind of layer. Immortal; the plugin owns it and all it points to. Each function is handed the
/// class, so that one function may serve several.
///
/// A layer, what `create` makes, is an immutable description: it holds attributes, no parameters
/// and no activations.
typedef struct lamina_layer_class lamina_layer_class;
struct lamina_layer_class {
  uint32_t struct_size;
  /// `LAMINA_LAYER_READS_INPUTS`, ...
  uint32_t flags;
  /// Name in graph files under a domain of the vendor's: `com.example.mish`.
  const char *kind;
  /// Version of the meaning of attributes and result, from 1 on.
  uint32_t kind_version;
  /// Fewest and most inputs; `UINT32_MAX` for any number.
  uint32_t minimum_inputs;
  uint32_t maximum_inputs;
  /// 0.
  uint32_t reserved;
  /// The plugin's own, for whatever its functions like.
  const void *class_data;
  /// Names of the attributes, ended by NULL: the host refuses others and names the nearest. NULL:
  /// `create` refuses those it does not know.
  const char *const *attribute_names;

  /// Makes a layer from attributes, which are valid during the call only. The host owns `*layer`,
  /// which may be NULL, and gives it back with `destroy`. [any]
  lamina_status (*create)(const lamina_layer_class *layer_class,
                          const lamina_attributes *attributes, void **layer, lamina_error *error);

  /// Frees a layer. NULL: there is nothing to free. [any]
  void (*destroy)(const lamina_layer_class *layer_class, void *layer);

  /// Number of outputs of a layer, at least 1. NULL: 1. [any]
  size_t (*count_outputs)(const lamina_layer_class *layer_class, const void *layer);

  /// Writes what follows from the shapes of the inputs, or says what was expected of them. The
  /// same inputs give the same. NULL: one output like the first input, no memory. [any]
  lamina_status (*infer_shapes)(const lamina_layer_class *layer_class, const void *layer,
                                lamina_inference *inference, lamina_error *error);

  /// Writes the first `capacity` parameters at most, and how many there are to `*count`; the host,
  /// which owns both, asks again with room for all. Their number is at most 64. NULL: none. [any]
  lamina_status (*list_parameters)(const lamina_layer_class *layer_class, const void *layer,
                                   const lamina_plugin_tensor *inputs, size_t input_count,
                                   lamina_parameter *parameters, size_t capacity, size_t *count,
                                   lamina_error *error);

  /// The forward pass. It keeps no pointer of the call. [any]
  lamina_status (*forward)(const lamina_layer_class *layer_class, const void *layer,
                           const lamina_forward_call *call, lamina_error *error);

  /// The backward pass. NULL: the layer cannot be trained through. [any]
  lamina_status (*backward)(const lamina_layer_class *layer_class, const void *layer,
                            const lamina_backward_call *call, lamina_error *error);

  /// What the class offers beyond this table under a name such as `lamina.something/1`; NULL when
  /// it does not know it. Immortal. The slot may be NULL. [any]
  const void *(*get_extension)(const lamina_layer_class *layer_class, const char *id);
};

// -- Image decoders ------------------------------------------------------------------------------

/// The `id` under which `get_extension` of `lamina_plugin` gives a `lamina_image_decoder`.
#define LAMINA_EXTENSION_IMAGE_DECODER "lamina.image-decoder/1"

/// A decoded picture. The host owns the struct, the plugin the pixels until `release`.
typedef struct lamina_decoded_image {
  uint32_t struct_size;
  /// Bytes of a pixel: 1 for grey, 3 for red, green, blue, 4 for these and an alpha, which the host
  /// drops.
  uint32_t channels;
  /// As `read_size` told them.
  uint32_t width;
  uint32_t height;
  /// The upper row first, left to right.
  const uint8_t *pixels;
  /// Bytes from one row to the next, at least `width` * `channels`.
  size_t row_bytes;
  /// The plugin's own, for `release`.
  void *owner;
} lamina_decoded_image;

/// Decodes pictures of kinds that the host does not know itself; it does not ask for others.
/// Immortal; the plugin owns it and all it points to. Each function is handed the decoder.
typedef struct lamina_image_decoder lamina_image_decoder;
struct lamina_image_decoder {
  uint32_t struct_size;
  /// 0.
  uint32_t reserved;
  /// What it decodes, for messages: `WebP`.
  const char *name;
  /// How names of such files end, in lower case, ended by NULL: `.webp`. They tell which files of a
  /// folder are pictures; what a file is, its content decides.
  const char *const *suffixes;
  /// The plugin's own, for whatever its functions like.
  const void *decoder_data;

  /// Whether a file whose bytes these are, at least one, is of a kind that it decodes: 1 or 0. The
  /// host owns `bytes`. [any]
  int32_t (*recognizes)(const lamina_image_decoder *decoder, const uint8_t *bytes, size_t size);

  /// Reads how large the picture is, without decoding it, so that the host may refuse it before
  /// memory is taken. The host owns all arguments. [any]
  lamina_status (*read_size)(const lamina_image_decoder *decoder, const uint8_t *bytes, size_t size,
                             uint32_t *width, uint32_t *height, lamina_error *error);

  /// Decodes the picture, or the first one of an animation, turned upright where the file says how.
  /// The plugin owns the pixels it puts into `image`, until `release`. [any]
  lamina_status (*decode)(const lamina_image_decoder *decoder, const uint8_t *bytes, size_t size,
                          lamina_decoded_image *image, lamina_error *error);

  /// Frees what `decode` made, once, after each call of it that returned `LAMINA_OK`. [any]
  void (*release)(const lamina_image_decoder *decoder, lamina_decoded_image *image);
};

// -- The plugin ----------------------------------------------------------------------------------

/// What a plugin supplies. Immortal; the plugin owns it and all it points to.
typedef struct lamina_plugin lamina_plugin;
struct lamina_plugin {
  uint32_t struct_size;
  /// `LAMINA_PLUGIN_ABI_MAJOR`.
  uint32_t abi_major;
  /// Oldest minor version of the host that will do.
  uint32_t abi_minor_required;
  /// 0.
  uint32_t reserved;
  /// Name under a domain of the vendor's: `com.example.mish`.
  const char *id;
  /// Version of the plugin, `1.0.0`.
  const char *version;
  /// Who made it.
  const char *vendor;
  /// Up to 4096; 0 is for plugins with extensions.
  size_t class_count;
  const lamina_layer_class *const *classes;

  /// What the plugin offers beside layers, under a name such as `LAMINA_EXTENSION_IMAGE_DECODER`;
  /// NULL when it does not know the name. Immortal. The slot may be NULL. [any]
  const void *(*get_extension)(const lamina_plugin *plugin, const char *id);
};

/// The one function that a plugin exports. Returns its table, or NULL and says why in `error`. The
/// host owns `error`; `host` is valid for ever. May be called more than once, and gives the same
/// table each time. It starts no threads and does no work: plugins are also loaded to be looked at.
/// [any]
LAMINA_PLUGIN_EXPORT const lamina_plugin *lamina_plugin_entry(const lamina_host *host,
                                                              lamina_error *error);

// -- Layout of the structs -----------------------------------------------------------------------

#if UINTPTR_MAX == UINT64_MAX
LAMINA_ASSERT_OFFSET(lamina_plugin_tensor, type, 8);
LAMINA_ASSERT_OFFSET(lamina_plugin_tensor, shape, 16);
LAMINA_ASSERT_OFFSET(lamina_parameter, scale, 16);
LAMINA_ASSERT_OFFSET(lamina_parameter, shape, 32);
LAMINA_ASSERT_OFFSET(lamina_host, version, 16);
LAMINA_ASSERT_OFFSET(lamina_host, log, 24);
LAMINA_ASSERT_OFFSET(lamina_host, parallel_for, 32);
LAMINA_ASSERT_OFFSET(lamina_host, thread_count, 40);
LAMINA_ASSERT_OFFSET(lamina_host, attribute_count, 48);
LAMINA_ASSERT_OFFSET(lamina_host, attribute_name, 56);
LAMINA_ASSERT_OFFSET(lamina_host, attribute_type, 64);
LAMINA_ASSERT_OFFSET(lamina_host, attribute_int, 72);
LAMINA_ASSERT_OFFSET(lamina_host, attribute_float, 80);
LAMINA_ASSERT_OFFSET(lamina_host, attribute_bool, 88);
LAMINA_ASSERT_OFFSET(lamina_host, attribute_string, 96);
LAMINA_ASSERT_OFFSET(lamina_host, attribute_ints, 104);
LAMINA_ASSERT_OFFSET(lamina_host, attribute_floats, 112);
LAMINA_ASSERT_OFFSET(lamina_host, get_extension, 120);
LAMINA_ASSERT_OFFSET(lamina_inference, inputs, 8);
LAMINA_ASSERT_OFFSET(lamina_inference, outputs, 24);
LAMINA_ASSERT_OFFSET(lamina_inference, forward_scratch, 40);
LAMINA_ASSERT_OFFSET(lamina_inference, multiply_adds, 64);
LAMINA_ASSERT_OFFSET(lamina_forward_call, inputs, 8);
LAMINA_ASSERT_OFFSET(lamina_forward_call, parameters, 24);
LAMINA_ASSERT_OFFSET(lamina_forward_call, outputs, 40);
LAMINA_ASSERT_OFFSET(lamina_forward_call, scratch, 56);
LAMINA_ASSERT_OFFSET(lamina_forward_call, saved, 72);
LAMINA_ASSERT_OFFSET(lamina_forward_call, buffer_updates, 88);
LAMINA_ASSERT_OFFSET(lamina_forward_call, seed, 104);
LAMINA_ASSERT_OFFSET(lamina_backward_call, output_gradients, 8);
LAMINA_ASSERT_OFFSET(lamina_backward_call, parameter_gradients, 48);
LAMINA_ASSERT_OFFSET(lamina_backward_call, scratch, 80);
LAMINA_ASSERT_OFFSET(lamina_backward_call, saved, 96);
LAMINA_ASSERT_OFFSET(lamina_backward_call, seed, 120);
LAMINA_ASSERT_OFFSET(lamina_layer_class, kind, 8);
LAMINA_ASSERT_OFFSET(lamina_layer_class, class_data, 32);
LAMINA_ASSERT_OFFSET(lamina_layer_class, create, 48);
LAMINA_ASSERT_OFFSET(lamina_layer_class, destroy, 56);
LAMINA_ASSERT_OFFSET(lamina_layer_class, count_outputs, 64);
LAMINA_ASSERT_OFFSET(lamina_layer_class, infer_shapes, 72);
LAMINA_ASSERT_OFFSET(lamina_layer_class, list_parameters, 80);
LAMINA_ASSERT_OFFSET(lamina_layer_class, forward, 88);
LAMINA_ASSERT_OFFSET(lamina_layer_class, backward, 96);
LAMINA_ASSERT_OFFSET(lamina_layer_class, get_extension, 104);
LAMINA_ASSERT_OFFSET(lamina_plugin, id, 16);
LAMINA_ASSERT_OFFSET(lamina_plugin, class_count, 40);
LAMINA_ASSERT_OFFSET(lamina_plugin, classes, 48);
LAMINA_ASSERT_OFFSET(lamina_plugin, get_extension, 56);
LAMINA_ASSERT_OFFSET(lamina_decoded_image, pixels, 16);
LAMINA_ASSERT_OFFSET(lamina_decoded_image, owner, 32);
LAMINA_ASSERT_OFFSET(lamina_image_decoder, name, 8);
LAMINA_ASSERT_OFFSET(lamina_image_decoder, suffixes, 16);
LAMINA_ASSERT_OFFSET(lamina_image_decoder, recognizes, 32);
LAMINA_ASSERT_OFFSET(lamina_image_decoder, read_size, 40);
LAMINA_ASSERT_OFFSET(lamina_image_decoder, decode, 48);
LAMINA_ASSERT_OFFSET(lamina_image_decoder, release, 56);
#endif

#ifdef __cplusplus
}
#endif

#endif
