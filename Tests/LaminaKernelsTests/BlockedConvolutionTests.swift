import LaminaKernels
import Testing

/// Memory of exactly the bytes asked for: an address sanitizer sees what reads outside.
final class Exact {
  let raw: UnsafeMutableRawPointer

  init(bytes: Int) {
    raw = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 1), alignment: 64)
    raw.initializeMemory(as: UInt8.self, repeating: 0xff, count: bytes)
  }

  convenience init(_ values: [Float]) {
    self.init(bytes: values.count * 4)
    for i in values.indices { floats[i] = values[i] }
  }

  deinit { raw.deallocate() }

  var floats: UnsafeMutablePointer<Float> { raw.assumingMemoryBound(to: Float.self) }
}

/// A feature map's extents and its place in memory; blocks of one channel make a plain one.
struct Place {
  let batch: Int
  let channels: Int
  let height: Int
  let width: Int
  let map: lk_map

  init(_ batch: Int, _ channels: Int, _ height: Int, _ width: Int, block: Int, halo: Int) {
    (self.batch, self.channels, self.height, self.width) = (batch, channels, height, width)
    let row = (width + 2 * halo) * block
    let plane = (height + 2 * halo) * row
    map = lk_map(
      channels: block, halo: halo, block: block == 1 ? plane : batch * plane,
      image: block == 1 ? channels * plane : plane, row: row)
  }

  var elements: Int { batch * channels * height * width }

  /// Floats in memory.
  var count: Int {
    let blocks = (channels + map.channels - 1) / map.channels
    return batch * blocks * (height + 2 * map.halo) * map.row
  }

  /// Where each element of the plain map lies.
  private var offsets: [Int] {
    var offsets: [Int] = []
    offsets.reserveCapacity(elements)
    for n in 0..<batch {
      for c in 0..<channels {
        for y in 0..<height {
          for x in 0..<width {
            offsets.append(
              c / map.channels * map.block + n * map.image + (y + map.halo) * map.row
                + (x + map.halo) * map.channels + c % map.channels)
          }
        }
      }
    }
    return offsets
  }

  /// The plain map in memory, zeros elsewhere.
  func spread(_ plain: [Float]) -> [Float] {
    var memory = [Float](repeating: 0, count: count)
    for (value, offset) in zip(plain, offsets) { memory[offset] = value }
    return memory
  }

  /// The plain map, and whether all else in memory is zero.
  func gather(_ memory: [Float]) -> (plain: [Float], isPadded: Bool) {
    var rest = memory
    let offsets = offsets
    let plain = offsets.map { memory[$0] }
    for offset in offsets { rest[offset] = 0 }
    return (plain, rest.allSatisfy { $0 == 0 })
  }
}

/// Winograd's transforms, by number: taps, and the outputs of a tile.
let windowForms: [(kernel: (Int, Int), name: String)] = [
  ((3, 3), "winograd 2×2"), ((3, 3), "winograd 4×4"), ((5, 5), "winograd 2×2"),
  ((5, 5), "winograd 4×4"), ((1, 3), "winograd 1×4"), ((3, 1), "winograd 4×1"),
  ((1, 7), "winograd 1×2"), ((7, 1), "winograd 2×1"), ((1, 7), "winograd 1×4"),
  ((7, 1), "winograd 4×1"),
]

/// What runs instead of the choice of lk_make_blocked_conv.
private enum Algorithm {
  case chosen
  case direct(panelSplits: Int, pixelSplits: Int)
  case winograd(form: Int, tiles: Int, splits: Int)
}

private struct BlockedCase {
  let conv: lk_conv2d
  let isPlain: Bool
  let halos: (input: Int, output: Int, residual: Int)
  let input: [Float]
  let weight: [Float]
  let bias: [Float]?
  let residual: [Float]?
  let expected: [Double]
  /// The largest |y| before the activation, at least 1.
  let scale: Double

