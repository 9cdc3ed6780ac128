import LaminaKernels
import Testing

private struct Case {
  var conv: lk_conv2d
  let input: [Float]
  let weight: [Float]
  let bias: [Float]?
  let residual: [Float]?

  init(_ conv: lk_conv2d, bias: Bool = true, residual: Bool = false) {
    var generator = Generator(seed: UInt64(conv.outputCount * 31 + conv.taps))
    self.conv = conv
    input = generator.floats(conv.batch * conv.in_channels * conv.in_height * conv.in_width)
    weight = generator.floats(conv.out_channels * conv.taps)
    self.bias = bias ? generator.floats(conv.out_channels) : nil
    self.residual = residual ? generator.floats(conv.outputCount) : nil
  }

  func run(_ pool: OpaquePointer?) -> Guarded {
    withUnsafePointer(to: conv) { conv in
      let packed = Guarded(bytes: lk_f32_conv2d_packed_bytes(conv))
      let scratch = Guarded(
        bytes: lk_f32_conv2d_scratch_bytes(conv, lk_pool_thread_count(pool)))
      let output = Guarded(count: conv.pointee.outputCount)
      lk_f32_conv2d_pack(conv, weight, packed.raw)
      lk_f32_conv2d(
        pool, conv, input, packed.raw, bias, residual, output.floats, scratch.raw)
      #expect(packed.isIntact && scratch.isIntact && output.isIntact)
      return output
    }
  }

  private func inputIndex(_ n: Int, _ channel: Int, _ y: Int, _ x: Int) -> Int? {
    guard y >= 0, y < conv.in_height, x >= 0, x < conv.in_width else { return nil }
    return ((n * conv.in_channels + channel) * conv.in_height + y) * conv.in_width + x
  }

  /// Compares with sums in double precision and returns the first element that is off.
  func firstError(_ result: [Float]) -> String? {
    let channels = conv.in_channels / conv.groups
    let filters = conv.out_channels / conv.groups
    var at = 0
    for n in 0..<conv.batch {
      for o in 0..<conv.out_channels {
        for y in 0..<conv.out_height {
          for x in 0..<conv.out_width {
            var sum = Double(bias?[o] ?? 0) + Double(residual?[at] ?? 0)
            var magnitude = 2.0
            var w = o * conv.taps
            for i in 0..<channels {
              for u in 0..<conv.kernel_height {
                let inY = y * conv.stride_height - conv.pad_top + u * conv.dilation_height
                for v in 0..<conv.kernel_width {
                  let inX = x * conv.stride_width - conv.pad_left + v * conv.dilation_width
                  if let from = inputIndex(n, o / filters * channels + i, inY, inX) {
                    sum += Double(weight[w]) * Double(input[from])
                    magnitude += abs(Double(weight[w]) * Double(input[from]))
                  }
                  w += 1
                }
              }
            }
            switch conv.activation.kind {
            case LK_ACTIVATION_CLAMP:
              sum = min(max(sum, Double(conv.activation.low)), Double(conv.activation.high))
            case LK_ACTIVATION_LEAKY:
              sum = sum < 0 ? sum * Double(conv.activation.slope) : sum
            default: break
            }
            let allowed = tolerance(terms: conv.taps, magnitude: magnitude)
            if !(abs(Double(result[at]) - sum) <= allowed) {
              return "[\(n), \(o), \(y), \(x)]: expected \(sum), found \(result[at])"
            }
            at += 1
          }
        }
      }
    }
    return nil
  }
}

@Suite struct ConvolutionTests {
  private let threads = TwoThreads()

  private func check(_ test: Case) {
    withEveryISA { isa in
      let one = test.run(nil)
      #expect(test.firstError(one.values) == nil, "\(isa) \(test.conv.label)")
      #expect(test.run(threads.pool).bits == one.bits, "\(isa) \(test.conv.label), two threads")
    }
  }

  @Test func pointwise() {
    for side in [1, 3, 7, 14] {
      for channels in [1, 13, 14, 29] {
        check(Case(lk_conv2d(channels, side, side, to: 31)))
        check(Case(lk_conv2d(batch: 3, 8, side, side, to: channels), residual: true))
      }
    }
    check(Case(lk_conv2d(350, 7, 5, to: 40), residual: true))
  }

  @Test func kernelsStridesDilationsPads() {
    for kernel in [(1, 1), (3, 3), (2, 5), (7, 1)] {
      for stride in [(1, 1), (2, 2), (3, 1), (1, 4)] {
        for dilation in [(1, 1), (2, 1), (1, 3)] {
          check(
            Case(
              lk_conv2d(
                batch: 2, 3, 13, 19, to: 8, kernel: kernel, stride: stride, dilation: dilation,
                pads: (1, 2, 0, 3))))
        }
      }
    }
  }

