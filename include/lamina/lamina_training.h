/// @file
/// Lamina: training of convolutional networks, and fitting trained ones to other classes.
///
///     lamina_dataset photos = 0;
///     lamina_model fitted = 0;
///     if (lamina_dataset_open(context, "photos", NULL, &photos, &error) ||
///         lamina_finetune(model, photos, 0, NULL, NULL, NULL, &fitted, NULL, &error) ||
///         lamina_model_save(fitted, "mine.safetensors", &error)) {
///       fprintf(stderr, "%s\n", error.message);
///     }
///     lamina_model_release(fitted);
///     lamina_dataset_release(photos);
///
/// The rules of `lamina.h` hold for every function here. The same model, data, options and seed
/// give the same bits, whatever the number of threads.
#ifndef LAMINA_LAMINA_TRAINING_H
#define LAMINA_LAMINA_TRAINING_H

#include "lamina.h"

#ifdef __cplusplus
extern "C" {
#endif

// -- Handles -------------------------------------------------------------------------------------

/// Items with a class each, to train and to check with. Never changes; many trainers share one.
typedef uint64_t lamina_dataset;
/// A model that learns, with memory of its own, for one caller at a time.
typedef uint64_t lamina_trainer;

// -- Data ----------------------------------------------------------------------------------------

/// What happens to pictures that cannot be decoded.
enum {
  /// All of them are listed in an error.
  LAMINA_BROKEN_ERROR = 0,
  /// They are left out.
  LAMINA_BROKEN_SKIP = 1,
  /// Another picture of the same class takes their place.
  LAMINA_BROKEN_REPLACE = 2
};

/// How pictures are read.
typedef struct lamina_dataset_options {
  uint32_t struct_size;
  /// `LAMINA_BROKEN_ERROR`, ...
  int32_t broken;
  /// Per cent of each class to check with, 1...90, where `path` has no folder of its own for them;
  /// 0: 20; -1: none.
  int32_t hold_out;
  /// Must be 0.
  int32_t reserved;
  /// Of the choice of those that are held out.
  uint64_t seed;
  /// The classes, in the order of a model's output, which the folders must have; NULL: those that
  /// are there, in the order of their names' bytes. Used during the call only.
  const char *const *labels;
  size_t label_count;
} lamina_dataset_options;

#define LAMINA_DATASET_OPTIONS_INIT                                                                \
  { (uint32_t)sizeof(lamina_dataset_options), 0, 0, 0, 0, NULL, 0 }

/// Opens the pictures at `path`: a folder with a folder of JPEG and PNG files for each class, a
/// folder with two such folders `train` and `val`, MNIST's four files, plain or packed by gzip, or
/// CIFAR's binary batches. Every picture of a folder is decoded once, to find the broken ones;
/// `options` NULL takes the defaults. The caller owns `*dataset` and releases it. [any]
LAMINA_API lamina_status lamina_dataset_open(lamina_context context, const char *path,
                                             const lamina_dataset_options *options,
                                             lamina_dataset *dataset, lamina_error *error);

/// Writes the `float32` elements of item `index` to `item->data`; `item` has the shape of the
/// source and is valid during the call. Returns 0, or any other number when it cannot: the call
/// that trains then ends with `LAMINA_ERROR_IO`. It comes on the thread of that call, may itself
/// call the library, and must return normally. A set that several threads train on is read by
/// them at once.
typedef int32_t (*lamina_read_item)(void *user, size_t index, const lamina_tensor *item);

/// Says that `user` is no longer used. It comes once, on any thread.
typedef void (*lamina_release_user)(void *user);

/// Items of the caller's.
typedef struct lamina_dataset_source {
  uint32_t struct_size;
  /// Axes of an item, without that of the batch.
  int32_t rank;
  /// Extents of an item, outermost first.
  int64_t shape[LAMINA_MAX_RANK];
  /// Items. The last `validation_count` of them are to check with.
  size_t count;
  size_t validation_count;
  /// The class of each item, from 0. Copied.
  const int32_t *classes;
  /// Names of the classes, in the order of a model's output; NULL: they have none. Copied.
  const char *const *labels;
  size_t label_count;
  /// The `float32` elements of all items, one item behind the other, which stay where they are and
  /// as they are until `release` is called; NULL: `read` gives them.
  const float *items;
  /// Used where `items` is NULL.
  lamina_read_item read;
  /// NULL: the caller keeps all until everything made from the set has been released.
  lamina_release_user release;
  /// First argument of both.
  void *user;
  /// Tells these items from others when training is resumed from a checkpoint; NULL: classes and
  /// shape alone do. Copied.
  const char *name;
} lamina_dataset_source;

#define LAMINA_DATASET_SOURCE_INIT                                                                 \
  {                                                                                                \
    (uint32_t)sizeof(lamina_dataset_source), 0, {0, 0, 0, 0, 0, 0, 0, 0}, 0, 0, NULL, NULL, 0,     \
        NULL, NULL, NULL, NULL, NULL                                                               \
  }

/// A set of items of the caller's: tensors as they enter a model. The caller owns `*dataset` and
/// releases it; `release` is called when the last user is done, and not when the call fails. [any]
LAMINA_API lamina_status lamina_dataset_create(lamina_context context,
                                               const lamina_dataset_source *source,
                                               lamina_dataset *dataset, lamina_error *error);

/// Takes the caller's reference back. [any]
LAMINA_API void lamina_dataset_release(lamina_dataset dataset);

/// Facts about a set.
typedef struct lamina_dataset_info {
  uint32_t struct_size;
  /// Must be 0.
  uint32_t reserved;
  /// Items to train with.
  size_t training_count;
  /// Items to check with.
  size_t validation_count;
  /// Pictures that were left out or replaced.
  size_t broken_count;
  /// Names of the classes, as `lamina_model_replace_head` takes them; 0 when there are none.
  size_t label_count;
  const char *const *labels;
} lamina_dataset_info;

#define LAMINA_DATASET_INFO_INIT                                                                   \
  { (uint32_t)sizeof(lamina_dataset_info), 0, 0, 0, 0, 0, NULL }

/// Facts about `dataset`. The caller owns `info`, whose texts live as long as the set. [any]
LAMINA_API lamina_status lamina_dataset_get_info(lamina_dataset dataset, lamina_dataset_info *info,
                                                 lamina_error *error);

/// Copies the pictures that were left out or replaced, as a JSON array of objects with `name` and
/// `reason`, into the caller's `buffer`, see rule 6. [any]
LAMINA_API lamina_status lamina_dataset_get_broken(lamina_dataset dataset, char *buffer,
                                                   size_t capacity, size_t *needed,
                                                   lamina_error *error);

// -- Models --------------------------------------------------------------------------------------

/// The model for other classes, two or more: the last layer with weights before each output is made
/// anew, with weights that follow from `seed`; all others keep theirs. The texts are copied. The
/// caller owns `*result`, a model of its own, and releases it. [any]
LAMINA_API lamina_status lamina_model_replace_head(lamina_model model, const char *const *labels,
                                                   size_t count, uint64_t seed,
                                                   lamina_model *result, lamina_error *error);

/// How good a model is.
typedef struct lamina_score {
  uint32_t struct_size;
  /// Must be 0.
  uint32_t reserved;
  /// Items it was measured on.
  size_t count;
  /// The mean loss: softmax cross-entropy.
  double loss;
  /// The share of items whose class was right; NaN where labels are no classes.
  double accuracy;
} lamina_score;

#define LAMINA_SCORE_INIT                                                                          \
  { (uint32_t)sizeof(lamina_score), 0, 0, 0, 0 }

/// Measures `model` on the items to check with, or on all where there are none of these, in batches
/// of `batch_size`; 0: 32. The caller owns `score`. [any]
LAMINA_API lamina_status lamina_model_evaluate(lamina_model model, lamina_dataset data,
                                               size_t batch_size, lamina_score *score,
                                               lamina_error *error);

// -- Progress ------------------------------------------------------------------------------------

/// What there is to tell.
enum {
  /// A batch is done: `step` of the epoch's `steps`. Loss and accuracy are those of the epoch so
  /// far.
  LAMINA_PROGRESS_BATCH = 1,
  /// An epoch is done, and its validation.
  LAMINA_PROGRESS_EPOCH = 2,
  /// The frozen layers have computed their features of `step` of `steps` items.
  LAMINA_PROGRESS_FEATURES = 3
};

/// How far training is. Numbers that are not known are NaN.
typedef struct lamina_progress {
  uint32_t struct_size;
  /// `LAMINA_PROGRESS_BATCH`, ...
  int32_t event;
  /// `train`; of `lamina_finetune`: `head`, then `all`. Lives as long as the process.
  const char *stage;
  /// The epoch, from 1, and epochs in all.
  size_t epoch;
  size_t epochs;
  size_t step;
  size_t steps;
  double loss;
  double accuracy;
  double validation_loss;
  double validation_accuracy;
  double learning_rate;
  /// Items trained on in a second, of the epoch so far.
  double items_per_second;
} lamina_progress;

/// Is told how far training is; `progress` is valid during the call. Returns 0 to go on, any other
/// number to end behind this batch or epoch. It comes on the thread of the call that trains, may
/// itself call the library, though not with that trainer but to cancel or release it, and must
/// return normally.
typedef int32_t (*lamina_on_progress)(void *user, const lamina_progress *progress);

/// How training ended.
enum {
  /// The last epoch is complete.
  LAMINA_ENDING_COMPLETED = 1,
  /// The caller ended it.
  LAMINA_ENDING_CANCELLED = 2,
  /// A loss, gradient or statistic was NaN or infinite. Weights and statistics are those before.
  LAMINA_ENDING_NOT_FINITE = 3
};

// -- Trainers ------------------------------------------------------------------------------------

/// Rules by which weights follow their gradients.
enum {
  LAMINA_OPTIMIZER_ADAM = 0,
  LAMINA_OPTIMIZER_SGD = 1,
  LAMINA_OPTIMIZER_RMSPROP = 2,
  LAMINA_OPTIMIZER_ADAMW = 3,
  LAMINA_OPTIMIZER_NADAM = 4
};

/// How the learning rate changes by time.
enum {
  LAMINA_SCHEDULE_CONSTANT = 0,
  /// From the whole by half a cosine to 0.
  LAMINA_SCHEDULE_COSINE = 1,
  /// Up from a 25th in the first quarter of all steps, then down to nearly 0.
  LAMINA_SCHEDULE_ONE_CYCLE = 2
};

/// How a model is trained.
typedef struct lamina_trainer_options {
  uint32_t struct_size;
  /// `LAMINA_OPTIMIZER_ADAM`, ...
  int32_t optimizer;
  /// 0: 0.01 for SGD, 0.001 for the others.
  double learning_rate;
  /// Of SGD and RMSProp; 0: 0.9 for SGD, none for RMSProp; -1: none.
  double momentum;
  /// How weights shrink: coupled, but for AdamW, where 0 is 0.01.
  double weight_decay;
  /// Share of the label that goes to all classes alike, below 1.
  double label_smoothing;
  /// Bound of the norm of all gradients together; 0: none.
  double gradient_norm;
  /// `LAMINA_SCHEDULE_CONSTANT`, ...
  int32_t schedule;
  /// Times that all items are seen. 0: 10, of all layers in `lamina_finetune` 3; -1, there alone:
  /// none.
  int32_t epochs;
  /// Items of a batch; 0: 32.
  size_t batch_size;
  /// Of all random numbers.
  uint64_t seed;
  /// 1: pictures are flipped, cropped and shifted in colour at random.
  int32_t augment;
  /// 1: only algorithms with the accuracy of direct evaluation.
  int32_t strict;
  /// Folder for checkpoints, written behind each epoch and when training is cancelled; NULL: none.
  /// Used during the call only.
  const char *checkpoints;
  /// 1: training goes on where the newest checkpoint is; 0: the folder must hold none.
  int32_t resume;
  /// Must be 0.
  int32_t reserved;
  /// Patterns ("layer1.*") over the names of layers and parameters that stay as they are, bit for
  /// bit, statistics included. Used during the call only.
  const char *const *frozen;
  size_t frozen_count;
} lamina_trainer_options;

#define LAMINA_TRAINER_OPTIONS_INIT                                                                \
  {                                                                                                \
    (uint32_t)sizeof(lamina_trainer_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0,      \
        NULL, 0                                                                                    \
  }

/// Makes a trainer of `model`, which itself stays as it is. `data` 0: there are only the caller's
/// batches, see `lamina_trainer_step`. `validation` is measured behind every epoch; 0: those of
/// `data` that are to check with. `options` NULL takes the defaults. The caller owns `*trainer` and
/// releases it. [any]
LAMINA_API lamina_status lamina_trainer_create(lamina_model model, lamina_dataset data,
                                               lamina_dataset validation,
                                               const lamina_trainer_options *options,
                                               lamina_trainer *trainer, lamina_error *error);

/// Takes the caller's reference back. [any]
LAMINA_API void lamina_trainer_release(lamina_trainer trainer);

/// Freezes the layers and parameters whose names `pattern` ("layer1.*") matches. Before the first
/// step. Owns and hands out nothing. [one]
LAMINA_API lamina_status lamina_trainer_freeze(lamina_trainer trainer, const char *pattern,
                                               lamina_error *error);

/// Freezes all layers up to `name`, a layer or what the names of several begin with (`layer3`), the
/// last of which is frozen too. Before the first step. Owns and hands out nothing. [one]
LAMINA_API lamina_status lamina_trainer_freeze_up_to(lamina_trainer trainer, const char *name,
                                                     lamina_error *error);

/// Freezes all layers but the last one with weights before each output, which
/// `lamina_model_replace_head` makes anew. Before the first step. Owns and hands out nothing. [one]
LAMINA_API lamina_status lamina_trainer_freeze_trunk(lamina_trainer trainer, lamina_error *error);

/// Lets the layers and parameters whose names `pattern` matches learn again. Before the first step.
/// Owns and hands out nothing. [one]
LAMINA_API lamina_status lamina_trainer_unfreeze(lamina_trainer trainer, const char *pattern,
                                                 lamina_error *error);

/// Trains until the last epoch, or until it is cancelled: it then goes on at the next call.
/// `on_progress` may be NULL; `user` is its first argument. `*ending`, which may be NULL, receives
/// `LAMINA_ENDING_COMPLETED`, ... Owns and hands out nothing. [one]
LAMINA_API lamina_status lamina_trainer_fit(lamina_trainer trainer, lamina_on_progress on_progress,
                                            void *user, int32_t *ending, lamina_error *error);

/// Asks the `lamina_trainer_fit` that runs, or else the next one, to end behind its batch. Owns and
/// hands out nothing. [any]
LAMINA_API lamina_status lamina_trainer_cancel(lamina_trainer trainer, lamina_error *error);

/// Measures the model as it is now, as `lamina_model_evaluate` does; `data` 0: on the trainer's
/// items to check with. The caller owns `score`. [one]
LAMINA_API lamina_status lamina_trainer_evaluate(lamina_trainer trainer, lamina_dataset data,
                                                 lamina_score *score, lamina_error *error);

/// The model as it is now. The caller owns `*model`, which the trainer does not change, and
/// releases it. [one]
LAMINA_API lamina_status lamina_trainer_make_model(lamina_trainer trainer, lamina_model *model,
                                                   lamina_error *error);

/// Texts about a trainer.
enum {
  /// A JSON array with an object for each epoch: `loss`, `accuracy`, `learning_rate`, `val_loss`,
  /// `val_accuracy`.
  LAMINA_TRAINER_HISTORY = 1,
  /// What was noted on the way, as a JSON array of texts.
  LAMINA_TRAINER_MESSAGES = 2,
  /// What learns: a JSON array of objects with `key`, `role` (`weight`, `buffer`) and `shape`.
  LAMINA_TRAINER_PARAMETERS = 3
};

/// Copies the text `which` into the caller's `buffer`, see rule 6. [one]
LAMINA_API lamina_status lamina_trainer_get_text(lamina_trainer trainer, int32_t which,
                                                 char *buffer, size_t capacity, size_t *needed,
                                                 lamina_error *error);

// -- Steps of one's own --------------------------------------------------------------------------

/// One pass forward and back of a batch of the caller's. `labels` is `int32` or `int64` [batch]: a
/// class for each item; or `float32`: numbers for each output. Weights stay as they are until
/// `lamina_trainer_apply`; gradients of several passes before it are averaged; statistics of layers
/// follow at once. `*loss`, which may be NULL, receives the mean loss. Every input of the model
/// must be given, in order or by name. A loss or gradient that is not finite is
/// `LAMINA_ERROR_STATE`, and the pass is forgotten. The caller owns all. [one]
LAMINA_API lamina_status lamina_trainer_step(lamina_trainer trainer, const lamina_tensor *inputs,
                                             size_t input_count, const lamina_tensor *labels,
                                             double *loss, lamina_error *error);

/// One step of the optimizer by the gradients of the passes since the last one, which must not be
/// none. Owns and hands out nothing. [one]
LAMINA_API lamina_status lamina_trainer_apply(lamina_trainer trainer, lamina_error *error);

/// What there is of a parameter.
enum {
  /// The weight or statistic itself.
  LAMINA_TRAINER_VALUE = 1,
  /// Of a weight that learns: the gradient of the loss, summed over the passes since the last step.
  LAMINA_TRAINER_GRADIENT = 2
};

/// Copies what `which` says of the parameter `key` (`conv1.weight`) into the caller's `tensor`, an
/// output in the sense of `lamina_tensor`. [one]
LAMINA_API lamina_status lamina_trainer_get_tensor(lamina_trainer trainer, int32_t which,
                                                   const char *key, lamina_tensor *tensor,
                                                   lamina_error *error);

// -- The two-phase recipe ------------------------------------------------------------------------

/// How a trained model is fitted to other classes.
typedef struct lamina_finetune_options {
  uint32_t struct_size;
  /// Epochs of the new head alone; 0: 5; -1: none.
  int32_t head_epochs;
  /// What the learning rate is multiplied by for all layers; 0: 0.1.
  double gentle_factor;
  /// How both phases train; NULL: the defaults. `epochs` counts those of all layers, `frozen` holds
  /// in the second phase, and checkpoints lie in the folders `head` and `all` of `checkpoints`.
  /// Used during the call only.
  const lamina_trainer_options *trainer;
} lamina_finetune_options;

#define LAMINA_FINETUNE_OPTIONS_INIT                                                               \
  { (uint32_t)sizeof(lamina_finetune_options), 0, 0, NULL }

/// Fits `model` to the classes of `data`: a new head is trained alone, on features that the frozen
/// layers compute once where pictures are not changed at random, then all layers gently. Arguments
/// as of `lamina_trainer_create` and `lamina_trainer_fit`; when it is cancelled, the model as far
/// as it came is handed out. What is noted on the way goes to the context's log. The caller owns
/// `*result`, a model of its own, and releases it. [any]
LAMINA_API lamina_status lamina_finetune(lamina_model model, lamina_dataset data,
                                         lamina_dataset validation,
                                         const lamina_finetune_options *options,
                                         lamina_on_progress on_progress, void *user,
                                         lamina_model *result, int32_t *ending,
                                         lamina_error *error);

// -- Layout of the structs -----------------------------------------------------------------------

#if UINTPTR_MAX == UINT64_MAX
LAMINA_ASSERT_OFFSET(lamina_dataset_options, seed, 16);
LAMINA_ASSERT_OFFSET(lamina_dataset_options, label_count, 32);
LAMINA_ASSERT_OFFSET(lamina_dataset_source, count, 72);
LAMINA_ASSERT_OFFSET(lamina_dataset_source, items, 112);
LAMINA_ASSERT_OFFSET(lamina_dataset_source, name, 144);
LAMINA_ASSERT_OFFSET(lamina_dataset_info, labels, 40);
LAMINA_ASSERT_OFFSET(lamina_score, accuracy, 24);
LAMINA_ASSERT_OFFSET(lamina_progress, epoch, 16);
LAMINA_ASSERT_OFFSET(lamina_progress, items_per_second, 88);
LAMINA_ASSERT_OFFSET(lamina_trainer_options, schedule, 48);
LAMINA_ASSERT_OFFSET(lamina_trainer_options, checkpoints, 80);
LAMINA_ASSERT_OFFSET(lamina_trainer_options, frozen_count, 104);
LAMINA_ASSERT_OFFSET(lamina_finetune_options, trainer, 16);
#endif
#ifdef __cplusplus
}
#endif

#endif
