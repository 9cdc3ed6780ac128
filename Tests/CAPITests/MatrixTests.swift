import CLamina
import Foundation
import LaminaTestSupport
import Testing

/// What a call of a row is made with: the row's handles, NULL for one pointer, and the error.
private struct Call {
  let fixture: Fixture
  var handles: [UInt64]
  var null: String?
  var error: UnsafeMutablePointer<lamina_error>?
  /// Looks at what the call may have written.
  let outputs = Outputs()

  final class Outputs { var untouched: [() -> Bool] = [] }

  /// The first handle, or in place of the fixture's model one whose head can be replaced.
  var fitting: lamina_model { handles[0] == fixture.model ? fixture.fitting : handles[0] }

  /// Memory of the caller with these values, under that name.
  func values<T>(_ name: String, _ values: [T]) -> UnsafeMutablePointer<T>? {
    let memory = Guarded<T>(values.count)
    memory.pointer.initialize(from: values, count: values.count)
    let before = Array(memory.bytes)
    outputs.untouched.append { memory.fencesStand && before.elementsEqual(memory.bytes) }
    return null == name ? nil : memory.pointer
  }

  /// The text of that name.
  func text<R>(_ name: String, _ text: String, _ body: (UnsafePointer<CChar>?) -> R) -> R {
    text.withCString { body(null == name ? nil : $0) }
  }

  /// Memory of the caller for an out parameter of that name.
  func out<T>(_ name: String, _: T.Type = T.self, count: Int = 1) -> UnsafeMutablePointer<T>? {
    let memory = Guarded<T>(count)
    outputs.untouched.append { memory.isUntouched() }
    return null == name ? nil : memory.pointer
  }

  /// Memory of the caller for facts, a struct that starts with its size.
  func facts<T>(_ name: String, _: T.Type = T.self) -> UnsafeMutablePointer<T>? {
    let memory = Guarded<T>()
    memory.bytes.storeBytes(of: UInt32(MemoryLayout<T>.size), as: UInt32.self)
    outputs.untouched.append { memory.isUntouched(from: 4) }
    return null == name ? nil : memory.pointer
  }
}

/// A function that returns a status, and how to call it.
private struct Row: Sendable, CustomTestStringConvertible {
  enum Kind: CaseIterable { case context, model, session, image, dataset, trainer }

  let name: String
  var handles: [Kind] = []
  var pointers: [String] = []
  let call: @Sendable (Call) -> lamina_status

  var testDescription: String { name }
}

private let input28 = [Int64(1), 1, 28, 28]

private let rows: [Row] = inferenceRows + trainingRows

