import Lamina
import LaminaKernels
import Testing

/// The prepared training of a convolution against its passes on plain tensors.
private struct TrainingCase: CustomStringConvertible {
  var attributes: Attributes
  var shape: Shape
  /// The halo in which the input comes; nil for a plain one.
  var inputHalo: Int? = 0
  var outputHalo = 0
  var wantsInputGradient = true
  var isStrict = false

  init(
    _ attributes: Attributes, _ shape: Shape, inputHalo: Int? = 0, outputHalo: Int = 0,
    wantsInputGradient: Bool = true, isStrict: Bool = false
  ) {
    self.attributes = attributes
    self.shape = shape
    self.inputHalo = inputHalo
    self.outputHalo = outputHalo
    self.wantsInputGradient = wantsInputGradient
    self.isStrict = isStrict
  }

  var description: String { "\(attributes.json.text()) \(shape)" }
}

/// Bytes that a test owns, all ones to begin with.
private struct Memory {
  let buffer: AlignedBuffer

  init(_ byteCount: Int) throws {
    buffer = try AlignedBuffer(byteCount: max(byteCount, 64))
    buffer.baseAddress.initializeMemory(as: UInt8.self, repeating: 0xff, count: buffer.byteCount)
  }

  var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: buffer.byteCount)
  }
  var floats: UnsafeMutablePointer<Float> {
    buffer.baseAddress.assumingMemoryBound(to: Float.self)
  }
  func view(_ shape: Shape) -> TensorView { TensorView(shape, .float32, buffer.baseAddress) }
  func mutableView(_ shape: Shape) -> MutableTensorView {
    MutableTensorView(shape, .float32, buffer.baseAddress)
  }

  /// A plain tensor in a layout.
  init(_ tensor: Tensor, _ layout: TensorLayout) throws {
    try self.init(layout.byteCount(tensor.spec))
    withExtendedLifetime((self, tensor)) {
      if layout == .plain {
        floats.update(from: tensor.view.floats, count: tensor.shape.count)
      } else {
        Self.copy(tensor.shape, .plain, tensor.view.floats, layout, floats)
      }
    }
  }

  /// The plain elements, and whether halo and missing channels are zeros.
  func read(_ layout: TensorLayout, _ shape: Shape) throws -> (values: [Float], isPadded: Bool) {
    let plain = try Memory(shape.count * 4)
    let again = try Memory(layout.byteCount(TensorSpec(shape)))
    return withExtendedLifetime((self, plain, again)) {
      if layout == .plain {
        return (Array(UnsafeBufferPointer(start: floats, count: shape.count)), true)
      }
      Self.copy(shape, layout, floats, .plain, plain.floats)
      Self.copy(shape, .plain, plain.floats, layout, again.floats)
      let count = layout.byteCount(TensorSpec(shape)) / 4
      return (
        Array(UnsafeBufferPointer(start: plain.floats, count: shape.count)),
        (0..<count).allSatisfy { floats[$0] == again.floats[$0] }
      )
    }
  }

  private static func copy(
    _ shape: Shape, _ from: TensorLayout, _ source: UnsafePointer<Float>, _ to: TensorLayout,
    _ target: UnsafeMutablePointer<Float>
  ) {
    var (from, to) = (from.map(shape), to.map(shape))
    lk_f32_copy_map(nil, shape[0], shape[1], shape[2], shape[3], &from, source, &to, target)
  }
}

@Suite struct ConvolutionTrainingTests {
  private static let pools = [ThreadPool(threads: 1), ThreadPool(threads: 2)]

  private func random(_ shape: Shape, seed: UInt64) throws -> Tensor {
    let tensor = try Tensor(uninitialized: shape, .float32)
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    tensor.withMutableElements(of: Float.self) { elements in
      for index in elements.indices {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        elements[index] = Float(Int64(bitPattern: state) >> 40) / 0x1p23
      }
    }
    return tensor
  }

  private func values(_ tensor: Tensor) -> [Float] {
    withExtendedLifetime(tensor) {
      Array(UnsafeBufferPointer(start: tensor.view.floats, count: tensor.shape.count))
    }
  }

  /// Everything one case needs, and its results on plain tensors.
  private struct Reference {
    let layer: Conv2D
    let specs: [TensorSpec]
    let input: Tensor
    let parameters: [Tensor]
    let gradient: Tensor
    let output: [Float]
    /// By input and parameters.
    let gradients: [[Float]]
  }