  /// `spare` is what the input's halo has beyond what the window reads.
  init(
    _ conv: lk_conv2d, isPlain: Bool = false, spare: Int = 0, outputHalo: Int = 0,
    residualHalo: Int? = nil, bias: Bool = true
  ) {
    func behind(_ out: Int, _ stride: Int, _ kernel: Int, _ dilation: Int, _ end: Int) -> Int {
      (out - 1) * stride + (kernel - 1) * dilation + 1 - end
    }
    let bottom = behind(
      conv.out_height, conv.stride_height, conv.kernel_height, conv.dilation_height,
      conv.in_height + conv.pad_top)
    let right = behind(
      conv.out_width, conv.stride_width, conv.kernel_width, conv.dilation_width,
      conv.in_width + conv.pad_left)
    var generator = Generator(seed: UInt64(conv.outputCount * 31 + conv.taps))
    self.conv = conv
    self.isPlain = isPlain
    halos = (
      isPlain ? 0 : max(conv.pad_top, conv.pad_left, bottom, right, 0) + spare, outputHalo,
      residualHalo ?? 0
    )
    input = generator.floats(conv.batch * conv.in_channels * conv.in_height * conv.in_width)
    weight = generator.floats(conv.out_channels * conv.taps)
    self.bias = bias ? generator.floats(conv.out_channels) : nil
    residual = residualHalo == nil ? nil : generator.floats(conv.outputCount)
    let sums = conv.sums(input, weight, self.bias, residual)
    scale = sums.reduce(1) { max($0, abs($1)) }
    expected = sums.map(conv.activation.apply)
  }

  func make(_ algorithm: Algorithm, threads: Int) -> lk_blocked_conv? {
    let block = lk_block_channels(lk_active_isa())
    let output = (conv.batch, conv.out_channels, conv.out_height, conv.out_width)
    func place(halo: Int) -> Place {
      Place(output.0, output.1, output.2, output.3, block: block, halo: halo)
    }
    var blocked = lk_blocked_conv()
    blocked.conv = conv
    blocked.in = inputPlace(block).map
    blocked.out = place(halo: halos.output).map
    blocked.residual = place(halo: halos.residual).map
    guard lk_make_blocked_conv(&blocked, isPlain, Int32(threads)) else { return nil }
    switch algorithm {
    case .chosen: break
    case .direct(let panelSplits, let pixelSplits):
      blocked.algorithm = LK_CONV_DIRECT
      (blocked.panel_splits, blocked.pixel_splits) = (panelSplits, pixelSplits)
    case .winograd(let form, let tiles, let splits):
      blocked.algorithm = LK_CONV_WINOGRAD
      (blocked.winograd_form, blocked.winograd_tiles) = (form, tiles)
      blocked.panel_splits = splits
    }
    return blocked
  }

  private func inputPlace(_ block: Int) -> Place {
    Place(
      conv.batch, conv.in_channels, conv.in_height, conv.in_width, block: isPlain ? 1 : block,
      halo: halos.input)
  }

  private func outputPlace(_ block: Int, halo: Int) -> Place {
    Place(
      conv.batch, conv.out_channels, conv.out_height, conv.out_width, block: block, halo: halo)
  }

  /// The output, plain. `overResidual` has the residual lie in the output's memory.
  func run(_ blocked: lk_blocked_conv, _ pool: OpaquePointer?, overResidual: Bool = false)
    -> [Float]
  {
    let block = lk_block_channels(blocked.isa)
    let place = outputPlace(block, halo: halos.output)
    let residualMemory = residual.map { outputPlace(block, halo: halos.residual).spread($0) }
    return withUnsafePointer(to: blocked) { blocked in
      let packed = Exact(bytes: lk_blocked_conv_packed_bytes(blocked))
      let scratch = Guarded(bytes: lk_blocked_conv_scratch_bytes(blocked))
      let from = Exact(inputPlace(block).spread(input))
      let output = overResidual ? Guarded(residualMemory ?? []) : Guarded(count: place.count)
      let residual = residualMemory.map(Exact.init)
      lk_blocked_conv_pack(pool, blocked, weight, bias, packed.raw)
      lk_blocked_conv_run(
        pool, blocked, from.floats, packed.raw,
        overResidual ? UnsafePointer(output.floats) : residual.map { UnsafePointer($0.floats) },
        output.floats, scratch.raw)
      let (plain, isPadded) = place.gather(output.values)
      #expect(output.isIntact && scratch.isIntact, "\(conv.label)")
      #expect(isPadded, "halo and missing channels are zeros: \(conv.label)")
      return plain
    }
  }

  /// The largest error, in units of `scale`.
  func error(_ values: [Float]) -> Double {
    var most = 0.0
    for (found, wanted) in zip(values, expected) {
      let error = abs(Double(found) - wanted)
      most = error.isNaN ? .infinity : max(most, error)
    }
    return most / scale
  }
}

