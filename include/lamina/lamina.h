/// @file
/// Lamina: inference of convolutional networks, from C and from every language that calls C.
///
///     lamina_error error = LAMINA_ERROR_INIT;
///     lamina_context context = 0;
///     lamina_model model = 0;
///     lamina_session session = 0;
///     lamina_prediction top[5];
///     size_t count = 0;
///     if (lamina_context_create(NULL, &context, &error) ||
///         lamina_model_load(context, "resnet50.safetensors", &model, &error) ||
///         lamina_session_create(model, NULL, &session, &error) ||
///         lamina_session_predict_file(session, "photo.jpg", top, 5, &count, &error)) {
///       fprintf(stderr, "%s\n", error.message);
///     }
///     for (size_t i = 0; i < count; i++) printf("%.4f  %s\n", top[i].probability, top[i].label);
///     lamina_session_release(session);
///     lamina_model_release(model);
///     lamina_context_release(context);
///
/// Rules for every function:
///
/// 1. Strings are UTF-8 and end with a NUL; a path or name has at most 65,535 bytes. Extents are
///    `int64_t`, counts and sizes `size_t`. There are no unions, bit-fields, variable arguments or
///    structs passed by value.
/// 2. A function that can fail returns a `lamina_status` and, when it is not `LAMINA_OK`, describes
///    the failure in the caller's `lamina_error`, which may be NULL. On failure no other out
///    parameter is written; the one exception is `LAMINA_ERROR_BUFFER`, which reports the size that
///    is needed. No argument, file or picture ends the process.
/// 3. A handle is a number that names an object of the library; 0 names none. A function that hands
///    one out gives the caller one reference; the matching `*_release` takes it back, ignores 0 and
///    handles already released, and returns nothing. Releases may come in any order and during
///    calls: an object lives until its last user is done, and keeps alive what it was made from. A
///    handle that is released, made up, or of another type is `LAMINA_ERROR_HANDLE`.
/// 4. `[any]`: callable from any thread at any time. `[one]`: one thread at a time per handle; a
///    second caller gets `LAMINA_ERROR_BUSY` at once.
/// 5. A struct that is passed singly starts with `struct_size`, which the caller sets to its
///    `sizeof` (the `*_INIT` macros do), and may grow at its end. Fields behind an older caller's
///    `struct_size` take their defaults; an unknown field of a newer caller's must be 0. The zero
///    of every option is its default. Structs passed in arrays (`lamina_tensor`,
///    `lamina_prediction`) never change.
/// 6. A text is returned in one of two ways. A `const char *` is borrowed: it is valid until the
///    object named in the function's description goes. A text of unknown length is copied into
///    `buffer` of `capacity` bytes together with its NUL; `*needed`, which may be NULL, receives
///    the bytes this takes, and `LAMINA_ERROR_BUFFER` says that `capacity` was less. `buffer` NULL
///    with `capacity` 0 only asks.
/// 7. After `fork`, a child may go on with every handle; what was in use by another thread at the
///    time of the fork is `LAMINA_ERROR_FORKED` in the child.
/// 8. The library touches neither signals nor locale, working directory, umask or floating-point
///    mode.
#ifndef LAMINA_LAMINA_H
#define LAMINA_LAMINA_H

#include "lamina_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define LAMINA_API __attribute__((visibility("default")))
#else
#define LAMINA_API
#endif

// -- Version -------------------------------------------------------------------------------------

/// Version of this header.
#define LAMINA_VERSION_MAJOR 0
#define LAMINA_VERSION_MINOR 1
#define LAMINA_VERSION_PATCH 0

/// Version of the binary interface this header describes. Rises only when a program built with an
/// older header would no longer work.
#define LAMINA_ABI_VERSION 1

/// Version of the library, `0.1.0`. The text lives as long as the process. [any]
LAMINA_API const char *lamina_version(void);

/// The library's `LAMINA_ABI_VERSION`. Owns and hands out nothing. [any]
LAMINA_API uint32_t lamina_abi_version(void);

