import Lamina

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension Option {
  static let language = Option(
    name: "language", value: .text("c|swift"), help: "new: language of the plugin; default: c")
  static let folder = Option(
    name: "output", letter: "o", value: .text("FOLDER"),
    help: "new: folder to make; default: the plugin's name")
  static let package = Option(
    name: "package", value: .text("FOLDER"),
    help: "new: folder of Lamina's package as seen from the new one, for Swift; default: ../Lamina")
}

/// `lamina plugin new NAME`: writes a plugin with one layer that builds, passes `check`, and is to be changed.
struct PluginTemplate {
  /// The plugin's name: `prelu`.
  let name: String
  /// The same as a name of Swift: `Prelu`.
  let type: String
  let folder: String
  let package: String
  let files: [(path: String, text: String)]

  /// - Throws: `argument` for a name that is none.
  init(_ name: String, _ arguments: Arguments) throws {
    let bytes = Array(name.utf8)
    let lower = UInt8(ascii: "a")...UInt8(ascii: "z")
    let isName =
      bytes.count <= 40 && bytes.first.map(lower.contains) ?? false
      && bytes.last != UInt8(ascii: "-")
      && bytes.allSatisfy {
        lower.contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
          || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
      }
    guard isName else {
      throw LaminaError(
        .argument,
        "expected a name of at most 40 lower-case letters, digits, '_' and '-' that begins with a letter, "
          + "found '\(name.escapedForDisplay())'")
    }
    self.name = name
    let type = name.split { $0 == "-" || $0 == "_" }.map {
      $0.prefix(1).uppercased() + $0.dropFirst()
    }
    .joined()
    self.type = type
    folder = arguments.text(.folder) ?? name
    package = (arguments.text(.package) ?? "../Lamina").replacing("\\", with: "\\\\")
      .replacing("\"", with: "\\\"")
    let texts: [(String, String)]
    switch arguments.text(.language) ?? "c" {
    case "c": texts = [("\(name).c", cSource), ("Makefile", cMakefile), ("README.md", cReadme)]
    case "swift":
      texts = [
        ("Package.swift", swiftPackage), ("Sources/\(type)Plugin/\(type)Layer.swift", swiftLayer),
        ("Sources/\(type)Plugin/Entry.swift", swiftEntry), ("exports.map", swiftExports),
        ("Makefile", swiftMakefile), ("README.md", swiftReadme),
      ]
    case let other:
      throw UsageError("expected '--language' c or swift, found '\(other.escapedForDisplay())'")
    }
    let words = ["@name@": name, "@Type@": type, "@package@": package, "@use@": "import"]
    files = texts.map { path, text in
      (path, words.reduce(text) { $0.replacing($1.key, with: $1.value) })
    }
  }

  /// Writes the files into a new folder and tells what to do next.
  ///
  /// - Throws: `argument` when there is something at the folder's path; `io`.
  func write() throws -> ExitStatus {
    let shown = folder.escapedForDisplay(limit: 512)
    guard mkdir(folder, 0o777) == 0 else {
      throw errno == EEXIST
        ? LaminaError(.argument, "expected a new folder, found that there is one", path: shown)
        : LaminaError(.io, String(cString: strerror(errno)).lowercased(), path: shown)
    }
    for (path, text) in files {
      var parent = folder
      for part in path.split(separator: "/").dropLast() {
        parent += "/\(part)"
        mkdir(parent, 0o777)
      }
      let writer = try AtomicFileWriter(path: "\(folder)/\(path)")
      try writer.write(Array(text.utf8))
      try writer.commit()
    }
    try Terminal.write(
      files.map { "wrote \(shown)/\($0.path)\n" }.joined() + "next: cd \(shown) && make check\n")
    return .done
  }
}