private let inferenceRows: [Row] = [
  Row(name: "lamina_context_create", pointers: ["context"]) { call in
    let context = call.out("context", lamina_context.self)
    let status = lamina_context_create(nil, context, call.error)
    if status == LAMINA_OK, let context { lamina_context_release(context.pointee) }
    return status
  },
  Row(name: "lamina_context_layer_count", handles: [.context], pointers: ["count"]) {
    lamina_context_layer_count($0.handles[0], $0.out("count"), $0.error)
  },
  Row(name: "lamina_context_layer_info", handles: [.context], pointers: ["info"]) {
    lamina_context_layer_info($0.handles[0], 0, $0.facts("info"), $0.error)
  },
  Row(name: "lamina_context_load_plugin", handles: [.context], pointers: ["path"]) { call in
    call.text("path", (try? PluginBuilder.mish()) ?? "") {
      lamina_context_load_plugin(call.handles[0], $0, call.error)
    }
  },
  Row(name: "lamina_context_replace_layers", handles: [.context], pointers: ["path"]) { call in
    call.text("path", (try? PluginBuilder.mish()) ?? "") {
      lamina_context_replace_layers(call.handles[0], $0, call.error)
    }
  },
  Row(name: "lamina_context_register_plugin", handles: [.context], pointers: ["entry"]) {
    lamina_context_register_plugin(
      $0.handles[0], $0.null == "entry" ? nil : ownPlugin, 0, $0.error)
  },
  Row(name: "lamina_model_load", handles: [.context], pointers: ["path", "model"]) { call in
    call.text("path", call.fixture.path) { path in
      releasing(lamina_model_release, call.out("model")) {
        lamina_model_load(call.handles[0], path, $0, call.error)
      }
    }
  },
  Row(name: "lamina_model_load_memory", handles: [.context], pointers: ["data", "model"]) { call in
    let data = FileManager.default.contents(atPath: call.fixture.path) ?? Data()
    return data.withUnsafeBytes { bytes in
      releasing(lamina_model_release, call.out("model")) {
        lamina_model_load_memory(
          call.handles[0], call.null == "data" ? nil : bytes.baseAddress, bytes.count, $0,
          call.error)
      }
    }
  },
  Row(name: "lamina_model_load_descriptor", handles: [.context], pointers: ["model"]) { call in
    let descriptor = open(call.fixture.path, O_RDONLY)
    defer { close(descriptor) }
    return releasing(lamina_model_release, call.out("model")) {
      lamina_model_load_descriptor(call.handles[0], descriptor, $0, call.error)
    }
  },
  Row(name: "lamina_model_create", handles: [.context], pointers: ["architecture", "model"]) {
    call in
    call.text("architecture", "lenet5") { name in
      releasing(lamina_model_release, call.out("model")) {
        lamina_model_create(call.handles[0], name, 10, 0, $0, call.error)
      }
    }
  },
  Row(name: "lamina_model_create_from_graph", handles: [.context], pointers: ["graph", "model"]) {
    call in
    call.text("graph", smallGraph) { graph in
      releasing(lamina_model_release, call.out("model")) {
        lamina_model_create_from_graph(call.handles[0], graph, 0, $0, call.error)
      }
    }
  },
  Row(name: "lamina_model_with_weights", handles: [.model], pointers: ["path", "result"]) { call in
    call.text("path", call.fixture.path) { path in
      releasing(lamina_model_release, call.out("result")) {
        lamina_model_with_weights(call.handles[0], path, nil, $0, call.error)
      }
    }
  },
  Row(name: "lamina_model_with_labels", handles: [.model], pointers: ["labels", "result"]) { call in
    "a".withCString { label in
      let labels: [UnsafePointer<CChar>?] = [label]
      return labels.withUnsafeBufferPointer { labels in
        releasing(lamina_model_release, call.out("result")) {
          lamina_model_with_labels(
            call.handles[0], call.null == "labels" ? nil : labels.baseAddress, 1, $0, call.error)
        }
      }
    }
  },
  Row(name: "lamina_model_with_preprocessing", handles: [.model], pointers: ["json", "result"]) {
    call in
    call.text("json", "{}") { json in
      releasing(lamina_model_release, call.out("result")) {
        lamina_model_with_preprocessing(call.handles[0], json, $0, call.error)
      }
    }
  },
  Row(name: "lamina_model_export", handles: [.model], pointers: ["path"]) { call in
    call.text("path", call.fixture.folder + "/saved.npz") {
      lamina_model_export(call.handles[0], $0, call.error)
    }
  },
  Row(name: "lamina_model_save", handles: [.model], pointers: ["path"]) { call in
    call.text("path", call.fixture.folder + "/saved") {
      lamina_model_save(call.handles[0], $0, call.error)
    }
  },
  Row(name: "lamina_model_get_info", handles: [.model], pointers: ["info"]) {
    lamina_model_get_info($0.handles[0], $0.facts("info"), $0.error)
  },
  Row(name: "lamina_model_get_input", handles: [.model], pointers: ["info"]) {
    lamina_model_get_input($0.handles[0], 0, $0.facts("info"), $0.error)
  },
  Row(name: "lamina_model_get_output", handles: [.model], pointers: ["info"]) {
    lamina_model_get_output($0.handles[0], 0, $0.facts("info"), $0.error)
  },
  Row(name: "lamina_model_get_label", handles: [.model], pointers: ["label"]) {
    lamina_model_get_label($0.handles[0], 0, $0.out("label"), $0.error)
  },
  Row(name: "lamina_model_get_text", handles: [.model], pointers: ["buffer"]) {
    lamina_model_get_text(
      $0.handles[0], Int32(LAMINA_MODEL_SUMMARY), $0.out("buffer", count: 9999), 9999,
      $0.out("needed"), $0.error)
  },
  Row(name: "lamina_model_get_tensor", handles: [.model], pointers: ["key", "tensor"]) { call in
    let data = call.out("data", Float.self, count: 10)
    return call.text("key", "fc2.bias") {
      lamina_model_get_tensor(
        call.handles[0], $0, call.values("tensor", [tensor([], 0, data, byteCount: 40)]),
        call.error)
    }
  },
  Row(name: "lamina_image_load", handles: [.context], pointers: ["path", "image"]) { call in
    call.text("path", call.fixture.picture) { path in
      releasing(lamina_image_release, call.out("image")) {
        lamina_image_load(call.handles[0], path, $0, call.error)
      }
    }
  },
  Row(name: "lamina_image_decode", handles: [.context], pointers: ["data", "image"]) { call in
    let data = FileManager.default.contents(atPath: call.fixture.picture) ?? Data()
    return data.withUnsafeBytes { bytes in
      releasing(lamina_image_release, call.out("image")) {
        lamina_image_decode(
          call.handles[0], call.null == "data" ? nil : bytes.baseAddress, bytes.count, $0,
          call.error)
      }
    }
  },
  Row(name: "lamina_image_create", handles: [.context], pointers: ["pixels", "image"]) { call in
    releasing(lamina_image_release, call.out("image")) {
      lamina_image_create(
        call.handles[0], call.values("pixels", call.fixture.pixels), 28, 28, 0, $0, call.error)
    }
  },
  Row(name: "lamina_image_get_info", handles: [.image], pointers: ["info"]) {
    lamina_image_get_info($0.handles[0], $0.facts("info"), $0.error)
  },
  Row(name: "lamina_model_preprocess", handles: [.model, .image], pointers: ["images", "tensor"]) {
    call in
    let data = call.out("data", Float.self, count: 28 * 28)
    return lamina_model_preprocess(
      call.handles[0], call.values("images", [call.handles[1]]), 1,
      call.values("tensor", [tensor([], 0, data, byteCount: 28 * 28 * 4)]), call.error)
  },
  Row(name: "lamina_session_create", handles: [.model], pointers: ["session"]) { call in
    releasing(lamina_session_release, call.out("session")) {
      lamina_session_create(call.handles[0], nil, $0, call.error)
    }
  },
  Row(name: "lamina_session_output_shapes", handles: [.session], pointers: ["inputs", "outputs"]) {
    call in
    lamina_session_output_shapes(
      call.handles[0], call.values("inputs", [tensor(input28)]), 1,
      call.values("outputs", [lamina_tensor()]), 1, call.error)
  },
  Row(name: "lamina_session_run", handles: [.session], pointers: ["inputs", "outputs"]) { call in
    let data = call.out("data", Float.self, count: 10)
    let pixels = call.values("pixels", [Float](repeating: 0.5, count: 28 * 28))
    let input = tensor(input28, LAMINA_FLOAT32, pixels, byteCount: 28 * 28 * 4)
    return lamina_session_run(
      call.handles[0], call.values("inputs", [input]), 1,
      call.values("outputs", [tensor([], 0, data, byteCount: 40)]), 1, call.error)
  },
  Row(name: "lamina_session_explain", handles: [.session], pointers: ["inputs", "buffer"]) { call in
    lamina_session_explain(
      call.handles[0], call.values("inputs", [tensor(input28)]), 1,
      call.out("buffer", count: 99_999), 99_999, call.out("needed"), call.error)
  },
  Row(
    name: "lamina_session_predict", handles: [.session, .image], pointers: ["predictions", "count"]
  ) {
    lamina_session_predict(
      $0.handles[0], $0.handles[1], $0.out("predictions", count: 5), 5, $0.out("count"), $0.error)
  },
  Row(
    name: "lamina_session_predict_file", handles: [.session],
    pointers: ["path", "predictions", "count"]
  ) { call in
    call.text("path", call.fixture.picture) {
      lamina_session_predict_file(
        call.handles[0], $0, call.out("predictions", count: 5), 5, call.out("count"), call.error)
    }
  },
]

