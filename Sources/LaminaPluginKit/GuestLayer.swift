import CLamina
import LaminaCore
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a layer class of the plugin holds for its functions.
private final class GuestClass: Sendable {
  let kind: LayerKind
  let registry: LayerRegistry
  let host: GuestHost

  init(_ definition: LayerDefinition, _ host: GuestHost) {
    kind = definition.kind
    var registry = LayerRegistry()
    registry.replace(definition)
    self.registry = registry
    self.host = host
  }

  static func of(_ pointer: UnsafePointer<lamina_layer_class>?) throws -> GuestClass {
    guard let data = pointer?.pointee.class_data else {
      throw LaminaError(.argument, "expected a layer class, found NULL")
    }
    return Unmanaged<GuestClass>.fromOpaque(data).takeUnretainedValue()
  }
}

/// A layer, and the names of its parameters as C texts.
private final class GuestLayer: Sendable {
  let layer: any Layer
  private let names = Mutex<[String: UInt]>([:])

  init(_ layer: any Layer) { self.layer = layer }

  deinit {
    for address in names.withLock({ $0 }).values {
      free(UnsafeMutableRawPointer(bitPattern: address))
    }
  }

  static func of(_ pointer: UnsafeRawPointer?) throws -> GuestLayer {
    guard let pointer else { throw LaminaError(.argument, "expected a layer, found NULL") }
    return Unmanaged<GuestLayer>.fromOpaque(pointer).takeUnretainedValue()
  }

  /// A copy that lives as long as the layer.
  func text(_ name: String) -> UnsafePointer<CChar>? {
    names.withLock { names in
      if let address = names[name] { return UnsafePointer(bitPattern: address) }
      guard let copy = strdup(name) else { return nil }
      names[name] = UInt(bitPattern: copy)
      return UnsafePointer(copy)
    }
  }
}

/// An immortal table for a layer type.
func makeLayerClass(
  _ type: any Layer.Type, _ host: GuestHost
) -> UnsafePointer<lamina_layer_class> {
  let definition = LayerDefinition(type, provider: "")
  var table = lamina_layer_class()
  table.struct_size = UInt32(MemoryLayout<lamina_layer_class>.size)
  var flags = 0
  if case .supported(let inputs, let outputs) = definition.gradient {
    if inputs { flags |= LAMINA_LAYER_READS_INPUTS }
    if outputs { flags |= LAMINA_LAYER_READS_OUTPUTS }
    table.backward = { layerClass, layer, call, error in
      perform(error) {
        let host = try GuestClass.of(layerClass).host.table()
        try backward(layer, call, host)
      }
    }
  }
  if definition.outputMemory == .mayOverwriteInput { flags |= LAMINA_LAYER_IN_PLACE }
  if definition.isRandom { flags |= LAMINA_LAYER_RANDOM }
  table.flags = UInt32(flags)
  table.kind = strdup(definition.kind.name).map { UnsafePointer($0) }
  table.kind_version = UInt32(clamping: definition.version)
  table.minimum_inputs = UInt32(clamping: definition.arity.lowerBound)
  table.maximum_inputs = UInt32(clamping: definition.arity.upperBound)
  table.class_data = UnsafeRawPointer(
    Unmanaged.passRetained(GuestClass(definition, host)).toOpaque())
  table.create = { layerClass, attributes, layer, error in
    perform(error) {
      let guest = try GuestClass.of(layerClass)
      let attributes = try read(attributes, try guest.host.table().pointee)
      let made = try guest.registry.makeLayer(guest.kind, attributes).layer
      layer?.pointee = Unmanaged.passRetained(GuestLayer(made)).toOpaque()
    }
  }
  table.destroy = { _, layer in
    if let layer { Unmanaged<GuestLayer>.fromOpaque(layer).release() }
  }
  table.count_outputs = { _, layer in (try? GuestLayer.of(layer))?.layer.outputCount ?? 0 }
  table.infer_shapes = { _, layer, inference, error in
    perform(error) { try infer(layer, inference) }
  }
  table.list_parameters = { _, layer, inputs, inputCount, parameters, capacity, count, error in
    perform(error) {
      let guest = try GuestLayer.of(layer)
      let specs = try guest.layer.parameters(for: try inputSpecs(inputs, inputCount))
      count?.pointee = specs.count
      for (index, spec) in specs.prefix(max(capacity, 0)).enumerated() {
        parameters?[index] = lamina_parameter(spec, name: guest.text(spec.name))
      }
    }
  }
  table.forward = { layerClass, layer, call, error in
    perform(error) {
      let host = try GuestClass.of(layerClass).host.table()
      try forward(layer, call, host)
    }
  }
  let place = UnsafeMutablePointer<lamina_layer_class>.allocate(capacity: 1)
  place.initialize(to: table)
  return UnsafePointer(place)
}