// -- Status --------------------------------------------------------------------------------------

/// Name of a status in lower case, `not found`; `unknown` for other numbers. The text lives as long
/// as the process. [any]
LAMINA_API const char *lamina_status_name(lamina_status status);

// -- Handles -------------------------------------------------------------------------------------

/// Layers, threads, limits and log that models share.
typedef uint64_t lamina_context;
/// A graph with its weights, labels and preprocessing. Never changes; many threads share one.
typedef uint64_t lamina_model;
/// A model ready to run with memory of its own, for one caller at a time.
typedef uint64_t lamina_session;
/// A decoded picture. Never changes.
typedef uint64_t lamina_image;

// -- Context -------------------------------------------------------------------------------------

/// Bounds on what a file or a call may ask for; 0 takes the default in brackets.
typedef struct lamina_limits {
  uint32_t struct_size;
  /// Must be 0.
  uint32_t reserved;
  /// Largest model or weight file, in bytes [4 GiB].
  uint64_t weight_file_bytes;
  /// Largest picture file, in bytes [64 MiB].
  uint64_t image_file_bytes;
  /// Most pixels of a picture [64,000,000].
  uint64_t image_pixels;
  /// Most bytes of tensors that one model or session may hold [64 GiB].
  uint64_t memory_bytes;
} lamina_limits;

#define LAMINA_LIMITS_INIT                                                                         \
  { (uint32_t)sizeof(lamina_limits), 0, 0, 0, 0, 0 }

/// Receives one line of log, without a newline. `message` is valid during the call. It comes on the
/// thread of the call that logs, may itself call the library, and must return normally.
typedef void (*lamina_log)(void *user, int32_t level, const char *message);

/// Options of a context.
typedef struct lamina_context_options {
  uint32_t struct_size;
  /// Threads that sessions compute with, the caller's included; 0: as many as the process may use.
  int32_t threads;
  /// Copied; NULL: the defaults.
  const lamina_limits *limits;
  /// NULL: nothing is logged.
  lamina_log log;
  /// First argument of `log`; the caller owns it and keeps it until everything made from the
  /// context has been released.
  void *log_user;
} lamina_context_options;

#define LAMINA_CONTEXT_OPTIONS_INIT                                                                \
  { (uint32_t)sizeof(lamina_context_options), 0, NULL, NULL, NULL }

/// Makes a context; `options` NULL takes the defaults. The caller owns `*context` and releases it.
/// [any]
LAMINA_API lamina_status lamina_context_create(const lamina_context_options *options,
                                               lamina_context *context, lamina_error *error);

/// Takes the caller's reference back. [any]
LAMINA_API void lamina_context_release(lamina_context context);

/// A kind of layer.
typedef struct lamina_layer_info {
  uint32_t struct_size;
  /// Version of the meaning.
  int32_t version;
  /// `lamina.conv2d`.
  const char *kind;
  /// Who supplies it: `lamina`, or a plugin's id.
  const char *provider;
  /// Fewest and most inputs; `SIZE_MAX` where any number will do.
  size_t minimum_inputs;
  size_t maximum_inputs;
} lamina_layer_info;

#define LAMINA_LAYER_INFO_INIT                                                                     \
  { (uint32_t)sizeof(lamina_layer_info), 0, NULL, NULL, 0, 0 }

/// Number of kinds of layers the context knows. The caller owns `count`. [any]
LAMINA_API lamina_status lamina_context_layer_count(lamina_context context, size_t *count,
                                                    lamina_error *error);

/// The kind of layer at `index`, sorted by name. The caller owns `info`, whose texts live as long
/// as the context. [any]
LAMINA_API lamina_status lamina_context_layer_info(lamina_context context, size_t index,
                                                   lamina_layer_info *info, lamina_error *error);

