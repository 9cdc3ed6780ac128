import CLamina
import LaminaCore
import LaminaImages

/// What `lamina_session` names.
final class SessionObject: HandleObject, @unchecked Sendable {
  static let kind = HandleKind.session
  let model: ModelObject
  private let session: Session
  private let outputNames: [UnsafePointer<CChar>]
  private let texts = BorrowedTexts()
  private let gate = Gate()

  // Kept from run to run, so that shapes seen before allocate nothing.
  private var views: [TensorView]
  private var tensorOfInput: [Int]
  private var tensorOfOutput: [Int]
  private let nothing: AlignedBuffer

  init(_ model: ModelObject, _ options: lamina_session_options) throws {
    let context = model.context
    guard options.threads >= 0, options.threads <= ContextObject.threadLimit else {
      throw LaminaError(
        .argument, "expected 0...\(ContextObject.threadLimit) threads, found \(options.threads)")
    }
    guard options.strict == 0 || options.strict == 1 else {
      throw LaminaError(.argument, "expected strict of 0 or 1, found \(options.strict)")
    }
    var chosen = SessionOptions()
    chosen.limits = context.limits
    chosen.isStrict = options.strict == 1
    switch Int(options.optimization) {
    case LAMINA_OPTIMIZATION_FULL: chosen.optimization = .full
    case LAMINA_OPTIMIZATION_BASIC: chosen.optimization = .basic
    case LAMINA_OPTIMIZATION_NONE: chosen.optimization = .none
    default:
      throw LaminaError(
        .argument, "expected an optimization of lamina.h, found \(options.optimization)")
    }
    let names = try array(options.outputs, options.output_count, "outputs")
    if options.outputs != nil {
      guard !names.isEmpty else {
        throw LaminaError(.argument, "expected at least 1 output, found 0", path: "outputs")
      }
      chosen.outputs = try names.map { try text($0, "outputs") }
    }
    let pool: ThreadPool
    if options.threads == 0 {
      pool = context.pool
    } else {
      chosen.threads = Int(options.threads)
      pool = ThreadPool(threads: chosen.threads)
    }
    self.model = model
    session = try Session(model: model.model, options: chosen, pool: pool)
    outputNames = try session.outputNames.map { [texts] in try texts.add($0) }
    nothing = try AlignedBuffer(byteCount: 0)
    let empty = TensorView([0], .float32, UnsafeRawPointer(nothing.baseAddress))
    views = Array(repeating: empty, count: model.inputs.count)
    tensorOfInput = Array(repeating: 0, count: model.inputs.count)
    tensorOfOutput = Array(repeating: 0, count: outputNames.count)
  }

  /// Runs `body` when no other call uses the session.
  private func exclusively<R>(_ body: () throws -> R) throws -> R {
    try gate.enter(limit: 1, "session")
    defer { gate.leave() }
    try model.gate.enter("model")
    defer { model.gate.leave() }
    return try body()
  }

  // MARK: Binding

  /// Sets `tensorOfInput` and `views` to the caller's tensors.
  private func bindInputs(_ inputs: UnsafeBufferPointer<lamina_tensor>) throws {
    guard inputs.count == views.count else {
      throw LaminaError(.argument, "expected \(views.count) inputs, found \(inputs.count)")
    }
    for position in tensorOfInput.indices { tensorOfInput[position] = -1 }
    for index in inputs.indices {
      let position = try inputs[index].name.map { try inputPosition($0) } ?? index
      guard tensorOfInput[position] < 0 else {
        throw LaminaError(.argument, "found it twice", path: inputPath(position))
      }
      tensorOfInput[position] = index
    }
    for position in views.indices {
      let tensor = inputs[tensorOfInput[position]]
      do {
        let type = try tensor.elementType()
        let shape =
          tensor.matches(views[position].shape) ? views[position].shape : try tensor.makeShape()
        try tensor.checkAlignment(type)
        let data = tensor.data.map { UnsafeRawPointer($0) } ?? UnsafeRawPointer(nothing.baseAddress)
        views[position] = TensorView(shape, type, data)
      } catch let failure as LaminaError {
        throw failure.at(inputPath(position))
      }
    }
  }