/// The attributes that the host offers, in its order.
private func read(_ pointer: OpaquePointer?, _ host: lamina_host) throws -> Attributes {
  var result = Attributes()
  for index in 0..<max(host.attribute_count?(pointer) ?? 0, 0) {
    guard let name = host.attribute_name?(pointer, index) else { break }
    func status(_ read: (UnsafeMutablePointer<lamina_error>) -> lamina_status?) throws {
      var error = lamina_error()
      error.struct_size = UInt32(MemoryLayout<lamina_error>.size)
      guard read(&error).map({ $0 == LAMINA_OK }) ?? false else {
        throw LaminaError(.internal, "the host does not read '\(String(cString: name))'")
      }
    }
    let value: AttributeValue
    switch Int(host.attribute_type?(pointer, name) ?? 0) {
    case LAMINA_ATTRIBUTE_INT:
      var number: Int64 = 0
      try status { host.attribute_int?(pointer, name, &number, $0) }
      value = .int(Int(number))
    case LAMINA_ATTRIBUTE_FLOAT:
      var number = 0.0
      try status { host.attribute_float?(pointer, name, &number, $0) }
      value = .float(number)
    case LAMINA_ATTRIBUTE_BOOL:
      var flag: Int32 = 0
      try status { host.attribute_bool?(pointer, name, &flag, $0) }
      value = .bool(flag != 0)
    case LAMINA_ATTRIBUTE_STRING:
      var text: UnsafePointer<CChar>?
      try status { host.attribute_string?(pointer, name, &text, $0) }
      value = .string(text.map { String(cString: $0) } ?? "")
    case LAMINA_ATTRIBUTE_INTS:
      var (numbers, count) = (UnsafePointer<Int64>?.none, 0)
      try status { host.attribute_ints?(pointer, name, &numbers, &count, $0) }
      value = .ints(UnsafeBufferPointer(start: numbers, count: count).map { Int($0) })
    case LAMINA_ATTRIBUTE_FLOATS:
      var (numbers, count) = (UnsafePointer<Double>?.none, 0)
      try status { host.attribute_floats?(pointer, name, &numbers, &count, $0) }
      value = .floats(Array(UnsafeBufferPointer(start: numbers, count: count)))
    default:
      throw LaminaError(.unsupported, "attribute '\(String(cString: name))' has an unknown type")
    }
    result[String(cString: name)] = value
  }
  return result
}

extension lamina_plugin_tensor {
  /// Shape and type; nil where the host does not know them either.
  fileprivate func spec() throws -> TensorSpec? {
    guard type != 0 else { return nil }
    guard let type = ElementType(code: type), rank >= 0, rank <= Shape.maximumRank else {
      throw LaminaError(.argument, "expected a tensor, found type \(type) and rank \(rank)")
    }
    let extents = withUnsafeBytes(of: shape) { bytes in
      (0..<Int(rank)).map { Int(bytes.load(fromByteOffset: $0 * 8, as: Int64.self)) }
    }
    return TensorSpec(try Shape(extents), type)
  }

  fileprivate func view() throws -> TensorView? {
    guard let data, let spec = try spec() else { return nil }
    return TensorView(spec.shape, spec.type, data)
  }