/// Loads the plugin at `path`, a shared library made with `lamina_plugin.h`, and adds its layers,
/// all or none, and its image decoders. A plugin is code: load only what you would link. One that
/// was not seen before is loaded by a process of its own first; if it crashes or hangs there, it is
/// refused until its file changes. A plugin stays loaded until the process ends; loading it again
/// changes nothing. Models that were loaded before are not touched, and indices of
/// `lamina_context_layer_info` may change. Nothing is loaded because a model asks for it, and
/// `lamina_context_create` loads what the variable `LAMINA_PLUGIN_PATH` lists: absolute paths of
/// libraries and folders, with `:` between them. Owns and hands out nothing. [any]
LAMINA_API lamina_status lamina_context_load_plugin(lamina_context context, const char *path,
                                                    lamina_error *error);

/// The same, but where a kind is there already, of Lamina's own or of another plugin's, the
/// plugin's layer takes its place: a faster kernel for `lamina.conv2d`, say. Such layers are
/// neither fused with others nor removed. Owns and hands out nothing. [any]
LAMINA_API lamina_status lamina_context_replace_layers(lamina_context context, const char *path,
                                                       lamina_error *error);

/// What `lamina_plugin.h` declares.
struct lamina_plugin;
struct lamina_host;

/// A function like the one that a plugin exports, see `lamina_plugin_entry`.
typedef const struct lamina_plugin *(*lamina_plugin_entry_function)(const struct lamina_host *host,
                                                                    lamina_error *error);

/// Adds layers of the program's own, all or none: `entry` returns their tables as the function that
/// a plugin exports does, the same at each call. It and the tables are immortal. `replace` 1: they
/// take the place of layers of the same kinds, in models that are loaded from then on; 0: a kind
/// that is taken is an error that names both providers, and adding the same again changes nothing.
/// Indices of `lamina_context_layer_info` may change. Owns and hands out nothing. [any]
LAMINA_API lamina_status lamina_context_register_plugin(lamina_context context,
                                                        lamina_plugin_entry_function entry,
                                                        int32_t replace, lamina_error *error);

/// Number of architectures `lamina_model_create` knows. Owns and hands out nothing. [any]
LAMINA_API size_t lamina_catalog_count(void);

/// Name of the architecture at `index`, `resnet50`; NULL when `index` is too large. The text lives
/// as long as the process. [any]
LAMINA_API const char *lamina_catalog_name(size_t index);

// -- Tensors -------------------------------------------------------------------------------------

/// Bytes of one element; 0 for a number that is no type. Owns and hands out nothing. [any]
LAMINA_API size_t lamina_type_size(int32_t type);

/// A row-major tensor in the caller's memory: the caller owns `name` and `data`, the library uses
/// them during the call only. `data` must be aligned to the size of an element.
typedef struct lamina_tensor {
  /// Which input or output is meant; NULL: the one at this position of the array.
  const char *name;
  /// Inputs: the elements, read only. Outputs: where they go.
  void *data;
  /// Bytes at `data`. Inputs: exactly those of the shape. Outputs: at least those.
  size_t byte_count;
  /// Outputs: the library writes the bytes the result takes. Inputs: ignored.
  size_t needed;
  /// `LAMINA_FLOAT32`, ... Outputs: the type that is expected, or 0 for any; the library writes the
  /// type.
  int32_t type;
  /// Number of axes. Outputs: written by the library.
  int32_t rank;
  /// Extents, outermost first. Outputs: written by the library.
  int64_t shape[LAMINA_MAX_RANK];
} lamina_tensor;

// -- Models --------------------------------------------------------------------------------------

/// Loads a Lamina model file or an ONNX file; the content decides. The caller owns `*model` and
/// releases it. [any]
LAMINA_API lamina_status lamina_model_load(lamina_context context, const char *path,
                                           lamina_model *model, lamina_error *error);

/// Loads from `size` bytes at `data`, which are not used after the call. The caller owns `*model`
/// and releases it. [any]
LAMINA_API lamina_status lamina_model_load_memory(lamina_context context, const void *data,
                                                  size_t size, lamina_model *model,
                                                  lamina_error *error);