  /// - Throws: `argument` when an input's memory is not exactly that of its shape.
  private func checkInputMemory(_ inputs: UnsafeBufferPointer<lamina_tensor>) throws {
    for position in views.indices {
      let tensor = inputs[tensorOfInput[position]]
      let expected = views[position].byteCount
      guard tensor.byte_count == expected else {
        throw LaminaError(
          .argument,
          "expected \(expected) bytes for \(views[position].type.rawValue) \(views[position].shape), found \(UInt(bitPattern: tensor.byte_count))",
          path: inputPath(position))
      }
      guard tensor.data != nil || expected == 0 else {
        throw LaminaError(.argument, "expected data, found NULL", path: inputPath(position))
      }
      _ = try tensor.addresses()
    }
  }

  /// Sets `tensorOfOutput` to the caller's tensors, -1 where there is none.
  private func bindOutputs(_ outputs: UnsafeMutableBufferPointer<lamina_tensor>) throws {
    guard outputs.count >= 1, outputs.count <= outputNames.count else {
      throw LaminaError(
        .argument, "expected 1...\(outputNames.count) outputs, found \(outputs.count)")
    }
    for position in tensorOfOutput.indices { tensorOfOutput[position] = -1 }
    for index in outputs.indices {
      let position = try outputs[index].name.map { try outputPosition($0) } ?? index
      guard tensorOfOutput[position] < 0 else {
        throw LaminaError(.argument, "found it twice", path: outputPath(position))
      }
      tensorOfOutput[position] = index
    }
  }

  private func inputPosition(_ name: UnsafePointer<CChar>) throws -> Int {
    for position in model.inputs.indices where areEqual(model.inputs[position].name, name) {
      return position
    }
    throw unknown("input", name, model.model.graph.inputs.map(\.name))
  }

  private func outputPosition(_ name: UnsafePointer<CChar>) throws -> Int {
    for position in outputNames.indices where areEqual(outputNames[position], name) {
      return position
    }
    throw unknown("output", name, session.outputNames)
  }

  private func unknown(
    _ what: String, _ name: UnsafePointer<CChar>, _ known: [String]
  ) -> LaminaError {
    guard let name = try? text(name, "name") else {
      return LaminaError(.argument, "expected UTF-8 text", path: "name of an \(what)")
    }
    let hint =
      nearestName(to: name, in: known).map { ", nearest is '\($0.escapedForDisplay())'" } ?? ""
    return LaminaError(.notFound, "no \(what) named '\(name.escapedForDisplay())'\(hint)")
  }

  private func inputPath(_ position: Int) -> String {
    "input \(model.model.graph.inputs[position].name.escapedForDisplay())"
  }

  private func outputPath(_ position: Int) -> String {
    "output \(session.outputNames[position].escapedForDisplay())"
  }

  /// - Throws: `argument` when an output's memory overlaps an input's or another output's.
  private func checkOverlaps(
    _ inputs: UnsafeBufferPointer<lamina_tensor>,
    _ outputs: UnsafeMutableBufferPointer<lamina_tensor>
  ) throws {
    for (position, index) in tensorOfOutput.enumerated() where index >= 0 {
      let range: Range<UInt>
      do {
        range = try outputs[index].addresses()
      } catch let failure as LaminaError {
        throw failure.at(outputPath(position))
      }
      for input in inputs where try input.addresses().overlaps(range) {
        throw LaminaError(
          .argument, "expected memory of its own, found it overlaps an input",
          path: outputPath(position))
      }
      for other in 0..<index where try outputs[other].addresses().overlaps(range) {
        throw LaminaError(
          .argument, "expected memory of its own, found it overlaps another output",
          path: outputPath(position))
      }
    }
  }