  fileprivate func mutableView() throws -> MutableTensorView? {
    guard let data, let spec = try spec() else { return nil }
    return MutableTensorView(spec.shape, spec.type, data)
  }

  /// Writes shape and type.
  fileprivate mutating func set(_ spec: TensorSpec) {
    type = spec.type.code
    rank = Int32(spec.shape.rank)
    storeExtents(spec.shape, in: &shape)
  }
}

/// Writes extents into an array of 8, the others 0.
private func storeExtents<T>(_ extents: Shape, in array: inout T) {
  withUnsafeMutableBytes(of: &array) { bytes in
    for axis in 0..<Shape.maximumRank {
      bytes.storeBytes(
        of: axis < extents.rank ? Int64(extents[axis]) : 0, toByteOffset: axis * 8, as: Int64.self)
    }
  }
}

extension lamina_parameter {
  fileprivate init(_ spec: ParameterSpec, name: UnsafePointer<CChar>?) {
    self.init()
    self.name = name
    role = Int32(spec.role == .weight ? LAMINA_PARAMETER_WEIGHT : LAMINA_PARAMETER_BUFFER)
    let (number, scale): (Int, Float) =
      switch spec.initializer {
      case .zeros: (LAMINA_INITIALIZER_ZEROS, 0)
      case .ones: (LAMINA_INITIALIZER_ONES, 0)
      case .constant(let value): (LAMINA_INITIALIZER_CONSTANT, value)
      case .normal(let deviation): (LAMINA_INITIALIZER_NORMAL, deviation)
      case .uniform(let bound): (LAMINA_INITIALIZER_UNIFORM, bound)
      case .heNormal(fanOut: false): (LAMINA_INITIALIZER_HE_NORMAL, 0)
      case .heNormal(fanOut: true): (LAMINA_INITIALIZER_HE_NORMAL_FAN_OUT, 0)
      case .heUniform(fanOut: false): (LAMINA_INITIALIZER_HE_UNIFORM, 0)
      case .heUniform(fanOut: true): (LAMINA_INITIALIZER_HE_UNIFORM_FAN_OUT, 0)
      case .leCunNormal: (LAMINA_INITIALIZER_LECUN_NORMAL, 0)
      case .leCunUniform: (LAMINA_INITIALIZER_LECUN_UNIFORM, 0)
      case .glorotNormal: (LAMINA_INITIALIZER_GLOROT_NORMAL, 0)
      case .glorotUniform: (LAMINA_INITIALIZER_GLOROT_UNIFORM, 0)
      }
    initializer = Int32(number)
    self.scale = Double(scale)
    type = spec.spec.type.code
    rank = Int32(spec.spec.shape.rank)
    storeExtents(spec.spec.shape, in: &shape)
  }
}

private func list(
  _ pointer: UnsafePointer<lamina_plugin_tensor>?, _ count: Int
) -> UnsafeBufferPointer<lamina_plugin_tensor> {
  UnsafeBufferPointer(start: pointer, count: pointer == nil ? 0 : count)
}

/// The specs of inputs, with values where the host knows them.
private func inputSpecs(
  _ pointer: UnsafePointer<lamina_plugin_tensor>?, _ count: Int
) throws -> [TensorSpec] {
  try list(pointer, count).map { tensor in
    guard let spec = try tensor.spec() else {
      throw LaminaError(.argument, "expected the shape of an input, found none")
    }
    return TensorSpec(
      spec.shape, spec.type, value: try tensor.view().map { try Tensor(copying: $0) })
  }
}