/// Loads from an open descriptor of a regular file, from its first byte on. The descriptor stays
/// the caller's and is not used after the call. The caller owns `*model` and releases it. [any]
LAMINA_API lamina_status lamina_model_load_descriptor(lamina_context context, int descriptor,
                                                      lamina_model *model, lamina_error *error);

/// Makes a built-in architecture with random weights, the same for the same `seed`. `classes` 0
/// takes the architecture's own number. The caller owns `*model` and releases it. [any]
LAMINA_API lamina_status lamina_model_create(lamina_context context, const char *architecture,
                                             size_t classes, uint64_t seed, lamina_model *model,
                                             lamina_error *error);

/// Makes a model of a graph, JSON in the form of `LAMINA_MODEL_GRAPH`, with random weights, the
/// same for the same `seed`. `graph` is not used after the call. The caller owns `*model` and
/// releases it. [any]
LAMINA_API lamina_status lamina_model_create_from_graph(lamina_context context, const char *graph,
                                                        uint64_t seed, lamina_model *model,
                                                        lamina_error *error);

/// How weights are matched with a model.
typedef struct lamina_weights_options {
  uint32_t struct_size;
  /// 0: every tensor of the model must be in the file, with its shape, and every tensor of the file
  /// in the model. 1: what is missing or does not fit keeps the model's values, what is left over
  /// is ignored; the report lists both.
  int32_t partial;
  /// Patterns ("fc.*") of tensors that keep the model's values, as for a new classifier. Used
  /// during the call only.
  const char *const *keep;
  size_t keep_count;
  /// File of rules by which names in the weight file become the model's, one a line: `pattern ->
  /// replacement`, `ignore pattern`, `transpose pattern [1, 0]`; `#` begins a comment. NULL: the
  /// rules that come with a built-in architecture. Used during the call only.
  const char *rules;
} lamina_weights_options;

#define LAMINA_WEIGHTS_OPTIONS_INIT                                                                \
  { (uint32_t)sizeof(lamina_weights_options), 0, NULL, 0, NULL }

/// A model with the graph of `model` and the weights of a file: safetensors, PyTorch, Keras, NumPy;
/// `options` NULL takes the defaults. `LAMINA_MODEL_REPORT` tells what was loaded. The caller owns
/// `*result`, a model of its own, and releases it. [any]
LAMINA_API lamina_status lamina_model_with_weights(lamina_model model, const char *path,
                                                   const lamina_weights_options *options,
                                                   lamina_model *result, lamina_error *error);

/// The same model with these names of classes, in the order of its output. The texts are copied.
/// The caller owns `*result`, a model of its own, and releases it. [any]
LAMINA_API lamina_status lamina_model_with_labels(lamina_model model, const char *const *labels,
                                                  size_t count, lamina_model *result,
                                                  lamina_error *error);

/// The same model with the preprocessing that `json` describes, in the form of
/// `LAMINA_MODEL_PREPROCESSING`. The caller owns `*result`, a model of its own, and releases it.
/// [any]
LAMINA_API lamina_status lamina_model_with_preprocessing(lamina_model model, const char *json,
                                                         lamina_model *result, lamina_error *error);

/// Writes a Lamina model file, which any safetensors reader opens. The path holds either its old
/// content or all of the new. Owns and hands out nothing. [any]
LAMINA_API lamina_status lamina_model_save(lamina_model model, const char *path,
                                           lamina_error *error);

/// Writes the model for others, as the end of `path` says: `.onnx` graph and weights,
/// `.safetensors` a Lamina model, `.npz` the weights alone. The path holds either its old content
/// or all of the new. Owns and hands out nothing. [any]
LAMINA_API lamina_status lamina_model_export(lamina_model model, const char *path,
                                             lamina_error *error);

/// Takes the caller's reference back. [any]
LAMINA_API void lamina_model_release(lamina_model model);