extension String {
  fileprivate func padded(to count: Int) -> String {
    self + String(repeating: " ", count: max(0, count - self.count))
  }
}

/// Two digits: `3.1e-07`, `4.2`.
private func short(_ x: Double) -> String {
  guard x > 0, x.isFinite else { return "\(x)" }
  var (mantissa, exponent) = (x, 0)
  while mantissa < 1 && exponent > -40 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
  let digits = "\((mantissa * 10).rounded() / 10)"
  return exponent == 0 ? digits : "\(digits)e\(exponent)"
}

extension lk_activation {
  fileprivate func apply(_ x: Double) -> Double {
    switch kind {
    case LK_ACTIVATION_CLAMP: min(max(x, Double(low)), Double(high))
    case LK_ACTIVATION_LEAKY: x < 0 ? x * Double(slope) : x
    default: x
    }
  }
}

extension lk_conv2d {
  /// Sums in double precision, before the activation.
  fileprivate func sums(
    _ input: [Float], _ weight: [Float], _ bias: [Float]?, _ residual: [Float]?
  ) -> [Double] {
    let (channels, filters) = (in_channels / groups, out_channels / groups)
    var sums: [Double] = []
    sums.reserveCapacity(outputCount)
    for n in 0..<batch {
      for o in 0..<out_channels {
        for y in 0..<out_height {
          for x in 0..<out_width {
            var sum = Double(bias?[o] ?? 0) + Double(residual?[sums.count] ?? 0)
            for u in 0..<kernel_height {
              let inY = y * stride_height - pad_top + u * dilation_height
              guard inY >= 0, inY < in_height else { continue }
              for v in 0..<kernel_width {
                let inX = x * stride_width - pad_left + v * dilation_width
                guard inX >= 0, inX < in_width else { continue }
                var from =
                  ((n * in_channels + o / filters * channels) * in_height + inY) * in_width + inX
                var w = (o * channels * kernel_height + u) * kernel_width + v
                for _ in 0..<channels {
                  sum += Double(weight[w]) * Double(input[from])
                  from += in_height * in_width
                  w += kernel_height * kernel_width
                }
              }
            }
            sums.append(sum)
          }
        }
      }
    }
    return sums
  }
}

/// Convolutions of maps in blocks of channels, each instruction set against sums in double precision.
///
/// Inputs and weights are within ±1. The longest sums here have 1,750 terms: their rounding errors in single
/// precision are about √1750·2⁻²⁴ = 2.5·10⁻⁶ of what a term sums up to, and Winograd's transforms make at
/// most five times those of direct sums, which are spread over many more terms. 10⁻⁵ of the largest |y| is
/// what both keep; a wrong tap or pixel is off by 10⁻² and more.
@Suite struct BlockedConvolutionTests {
  private static let bound = 1e-5
  private let threads = TwoThreads()

