/// classify MODEL PICTURE [PLUGIN...]: prints the five likeliest classes, `probability  label` on a
/// line each.
///
/// MODEL is a Lamina model file or an ONNX file that says how pictures are prepared, PICTURE a JPEG
/// or PNG, PLUGIN a shared library with layers that the model needs. The exit status is 1 when
/// something is wrong with one of them, 2 when one is missing.
#include <lamina/lamina.h>
#include <stdio.h>

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: classify MODEL PICTURE [PLUGIN...]\n");
    return 2;
  }
  lamina_error error = LAMINA_ERROR_INIT;
  lamina_context context = 0;
  lamina_model model = 0;
  lamina_session session = 0;
  lamina_prediction top[5];
  size_t count = 0;
  lamina_status status = lamina_context_create(NULL, &context, &error);
  for (int i = 3; !status && i < argc; i++)
    status = lamina_context_load_plugin(context, argv[i], &error);
  if (!status) status = lamina_model_load(context, argv[1], &model, &error);
  if (!status) status = lamina_session_create(model, NULL, &session, &error);
  if (!status) status = lamina_session_predict_file(session, argv[2], top, 5, &count, &error);
  if (status) fprintf(stderr, "classify: %s\n", error.message);
  for (size_t i = 0; i < count; i++) printf("%.4f  %s\n", top[i].probability, top[i].label);
  lamina_session_release(session);
  lamina_model_release(model);
  lamina_context_release(context);
  return status ? 1 : 0;
}