/// Facts about a model.
typedef struct lamina_model_info {
  uint32_t struct_size;
  /// Must be 0.
  uint32_t reserved;
  /// Name of the graph.
  const char *name;
  size_t input_count;
  size_t output_count;
  /// Names of classes; 0 when the model has none.
  size_t label_count;
  /// Nodes of the graph.
  size_t node_count;
  /// Learned numbers.
  uint64_t parameter_count;
} lamina_model_info;

#define LAMINA_MODEL_INFO_INIT                                                                     \
  { (uint32_t)sizeof(lamina_model_info), 0, NULL, 0, 0, 0, 0, 0 }

/// Facts about `model`. The caller owns `info`, whose text lives as long as the model. [any]
LAMINA_API lamina_status lamina_model_get_info(lamina_model model, lamina_model_info *info,
                                               lamina_error *error);

/// An input or output of a model.
typedef struct lamina_value_info {
  uint32_t struct_size;
  /// `LAMINA_FLOAT32`, ...
  int32_t type;
  const char *name;
  /// Number of axes.
  int32_t rank;
  /// Must be 0.
  int32_t reserved;
  /// Extents, outermost first; -1 where the extent may vary.
  int64_t shape[LAMINA_MAX_RANK];
  /// Names of the varying extents, `batch`; axes with the same name agree. NULL where the extent is
  /// fixed, or has no name.
  const char *axis_names[LAMINA_MAX_RANK];
} lamina_value_info;

#define LAMINA_VALUE_INFO_INIT                                                                     \
  {                                                                                                \
    (uint32_t)sizeof(lamina_value_info), 0, NULL, 0, 0, {0, 0, 0, 0, 0, 0, 0, 0}, {                \
      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL                                               \
    }                                                                                              \
  }

/// The input at `index`. The caller owns `info`, whose texts live as long as the model. [any]
LAMINA_API lamina_status lamina_model_get_input(lamina_model model, size_t index,
                                                lamina_value_info *info, lamina_error *error);

/// The output at `index`. The caller owns `info`, whose texts live as long as the model. [any]
LAMINA_API lamina_status lamina_model_get_output(lamina_model model, size_t index,
                                                 lamina_value_info *info, lamina_error *error);

/// The name of class `index`. `*label` lives as long as the model. [any]
LAMINA_API lamina_status lamina_model_get_label(lamina_model model, size_t index,
                                                const char **label, lamina_error *error);

/// Texts about a model.
enum {
  /// A table of the nodes with shapes, parameters and operations.
  LAMINA_MODEL_SUMMARY = 1,
  /// The same as JSON.
  LAMINA_MODEL_SUMMARY_JSON = 2,
  /// How a picture becomes the input, as JSON; `null` when the model does not say.
  LAMINA_MODEL_PREPROCESSING = 3,
  /// Source, licence and other notes, as JSON.
  LAMINA_MODEL_PROVENANCE = 4,
  /// What was loaded, missing and left over when the model got its weights from a file, as JSON;
  /// `null` for other models.
  LAMINA_MODEL_REPORT = 5,
  /// The names of all values of the graph, each of which a session can be asked for, as a JSON
  /// array.
  LAMINA_MODEL_VALUE_NAMES = 6,
  /// The graph as JSON: inputs, nodes with kind, attributes and inputs, outputs.
  LAMINA_MODEL_GRAPH = 7,
  /// The nodes as a JSON array. Each has `name`, `kind`, `version`, `provider`, `attributes`,
  /// `inputs` (names of values), `outputs` (`name`, `type`, and `shape` with numbers, the name of
  /// an
  /// extent that may vary, or null) and `parameters` (`name`, `key`, `role`, `type`, `shape`; one
  /// that is computed has `value`, the name of a value, in place of `key`). Type and shape of
  /// outputs and roles of parameters are null where they are not known.
  LAMINA_MODEL_LAYERS = 8
};

/// Copies the text `which` into the caller's `buffer`, see rule 6. [any]
LAMINA_API lamina_status lamina_model_get_text(lamina_model model, int32_t which, char *buffer,
                                               size_t capacity, size_t *needed,
                                               lamina_error *error);