private let trainingRows: [Row] = [
  Row(name: "lamina_dataset_open", handles: [.context], pointers: ["path", "dataset"]) { call in
    call.text("path", call.fixture.photos) { path in
      releasing(lamina_dataset_release, call.out("dataset")) {
        lamina_dataset_open(call.handles[0], path, nil, $0, call.error)
      }
    }
  },
  Row(name: "lamina_dataset_create", handles: [.context], pointers: ["source", "dataset"]) { call in
    releasing(lamina_dataset_release, call.out("dataset")) { dataset in
      call.fixture.withSource { source in
        lamina_dataset_create(
          call.handles[0], call.null == "source" ? nil : source, dataset, call.error)
      }
    }
  },
  Row(name: "lamina_dataset_get_info", handles: [.dataset], pointers: ["info"]) {
    lamina_dataset_get_info($0.handles[0], $0.facts("info"), $0.error)
  },
  Row(name: "lamina_dataset_get_broken", handles: [.dataset], pointers: ["buffer"]) {
    lamina_dataset_get_broken(
      $0.handles[0], $0.out("buffer", count: 999), 999, $0.out("needed"), $0.error)
  },
  Row(name: "lamina_model_replace_head", handles: [.model], pointers: ["labels", "result"]) {
    call in
    "a".withCString { label in
      let labels: [UnsafePointer<CChar>?] = [label, label]
      return labels.withUnsafeBufferPointer { labels in
        releasing(lamina_model_release, call.out("result")) {
          lamina_model_replace_head(
            call.fitting, call.null == "labels" ? nil : labels.baseAddress, 2, 0, $0, call.error)
        }
      }
    }
  },
  Row(name: "lamina_model_evaluate", handles: [.model, .dataset], pointers: ["score"]) {
    lamina_model_evaluate($0.handles[0], $0.handles[1], 0, $0.facts("score"), $0.error)
  },
  Row(name: "lamina_trainer_create", handles: [.model], pointers: ["trainer"]) { call in
    releasing(lamina_trainer_release, call.out("trainer")) {
      lamina_trainer_create(call.handles[0], call.fixture.dataset, 0, nil, $0, call.error)
    }
  },
  Row(name: "lamina_trainer_freeze", handles: [.trainer], pointers: ["pattern"]) { call in
    call.text("pattern", "conv*") { lamina_trainer_freeze(call.handles[0], $0, call.error) }
  },
  Row(name: "lamina_trainer_freeze_up_to", handles: [.trainer], pointers: ["name"]) { call in
    call.text("name", "conv1") { lamina_trainer_freeze_up_to(call.handles[0], $0, call.error) }
  },
  Row(name: "lamina_trainer_freeze_trunk", handles: [.trainer]) {
    lamina_trainer_freeze_trunk($0.handles[0], $0.error)
  },
  Row(name: "lamina_trainer_unfreeze", handles: [.trainer], pointers: ["pattern"]) { call in
    call.text("pattern", "*") { lamina_trainer_unfreeze(call.handles[0], $0, call.error) }
  },
  Row(name: "lamina_trainer_fit", handles: [.trainer]) {
    lamina_trainer_fit($0.handles[0], nil, nil, $0.out("ending"), $0.error)
  },
  Row(name: "lamina_trainer_cancel", handles: [.trainer]) {
    lamina_trainer_cancel($0.handles[0], $0.error)
  },
  Row(name: "lamina_trainer_evaluate", handles: [.trainer], pointers: ["score"]) {
    lamina_trainer_evaluate($0.handles[0], 0, $0.facts("score"), $0.error)
  },
  Row(name: "lamina_trainer_make_model", handles: [.trainer], pointers: ["model"]) { call in
    releasing(lamina_model_release, call.out("model")) {
      lamina_trainer_make_model(call.handles[0], $0, call.error)
    }
  },
  Row(name: "lamina_trainer_get_text", handles: [.trainer], pointers: ["buffer"]) {
    lamina_trainer_get_text(
      $0.handles[0], Int32(LAMINA_TRAINER_PARAMETERS), $0.out("buffer", count: 9999), 9999,
      $0.out("needed"), $0.error)
  },
  Row(
    name: "lamina_trainer_step", handles: [.trainer], pointers: ["inputs", "labels"], call: step),
  Row(name: "lamina_trainer_apply", handles: [.trainer]) { call in
    var quiet = call
    quiet.error = nil
    _ = step(quiet)
    return lamina_trainer_apply(call.handles[0], call.error)
  },
  Row(name: "lamina_trainer_get_tensor", handles: [.trainer], pointers: ["key", "tensor"]) { call in
    let data = call.out("data", Float.self, count: 10)
    return call.text("key", "fc3.bias") {
      lamina_trainer_get_tensor(
        call.handles[0], Int32(LAMINA_TRAINER_VALUE), $0,
        call.values("tensor", [tensor([], 0, data, byteCount: 40)]), call.error)
    }
  },
  Row(name: "lamina_finetune", handles: [.model, .dataset], pointers: ["result"]) { call in
    var options = lamina_finetune_options()
    options.struct_size = UInt32(MemoryLayout<lamina_finetune_options>.size)
    options.head_epochs = 1
    var trainer = trainerOptions()
    trainer.epochs = 1
    return withUnsafePointer(to: trainer) { trainer in
      options.trainer = trainer
      return releasing(lamina_model_release, call.out("result")) {
        lamina_finetune(
          call.fitting, call.handles[1], 0, &options, nil, nil, $0, call.out("ending"),
          call.error)
      }
    }
  },
]