private func infer(
  _ layer: UnsafeRawPointer?, _ call: UnsafeMutablePointer<lamina_inference>?
) throws {
  let layer = try GuestLayer.of(layer).layer
  guard let call, let outputs = call.pointee.outputs else {
    throw LaminaError(.argument, "expected a place for outputs, found NULL")
  }
  let inputs = try inputSpecs(call.pointee.inputs, call.pointee.input_count)
  let threads = Int(call.pointee.threads)
  let specs = try layer.outputs(for: inputs)
  guard specs.count == call.pointee.output_count else {
    throw LaminaError(
      .internal, "expected \(call.pointee.output_count) output specs, found \(specs.count)")
  }
  for (index, spec) in specs.enumerated() { outputs[index].set(spec) }
  call.pointee.forward_scratch = layer.scratchBytes(for: inputs, threads: threads)
  call.pointee.backward_scratch = layer.backwardScratchBytes(for: inputs, threads: threads)
  call.pointee.saved = layer.savedBytes(for: inputs)
  call.pointee.multiply_adds = UInt64(clamping: layer.multiplyAdds(for: inputs, outputs: specs))
}

/// The host's threads as a pool of the layer's.
private func pool(_ threads: OpaquePointer?, _ host: UnsafePointer<lamina_host>) -> ThreadPool {
  nonisolated(unsafe) let (threads, host) = (threads, host)
  return ThreadPool(threads: host.pointee.thread_count?(threads) ?? 1) { count, body in
    withoutActuallyEscaping(body) { escapable in
      var box = escapable
      withUnsafeMutablePointer(to: &box) { pointer in
        host.pointee.parallel_for?(
          threads, count,
          { user, index in
            user?.assumingMemoryBound(to: (@Sendable (Int) -> Void).self).pointee(index)
          }, pointer)
      }
    }
  }
}

/// The views of a list, each of which must be there.
private func all<T>(_ views: [T?], _ name: StaticString) throws -> [T] {
  let found = views.compactMap { $0 }
  guard found.count == views.count else {
    throw LaminaError(.argument, "expected the elements of all \(name), found NULL")
  }
  return found
}

private func forward(
  _ layer: UnsafeRawPointer?, _ call: UnsafePointer<lamina_forward_call>?,
  _ host: UnsafePointer<lamina_host>
) throws {
  let layer = try GuestLayer.of(layer).layer
  guard let call = call?.pointee else {
    throw LaminaError(.argument, "expected a call, found NULL")
  }
  let parameters = list(call.parameters, call.parameter_count)
  try layer.forward(
    ForwardCall(
      inputs: try all(list(call.inputs, call.input_count).map { try $0.view() }, "inputs"),
      parameters: try all(parameters.map { try $0.view() }, "parameters"),
      outputs: try all(
        list(call.outputs, call.output_count).map { try $0.mutableView() }, "outputs"),
      scratch: UnsafeMutableRawBufferPointer(start: call.scratch, count: call.scratch_size),
      pool: pool(call.threads, host), isTraining: call.is_training != 0, seed: call.seed,
      saved: UnsafeMutableRawBufferPointer(start: call.saved, count: call.saved_size),
      bufferUpdates: try list(call.buffer_updates, call.parameter_count).map {
        try $0.mutableView()
      }))
}

private func backward(
  _ layer: UnsafeRawPointer?, _ call: UnsafePointer<lamina_backward_call>?,
  _ host: UnsafePointer<lamina_host>
) throws {
  let layer = try GuestLayer.of(layer).layer
  guard let call = call?.pointee else {
    throw LaminaError(.argument, "expected a call, found NULL")
  }
  try layer.backward(
    BackwardCall(
      outputGradients: try list(call.output_gradients, call.output_count).map { try $0.view() },
      inputs: try list(call.inputs, call.input_count).map { try $0.view() },
      outputs: try list(call.outputs, call.output_count).map { try $0.view() },
      parameters: try all(
        list(call.parameters, call.parameter_count).map { try $0.view() }, "parameters"),
      inputGradients: try list(call.input_gradients, call.input_count).map {
        try $0.mutableView()
      },
      parameterGradients: try list(call.parameter_gradients, call.parameter_count).map {
        try $0.mutableView()
      },
      saved: UnsafeMutableRawBufferPointer(
        start: UnsafeMutableRawPointer(mutating: call.saved), count: call.saved_size),
      scratch: UnsafeMutableRawBufferPointer(start: call.scratch, count: call.scratch_size),
      pool: pool(call.threads, host), isTraining: call.is_training != 0, seed: call.seed))
}
