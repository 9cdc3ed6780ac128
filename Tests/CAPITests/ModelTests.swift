import CLamina
import Foundation
import LaminaTestSupport
import Testing

@Suite struct ModelTests {
  private func input(_ model: lamina_model) throws -> lamina_value_info {
    var info = lamina_value_info()
    info.struct_size = UInt32(MemoryLayout<lamina_value_info>.size)
    try succeed { lamina_model_get_input(model, 0, &info, $0) }
    return info
  }

  private func output(_ model: lamina_model) throws -> lamina_value_info {
    var info = lamina_value_info()
    info.struct_size = UInt32(MemoryLayout<lamina_value_info>.size)
    try succeed { lamina_model_get_output(model, 0, &info, $0) }
    return info
  }

  private func extents(_ info: lamina_value_info) -> [Int64] {
    withUnsafeBytes(of: info.shape) {
      Array($0.assumingMemoryBound(to: Int64.self).prefix(Int(info.rank)))
    }
  }

  private func axisNames(_ info: lamina_value_info) -> [String?] {
    withUnsafeBytes(of: info.axis_names) {
      $0.assumingMemoryBound(to: UnsafePointer<CChar>?.self).prefix(Int(info.rank)).map { name in
        name.map { String(cString: $0) }
      }
    }
  }

  private func text(_ model: lamina_model, _ which: Int) throws -> String {
    var needed = 0
    try succeed { lamina_model_get_text(model, Int32(which), nil, 0, &needed, $0) }
    var buffer = [CChar](repeating: 1, count: needed)
    try succeed { lamina_model_get_text(model, Int32(which), &buffer, needed, nil, $0) }
    #expect(buffer.last == 0)
    return String(decoding: buffer.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  @Test func factsDescribeTheModel() throws {
    let fixture = try Fixture()
    var info = lamina_model_info()
    info.struct_size = UInt32(MemoryLayout<lamina_model_info>.size)
    try succeed { lamina_model_get_info(fixture.model, &info, $0) }
    #expect(String(cString: info.name) == "mnist_cnn")
    #expect(info.input_count == 1)
    #expect(info.output_count == 1)
    #expect(info.label_count == 10)
    #expect(info.node_count == 13)
    // 8·9+8, 16·8·9+16, 24·16·9+24, 2·24, 24·22·22·32+32, 32·10+10, 2·10
    #expect(info.parameter_count == 80 + 1168 + 3480 + 48 + 371_744 + 330 + 20)

    let input = try input(fixture.model)
    #expect(String(cString: input.name) == "input")
    #expect(input.type == LAMINA_FLOAT32)
    #expect(extents(input) == [-1, 1, 28, 28])
    #expect(axisNames(input) == ["batch", nil, nil, nil])
    let output = try output(fixture.model)
    #expect(String(cString: output.name) == "output")
    #expect(extents(output) == [-1, 10])
    #expect(axisNames(output) == ["batch", nil])

    for index in [1, -1, Int.max, .min] {
      var info = lamina_value_info()
      info.struct_size = UInt32(MemoryLayout<lamina_value_info>.size)
      let message = "index: expected an index below 1, found \(UInt(bitPattern: index))"
      #expect(
        failure { lamina_model_get_input(fixture.model, index, &info, $0) }
          == Failure(LAMINA_ERROR_ARGUMENT, message))
      #expect(
        failure { lamina_model_get_output(fixture.model, index, &info, $0) }
          == Failure(LAMINA_ERROR_ARGUMENT, message))
    }
  }

  @Test func freeSidesAreNamedAndDerivedOnesAreNot() throws {
    let fixture = try Fixture()
    var model: lamina_model = 0
    try succeed { lamina_model_create(fixture.context, "resnet18", 5, 0, &model, $0) }
    defer { lamina_model_release(model) }
    #expect(extents(try input(model)) == [-1, 3, -1, -1])
    #expect(axisNames(try input(model)) == ["batch", nil, "height", "width"])
    #expect(extents(try output(model)) == [-1, 5])
  }