  // MARK: Calls

  /// Runs the model into the caller's memory.
  func run(
    _ inputs: UnsafeBufferPointer<lamina_tensor>,
    _ outputs: UnsafeMutableBufferPointer<lamina_tensor>
  ) throws {
    try exclusively {
      try bindInputs(inputs)
      try checkInputMemory(inputs)
      try bindOutputs(outputs)
      try checkOverlaps(inputs, outputs)
      try session.withOutputs(of: views) { results in try copy(results, to: outputs) }
    }
  }

  private func copy(
    _ results: [TensorView], to outputs: UnsafeMutableBufferPointer<lamina_tensor>
  ) throws {
    var short: LaminaError?
    for position in results.indices where tensorOfOutput[position] >= 0 {
      do {
        try outputs[tensorOfOutput[position]]
          .checkTarget(results[position].shape, results[position].type)
      } catch let failure as LaminaError {
        guard failure.code == .buffer else { throw failure.at(outputPath(position)) }
        short = short ?? failure.at(outputPath(position))
      }
    }
    for position in results.indices where tensorOfOutput[position] >= 0 {
      let index = tensorOfOutput[position]
      let result = results[position]
      if short == nil, let data = outputs[index].data {
        data.copyMemory(from: result.baseAddress, byteCount: result.byteCount)
      }
      outputs[index].describe(result.shape, result.type)
    }
    if let short { throw short }
  }

  /// Describes the outputs for inputs of these shapes.
  func describeOutputs(
    _ inputs: UnsafeBufferPointer<lamina_tensor>,
    _ outputs: UnsafeMutableBufferPointer<lamina_tensor>
  ) throws {
    try exclusively {
      try bindOutputs(outputs)
      let specs = try plan(for: inputs).outputSpecs
      for position in specs.indices where tensorOfOutput[position] >= 0 {
        outputs[tensorOfOutput[position]].describe(specs[position].shape, specs[position].type)
      }
    }
  }

  /// The plan for inputs of these shapes, for people.
  func explain(_ inputs: UnsafeBufferPointer<lamina_tensor>) throws -> String {
    try exclusively { try plan(for: inputs).explain() }
  }

  private func plan(for inputs: UnsafeBufferPointer<lamina_tensor>) throws -> Plan {
    try bindInputs(inputs)
    let specs = views.map { TensorSpec($0.shape, $0.type) }
    do {
      return try session.plan(for: specs)
    } catch let failure as LaminaError where failure.code == .shape {
      // Shapes may follow from the values of small inputs, where the caller gives them.
      var known = specs
      for (position, spec) in specs.enumerated() where spec.shape.rank <= 1 && spec.byteCount > 0 {
        let tensor = inputs[tensorOfInput[position]]
        guard tensor.data != nil, tensor.byte_count == spec.byteCount else { continue }
        known[position] = TensorSpec(constant: try Tensor(copying: views[position]))
      }
      guard known.contains(where: { $0.value != nil }) else { throw failure }
      return try session.plan(for: known)
    }
  }

  /// The likeliest classes of a picture, with labels.
  func predict(_ image: Image, top: Int) throws -> [lamina_prediction] {
    try exclusively {
      guard views.count == 1 else {
        throw LaminaError(.state, "expected a model with 1 input, found \(views.count)")
      }
      let input = try model.input(from: image)
      let best = try withExtendedLifetime(input) {
        try session.withOutputs(of: [input.view]) { results in
          try model.model.predictions(from: results[0], top: top)
        }
      }
      return try (best.first ?? []).map { prediction in
        lamina_prediction(
          label: try model.predictionLabel(at: prediction.index),
          index: Int32(clamping: prediction.index), probability: prediction.probability)
      }
    }
  }
}

