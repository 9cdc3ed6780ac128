import LaminaCore
import LaminaKernels

/// `y[n, o, p · strides − begin + t · dilations] += weight[i, o, t] · x[n, i, p]`, from `bias[o]`:
/// the gradient of a convolution by its input, over 1 to 3 spatial axes.
///
/// Input `[batch, channels, spatial…]`, output `[batch, out_channels, spatial…]` with extents
/// `strides · (input − 1) + dilations · (kernel − 1) + 1 + output_padding − begin − end`.
/// Parameters: `weight` [channels, out_channels / groups, kernel…], `bias` [out_channels].
package struct ConvTranspose: Layer {
  /// `lamina.conv_transpose`.
  package static let kind: LayerKind = "lamina.conv_transpose"
  /// Reads the input.
  package static let gradient = Gradient.supported(inputs: true, outputs: false)

  private let convolution: Convolution
  private let outputPadding: [Int]
  private let outputShape: [Int]?

  /// Attributes `out_channels`, `kernel_size` (1 to 3 numbers), `strides`, `dilations`, `padding`
  /// (`[begin…, end…]` cut from the output, `same_upper`, `same_lower` for `strides · input`, or
  /// `valid`), `output_padding` (0), `output_shape` (the spatial extents, in place of explicit
  /// padding), `groups`, `bias`.
  package init(attributes: inout AttributeReader) throws {
    convolution = try Convolution(attributes: &attributes)
    let rank = convolution.window.rank
    outputPadding = try attributes.ints(
      "output_padding", count: rank, default: [Int](repeating: 0, count: rank), in: 0...65535)
    outputShape =
      attributes.value("output_shape") == nil
      ? nil
      : try attributes.ints("output_shape", count: rank, in: 1...Shape.maximumExtent)
  }

  package func encode(into attributes: inout AttributeWriter) {
    convolution.encode(into: &attributes)
    if outputPadding.contains(where: { $0 != 0 }) {
      attributes.ints("output_padding", outputPadding)
    }
    if let outputShape { attributes.ints("output_shape", outputShape) }
  }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    let window = convolution.window
    _ = try window.spatialExtents(of: inputs[0])
    let channels = inputs[0].shape[1]
    guard channels % convolution.groups == 0 else {
      throw LaminaError(
        .shape, "expected channels divisible by \(convolution.groups) groups, found \(channels)")
    }
    let shape = try Shape(
      [channels, convolution.outChannels / convolution.groups] + window.kernel)
    var specs = [ParameterSpec("weight", shape, initializer: .heNormal(fanOut: false))]
    if convolution.hasBias {
      specs.append(ParameterSpec("bias", [convolution.outChannels], initializer: .zeros))
    }
    return specs
  }

  /// What is cut before each axis, and the spatial extents of the output.
  private func resolve(_ input: TensorSpec) throws -> (begins: [Int], output: [Int]) {
    let window = convolution.window
    let extents = try window.spatialExtents(of: input)
    var begins: [Int] = []
    var output: [Int] = []
    for axis in 0..<window.rank {
      let whole =
        max(window.strides[axis] * (extents[axis] - 1) + window.spans[axis], 0)
        + outputPadding[axis]
      func cut(to target: Int, isUpper: Bool) {
        let total = max(0, whole - target)
        begins.append(isUpper ? total / 2 : total - total / 2)
        output.append(target)
      }
      switch (outputShape, window.padding) {
      case (let shape?, let padding):
        cut(to: shape[axis], isUpper: padding == .automatic(.sameUpper))
      case (nil, .automatic(.valid)): cut(to: whole, isUpper: true)
      case (nil, .automatic(let flavour)):
        cut(to: extents[axis] * window.strides[axis], isUpper: flavour == .sameUpper)
      case (nil, .explicit(let pads)):
        begins.append(pads[axis])
        output.append(whole - pads[axis] - pads[window.rank + axis])
      }
    }
    guard output.allSatisfy({ $0 > 0 }) else {
      throw LaminaError(.shape, "expected an output of at least 1 position, found \(output)")
    }
    return (begins, output)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try parameters(for: inputs)
    let spatial = try resolve(inputs[0]).output
    return [TensorSpec(try Shape([inputs[0].shape[0], convolution.outChannels] + spatial))]
  }

  package var window: Window? { nil }

  package func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int {
    guard let input = inputs.first else { return 0 }
    return saturatingProduct(
      input.shape.count,
      saturatingProduct(convolution.outChannels / convolution.groups, convolution.window.taps))
  }

  /// The input is the narrow side, the output the wide one.
  private func products(for input: TensorSpec) throws -> PatchProducts {
    let (begins, output) = try resolve(input)
    return PatchProducts(
      patches: Patches(
        window: convolution.window, begins: begins, picture: output,
        positions: Array(input.shape.dimensions[2...])),
      batch: input.shape[0], groups: convolution.groups,
      filters: input.shape[1] / convolution.groups,
      channels: convolution.outChannels / convolution.groups)
  }

  package func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard let input = inputs.first, let products = try? products(for: input) else { return 0 }
    return products.scratchBytes(threads: threads)
  }

  package func forward(_ call: ForwardCall) throws {
    let (input, output) = (call.inputs[0], call.outputs[0])
    guard output.shape.count > 0, let scratch = call.scratch.baseAddress else { return }
    let products = try products(for: TensorSpec(input.shape, input.type))
    let bias = convolution.hasBias ? call.parameters[1].floats : nil
    for plane in 0..<output.shape[0] * output.shape[1] {
      (output.floats + plane * products.patches.pixels).update(
        repeating: bias?[plane % output.shape[1]] ?? 0, count: products.patches.pixels)
    }
    products.scatter(
      weight: call.parameters[0].floats, narrow: input.floats, wideSum: output.floats,
      pool: call.pool, scratch: scratch)
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    scratchBytes(for: inputs, threads: threads)
  }

  package func backward(_ call: BackwardCall) throws {
    guard let gradient = call.outputGradients[0], gradient.shape.count > 0,
      let scratch = call.scratch.baseAddress
    else { return }
    if convolution.hasBias, let bias = call.parameterGradients[1] {
      PatchProducts.addSums(
        of: gradient.floats, batch: gradient.shape[0], channels: gradient.shape[1],
        count: gradient.shape.count(from: 2), to: bias.floats, pool: call.pool)
    }
    guard let shape = call.inputGradients[0]?.shape ?? call.inputs[0]?.shape else { return }
    try products(for: TensorSpec(shape)).gather(
      wide: gradient.floats, narrow: call.inputs[0]?.floats,
      weightSum: call.parameterGradients[0]?.floats, weight: call.parameters[0].floats,
      narrowSum: call.inputGradients[0]?.floats, pool: call.pool, scratch: scratch)
  }
}
