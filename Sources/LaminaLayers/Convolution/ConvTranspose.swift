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

  /// The taps of all output channels of a group for every input position: rows and columns.
  private func columnExtents(_ input: Shape) -> (rows: Int, positions: Int) {
    let rows = convolution.outChannels / convolution.groups * convolution.window.taps
    return (rows, input.count(from: 2))
  }

  package func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard let input = inputs.first?.shape, input.rank > 2 else { return 0 }
    let (rows, positions) = columnExtents(input)
    let bytes = saturatingProduct(saturatingProduct(rows, positions), 4)
    let product = lk_f32_gemm_scratch_bytes(
      rows, positions, input[1] / convolution.groups, Int32(threads))
    let (total, overflow) = bytes.addingReportingOverflow(product + 64)
    return overflow ? Int.max / 4 : min(total, Int.max / 4)
  }

  package func forward(_ call: ForwardCall) throws {
    let (input, output) = (call.inputs[0], call.outputs[0])
    guard output.shape.count > 0, let scratch = call.scratch.baseAddress else { return }
    let (begins, _) = try resolve(TensorSpec(input.shape, input.type))
    let (rows, positions) = columnExtents(input.shape)
    let channels = input.shape[1] / convolution.groups
    let filters = convolution.outChannels / convolution.groups
    let columns = scratch.assumingMemoryBound(to: Float.self)
    let productScratch = scratch + (rows * positions * 4 + 63) & ~63
    let scatter = Scatter(
      window: convolution.window, begins: begins, input: Array(input.shape.dimensions[2...]),
      output: Array(output.shape.dimensions[2...]))
    for part in 0..<input.shape[0] * convolution.groups {
      let group = part % convolution.groups
      lk_f32_gemm(
        call.pool.handle, rows, positions, channels, 1,
        call.parameters[0].floats + group * channels * rows, rows, true,
        input.floats + part * channels * positions, positions, false, 0, columns, positions,
        productScratch)
      let bias = convolution.hasBias ? call.parameters[1] : nil
      let target = FloatPointer(output.floats + part * filters * scatter.outputCount)
      let source = FloatPointer(columns)
      call.pool.parallelFor(filters) { filter in
        let plane = target.base + filter * scatter.outputCount
        plane.update(
          repeating: bias?.floats[group * filters + filter] ?? 0, count: scatter.outputCount)
        scatter.add(source.base + filter * scatter.taps * scatter.inputCount, to: plane)
      }
    }
  }
}

/// An address that tasks of one loop share.
private struct FloatPointer: @unchecked Sendable {
  let base: UnsafeMutablePointer<Float>

  init(_ base: UnsafeMutablePointer<Float>) { self.base = base }
}

/// Adds the taps of each input position to the output positions they belong to.
private struct Scatter: Sendable {
  private let kernel: [Int]
  private let strides: [Int]
  private let dilations: [Int]
  private let begins: [Int]
  private let input: [Int]
  private let output: [Int]

  var taps: Int { kernel.reduce(1, *) }
  var inputCount: Int { input.reduce(1, *) }
  var outputCount: Int { output.reduce(1, *) }

  init(window: SpatialWindow, begins: [Int], input: [Int], output: [Int]) {
    func three(_ values: [Int], _ fill: Int) -> [Int] {
      [Int](repeating: fill, count: 3 - values.count) + values
    }
    kernel = three(window.kernel, 1)
    strides = three(window.strides, 1)
    dilations = three(window.dilations, 1)
    self.begins = three(begins, 0)
    self.input = three(input, 1)
    self.output = three(output, 1)
  }

  /// `columns` [taps, input positions] into `plane` [output positions].
  func add(_ columns: UnsafePointer<Float>, to plane: UnsafeMutablePointer<Float>) {
    var from = columns
    for tap in 0..<taps {
      let offsets = [
        tap / (kernel[1] * kernel[2]) * dilations[0] - begins[0],
        tap / kernel[2] % kernel[1] * dilations[1] - begins[1],
        tap % kernel[2] * dilations[2] - begins[2],
      ]
      for z in 0..<input[0] {
        let outZ = z * strides[0] + offsets[0]
        for y in 0..<input[1] {
          let outY = y * strides[1] + offsets[1]
          if outZ >= 0, outZ < output[0], outY >= 0, outY < output[1] {
            let line = plane + (outZ * output[1] + outY) * output[2]
            for x in 0..<input[2] {
              let outX = x * strides[2] + offsets[2]
              if outX >= 0, outX < output[2] { line[outX] += from[x] }
            }
          }
          from += input[2]
        }
      }
    }
  }
}