private func step(_ call: Call) -> lamina_status {
  let pixels = call.values("pixels", [Float](repeating: 0.5, count: 2 * 28 * 28))
  let classes = call.values("classes", [Int32(1), 2])
  let input = tensor([2, 1, 28, 28], LAMINA_FLOAT32, pixels, byteCount: 2 * 28 * 28 * 4)
  let labels = tensor([2], LAMINA_INT32, classes, byteCount: 8)
  return lamina_trainer_step(
    call.handles[0], call.values("inputs", [input]), 1, call.values("labels", [labels]),
    call.out("loss"), call.error)
}

/// Functions that cannot fail; each has a test by hand.
private let infallible: Set<String> = [
  "lamina_version", "lamina_abi_version", "lamina_status_name", "lamina_type_size",
  "lamina_catalog_count", "lamina_catalog_name", "lamina_context_release", "lamina_model_release",
  "lamina_session_release", "lamina_image_release", "lamina_dataset_release",
  "lamina_trainer_release",
]

/// Releases the handle that a successful call hands out.
private func releasing(
  _ release: (UInt64) -> Void, _ handle: UnsafeMutablePointer<UInt64>?,
  _ call: (UnsafeMutablePointer<UInt64>?) -> lamina_status
) -> lamina_status {
  let status = call(handle)
  if status == LAMINA_OK, let handle { release(handle.pointee) }
  return status
}