/// `lamina_session_create` of `lamina.h`.
@_cdecl("lamina_session_create") @implementation
public func lamina_session_create(
  _ model: lamina_model, _ options: UnsafePointer<lamina_session_options>?,
  _ session: UnsafeMutablePointer<lamina_session>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let model = try handles.object(model, ModelObject.self)
    let session = try require(session, "session")
    let options = try options.map { try LaminaC.options($0, lamina_session_options(), "options") }
    let object = try SessionObject(model, options ?? lamina_session_options())
    session.pointee = try handles.insert(object)
  }
}

/// `lamina_session_release` of `lamina.h`.
@_cdecl("lamina_session_release") @implementation
public func lamina_session_release(_ session: lamina_session) { handles.release(session, .session) }

/// `lamina_session_output_shapes` of `lamina.h`.
@_cdecl("lamina_session_output_shapes") @implementation
public func lamina_session_output_shapes(
  _ session: lamina_session, _ inputs: UnsafePointer<lamina_tensor>?, _ inputCount: Int,
  _ outputs: UnsafeMutablePointer<lamina_tensor>?, _ outputCount: Int,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    try handles.object(session, SessionObject.self).describeOutputs(
      array(inputs, inputCount, "inputs"), array(outputs, outputCount, "outputs"))
  }
}

/// `lamina_session_run` of `lamina.h`.
@_cdecl("lamina_session_run") @implementation
public func lamina_session_run(
  _ session: lamina_session, _ inputs: UnsafePointer<lamina_tensor>?, _ inputCount: Int,
  _ outputs: UnsafeMutablePointer<lamina_tensor>?, _ outputCount: Int,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    try handles.object(session, SessionObject.self).run(
      array(inputs, inputCount, "inputs"), array(outputs, outputCount, "outputs"))
  }
}

/// `lamina_session_explain` of `lamina.h`.
@_cdecl("lamina_session_explain") @implementation
public func lamina_session_explain(
  _ session: lamina_session, _ inputs: UnsafePointer<lamina_tensor>?, _ inputCount: Int,
  _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ needed: UnsafeMutablePointer<Int>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let text = try handles.object(session, SessionObject.self)
      .explain(array(inputs, inputCount, "inputs"))
    try write(text, to: buffer, capacity, needed: needed)
  }
}

/// `lamina_session_predict` of `lamina.h`.
@_cdecl("lamina_session_predict") @implementation
public func lamina_session_predict(
  _ session: lamina_session, _ image: lamina_image,
  _ predictions: UnsafeMutablePointer<lamina_prediction>?, _ capacity: Int,
  _ count: UnsafeMutablePointer<Int>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let session = try handles.object(session, SessionObject.self)
    try predict(session, predictions, capacity, count) {
      try handles.object(image, ImageObject.self).image
    }
  }
}

/// `lamina_session_predict_file` of `lamina.h`.
@_cdecl("lamina_session_predict_file") @implementation
public func lamina_session_predict_file(
  _ session: lamina_session, _ path: UnsafePointer<CChar>?,
  _ predictions: UnsafeMutablePointer<lamina_prediction>?, _ capacity: Int,
  _ count: UnsafeMutablePointer<Int>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let session = try handles.object(session, SessionObject.self)
    let path = try text(path, "path")
    try predict(session, predictions, capacity, count) {
      let context = session.model.context
      return try Image.load(path: path, limits: context.limits, options: context.decoding)
    }
  }
}

private func predict(
  _ session: SessionObject, _ predictions: UnsafeMutablePointer<lamina_prediction>?,
  _ capacity: Int, _ count: UnsafeMutablePointer<Int>?, of image: () throws -> Image
) throws {
  let target = try array(require(predictions, "predictions"), capacity, "predictions")
  guard !target.isEmpty else {
    throw LaminaError(.argument, "expected a capacity of at least 1, found 0", path: "capacity")
  }
  let count = try require(count, "count")
  let best = try session.predict(image(), top: target.count)
  for (index, prediction) in best.enumerated() { target[index] = prediction }
  count.pointee = best.count
}