  /// Checks values, padding and guards with every instruction set, on one thread and on two.
  private func check(
    _ test: BlockedCase, _ algorithm: Algorithm = .chosen, named name: String? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    var scalar: [Float] = []
    withEveryISA { isa in
      let label = "\(isa) \(test.conv.label)"
      guard let one = test.make(algorithm, threads: 1), let two = test.make(algorithm, threads: 2)
      else {
        Issue.record("no algorithm: \(label)", sourceLocation: sourceLocation)
        return
      }
      let found = withUnsafePointer(to: one) { String(cString: lk_blocked_conv_algorithm($0)) }
      if let name { #expect(found == name, "\(label)", sourceLocation: sourceLocation) }
      let result = test.run(one, nil)
      let error = test.error(result)
      #expect(
        error <= Self.bound, "\(label), \(found): \(error)", sourceLocation: sourceLocation)
      if scalar.isEmpty { scalar = result }
      let apart = zip(result, scalar).reduce(0) { max($0, abs(Double($1.0) - Double($1.1))) }
      #expect(
        apart <= Self.bound * test.scale, "\(label), \(found): \(apart) from scalar",
        sourceLocation: sourceLocation)

      let bits = test.run(two, nil).map(\.bitPattern)
      #expect(
        test.run(two, threads.pool).map(\.bitPattern) == bits, "\(label), \(found), two threads",
        sourceLocation: sourceLocation)
      if one.algorithm == two.algorithm, one.winograd_form == two.winograd_form {
        #expect(
          result.map(\.bitPattern) == bits, "\(label), \(found), made for two threads",
          sourceLocation: sourceLocation)
      }
    }
  }

  private let direct = Algorithm.direct(panelSplits: 1, pixelSplits: 1)

  @Test(arguments: [(1, 1), (3, 3), (5, 5), (1, 7), (7, 1)])
  func directKernelsStridesDilations(kernel: (Int, Int)) {
    let pads = (kernel.0 / 2, kernel.1 / 2, kernel.0 / 2, kernel.1 / 2)
    for (stride, dilation) in [(1, 1), (2, 1), (3, 1), (1, 2), (2, 3)] {
      for channels in [17, 24] {
        let conv = lk_conv2d(
          batch: 2, channels, 15, 19, to: 20, kernel: kernel, stride: (stride, stride),
          dilation: (dilation, dilation), pads: pads)
        check(
          BlockedCase(conv, spare: stride - 1, outputHalo: dilation - 1, residualHalo: dilation),
          direct, named: "direct")
      }
    }
    check(
      BlockedCase(
        lk_conv2d(
          5, 15, 19, to: 33, kernel: kernel, stride: (1, 2), dilation: (2, 1),
          pads: (0, kernel.1 / 2, kernel.0 - 1, 0)), outputHalo: 1), direct)
  }

  @Test(arguments: [1, 3, 5, 17, 20, 24, 33, 40, 70])
  func channelTails(channels: Int) {
    for others in [1, 3, 5, 17, 20, 24, 33, 40, 70] {
      check(
        BlockedCase(lk_conv2d(batch: 2, channels, 5, 7, to: others), outputHalo: 1), direct)
      check(
        BlockedCase(
          lk_conv2d(channels, 5, 7, to: others, kernel: (3, 3), pads: (1, 1, 1, 1)),
          residualHalo: 2), direct)
    }
  }

  @Test func everyTileWidth() {
    for width in 1...30 {
      for kernel in [1, 3] {
        for stride in 1...3 {
          let pad = kernel / 2
          let conv = lk_conv2d(
            5, 3, (width - 1) * stride + 1, to: 40, kernel: (kernel, kernel),
            stride: (1, stride), pads: (pad, pad, pad, pad))
          #expect(conv.out_width == width)
          check(BlockedCase(conv, outputHalo: width % 4, residualHalo: 1), direct)
        }
      }
    }
  }

  /// Without halos a pointwise convolution takes all pixels for one row.
  @Test func pixelsOfAllRowsInOne() {
    for (height, width) in [(1, 1), (2, 3), (5, 5), (7, 9), (28, 1)] {
      check(
        BlockedCase(lk_conv2d(batch: 3, 20, height, width, to: 33), residualHalo: 0), direct,
        named: "direct")
    }
  }

  @Test func outputHalos() {
    for halo in 0...3 {
      for residualHalo in 0...3 {
        for kernel in [1, 3] {
          let pad = kernel / 2
          let conv = lk_conv2d(
            batch: 2, 17, 5, 9, to: 20, kernel: (kernel, kernel), pads: (pad, pad, pad, pad))
          check(BlockedCase(conv, outputHalo: halo, residualHalo: residualHalo), direct)
          check(BlockedCase(conv, outputHalo: halo, residualHalo: residualHalo))
        }
      }
    }
  }

  @Test(arguments: [2, 3])
  func groupsOfWholeBlocks(groups: Int) {
    for (kernel, stride) in [(1, 1), (3, 1), (3, 2)] {
      let pad = kernel / 2
      let conv = lk_conv2d(
        batch: 2, 16 * groups, 7, 9, to: 48 * groups, kernel: (kernel, kernel),
        stride: (stride, stride), pads: (pad, pad, pad, pad), groups: groups)
      check(
        BlockedCase(conv, outputHalo: 1, residualHalo: 0), named: "direct")
    }
  }

  /// The scalar kernels, too, have blocks of more than one channel.
  @Test func groupsThatShareABlockAreRefused() {
    withEveryISA { isa in
      let test = BlockedCase(
        lk_conv2d(6, 5, 5, to: 6, kernel: (3, 3), pads: (1, 1, 1, 1), groups: 2))
      #expect(test.make(.chosen, threads: 1) == nil, "\(isa)")
    }
  }

  @Test func resultsDoNotDependOnTheSplits() {
    let test = BlockedCase(
      lk_conv2d(batch: 2, 20, 9, 17, to: 70, kernel: (3, 3), pads: (1, 1, 1, 1)), outputHalo: 1)
    withEveryISA { isa in
      func bits(_ algorithm: Algorithm) -> [UInt32]? {
        test.make(algorithm, threads: 2).map { test.run($0, threads.pool).map(\.bitPattern) }
      }
      let whole = bits(direct)
      for (panels, pixels) in [(1, 2), (1, 18), (2, 1), (2, 7), (2, 18)] {
        #expect(bits(.direct(panelSplits: panels, pixelSplits: pixels)) == whole, "\(isa)")
      }
      let tiles = bits(.winograd(form: 1, tiles: 28, splits: 1))
      for (width, splits) in [(1, 1), (5, 2), (14, 2), (30, 1)] {
        #expect(
          bits(.winograd(form: 1, tiles: width, splits: splits)) == tiles, "\(isa) \(width)")
      }
    }
  }

  @Test func activations() {
    let kinds = [
      lk_activation(kind: LK_ACTIVATION_CLAMP, low: 0, high: .infinity, slope: 0),
      lk_activation(kind: LK_ACTIVATION_CLAMP, low: -0.5, high: 1.5, slope: 0),
      lk_activation(kind: LK_ACTIVATION_LEAKY, low: 0, high: 0, slope: 0.1),
      lk_activation(kind: LK_ACTIVATION_NONE, low: 0, high: 0, slope: 0),
    ]
    for activation in kinds {
      for residualHalo in [nil, 1] {
        var conv = lk_conv2d(20, 7, 9, to: 20, kernel: (3, 3), pads: (1, 1, 1, 1))
        conv.activation = activation
        check(BlockedCase(conv, residualHalo: residualHalo), direct)
        check(
          BlockedCase(conv, residualHalo: residualHalo), .winograd(form: 1, tiles: 6, splits: 1))
        conv.groups = 20
        check(BlockedCase(conv, residualHalo: residualHalo), named: "depthwise")
        var plain = lk_conv2d(3, 7, 9, to: 20, kernel: (3, 3), pads: (1, 1, 1, 1))
        plain.activation = activation
        check(
          BlockedCase(plain, isPlain: true, residualHalo: residualHalo), named: "direct from NCHW")
      }
    }
  }

  @Test func aBiasMayBeMissing() {
    check(BlockedCase(lk_conv2d(20, 5, 5, to: 20), bias: false), direct)
    check(BlockedCase(lk_conv2d(3, 5, 5, to: 20), isPlain: true, bias: false))
    check(BlockedCase(lk_conv2d(20, 5, 5, to: 20, groups: 20), bias: false))
    check(
      BlockedCase(lk_conv2d(20, 5, 5, to: 20, kernel: (3, 3), pads: (1, 1, 1, 1)), bias: false),
      .winograd(form: 0, tiles: 4, splits: 1))
  }

  @Test func theResidualMayBeTheOutput() {
    let test = BlockedCase(
      lk_conv2d(batch: 2, 20, 7, 9, to: 33, kernel: (3, 3), pads: (1, 1, 1, 1)), outputHalo: 1,
      residualHalo: 1)
    withEveryISA { isa in
      for algorithm in [direct, .winograd(form: 1, tiles: 6, splits: 2)] {
        guard let blocked = test.make(algorithm, threads: 2) else { continue }
        let apart = test.run(blocked, nil).map(\.bitPattern)
        let over = test.run(blocked, threads.pool, overResidual: true).map(\.bitPattern)
        #expect(over == apart, "\(isa)")
      }
    }
  }

  @Test(arguments: [1, 2, 4])
  func fromPlain(stride: Int) {
    for channels in 1...4 {
      for (kernel, dilation) in [(1, 1), (3, 1), (7, 1), (3, 2)] {
        for width in [1, 5, 14, 27] {
          let pad = kernel / 2 * dilation
          let conv = lk_conv2d(
            batch: 2, channels, 11, (width - 1) * stride + 1, to: channels == 3 ? 40 : 17,
            kernel: (kernel, kernel), stride: (stride, stride), dilation: (dilation, dilation),
            pads: (pad, pad, pad, pad))
          check(
            BlockedCase(
              conv, isPlain: true, outputHalo: channels - 1,
              residualHalo: width == 5 ? 1 : nil), named: "direct from NCHW")
        }
      }
    }
  }

  @Test func fromPlainInEveryTileWidth() {
    for width in 1...30 {
      check(
        BlockedCase(
          lk_conv2d(
            3, 4, 2 * width, to: 24, kernel: (3, 3), stride: (1, 2), pads: (0, 1, 2, 0)),
          isPlain: true, outputHalo: width % 3))
    }
    check(
      BlockedCase(
        lk_conv2d(2, 3, 3, to: 5, kernel: (3, 3), pads: (4, 5, 6, 3)), isPlain: true))
    check(
      BlockedCase(
        lk_conv2d(batch: 2, 4, 14, 17, to: 40, kernel: (5, 4), stride: (2, 1), dilation: (1, 2)),
        isPlain: true))
  }

  @Test func plainInputsThatDoNotSuitAreRefused() {
    withEveryISA { isa in
      for conv in [
        lk_conv2d(9, 9, 9, to: 16), lk_conv2d(3, 9, 9, to: 16, stride: (3, 3)),
        lk_conv2d(4, 9, 9, to: 16, groups: 2),
      ] {
        let test = BlockedCase(conv, isPlain: true)
        #expect(test.make(.chosen, threads: 1) == nil, "\(isa) \(conv.label)")
      }
    }
  }

  @Test(arguments: [1, 3, 5, 17, 20, 24, 33, 40, 70])
  func depthwise(channels: Int) {
    for kernel in [(1, 1), (3, 3), (5, 5), (1, 7), (2, 4)] {
      for (stride, dilation) in [(1, 1), (2, 1), (3, 1), (1, 2), (2, 3)] {
        // One group of one channel is no depthwise convolution.
        guard channels > 1 else { continue }
        let pads = (kernel.0 / 2, kernel.1 / 2, kernel.0 / 2, kernel.1 / 2)
        let conv = lk_conv2d(
          batch: 2, channels, 14, 17, to: channels, kernel: kernel, stride: (stride, stride),
          dilation: (dilation, dilation), pads: pads, groups: channels)
        check(
          BlockedCase(
            conv, spare: stride - 1, outputHalo: stride,
            residualHalo: dilation == 1 ? nil : dilation), named: "depthwise")
      }
    }
    for width in 1...20 {
      check(
        BlockedCase(
          lk_conv2d(
            channels, 3, width, to: channels, kernel: (3, 3), pads: (1, 1, 1, 1),
            groups: channels), outputHalo: width % 2))
    }
  }

  @Test(arguments: windowForms.indices)
  func winogradForms(form: Int) {
    let (kernel, name) = windowForms[form]
    let same = (kernel.0 / 2, kernel.1 / 2, kernel.0 / 2, kernel.1 / 2)
    for (height, width) in [(1, 1), (3, 5), (7, 7), (8, 12), (13, 17)] {
      for (channels, filters) in [(17, 20), (5, 33), (32, 40)] {
        check(
          BlockedCase(
            lk_conv2d(batch: 2, channels, height, width, to: filters, kernel: kernel, pads: same),
            spare: channels % 2, outputHalo: height % 4, residualHalo: width % 3),
          .winograd(form: form, tiles: 1 + width, splits: 1 + height % 2), named: name)
      }
    }
    for (pads, tiles) in [((0, 0, 0, 0), 28), ((2, 0, 1, 3), 14), ((4, 5, 6, 7), 3)] {
      check(
        BlockedCase(
          lk_conv2d(70, 11, 13, to: 20, kernel: kernel, pads: pads), outputHalo: 2),
        .winograd(form: form, tiles: tiles, splits: 1), named: name)
    }
  }

  /// Tiles that stick out of map and halo are copied to the side.
  @Test(arguments: windowForms.indices)
  func winogradNeedsNoHalo(form: Int) {
    let (kernel, name) = windowForms[form]
    let same = (kernel.0 / 2, kernel.1 / 2, kernel.0 / 2, kernel.1 / 2)
    let conv = lk_conv2d(20, 9, 11, to: 17, kernel: kernel, pads: same)
    for spare in [-max(same.0, same.1), -max(same.0, same.1) + 1] {
      let test = BlockedCase(conv, spare: spare, outputHalo: 1)
      withEveryISA { isa in
        var blocked = lk_blocked_conv()
        blocked.conv = conv
        blocked.conv.allow_winograd = true
        let block = lk_block_channels(lk_active_isa())
        blocked.in = Place(1, 20, 9, 11, block: block, halo: test.halos.input).map
        blocked.out = Place(1, 17, 9, 11, block: block, halo: 1).map
        blocked.residual = Place(1, 17, 9, 11, block: block, halo: 0).map
        #expect(lk_make_blocked_conv(&blocked, false, 1), "\(isa)")
        blocked.algorithm = LK_CONV_WINOGRAD
        (blocked.winograd_form, blocked.winograd_tiles, blocked.panel_splits) = (form, 5, 1)
        #expect(String(cString: lk_blocked_conv_algorithm(&blocked)) == name)
        #expect(test.error(test.run(blocked, nil)) <= Self.bound, "\(isa) \(name)")
      }
    }
  }

  /// What the cost model takes is as right, whichever form that is.
  @Test func chosenFormsComputeTheSame() {
    var seen: Set<String> = []
    for kernel in [(3, 3), (5, 5), (1, 3), (3, 1), (1, 7), (7, 1)] {
      for (channels, height, width) in [(16, 5, 5), (40, 12, 9), (64, 16, 16), (70, 7, 21)] {
        var conv = lk_conv2d(
          channels, height, width, to: channels, kernel: kernel,
          pads: (kernel.0 / 2, kernel.1 / 2, kernel.0 / 2, kernel.1 / 2))
        conv.allow_winograd = true
        let test = BlockedCase(conv, outputHalo: 1)
        check(test)
        withEveryISA { _ in
          guard let blocked = test.make(.chosen, threads: 1) else { return }
          let name = withUnsafePointer(to: blocked) {
            String(cString: lk_blocked_conv_algorithm($0))
          }
          seen.insert("\(kernel.0)×\(kernel.1) \(name)")
          conv.allow_winograd = false
          let strict = BlockedCase(conv, outputHalo: 1).make(.chosen, threads: 1)
          #expect(
            strict?.algorithm == LK_CONV_DIRECT
              || strict?.algorithm == LK_CONV_WINOGRAD && strict?.winograd_form == 0)
          conv.allow_winograd = true
        }
      }
    }
    #expect(seen.contains("3×3 winograd 4×4"), "\(seen.sorted())")
    #expect(seen.contains("5×5 winograd 4×4"), "\(seen.sorted())")
    #expect(seen.contains { $0.hasPrefix("1×7 winograd") }, "\(seen.sorted())")
    #expect(seen.contains { $0.hasPrefix("7×1 winograd") }, "\(seen.sorted())")
  }

  /// Errors against double precision, in units of the largest |y|, and how many times those of direct sums the
  /// root of the mean square is.
  @Test func winogradErrorsAreThoseOfThePoints() {
    print("window  transform     shape            rms      max      rms of direct  ratio")
    for (form, (kernel, name)) in windowForms.enumerated() {
      for (channels, side) in [(16, 28), (64, 14)] {
        let conv = lk_conv2d(
          channels, side, side, to: 32, kernel: kernel,
          pads: (kernel.0 / 2, kernel.1 / 2, kernel.0 / 2, kernel.1 / 2))
        let test = BlockedCase(conv)
        func errors(_ algorithm: Algorithm) -> (rms: Double, most: Double) {
          guard let blocked = test.make(algorithm, threads: 1) else { return (.nan, .nan) }
          let values = test.run(blocked, nil)
          let squares = zip(values, test.expected).reduce(0.0) {
            $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1)
          }
          return ((squares / Double(values.count)).squareRoot() / test.scale, test.error(values))
        }
        let (summed, found) = (errors(direct), errors(.winograd(form: form, tiles: 14, splits: 1)))
        let ratio = found.rms / summed.rms
        print(
          "\(kernel.0)×\(kernel.1)     \(name)  32×\(channels)×\(side)×\(side)".padded(to: 38),
          short(found.rms), short(found.most), short(summed.rms), "     ", short(ratio))
        #expect(found.most <= Self.bound && ratio <= 10, "\(name) of \(kernel)")
      }
    }
  }

  // MARK: Maps

  private static let places = [
    (1, 0), (4, 0), (4, 2), (8, 0), (8, 1), (16, 0), (16, 1), (16, 3),
  ]

  @Test(arguments: places)
  func copiesOfMaps(block: Int, halo: Int) {
    var generator = Generator(seed: 5)
    for (otherBlock, otherHalo) in Self.places {
      for (batch, channels, height, width) in [
        (1, 1, 1, 1), (2, 3, 4, 5), (1, 16, 3, 3), (3, 20, 2, 7), (2, 33, 5, 1),
      ] {
        let from = Place(batch, channels, height, width, block: block, halo: halo)
        let to = Place(batch, channels, height, width, block: otherBlock, halo: otherHalo)
        let values = generator.floats(from.elements)
        var (fromMap, toMap) = (from.map, to.map)
        let source = Exact(from.spread(values))
        for pool in [nil, threads.pool] {
          let target = Guarded(count: to.count)
          lk_f32_copy_map(
            pool, batch, channels, height, width, &fromMap, source.floats, &toMap, target.floats)
          let label = "\(channels) channels, c\(block)+\(halo) → c\(otherBlock)+\(otherHalo)"
          #expect(target.isIntact, "\(label)")
          #expect(target.values == to.spread(values), "\(label)")
        }
      }
    }
  }

  @Test func scaledMaps() {
    let relu = lk_activation(kind: LK_ACTIVATION_CLAMP, low: 0, high: .infinity, slope: 0)
    let leaky = lk_activation(kind: LK_ACTIVATION_LEAKY, low: 0, high: 0, slope: 0.25)
    var generator = Generator(seed: 6)
    for (channels, height, width, halo) in [
      (1, 1, 1, 0), (17, 5, 7, 1), (16, 3, 3, 0), (70, 2, 9, 2),
    ] {
      for activation in [lk_activation(), relu, leaky] {
        for hasResidual in [false, true] {
          withEveryISA { isa in
            let place = Place(
              2, channels, height, width, block: lk_block_channels(lk_active_isa()), halo: halo)
            let x = generator.floats(place.elements)
            let factors = generator.floats(2 * channels)
            let residual = generator.floats(place.elements)
            let wanted = x.indices.map { i in
              let product = Double(x[i]) * Double(factors[i / (height * width)])
              return activation.apply(product + (hasResidual ? Double(residual[i]) : 0))
            }
            var map = place.map
            let (from, other) = (Exact(place.spread(x)), Exact(place.spread(residual)))
            let exactFactors = Exact(factors)
            for pool in [nil, threads.pool] {
              let target = Guarded(count: place.count)
              lk_f32_scale_map(
                pool, 2, channels, &map, from.floats, exactFactors.floats,
                hasResidual ? other.floats : nil, activation, target.floats)
              let (found, isPadded) = place.gather(target.values)
              #expect(target.isIntact && isPadded, "\(isa) \(channels)")
              // Two roundings of numbers below 2.
              #expect(
                zip(found, wanted).allSatisfy { abs(Double($0) - $1) <= 0x1p-22 },
                "\(isa) \(channels)")
            }
            let inPlace = Guarded(place.spread(x))
            lk_f32_scale_map(
              nil, 2, channels, &map, inPlace.floats, exactFactors.floats,
              hasResidual ? other.floats : nil, activation, inPlace.floats)
            let apart = Guarded(count: place.count)
            lk_f32_scale_map(
              nil, 2, channels, &map, from.floats, exactFactors.floats,
              hasResidual ? other.floats : nil, activation, apart.floats)
            #expect(inPlace.bits == apart.bits, "\(isa) \(channels), in place")
          }
        }
      }
    }
  }

  @Test func meansOfMaps() {
    var generator = Generator(seed: 7)
    for (channels, height, width, halo) in [
      (1, 1, 1, 0), (3, 1, 5, 1), (17, 7, 7, 0), (40, 13, 29, 1), (70, 2, 3, 3),
    ] {
      withEveryISA { isa in
        let place = Place(
          2, channels, height, width, block: lk_block_channels(lk_active_isa()), halo: halo)
        let values = generator.floats(place.elements)
        var map = place.map
        let x = Exact(place.spread(values))
        let area = height * width
        let wanted = (0..<2 * channels).map { i in
          values[i * area..<(i + 1) * area].reduce(0) { $0 + Double($1) } / Double(area)
        }
        for pool in [nil, threads.pool] {
          let y = Guarded(count: 2 * channels)
          lk_f32_map_means(pool, 2, channels, height, width, &map, x.floats, y.floats)
          #expect(y.isIntact, "\(isa) \(channels)")
          let allowed = tolerance(terms: area, magnitude: 1)
          #expect(
            zip(y.values, wanted).allSatisfy { abs(Double($0) - $1) <= allowed },
            "\(isa) \(channels)×\(height)×\(width)")
        }
      }
    }
  }
}