  @Test func padsWiderThanTheKernel() {
    check(Case(lk_conv2d(2, 3, 3, to: 4, kernel: (3, 3), pads: (4, 5, 6, 3))))
    check(Case(lk_conv2d(4, 3, 3, to: 4, kernel: (3, 3), pads: (4, 5, 6, 3), groups: 4)))
    check(
      Case(lk_conv2d(4, 3, 3, to: 4, kernel: (3, 3), stride: (2, 3), pads: (4, 5, 6, 3), groups: 4))
    )
  }

  @Test func widthsOfAllSizes() {
    for width in 1...40 {
      check(Case(lk_conv2d(2, 3, width, to: 3, kernel: (3, 3), pads: (1, 1, 1, 1))))
      check(
        Case(lk_conv2d(2, 5, width, to: 3, kernel: (3, 3), stride: (2, 2), pads: (1, 1, 1, 1))))
    }
  }

  @Test func groups() {
    check(
      Case(lk_conv2d(batch: 2, 12, 6, 6, to: 18, kernel: (3, 3), pads: (1, 1, 1, 1), groups: 3)))
    check(Case(lk_conv2d(batch: 2, 8, 5, 5, to: 32, groups: 2), residual: true))
  }

  @Test func depthwise() {
    for kernel in [1, 2, 3, 4, 5, 7] {
      for stride in [1, 2, 3] {
        for width in [1, 7, 16, 33, 50] {
          let pad = kernel / 2
          let height = 11
          guard width + 2 * pad >= kernel else { continue }
          check(
            Case(
              lk_conv2d(
                batch: 2, 3, height, width, to: 3, kernel: (kernel, kernel),
                stride: (stride, stride), pads: (pad, pad, pad, pad), groups: 3),
              residual: width == 33))
        }
      }
    }
    check(
      Case(
        lk_conv2d(
          5, 9, 21, to: 10, kernel: (3, 3), dilation: (2, 3), pads: (2, 3, 1, 0), groups: 5)))
    check(Case(lk_conv2d(2, 90, 100, to: 2, kernel: (3, 3), pads: (1, 1, 1, 1), groups: 2)))
  }

  @Test func blocksOfTheDepth() {
    check(Case(lk_conv2d(40, 9, 9, to: 20, kernel: (3, 3), pads: (1, 1, 1, 1)), residual: true))
    check(Case(lk_conv2d(batch: 2, 700, 3, 3, to: 30), residual: true))
  }

  @Test func activations() {
    for groups in [1, 4] {
      for kind in [LK_ACTIVATION_CLAMP, LK_ACTIVATION_LEAKY] {
        for high in [1, Float.infinity] {
          var conv = lk_conv2d(
            batch: 2, 4, 9, 9, to: 16, kernel: (3, 3), pads: (1, 1, 1, 1), groups: groups)
          conv.activation = lk_activation(kind: kind, low: 0, high: high, slope: 0.1)
          check(Case(conv, residual: true))
        }
      }
    }
  }

  @Test func theResidualMayBeTheOutput() {
    withEveryISA { isa in
      let test = Case(
        lk_conv2d(6, 7, 7, to: 20, kernel: (3, 3), pads: (1, 1, 1, 1)), residual: true)
      let expected = test.run(nil).bits
      withUnsafePointer(to: test.conv) { conv in
        let packed = Guarded(bytes: lk_f32_conv2d_packed_bytes(conv))
        let scratch = Guarded(bytes: lk_f32_conv2d_scratch_bytes(conv, 1))
        let output = Guarded(test.residual ?? [])
        lk_f32_conv2d_pack(conv, test.weight, packed.raw)
        lk_f32_conv2d(
          nil, conv, test.input, packed.raw, test.bias, output.floats, output.floats, scratch.raw)
        #expect(output.bits == expected, "\(isa)")
      }
    }
  }

  @Test func aPackedWeightKeepsItsInstructionSet() {
    let test = Case(lk_conv2d(5, 7, 7, to: 20, kernel: (3, 3), pads: (1, 1, 1, 1)))
    withUnsafePointer(to: test.conv) { conv in
      let packed = Guarded(bytes: lk_f32_conv2d_packed_bytes(conv))
      lk_set_thread_isa(Int32(LK_ISA_SCALAR.rawValue))
      lk_f32_conv2d_pack(conv, test.weight, packed.raw)
      lk_set_thread_isa(-1)
      let scratch = Guarded(bytes: lk_f32_conv2d_scratch_bytes(conv, 1))
      let output = Guarded(count: conv.pointee.outputCount)
      lk_f32_conv2d(nil, conv, test.input, packed.raw, test.bias, nil, output.floats, scratch.raw)
      #expect(test.firstError(output.values) == nil)
    }
  }
}