/// Copies the parameter `key`, such as `layer1.0.conv1.weight`, into the caller's `tensor`, an
/// output in the sense of `lamina_tensor`. [any]
LAMINA_API lamina_status lamina_model_get_tensor(lamina_model model, const char *key,
                                                 lamina_tensor *tensor, lamina_error *error);

// -- Images --------------------------------------------------------------------------------------

/// Decodes a JPEG or PNG file, turned upright. The caller owns `*image` and releases it. [any]
LAMINA_API lamina_status lamina_image_load(lamina_context context, const char *path,
                                           lamina_image *image, lamina_error *error);

/// Decodes a JPEG or PNG of `size` bytes at `data`, which are not used after the call. The caller
/// owns `*image` and releases it. [any]
LAMINA_API lamina_status lamina_image_decode(lamina_context context, const void *data, size_t size,
                                             lamina_image *image, lamina_error *error);

/// An image of the caller's pixels, which are copied: `height` rows of `width` red, green, blue
/// bytes, a row every `row_bytes` (0: 3 * `width`). The caller owns `*image` and releases it. [any]
LAMINA_API lamina_status lamina_image_create(lamina_context context, const uint8_t *pixels,
                                             size_t width, size_t height, size_t row_bytes,
                                             lamina_image *image, lamina_error *error);

/// Takes the caller's reference back. [any]
LAMINA_API void lamina_image_release(lamina_image image);

/// The pixels of an image.
typedef struct lamina_image_info {
  uint32_t struct_size;
  /// Must be 0.
  uint32_t reserved;
  size_t width;
  size_t height;
  /// Bytes from one row to the next.
  size_t row_bytes;
  /// Red, green, blue bytes, the top row first.
  const uint8_t *pixels;
} lamina_image_info;

#define LAMINA_IMAGE_INFO_INIT                                                                     \
  { (uint32_t)sizeof(lamina_image_info), 0, 0, 0, 0, NULL }

/// Size and pixels of `image`. The caller owns `info`, whose pixels live as long as the image.
/// [any]
LAMINA_API lamina_status lamina_image_get_info(lamina_image image, lamina_image_info *info,
                                               lamina_error *error);

/// Applies the model's preprocessing to `count` images and writes them as one batch, [count,
/// channels, height, width], into the caller's `tensor`, an output in the sense of `lamina_tensor`.
/// [any]
LAMINA_API lamina_status lamina_model_preprocess(lamina_model model, const lamina_image *images,
                                                 size_t count, lamina_tensor *tensor,
                                                 lamina_error *error);

// -- Sessions ------------------------------------------------------------------------------------

/// How far a graph is rewritten for speed. Results agree up to rounding.
enum {
  /// Layers are fused as well.
  LAMINA_OPTIMIZATION_FULL = 0,
  /// Constants are folded, no-ops removed, layers prepared.
  LAMINA_OPTIMIZATION_BASIC = 1,
  /// Every node runs as it stands.
  LAMINA_OPTIMIZATION_NONE = 2
};

/// Options of a session.
typedef struct lamina_session_options {
  uint32_t struct_size;
  /// Threads, the caller's included; 0: the context's, shared with its other sessions.
  int32_t threads;
  /// `LAMINA_OPTIMIZATION_FULL`, ...
  int32_t optimization;
  /// 1: only algorithms with the accuracy of direct evaluation.
  int32_t strict;
  /// Names of the values to compute, in this order, intermediate ones too; NULL: the model's
  /// outputs. Used during the call only.
  const char *const *outputs;
  size_t output_count;
} lamina_session_options;

#define LAMINA_SESSION_OPTIONS_INIT                                                                \
  { (uint32_t)sizeof(lamina_session_options), 0, 0, 0, NULL, 0 }

/// Makes a session; `options` NULL takes the defaults. The caller owns `*session` and releases it.
/// [any]
LAMINA_API lamina_status lamina_session_create(lamina_model model,
                                               const lamina_session_options *options,
                                               lamina_session *session, lamina_error *error);