private let cSource = #"""
  /// A plugin of Lamina with one layer, `com.example.@name@`, to be changed into yours:
  /// y = x for x >= 0 and w[c] * x for x < 0, with a weight w for each channel c (He et al. 2015).
  /// x and y: [batch, channels, ...] float32; w: [channels] float32.
  #include "lamina/lamina_plugin.h"

  #include <stdlib.h>

  static const lamina_host *host;

  /// What `create` makes of the attributes.
  typedef struct {
    /// Where the weights start [0.25].
    double slope;
  } layer_state;

  /// Says what was expected.
  static lamina_status fail(lamina_error *error, lamina_status status, const char *message) {
    size_t i = 0;
    for (; message[i] && i < sizeof error->message - 1; i++) error->message[i] = message[i];
    error->message[i] = 0;
    error->code = status;
    return status;
  }

  static lamina_status create(const lamina_layer_class *layer_class,
                              const lamina_attributes *attributes, void **layer,
                              lamina_error *error) {
    (void)layer_class;
    double slope = 0.25;
    const lamina_status status = host->attribute_float(attributes, "slope", &slope, error);
    if (status != LAMINA_OK) return status;
    layer_state *state = malloc(sizeof *state);
    if (!state) return fail(error, LAMINA_ERROR_LIMIT, "no memory for a layer");
    state->slope = slope;
    *layer = state;
    return LAMINA_OK;
  }

  static void destroy(const lamina_layer_class *layer_class, void *layer) {
    (void)layer_class;
    free(layer);
  }

  /// The output is like the input, as it comes.
  static lamina_status infer_shapes(const lamina_layer_class *layer_class, const void *layer,
                                    lamina_inference *inference, lamina_error *error) {
    (void)layer_class, (void)layer;
    if (inference->inputs[0].type != LAMINA_FLOAT32) {
      return fail(error, LAMINA_ERROR_SHAPE, "expected a float32 input");
    }
    if (inference->inputs[0].rank < 2) {
      return fail(error, LAMINA_ERROR_SHAPE, "expected an input of 2 axes or more");
    }
    return LAMINA_OK;
  }

  static lamina_status list_parameters(const lamina_layer_class *layer_class, const void *layer,
                                       const lamina_plugin_tensor *inputs, size_t input_count,
                                       lamina_parameter *parameters, size_t capacity,
                                       size_t *count, lamina_error *error) {
    (void)layer_class, (void)input_count;
    if (inputs[0].rank < 2) {
      return fail(error, LAMINA_ERROR_SHAPE, "expected an input of 2 axes or more");
    }
    *count = 1;
    if (capacity < 1) return LAMINA_OK;
    parameters[0] = (lamina_parameter){.name = "weight",
                                       .role = LAMINA_PARAMETER_WEIGHT,
                                       .initializer = LAMINA_INITIALIZER_CONSTANT,
                                       .scale = ((const layer_state *)layer)->slope,
                                       .type = LAMINA_FLOAT32,
                                       .rank = 1,
                                       .shape = {inputs[0].shape[1]}};
    return LAMINA_OK;
  }

  /// What the threads share. Each takes channels of its own, so that results do not depend on their
  /// number.
  typedef struct {
    size_t batch, channels, area;
    const float *x, *weight, *output_gradient;
    float *y, *input_gradient, *weight_gradient;
  } work;

  static work work_on(const lamina_plugin_tensor *x) {
    work w = {.batch = (size_t)x->shape[0], .channels = (size_t)x->shape[1], .area = 1};
    for (int32_t axis = 2; axis < x->rank; axis++) w.area *= (size_t)x->shape[axis];
    w.x = x->data;
    return w;
  }

  static void forward_channel(void *user, size_t channel) {
    const work *w = user;
    for (size_t image = 0; image < w->batch; image++) {
      const size_t start = (image * w->channels + channel) * w->area;
      for (size_t i = start; i < start + w->area; i++) {
        w->y[i] = w->x[i] >= 0 ? w->x[i] : w->weight[channel] * w->x[i];
      }
    }
  }

  static lamina_status forward(const lamina_layer_class *layer_class, const void *layer,
                               const lamina_forward_call *call, lamina_error *error) {
    (void)layer_class, (void)layer, (void)error;
    work w = work_on(&call->inputs[0]);
    w.weight = call->parameters[0].data;
    w.y = call->outputs[0].data;
    host->parallel_for(call->threads, w.channels, forward_channel, &w);
    return LAMINA_OK;
  }

  static void backward_channel(void *user, size_t channel) {
    const work *w = user;
    float sum = 0;
    for (size_t image = 0; image < w->batch; image++) {
      const size_t start = (image * w->channels + channel) * w->area;
      for (size_t i = start; i < start + w->area; i++) {
        const float dy = w->output_gradient[i];
        if (w->x[i] < 0) sum += dy * w->x[i];
        if (w->input_gradient) {
          w->input_gradient[i] += w->x[i] >= 0 ? dy : w->weight[channel] * dy;
        }
      }
    }
    if (w->weight_gradient) w->weight_gradient[channel] += sum;
  }

  /// Adds to the gradients that are wanted, which are those that are not NULL.
  static lamina_status backward(const lamina_layer_class *layer_class, const void *layer,
                                const lamina_backward_call *call, lamina_error *error) {
    (void)layer_class, (void)layer, (void)error;
    if (!call->output_gradients[0].data) return LAMINA_OK;
    work w = work_on(&call->inputs[0]);
    w.weight = call->parameters[0].data;
    w.output_gradient = call->output_gradients[0].data;
    w.input_gradient = call->input_gradients[0].data;
    w.weight_gradient = call->parameter_gradients[0].data;
    host->parallel_for(call->threads, w.channels, backward_channel, &w);
    return LAMINA_OK;
  }

  static const char *const attribute_names[] = {"slope", NULL};

  static const lamina_layer_class layer_class = {
      .struct_size = sizeof(lamina_layer_class),
      .flags = LAMINA_LAYER_READS_INPUTS | LAMINA_LAYER_IN_PLACE | LAMINA_LAYER_BATCHWISE,
      .kind = "com.example.@name@",
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

  static const lamina_layer_class *const classes[] = {&layer_class};

  static const lamina_plugin plugin = {
      .struct_size = sizeof(lamina_plugin),
      .abi_major = LAMINA_PLUGIN_ABI_MAJOR,
      .abi_minor_required = 0,
      .id = "com.example.@name@",
      .version = "0.1.0",
      .vendor = "Example",
      .class_count = 1,
      .classes = classes,
  };

  const lamina_plugin *lamina_plugin_entry(const lamina_host *given, lamina_error *error) {
    (void)error;
    host = given;
    return &plugin;
  }

  """#

private let cMakefile = """
  # `make` builds @name@.so, `make check` tries it in every way that Lamina knows. INCLUDE and LAMINA say where the headers
  # and the program are when they are not installed.
  CFLAGS ?= -O2
  INCLUDE ?= $(shell pkg-config --cflags lamina)
  LAMINA ?= lamina

  @name@.so: @name@.c
  \t$(CC) $(CFLAGS) -std=c99 -Wall -Wextra -pedantic -fPIC -fvisibility=hidden -shared $(INCLUDE) -o $@ $<

  check: @name@.so
  \t$(LAMINA) plugin check ./@name@.so

  clean:
  \trm -f @name@.so

  .PHONY: check clean

  """

private let cReadme = """
  # @name@

  A plugin of Lamina in one C file, with one layer: `com.example.@name@`, y = x for x ≥ 0 and w·x below, w by channel.

  ```
  make check
  lamina plugin info ./@name@.so
  lamina layers com.example.@name@ --plugin ./@name@.so
  ```

  To make it yours: choose a domain in place of `com.example`, then change formula, shapes, parameters and gradients in
  `@name@.c` from the top to the end, with `make check` behind each step. `lamina_plugin.h` says of each function who owns
  what and on which threads it runs. A layer without gradients leaves `.backward` out.

  """

private let swiftPackage = """
  // swift-tools-version: 6.1
  @use@ PackageDescription

  let package = Package(
    name: "@name@",
    products: [.library(name: "@Type@Plugin", type: .dynamic, targets: ["@Type@Plugin"])],
    dependencies: [.package(name: "Lamina", path: "@package@")],
    targets: [
      .target(
        name: "@Type@Plugin", dependencies: [.product(name: "LaminaPluginKit", package: "Lamina")])
    ],
    swiftLanguageModes: [.v6]
  )

  """

private let swiftLayer = """
  @use@ LaminaCore

  /// y = x for x ≥ 0 and w[c]·x for x < 0, with a weight w for each channel c (He et al. 2015).
  /// x and y: [batch, channels, …] float32; w: [channels] float32.
  struct @Type@Layer: Layer {
    static let kind: LayerKind = "com.example.@name@"
    static let gradient = Gradient.supported(inputs: true, outputs: false)
    static let outputMemory = OutputMemory.mayOverwriteInput
    /// Where the weights start.
    let slope: Float

    init(attributes: inout AttributeReader) throws {
      slope = try attributes.float("slope", default: 0.25)
    }

    func encode(into attributes: inout AttributeWriter) { attributes.float("slope", slope) }

    func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
      guard inputs[0].type == .float32 else {
        throw LaminaError(.shape, "expected a float32 input, found \\(inputs[0].type)")
      }
      guard inputs[0].shape.rank >= 2 else {
        throw LaminaError(.shape, "expected an input of 2 axes or more, found \\(inputs[0].shape)")
      }
      return [TensorSpec(inputs[0].shape)]
    }

    func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
      let shape = try outputs(for: inputs)[0].shape
      return [ParameterSpec("weight", try Shape([shape[1]]), initializer: .constant(slope))]
    }

    func forward(_ call: ForwardCall) throws {
      nonisolated(unsafe) let (x, y) = (call.inputs[0].floats, call.outputs[0].floats)
      nonisolated(unsafe) let weight = call.parameters[0].floats
      share(call.inputs[0].shape, call.pool) { channel, elements in
        for i in elements { y[i] = x[i] >= 0 ? x[i] : weight[channel] * x[i] }
      }
    }

    /// Adds to the gradients that are wanted, which are those that are not nil.
    func backward(_ call: BackwardCall) throws {
      guard let input = call.inputs[0], let gradient = call.outputGradients[0] else { return }
      nonisolated(unsafe) let (x, dy) = (input.floats, gradient.floats)
      nonisolated(unsafe) let weight = call.parameters[0].floats
      nonisolated(unsafe) let dx = call.inputGradients[0]?.floats
      nonisolated(unsafe) let dw = call.parameterGradients[0]?.floats
      share(input.shape, call.pool) { channel, elements in
        for i in elements {
          if x[i] < 0 { dw?[channel] += dy[i] * x[i] }
          dx?[i] += x[i] >= 0 ? dy[i] : weight[channel] * dy[i]
        }
      }
    }

    /// Calls `body` for the elements of every channel of every image. Each thread takes channels of its own, so that
    /// results do not depend on the number of threads.
    private func share(
      _ shape: Shape, _ pool: ThreadPool, _ body: @Sendable (Int, Range<Int>) -> Void
    ) {
      let (channels, area) = (shape[1], shape.count(from: 2))
      pool.parallelFor(channels) { channel in
        for image in 0..<shape[0] {
          let start = (image * channels + channel) * area
          body(channel, start..<start + area)
        }
      }
    }
  }

  """

private let swiftEntry = """
  @use@ LaminaPluginKit

  private let plugin = ExportedPlugin(
    id: "com.example.@name@", version: "0.1.0", vendor: "Example", layers: [@Type@Layer.self])

  /// What the host calls first.
  @_cdecl("lamina_plugin_entry")
  public func entry(host: UnsafeRawPointer?, error: UnsafeMutableRawPointer?) -> UnsafeRawPointer? {
    plugin.enter(host, error)
  }

  """

private let swiftExports = "{ global: lamina_plugin_entry; local: *; };\n"

private let swiftMakefile = """
  # `make` builds @name@.so: Swift's runtime and Lamina's core inside, and one function to be seen from outside.
  # `make check` tries it in every way that Lamina knows.
  SWIFT ?= swift
  LAMINA ?= lamina
  PRODUCT := @Type@Plugin

  @name@.so: Package.swift exports.map $(wildcard Sources/$(PRODUCT)/*.swift)
  \t$(SWIFT) build -c release --product $(PRODUCT)
  \t$(SWIFT)c -emit-library -static-stdlib -use-ld=lld -o $@ \\
  \t  "@$$($(SWIFT) build -c release --show-bin-path)/$(PRODUCT).product/Objects.LinkFileList" \\
  \t  -Xlinker --version-script=exports.map -Xlinker --gc-sections -Xlinker --strip-all \\
  \t  -Xlinker -z -Xlinker defs -Xlinker -z -Xlinker nodelete

  check: @name@.so
  \t$(LAMINA) plugin check ./@name@.so

  clean:
  \trm -rf @name@.so .build

  .PHONY: check clean

  """

private let swiftReadme = """
  # @name@

  A plugin of Lamina in Swift, with one layer: `com.example.@name@`, y = x for x ≥ 0 and w·x below, w by channel.
  `Package.swift` names the folder of Lamina's package, which the layer is compiled against.

  ```
  make check
  lamina plugin info ./@name@.so
  lamina layers com.example.@name@ --plugin ./@name@.so
  ```

  To make it yours: choose a domain in place of `com.example`, then change formula, shapes, parameters and gradients in
  `Sources/@Type@Plugin/@Type@Layer.swift`, with `make check` behind each step. A layer without gradients leaves
  `gradient` and `backward` out. The same type can be a layer of a target of yours, without a plugin.

  """
