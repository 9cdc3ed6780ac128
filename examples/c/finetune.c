/// finetune MODEL PICTURES RESULT: fits a trained model to a folder of pictures, a folder for each
/// class.
///
/// The model gets a new last layer, which learns alone for eight epochs, all other layers frozen; a
/// line behind each epoch tells how it goes. RESULT is the model to write. `lamina_finetune` does
/// more in one call: all layers learn in the end. The exit status is 1 when something is wrong, 2
/// when an argument is missing.
#include <lamina/lamina_training.h>
#include <stdio.h>

static int32_t show(void *user, const lamina_progress *progress) {
  (void)user;
  if (progress->event == LAMINA_PROGRESS_EPOCH) {
    printf("epoch %zu/%zu  loss %.4f  accuracy %.4f\n", progress->epoch, progress->epochs,
           progress->loss, progress->validation_accuracy);
    fflush(stdout);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: finetune MODEL PICTURES RESULT\n");
    return 2;
  }
  lamina_error error = LAMINA_ERROR_INIT;
  lamina_context context = 0;
  lamina_model model = 0, fitted = 0, result = 0;
  lamina_dataset pictures = 0;
  lamina_trainer trainer = 0;
  lamina_dataset_options reading = LAMINA_DATASET_OPTIONS_INIT;
  reading.broken = LAMINA_BROKEN_SKIP;
  lamina_trainer_options training = LAMINA_TRAINER_OPTIONS_INIT;
  training.epochs = 8;
  lamina_dataset_info info = LAMINA_DATASET_INFO_INIT;
  lamina_status status = lamina_context_create(NULL, &context, &error);
  if (!status) status = lamina_model_load(context, argv[1], &model, &error);
  if (!status) status = lamina_dataset_open(context, argv[2], &reading, &pictures, &error);
  if (!status) status = lamina_dataset_get_info(pictures, &info, &error);
  if (!status)
    status = lamina_model_replace_head(model, info.labels, info.label_count, 0, &fitted, &error);
  if (!status) status = lamina_trainer_create(fitted, pictures, 0, &training, &trainer, &error);
  if (!status) status = lamina_trainer_freeze_trunk(trainer, &error);
  if (!status) status = lamina_trainer_fit(trainer, show, NULL, NULL, &error);
  if (!status) status = lamina_trainer_make_model(trainer, &result, &error);
  if (!status) status = lamina_model_save(result, argv[3], &error);
  if (status) fprintf(stderr, "finetune: %s\n", error.message);
  lamina_model_release(result);
  lamina_trainer_release(trainer);
  lamina_dataset_release(pictures);
  lamina_model_release(fitted);
  lamina_model_release(model);
  lamina_context_release(context);
  return status ? 1 : 0;
}