@Suite struct MatrixTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  private func handle(_ kind: Row.Kind) -> UInt64 {
    switch kind {
    case .context: fixture.context
    case .model: fixture.model
    case .session: fixture.session
    case .image: fixture.image
    case .dataset: fixture.dataset
    case .trainer: fixture.trainer
    }
  }

  private func released(_ kind: Row.Kind) throws -> UInt64 {
    var made: UInt64 = 0
    switch kind {
    case .context:
      try succeed { lamina_context_create(nil, &made, $0) }
      lamina_context_release(made)
    case .model:
      try succeed { lamina_model_create(fixture.context, "lenet5", 0, 0, &made, $0) }
      lamina_model_release(made)
    case .session:
      try succeed { lamina_session_create(fixture.model, nil, &made, $0) }
      lamina_session_release(made)
    case .image:
      try succeed { lamina_image_create(fixture.context, fixture.pixels, 28, 28, 0, &made, $0) }
      lamina_image_release(made)
    case .dataset:
      try succeed { error in
        fixture.withSource { lamina_dataset_create(fixture.context, $0, &made, error) }
      }
      lamina_dataset_release(made)
    case .trainer:
      try succeed { lamina_trainer_create(fixture.model, 0, 0, nil, &made, $0) }
      lamina_trainer_release(made)
    }
    return made
  }

  private func call(_ row: Row) -> Call {
    Call(fixture: fixture, handles: row.handles.map(handle), null: nil, error: nil)
  }

  /// Calls the row, expects the failure, and nothing written; also with no error to fill.
  private func expect(
    _ row: Row, _ call: Call, fails expected: Failure, sourceLocation: SourceLocation
  ) {
    var call = call
    let found = failure {
      call.error = $0
      return row.call(call)
    }
    #expect(found == expected, "\(row.name)", sourceLocation: sourceLocation)
    call.error = nil
    #expect(row.call(call) == expected.status, "\(row.name)", sourceLocation: sourceLocation)
    for untouched in call.outputs.untouched {
      #expect(untouched(), "\(row.name) wrote on failure", sourceLocation: sourceLocation)
    }
  }

  @Test func everyFunctionOfTheHeaderHasARow() throws {
    var declared: Set<String> = []
    for name in ["lamina", "lamina_training"] {
      let header = try String(
        contentsOfFile: packageRoot + "/include/lamina/\(name).h", encoding: .utf8)
      declared.formUnion(
        header.matches(of: /LAMINA_API [a-z0-9_ ]*[ \*](lamina_\w+)\(/).map { String($0.1) })
    }
    #expect(declared.count >= 55)
    #expect(declared == Set(rows.map(\.name)).union(infallible))
    #expect(Set(rows.map(\.name)).isDisjoint(with: infallible))
  }

  @Test(arguments: rows) private func validCallsSucceed(_ row: Row) {
    var call = call(row)
    #expect(
      failure {
        call.error = $0
        return row.call(call)
      } == nil)
    call.error = nil
    #expect(row.call(call) == LAMINA_OK)
  }

  @Test(arguments: rows) private func nullPointersAreArguments(_ row: Row) {
    for name in row.pointers {
      var call = call(row)
      call.null = name
      expect(
        row, call, fails: Failure(LAMINA_ERROR_ARGUMENT, "\(name): expected a pointer, found NULL"),
        sourceLocation: #_sourceLocation)
    }
  }

  @Test(arguments: rows) private func wrongHandlesAreErrors(_ row: Row) throws {
    for (position, kind) in row.handles.enumerated() {
      let stale = "one that was released or never made"
      var wrong: [(UInt64, String)] = [
        (0, "0"), (.max, stale), (0x1234_5678_9ABC_DEF0, stale), (handle(kind) ^ 1 << 24, stale),
        (handle(kind) ^ 1 << 60, stale), (try released(kind), stale),
      ]
      wrong += Row.Kind.allCases.filter { $0 != kind }.map { (handle($0), "a \($0)") }
      for (handle, found) in wrong {
        var call = call(row)
        call.handles[position] = handle
        expect(
          row, call,
          fails: Failure(
            LAMINA_ERROR_HANDLE, "expected a handle of a \(kind), found \(found)"),
          sourceLocation: #_sourceLocation)
      }
    }
  }

  @Test(arguments: rows) private func errorsStayWithinTheCallersStruct(_ row: Row) {
    guard !row.pointers.isEmpty else { return }
    for size in [UInt32(0), 4, 7, 8, 9, 24, 511, 512, 513, .max] {
      let memory = Guarded<lamina_error>()
      memory.bytes.storeBytes(of: size, as: UInt32.self)
      var call = call(row)
      call.null = row.pointers[0]
      call.error = memory.pointer
      #expect(row.call(call) == LAMINA_ERROR_ARGUMENT)
      #expect(memory.fencesStand)
      let written = min(Int(size), MemoryLayout<lamina_error>.size)
      if size < 8 {
        #expect(memory.isUntouched(from: 4))
        continue
      }
      #expect(memory.pointer.pointee.code == LAMINA_ERROR_ARGUMENT)
      #expect(memory.isUntouched(from: written))
      let full = "\(row.pointers[0]): expected a pointer, found NULL"
      let expected = size == 8 ? nil : String(full.prefix(written - 9))
      if let expected {
        let text = memory.bytes[8..<written].prefix { $0 != 0 }
        #expect(String(decoding: text, as: UTF8.self) == expected)
      }
    }
  }
}
