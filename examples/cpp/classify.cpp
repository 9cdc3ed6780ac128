/// classify MODEL PICTURE [PLUGIN...]: prints the five likeliest classes, `probability  label` on a
/// line each.
///
/// MODEL is a Lamina model file or an ONNX file that says how pictures are prepared, PICTURE a JPEG
/// or PNG, PLUGIN a shared library with layers that the model needs. The exit status is 1 when
/// something is wrong with one of them, 2 when one is missing.
#include <lamina/lamina.h>

#include <cstdio>
#include <stdexcept>
#include <vector>

namespace {

/// A handle that is released when it goes out of scope.
template <void (*release)(uint64_t)> class Handle {
public:
  Handle() = default;
  Handle(const Handle &) = delete;
  Handle &operator=(const Handle &) = delete;
  ~Handle() { release(number); }

  operator uint64_t() const { return number; }
  uint64_t *operator&() { return &number; }

private:
  uint64_t number = 0;
};

using Context = Handle<lamina_context_release>;
using Model = Handle<lamina_model_release>;
using Session = Handle<lamina_session_release>;

/// Calls a function of Lamina with its arguments and an error, and throws what the error says.
template <typename Function, typename... Arguments>
void call(Function function, Arguments &&...arguments) {
  lamina_error error = LAMINA_ERROR_INIT;
  if (function(arguments..., &error)) throw std::runtime_error(error.message);
}

void classify(const char *path, const char *picture, const std::vector<const char *> &plugins) {
  Context context;
  call(lamina_context_create, nullptr, &context);
  for (const char *plugin : plugins) call(lamina_context_load_plugin, context, plugin);
  Model model;
  call(lamina_model_load, context, path, &model);
  Session session;
  call(lamina_session_create, model, nullptr, &session);
  lamina_prediction top[5];
  size_t count = 0;
  call(lamina_session_predict_file, session, picture, top, 5, &count);
  for (size_t i = 0; i < count; i++) std::printf("%.4f  %s\n", top[i].probability, top[i].label);
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: classify MODEL PICTURE [PLUGIN...]\n");
    return 2;
  }
  try {
    classify(argv[1], argv[2], {argv + 3, argv + argc});
  } catch (const std::exception &error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
  return 0;
}