/// Takes the caller's reference back. [any]
LAMINA_API void lamina_session_release(lamina_session session);

/// Writes type, rank, shape and `needed` of the outputs for inputs of the given types and shapes;
/// `data` may be NULL, and is read only where shapes depend on the values of an input. The caller
/// owns both arrays. [one]
LAMINA_API lamina_status lamina_session_output_shapes(lamina_session session,
                                                      const lamina_tensor *inputs,
                                                      size_t input_count, lamina_tensor *outputs,
                                                      size_t output_count, lamina_error *error);

/// Computes the outputs into the caller's memory. Every input of the model must be given, and any
/// of the session's outputs may be. Type, rank, shape and `needed` of the outputs are written too,
/// also together with `LAMINA_ERROR_BUFFER`, after which no data has been written. No output may
/// overlap an input or another output. Inputs of the same shapes as before allocate nothing.
/// Denormal numbers count as zero; the caller's floating-point mode stays as it is. The caller owns
/// both arrays and all they point to. [one]
LAMINA_API lamina_status lamina_session_run(lamina_session session, const lamina_tensor *inputs,
                                            size_t input_count, lamina_tensor *outputs,
                                            size_t output_count, lamina_error *error);

/// Copies the plan for inputs of the given types and shapes - kernels, layouts, memory - into the
/// caller's `buffer`, see rule 6. [one]
LAMINA_API lamina_status lamina_session_explain(lamina_session session, const lamina_tensor *inputs,
                                                size_t input_count, char *buffer, size_t capacity,
                                                size_t *needed, lamina_error *error);

/// A class that a picture may show.
typedef struct lamina_prediction {
  /// The class's name, or its number when the model has no names. Lives as long as the session.
  const char *label;
  int32_t index;
  /// 0 to 1; the raw score where the model gives neither probabilities nor logits.
  float probability;
} lamina_prediction;

/// Preprocesses `image`, runs the model, and writes its up to `capacity` likeliest classes, the
/// likeliest first, to `predictions` and their number to `*count`. The caller owns both. [one]
LAMINA_API lamina_status lamina_session_predict(lamina_session session, lamina_image image,
                                                lamina_prediction *predictions, size_t capacity,
                                                size_t *count, lamina_error *error);

/// The same with the JPEG or PNG file at `path`. The caller owns `predictions` and `count`. [one]
LAMINA_API lamina_status lamina_session_predict_file(lamina_session session, const char *path,
                                                     lamina_prediction *predictions,
                                                     size_t capacity, size_t *count,
                                                     lamina_error *error);

// -- Layout of the structs -----------------------------------------------------------------------

LAMINA_ASSERT_OFFSET(lamina_limits, memory_bytes, 32);
#if UINTPTR_MAX == UINT64_MAX
LAMINA_ASSERT_OFFSET(lamina_context_options, log_user, 24);
LAMINA_ASSERT_OFFSET(lamina_layer_info, maximum_inputs, 32);
LAMINA_ASSERT_OFFSET(lamina_tensor, byte_count, 16);
LAMINA_ASSERT_OFFSET(lamina_tensor, type, 32);
LAMINA_ASSERT_OFFSET(lamina_tensor, shape, 40);
LAMINA_ASSERT_OFFSET(lamina_weights_options, keep_count, 16);
LAMINA_ASSERT_OFFSET(lamina_weights_options, rules, 24);
LAMINA_ASSERT_OFFSET(lamina_model_info, parameter_count, 48);
LAMINA_ASSERT_OFFSET(lamina_value_info, shape, 24);
LAMINA_ASSERT_OFFSET(lamina_value_info, axis_names, 88);
LAMINA_ASSERT_OFFSET(lamina_image_info, pixels, 32);
LAMINA_ASSERT_OFFSET(lamina_session_options, outputs, 16);
LAMINA_ASSERT_OFFSET(lamina_session_options, output_count, 24);
LAMINA_ASSERT_OFFSET(lamina_prediction, probability, 12);
#endif
#ifdef __cplusplus
}
#endif

#endif