  private func reference(_ row: TrainingCase) throws -> Reference {
    var reader = AttributeReader(row.attributes)
    let layer = try Conv2D(attributes: &reader)
    let input = try random(row.shape, seed: 1)
    let specs = try layer.parameters(for: [input.spec]).map(\.spec)
    let parameters = try specs.enumerated().map { try random($1.shape, seed: UInt64(2 + $0)) }
    let shape = try layer.outputs(for: [input.spec])[0].shape
    let gradient = try random(shape, seed: 9)
    let pool = Self.pools[1]
    let output = try Memory(shape.count * 4)
    let room = try Memory(layer.scratchBytes(for: [input.spec], threads: 2))
    try withExtendedLifetime((output, room)) {
      try layer.forward(
        ForwardCall(
          inputs: [input.view], parameters: parameters.map(\.view),
          outputs: [output.mutableView(shape)], scratch: room.bytes, pool: pool))
    }
    let sums = try ([input] + parameters).map { tensor in
      let sum = try Memory(tensor.shape.count * 4)
      sum.floats.update(repeating: 0, count: tensor.shape.count)
      return (sum, tensor.shape)
    }
    let scratch = try Memory(layer.backwardScratchBytes(for: [input.spec], threads: 2))
    try withExtendedLifetime((sums, scratch)) {
      try layer.backward(
        BackwardCall(
          outputGradients: [gradient.view], inputs: [input.view], outputs: [nil],
          parameters: parameters.map(\.view), inputGradients: [sums[0].0.mutableView(row.shape)],
          parameterGradients: sums.dropFirst().map { $0.0.mutableView($0.1) },
          scratch: scratch.bytes, pool: pool))
    }
    return try Reference(
      layer: layer, specs: specs, input: input, parameters: parameters, gradient: gradient,
      output: output.read(.plain, shape).values,
      gradients: sums.map { try $0.0.read(.plain, $0.1).values })
  }