  @Test func labelsAreBorrowedAndReplaced() throws {
    let fixture = try Fixture()
    var label: UnsafePointer<CChar>?
    try succeed { lamina_model_get_label(fixture.model, 7, &label, $0) }
    #expect(label.map { String(cString: $0) } == "7")
    for index in [10, -1] {
      #expect(
        failure { lamina_model_get_label(fixture.model, index, &label, $0) }
          == Failure(
            LAMINA_ERROR_ARGUMENT,
            "index: expected an index below 10, found \(UInt(bitPattern: index))"))
    }
    let names = (0..<10).map { strdup("café \($0)") }
    defer { for name in names { free(name) } }
    var labelled: lamina_model = 0
    try succeed {
      lamina_model_with_labels(
        fixture.model, names.map { UnsafePointer($0) }, 10, &labelled, $0)
    }
    defer { lamina_model_release(labelled) }
    try succeed { lamina_model_get_label(labelled, 3, &label, $0) }
    #expect(label.map { String(cString: $0) } == "café 3")
    try succeed { lamina_model_get_label(fixture.model, 3, &label, $0) }
    #expect(label.map { String(cString: $0) } == "3")
    for count in [-1, Int.min, Int.max] {
      #expect(
        failure { lamina_model_with_labels(fixture.model, [nil], count, &labelled, $0) }
          == Failure(LAMINA_ERROR_ARGUMENT, "labels: expected a count that fits memory"))
    }
  }

  @Test func textsTellTheirLength() throws {
    let fixture = try Fixture()
    let summary = try text(fixture.model, LAMINA_MODEL_SUMMARY)
    #expect(summary.contains("conv1"))
    #expect(try text(fixture.model, LAMINA_MODEL_SUMMARY_JSON).hasPrefix("{"))
    #expect(try text(fixture.model, LAMINA_MODEL_PREPROCESSING).contains("\"gray\""))
    #expect(try text(fixture.model, LAMINA_MODEL_PROVENANCE).contains("architecture"))
    #expect(try text(fixture.model, LAMINA_MODEL_REPORT) == "null")
    #expect(try text(fixture.model, LAMINA_MODEL_VALUE_NAMES).contains("\"relu2\""))
    for which in [0, 9, -1, Int(Int32.max)] {
      #expect(
        failure { lamina_model_get_text(fixture.model, Int32(which), nil, 0, nil, $0) }
          == Failure(LAMINA_ERROR_ARGUMENT, "which: expected a text of lamina.h, found \(which)"))
    }
    let count = summary.utf8.count + 1
    for capacity in [1, count - 1, count, count + 1] {
      let buffer = Guarded<CChar>(capacity)
      var needed = 0
      let found = failure {
        lamina_model_get_text(
          fixture.model, Int32(LAMINA_MODEL_SUMMARY), buffer.pointer, capacity, &needed, $0)
      }
      #expect(needed == count)
      #expect(buffer.fencesStand)
      if capacity < count {
        #expect(
          found
            == Failure(
              LAMINA_ERROR_BUFFER, "buffer: expected \(count) bytes, found \(capacity)"))
        #expect(buffer.isUntouched())
      } else {
        #expect(found == nil)
        #expect(buffer.isUntouched(from: count))
        #expect(String(cString: buffer.pointer) == summary)
      }
    }
    for capacity in [-1, Int.min] {
      var byte: CChar = 7
      #expect(
        failure {
          lamina_model_get_text(fixture.model, 1, &byte, capacity, nil, $0)
        } == Failure(LAMINA_ERROR_ARGUMENT, "buffer: expected a count that fits memory"))
      #expect(byte == 7)
    }
  }

  @Test func namesAndPathsAreUTF8AndBounded() throws {
    let fixture = try Fixture()
    var model: lamina_model = 0
    func load(_ bytes: [UInt8]) -> Failure? {
      (bytes + [0]).withUnsafeBytes { buffer in
        failure {
          lamina_model_load(
            fixture.context, buffer.assumingMemoryBound(to: CChar.self).baseAddress, &model, $0)
        }
      }
    }
    #expect(
      load([0x2F, 0xFF, 0xFE]) == Failure(LAMINA_ERROR_ARGUMENT, "path: expected UTF-8 text"))
    #expect(load([])?.status == LAMINA_ERROR_ARGUMENT)
    #expect(
      load([UInt8](repeating: 0x61, count: 65_536))
        == Failure(LAMINA_ERROR_ARGUMENT, "path: expected at most 65535 bytes of text"))
    #expect(load(Array("/no/such/%n%s".utf8))?.status == LAMINA_ERROR_NOT_FOUND)
    #expect(load(Array(fixture.folder.utf8))?.status == LAMINA_ERROR_ARGUMENT)
    #expect(load(Array(fixture.picture.utf8))?.status == LAMINA_ERROR_UNSUPPORTED)
    #expect(model == 0)
    #expect(
      failure { lamina_model_create(fixture.context, "resnet51", 0, 0, &model, $0) }?.message
        .hasPrefix("no model named 'resnet51', nearest is 'resnet50'") == true)
    for classes in [-1, Int.max, 1 << 40] {
      #expect(
        failure { lamina_model_create(fixture.context, "lenet5", classes, 0, &model, $0) }?.status
          == LAMINA_ERROR_ARGUMENT)
    }
  }

  @Test func descriptorsAndSizesAreChecked() throws {
    let fixture = try Fixture()
    var model: lamina_model = 0
    for descriptor in [Int32(-1), 9999, .max, .min] {
      #expect(
        failure { lamina_model_load_descriptor(fixture.context, descriptor, &model, $0) }?.status
          == LAMINA_ERROR_ARGUMENT)
    }
    var byte: UInt8 = 0
    for size in [-1, Int.min] {
      #expect(
        failure { lamina_model_load_memory(fixture.context, &byte, size, &model, $0) }
          == Failure(LAMINA_ERROR_ARGUMENT, "data: expected a count that fits memory"))
    }
    for size in [0, 1] {
      #expect(
        failure { lamina_model_load_memory(fixture.context, &byte, size, &model, $0) }?.status
          == LAMINA_ERROR_UNSUPPORTED)
    }
    #expect(model == 0)
  }

  @Test func savedModelsGiveTheSameAnswers() throws {
    let fixture = try Fixture()
    var model: lamina_model = 0
    try succeed { lamina_model_load(fixture.context, fixture.path, &model, $0) }
    defer { lamina_model_release(model) }
    var session: lamina_session = 0
    try succeed { lamina_session_create(model, nil, &session, $0) }
    defer { lamina_session_release(session) }
    func predictions(_ session: lamina_session) throws -> [Float] {
      var top = [lamina_prediction](repeating: lamina_prediction(), count: 10)
      var count = 0
      try succeed { lamina_session_predict(session, fixture.image, &top, 10, &count, $0) }
      return top.map(\.probability)
    }
    #expect(try predictions(session) == predictions(fixture.session))
    #expect(try text(model, LAMINA_MODEL_SUMMARY) == text(fixture.model, LAMINA_MODEL_SUMMARY))
  }

  @Test func weightsComeWithAReport() throws {
    let fixture = try Fixture()
    var fresh: lamina_model = 0
    try succeed { lamina_model_create(fixture.context, "mnist_cnn", 3, 1, &fresh, $0) }
    defer { lamina_model_release(fresh) }
    var loaded: lamina_model = 0
    let strict = failure {
      lamina_model_with_weights(fresh, fixture.path, nil, &loaded, $0)
    }
    #expect(strict?.status == LAMINA_ERROR_WEIGHTS)
    #expect(loaded == 0)
    try ["fc2.*", "norm2.*"].withCStrings { keep in
      var options = lamina_weights_options()
      options.struct_size = UInt32(MemoryLayout<lamina_weights_options>.size)
      options.keep = keep.baseAddress
      options.keep_count = 2
      try succeed { lamina_model_with_weights(fresh, fixture.path, &options, &loaded, $0) }
    }
    let report = try text(loaded, LAMINA_MODEL_REPORT)
    #expect(report.contains("\"fc2.weight\""))
    #expect(report.contains("\"reinitialised\""))
    lamina_model_release(loaded)

    var options = lamina_weights_options()
    options.struct_size = UInt32(MemoryLayout<lamina_weights_options>.size)
    options.partial = 1
    try succeed { lamina_model_with_weights(fresh, fixture.path, &options, &loaded, $0) }
    lamina_model_release(loaded)
    options.partial = 2
    #expect(
      failure { lamina_model_with_weights(fresh, fixture.path, &options, &loaded, $0) }
        == Failure(LAMINA_ERROR_ARGUMENT, "expected partial of 0 or 1, found 2"))
  }

  @Test func modelsAreExported() throws {
    let fixture = try Fixture()
    for name in ["x.onnx", "x.safetensors"] {
      let path = fixture.folder + "/" + name
      try succeed { lamina_model_export(fixture.model, path, $0) }
      var again: lamina_model = 0
      try succeed { lamina_model_load(fixture.context, path, &again, $0) }
      lamina_model_release(again)
    }
    let weights = fixture.folder + "/x.npz"
    try succeed { lamina_model_export(fixture.model, weights, $0) }
    var loaded: lamina_model = 0
    try succeed { lamina_model_with_weights(fixture.model, weights, nil, &loaded, $0) }
    lamina_model_release(loaded)
    #expect(
      failure { lamina_model_export(fixture.model, "x.h5", $0) }
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "expected a file named *.onnx, *.safetensors or *.npz, found 'x.h5'"))
  }

  @Test func weightsAreLoadedByRules() throws {
    let fixture = try Fixture()
    let rules = fixture.folder + "/rules"
    try Data("* -> *  # as they are\n".utf8).write(to: URL(filePath: rules))
    var loaded: lamina_model = 0
    try rules.withCString { rules in
      var options = lamina_weights_options()
      options.struct_size = UInt32(MemoryLayout<lamina_weights_options>.size)
      options.rules = rules
      try succeed { lamina_model_with_weights(fixture.model, fixture.path, &options, &loaded, $0) }
    }
    #expect(try text(loaded, LAMINA_MODEL_REPORT).contains("rules of "))
    lamina_model_release(loaded)
    try Data("a -> \n".utf8).write(to: URL(filePath: rules))
    rules.withCString { path in
      var options = lamina_weights_options()
      options.struct_size = UInt32(MemoryLayout<lamina_weights_options>.size)
      options.rules = path
      let found = failure {
        lamina_model_with_weights(fixture.model, fixture.path, &options, &loaded, $0)
      }
      #expect(found?.status == LAMINA_ERROR_FORMAT)
    }
  }

  @Test func preprocessingIsReadAsItIsWritten() throws {
    let fixture = try Fixture()
    let recipe = try text(fixture.model, LAMINA_MODEL_PREPROCESSING)
    var model: lamina_model = 0
    try succeed { lamina_model_with_preprocessing(fixture.model, recipe, &model, $0) }
    #expect(try text(model, LAMINA_MODEL_PREPROCESSING) == recipe)
    lamina_model_release(model)
    for json in ["", "{", "[]", "{\"mean\": 3}", "{\"what\": 1}"] {
      #expect(
        failure { lamina_model_with_preprocessing(fixture.model, json, &model, $0) }?.status
          == LAMINA_ERROR_FORMAT, "\(json)")
    }
  }
}

extension [String] {
  /// The texts as C texts.
  func withCStrings<R>(
    _ body: (UnsafeBufferPointer<UnsafePointer<CChar>?>) throws -> R
  ) rethrows -> R {
    let copies = map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return try copies.map { UnsafePointer($0) }.withUnsafeBufferPointer(body)
  }
}
