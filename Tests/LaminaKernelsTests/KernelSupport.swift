import LaminaKernels

/// The instruction sets of this CPU.
let availableISAs: [lk_isa] = [LK_ISA_SCALAR, LK_ISA_NEON, LK_ISA_AVX2, LK_ISA_AVX512]
  .filter(lk_isa_available)

/// Runs `body` once with the kernels of every available instruction set; it gets the set's name.
func withEveryISA(_ body: (String) -> Void) {
  for isa in availableISAs {
    lk_set_thread_isa(Int32(isa.rawValue))
    body(String(cString: lk_isa_name(isa)))
  }
  lk_set_thread_isa(-1)
}

/// A small generator (Steele, Lea and Flood, "SplitMix", 2014), so that cases repeat.
struct Generator {
  var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func integer(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + Int(next() % UInt64(range.count))
  }

  mutating func float() -> Float { Float(Int(next() >> 40)) / Float(1 << 23) - 1 }

  mutating func floats(_ count: Int) -> [Float] {
    var result = [Float](repeating: 0, count: count)
    for i in 0..<count { result[i] = float() }
    return result
  }
}

/// Aligned memory filled with NaN, with guard words on both sides.
final class Guarded {
  let count: Int
  private let base: UnsafeMutableRawPointer
  private static let border = 256
  private static let mark: UInt8 = 0xff

  init(count: Int) {
    self.count = count
    let bytes = 2 * Guarded.border + count * 4
    base = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    base.initializeMemory(as: UInt8.self, repeating: Guarded.mark, count: bytes)
  }

  convenience init(bytes: Int) { self.init(count: (bytes + 3) / 4) }

  convenience init(_ values: [Float]) {
    self.init(count: values.count)
    for i in 0..<count { floats[i] = values[i] }
  }

  deinit { base.deallocate() }

  var floats: UnsafeMutablePointer<Float> {
    (base + Guarded.border).assumingMemoryBound(to: Float.self)
  }

  var raw: UnsafeMutableRawPointer { base + Guarded.border }

  var values: [Float] { Array(UnsafeBufferPointer(start: floats, count: count)) }

  var bits: [UInt32] { values.map(\.bitPattern) }

  /// Whether nothing was written outside.
  var isIntact: Bool {
    let bytes = base.assumingMemoryBound(to: UInt8.self)
    let end = Guarded.border + count * 4
    return (0..<Guarded.border).allSatisfy {
      bytes[$0] == Guarded.mark && bytes[end + $0] == Guarded.mark
    }
  }
}

/// 4·√n·ε·Σ|a||b|: what a sum of n products in single precision may be off, whatever its order.
func tolerance(terms: Int, magnitude: Double) -> Double {
  4 * Double(terms + 1).squareRoot() * 0x1p-24 * (magnitude + 1e-6)
}

/// A pool of two threads for the tests of a file.
final class TwoThreads: @unchecked Sendable {
  let pool = lk_pool_create(2)
  deinit { lk_pool_destroy(pool) }
}

extension lk_conv2d {
  /// A square convolution; the output's extents follow from padding of the same size on all sides.
  init(
    batch: Int = 1, _ inChannels: Int, _ height: Int, _ width: Int, to outChannels: Int,
    kernel: (Int, Int) = (1, 1), stride: (Int, Int) = (1, 1), dilation: (Int, Int) = (1, 1),
    pads: (Int, Int, Int, Int) = (0, 0, 0, 0), groups: Int = 1
  ) {
    self.init()
    self.batch = batch
    (in_channels, in_height, in_width) = (inChannels, height, width)
    (kernel_height, kernel_width) = kernel
    (stride_height, stride_width) = stride
    (dilation_height, dilation_width) = dilation
    (pad_top, pad_left) = (pads.0, pads.1)
    self.groups = groups
    out_channels = outChannels
    out_height =
      (height + pads.0 + pads.2 - dilation.0 * (kernel.0 - 1) - 1) / stride.0 + 1
    out_width = (width + pads.1 + pads.3 - dilation.1 * (kernel.1 - 1) - 1) / stride.1 + 1
  }

  var taps: Int { in_channels / groups * kernel_height * kernel_width }
  var outputCount: Int { batch * out_channels * out_height * out_width }

  var label: String {
    "\(batch)×\(in_channels)×\(in_height)×\(in_width) → \(out_channels)×\(out_height)×\(out_width)"
      + ", kernel \(kernel_height)×\(kernel_width), stride \(stride_height) \(stride_width)"
      + ", dilation \(dilation_height) \(dilation_width), groups \(groups)"
  }
}