  /// The output, then the gradients by input (perhaps none) and parameters, without what they were added to.
  private func train(
    _ row: TrainingCase, _ reference: Reference, pool: ThreadPool, sets: Bool
  ) throws -> [[Float]] {
    let channels = lk_block_channels(lk_active_isa())
    let shape = reference.gradient.shape
    let prepared = try #require(
      try reference.layer.prepareTraining(
        TrainingContext(
          inputs: [reference.input.spec], outputs: [reference.gradient.spec],
          parameters: reference.specs,
          inputLayouts: [row.inputHalo.map { .blocked(channels: channels, halo: $0) } ?? .plain],
          outputHalos: [row.outputHalo], wantsInputGradients: [row.wantsInputGradient],
          threads: pool.threadCount, isStrict: row.isStrict)), "\(row)")
    let inputLayout = try #require(prepared.inputLayouts?[0])
    let outputLayout = try #require(prepared.outputLayouts?[0])
    let input = try Memory(reference.input, inputLayout)
    let output = try Memory(outputLayout.byteCount(reference.gradient.spec))
    let room = try Memory(prepared.scratchBytes)
    try withExtendedLifetime((input, output, room)) {
      try prepared.forward(
        ForwardCall(
          inputs: [input.view(row.shape)], parameters: reference.parameters.map(\.view),
          outputs: [output.mutableView(shape)], scratch: room.bytes, pool: pool, isTraining: true))
    }
    let gradient = try Memory(reference.gradient, outputLayout)
    let bases = try ([reference.input] + reference.parameters).enumerated().map {
      try random($1.shape, seed: UInt64(20 + $0))
    }
    let layouts = [inputLayout] + reference.specs.map { _ in .plain }
    let targets = try zip(bases, layouts).map {
      try sets ? Memory($1.byteCount($0.spec)) : Memory($0, $1)
    }
    let scratch = try Memory(prepared.scratchBytes)
    try withExtendedLifetime((gradient, input, targets, scratch)) {
      try prepared.backward(
        BackwardCall(
          outputGradients: [gradient.view(shape)], inputs: [input.view(row.shape)], outputs: [nil],
          parameters: reference.parameters.map(\.view),
          inputGradients: [row.wantsInputGradient ? targets[0].mutableView(row.shape) : nil],
          parameterGradients: zip(targets, bases).dropFirst().map { $0.mutableView($1.shape) },
          setsInputGradients: [sets], setsParameterGradients: reference.specs.map { _ in sets },
          scratch: scratch.bytes, pool: pool))
    }
    let written = try output.read(outputLayout, shape)
    #expect(written.isPadded, "\(row): the output's halo")
    var results = [written.values]
    for (index, target) in targets.enumerated() where index > 0 || row.wantsInputGradient {
      let (found, isPadded) = try target.read(layouts[index], bases[index].shape)
      #expect(isPadded, "\(row): the halo of gradient \(index)")
      results.append(sets ? found : zip(found, values(bases[index])).map(-))
    }
    return results
  }

  private func check(_ row: TrainingCase, tolerance: Float = 2e-5) throws {
    let reference = try reference(row)
    let expected =
      [reference.output] + reference.gradients.dropFirst(row.wantsInputGradient ? 0 : 1)
    defer { lk_set_thread_isa(-1) }
    for isa in [LK_ISA_SCALAR, LK_ISA_NEON, LK_ISA_AVX2, LK_ISA_AVX512]
    where lk_isa_available(isa) {
      lk_set_thread_isa(Int32(isa.rawValue))
      for sets in [false, true] {
        let results = try Self.pools.map { try train(row, reference, pool: $0, sets: sets) }
        #expect(results[0] == results[1], "\(row): one thread and two")
        for (index, (found, wanted)) in zip(results[0], expected).enumerated() {
          let scale = wanted.reduce(1) { max($0, abs($1)) }
          let isClose = zip(found, wanted).allSatisfy { abs($0 - $1) <= tolerance * scale }
          #expect(isClose, "\(row) on \(isa): result \(index), \(sets ? "set" : "added")")
        }
      }
    }
  }

  @Test func agreesWithPlainTensors() throws {
    for row in [
      TrainingCase(["out_channels": 100, "kernel_size": 1], [2, 35, 7, 9]),
      TrainingCase(["out_channels": 32, "kernel_size": 1, "bias": false], [2, 64, 12, 12]),
      TrainingCase(
        ["out_channels": 48, "kernel_size": 3, "padding": 1], [3, 32, 14, 14], outputHalo: 1),
      TrainingCase(
        ["out_channels": 20, "kernel_size": 3, "padding": 1, "bias": false], [5, 18, 7, 9]),
      TrainingCase(
        ["out_channels": 20, "kernel_size": 3, "padding": 1], [2, 18, 9, 8], isStrict: true),
      TrainingCase(["out_channels": 33, "kernel_size": 3], [2, 17, 13, 12], inputHalo: 2),
      TrainingCase(["out_channels": 33, "kernel_size": 5, "padding": 2], [2, 17, 13, 12]),
      TrainingCase(
        ["out_channels": 48, "kernel_size": [1, 7], "padding": [0, 3, 0, 3]], [3, 40, 9, 10]),
      TrainingCase(
        ["out_channels": 33, "kernel_size": 3, "dilations": 2, "padding": 2], [2, 17, 13, 12]),
      TrainingCase(["out_channels": 16, "kernel_size": 5], [4, 6, 14, 14]),
      TrainingCase(
        ["out_channels": 20, "kernel_size": 3, "padding": 1], [2, 3, 9, 9], inputHalo: nil),
    ] { try check(row) }
  }

  @Test func stridesAgreeWithPlainTensors() throws {
    for row in [
      TrainingCase(["out_channels": 48, "kernel_size": 1, "strides": 2], [2, 35, 13, 12]),
      TrainingCase(
        ["out_channels": 48, "kernel_size": 3, "strides": 2, "padding": 1], [2, 35, 13, 12],
        inputHalo: 2, outputHalo: 2),
      TrainingCase(
        ["out_channels": 33, "kernel_size": [4, 3], "strides": [3, 2], "padding": [1, 0, 2, 1]],
        [2, 17, 13, 12]),
    ] { try check(row) }
  }

  @Test func groupsAgreeWithPlainTensors() throws {
    for row in [
      TrainingCase(
        ["out_channels": 40, "kernel_size": 3, "padding": 1, "groups": 40], [3, 40, 9, 10]),
      TrainingCase(
        [
          "out_channels": 40, "kernel_size": 5, "padding": "same_upper", "strides": 2, "groups": 40,
        ], [3, 40, 9, 10]),
      TrainingCase(
        ["out_channels": 96, "kernel_size": 3, "padding": 1, "strides": 2, "groups": 2],
        [3, 32, 9, 10]),
    ] { try check(row) }
  }

  @Test func firstLayersReadPlainPictures() throws {
    for row in [
      TrainingCase(
        ["out_channels": 40, "kernel_size": 7, "strides": 2, "padding": 3], [2, 3, 32, 36],
        inputHalo: nil, wantsInputGradient: false),
      TrainingCase(
        ["out_channels": 20, "kernel_size": 11, "strides": 4, "padding": 2], [2, 3, 47, 52],
        inputHalo: nil, wantsInputGradient: false),
      TrainingCase(
        ["out_channels": 6, "kernel_size": 5], [4, 1, 28, 28], inputHalo: nil,
        wantsInputGradient: false),
    ] { try check(row) }
  }

  /// Pixels are in the lanes of vectors: from 1, 2, 4 or 8 channels on, by instruction set.
  @Test func fewChannelsStayPlain() throws {
    for row in [
      TrainingCase(
        ["out_channels": 6, "kernel_size": 5, "padding": 2], [9, 1, 28, 28], inputHalo: nil,
        wantsInputGradient: false),
      TrainingCase(
        ["out_channels": 8, "kernel_size": [3, 4], "padding": [0, 2, 3, 1], "bias": false],
        [5, 3, 17, 47], inputHalo: nil, wantsInputGradient: false),
      TrainingCase(
        ["out_channels": 4, "kernel_size": 3, "dilations": [2, 3]], [3, 4, 19, 33], inputHalo: nil,
        wantsInputGradient: false),
      TrainingCase(
        ["out_channels": 2, "kernel_size": 3, "padding": 1], [70, 2, 5, 64], inputHalo: nil,
        wantsInputGradient: false),
      TrainingCase(
        ["out_channels": 1, "kernel_size": [2, 5]], [2, 1, 11, 20], inputHalo: nil,
        wantsInputGradient: false),
    ] { try check(row) }
    var reader = AttributeReader(["out_channels": 2, "kernel_size": 3])
    let layer = try Conv2D(attributes: &reader)
    let input = TensorSpec([2, 1, 18, 66])
    let prepared = try layer.prepareTraining(
      TrainingContext(
        inputs: [input], outputs: try layer.outputs(for: [input]),
        parameters: try layer.parameters(for: [input]).map(\.spec), wantsInputGradients: [false]))
    #expect(prepared?.summary.hasPrefix("planar") == true)
    #expect(prepared?.outputLayouts == [.plain])
  }

  @Test func plainInputsOfFewChannelsHaveGradients() throws {
    for row in [
      TrainingCase(["out_channels": 16, "kernel_size": 5], [4, 6, 14, 14], inputHalo: nil),
      TrainingCase(
        ["out_channels": 37, "kernel_size": [3, 5], "padding": [1, 0, 2, 3]], [3, 8, 9, 11],
        inputHalo: nil, outputHalo: 1),
      TrainingCase(
        ["out_channels": 7, "kernel_size": 3, "dilations": [2, 3], "padding": 1], [2, 4, 12, 17],
        inputHalo: nil),
      TrainingCase(
        [
          "out_channels": 19, "kernel_size": 3, "strides": [2, 3], "dilations": [2, 1],
          "padding": [2, 1, 0, 2],
        ], [2, 2, 12, 17], inputHalo: nil),
      TrainingCase(["out_channels": 3, "kernel_size": 1], [2, 2, 3, 2], inputHalo: nil),
    ] { try check(row) }
  }

  @Test func blocksDoNotSuitEverything() throws {
    for attributes: Attributes in [
      ["out_channels": 6, "kernel_size": 3, "groups": 2],
      ["out_channels": 4, "kernel_size": 3, "padding": 3],
      ["out_channels": 4, "kernel_size": 3, "activation": "relu"],
    ] {
      var reader = AttributeReader(attributes)
      let layer = try Conv2D(attributes: &reader)
      let input = TensorSpec([1, 20, 8, 8])
      let prepared = try layer.prepareTraining(
        TrainingContext(
          inputs: [input], outputs: try layer.outputs(for: [input]),
          parameters: try layer.parameters(for: [input]).map(\.spec)))
      #expect(prepared == nil, "\(attributes.json.text())")
    }
  }
}
