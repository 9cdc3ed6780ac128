import LaminaKernels
import Testing

/// A convolution, an output's gradient, and the gradients by definition.
private struct GradientCase {
  let conv: lk_conv2d
  let isPlain: Bool
  let halos: (input: Int, output: Int)
  let input: [Float]
  let weight: [Float]
  let gradient: [Float]
  let expected: (input: [Double], weight: [Double], bias: [Double])

  /// `spare` is what halos have beyond what is read; of `every` values one is not 0.
  init(
    _ conv: lk_conv2d, isPlain: Bool = false, spare: (input: Int, output: Int) = (0, 0),
    every: Int = 1
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
    let needed = withUnsafePointer(to: conv) { lk_input_gradient_halo($0) }
    var generator = Generator(seed: UInt64(conv.outputCount * 31 + conv.taps))
    self.conv = conv
    self.isPlain = isPlain
    halos = (
      isPlain ? 0 : max(conv.pad_top, conv.pad_left, bottom, right, 0) + spare.input,
      needed + spare.output
    )
    func sparse(_ count: Int) -> [Float] {
      generator.floats(count).map { every == 1 || generator.next() % UInt64(every) == 0 ? $0 : 0 }
    }
    input = sparse(conv.batch * conv.in_channels * conv.in_height * conv.in_width)
    weight = generator.floats(conv.out_channels * conv.taps)
    gradient = sparse(conv.outputCount)
    expected = Self.differentiate(conv, input, weight, gradient)
  }

  private static func differentiate(
    _ c: lk_conv2d, _ input: [Float], _ weight: [Float], _ gradient: [Float]
  ) -> (input: [Double], weight: [Double], bias: [Double]) {
    var byInput = [Double](repeating: 0, count: input.count)
    var byWeight = [Double](repeating: 0, count: weight.count)
    var byBias = [Double](repeating: 0, count: c.out_channels)
    let (inputs, outputs) = (c.in_channels / c.groups, c.out_channels / c.groups)
    var at = 0
    for n in 0..<c.batch {
      for o in 0..<c.out_channels {
        for y in 0..<c.out_height {
          for x in 0..<c.out_width {
            let dy = Double(gradient[at])
            at += 1
            byBias[o] += dy
            for i in 0..<inputs {
              for u in 0..<c.kernel_height {
                let row = y * c.stride_height + u * c.dilation_height - c.pad_top
                guard row >= 0, row < c.in_height else { continue }
                for v in 0..<c.kernel_width {
                  let column = x * c.stride_width + v * c.dilation_width - c.pad_left
                  guard column >= 0, column < c.in_width else { continue }
                  let plane = n * c.in_channels + o / outputs * inputs + i
                  let from = (plane * c.in_height + row) * c.in_width + column
                  let tap = ((o * inputs + i) * c.kernel_height + u) * c.kernel_width + v
                  byInput[from] += dy * Double(weight[tap])
                  byWeight[tap] += dy * Double(input[from])
                }
              }
            }
          }
        }
      }
    }
    return (byInput, byWeight, byBias)
  }

  private func place(_ isInput: Bool) -> Place {
    let block = lk_block_channels(lk_active_isa())
    return isInput
      ? Place(
        conv.batch, conv.in_channels, conv.in_height, conv.in_width, block: isPlain ? 1 : block,
        halo: halos.input)
      : Place(
        conv.batch, conv.out_channels, conv.out_height, conv.out_width, block: block,
        halo: halos.output)
  }

  /// Whether there is one by the input: from a plain one, where rows of few channels and taps side by side
  /// make a window of at most 12 vectors.
  var hasInputGradient: Bool {
    let lanes = lk_block_channels(lk_active_isa())
    let row = (conv.kernel_width * conv.in_channels + lanes - 1) / lanes
    return !isPlain
      || 2 * conv.in_channels <= lanes && conv.kernel_height * row <= 12 && conv.dilation_width == 1
  }

  func make(threads: Int, form: Int?) -> lk_blocked_conv? {
    var blocked = lk_blocked_conv()
    blocked.conv = conv
    blocked.conv.allow_winograd = form != nil
    blocked.in = place(true).map
    blocked.out = place(false).map
    blocked.residual = place(false).map
    guard lk_make_blocked_conv(&blocked, isPlain, Int32(threads)) else { return nil }
    if let form {
      blocked.algorithm = LK_CONV_WINOGRAD
      blocked.winograd_form = form
    } else if blocked.algorithm == LK_CONV_WINOGRAD {
      blocked.algorithm = LK_CONV_DIRECT
    }
    return blocked
  }

  /// The gradients, added to ones or written over them.
  func run(_ blocked: lk_blocked_conv, pool: OpaquePointer?, adds: Bool) -> (
    input: [Float]?, weight: [Float], bias: [Float]
  ) {
    var blocked = blocked
    let x = Exact(place(true).spread(input)), dy = Exact(place(false).spread(gradient))
    let ones = [Float](repeating: adds ? 1 : .nan, count: conv.out_channels * conv.taps)
    let weightGradient = Exact(ones), biasGradient = Exact(Array(ones.prefix(conv.out_channels)))
    let scratch = Exact(bytes: lk_weight_gradient_scratch_bytes(&blocked))
    withExtendedLifetime((x, dy, scratch, weightGradient, biasGradient)) {
      lk_weight_gradient_run(
        pool, &blocked, x.floats, dy.floats, adds, weightGradient.floats, scratch.raw)
      lk_bias_gradient_run(pool, &blocked, dy.floats, adds, biasGradient.floats)
    }
    let minus: Float = adds ? 1 : 0
    func values(_ memory: Exact, _ count: Int) -> [Float] {
      withExtendedLifetime(memory) { (0..<count).map { memory.floats[$0] - minus } }
    }
    var result = (
      input: [Float]?.none, weight: values(weightGradient, ones.count),
      bias: values(biasGradient, conv.out_channels)
    )
    var made = lk_input_gradient()
    guard lk_make_input_gradient(&made, &blocked) else { return result }
    let target = place(true)
    let inputGradient = Exact(
      adds
        ? target.spread([Float](repeating: 1, count: target.elements))
        : [Float](repeating: .nan, count: target.count))
    let packed = Exact(bytes: lk_input_gradient_packed_bytes(&made))
    let room = Exact(bytes: lk_input_gradient_scratch_bytes(&made))
    let filters = Exact(weight)
    withExtendedLifetime((dy, filters, packed, room, inputGradient)) {
      lk_input_gradient_pack(pool, &made, filters.floats, packed.raw)
      lk_input_gradient_run(
        pool, &made, dy.floats, packed.raw, adds, inputGradient.floats, room.raw)
    }
    let memory = withExtendedLifetime(inputGradient) {
      (0..<target.count).map { inputGradient.floats[$0] }
    }
    let (plain, isPadded) = target.gather(memory)
    #expect(isPadded, "\(conv.label): the halo is not zero")
    result.input = plain.map { $0 - minus }
    return result
  }
}

@Suite struct BlockedGradientTests {
  private static let threads = TwoThreads()

  private func check(
    _ cases: [GradientCase], form: Int? = nil, factor: Double = 4e-6
  ) {
    withEveryISA { isa in
      for row in cases {
        guard let single = row.make(threads: 1, form: form),
          let double = row.make(threads: 2, form: form)
        else {
          Issue.record("\(isa), \(row.conv.label): not taken")
          continue
        }
        for adds in [false, true] {
          let one = row.run(single, pool: nil, adds: adds)
          let two = row.run(double, pool: Self.threads.pool, adds: adds)
          let label = "\(isa), \(row.conv.label), \(adds ? "added" : "set")"
          #expect(one.input == two.input, "\(label): input")
          #expect(one.weight == two.weight, "\(label): weight")
          #expect(one.bias == two.bias, "\(label): bias")
          #expect((one.input != nil) == row.hasInputGradient, "\(label)")
          for (found, expected, name) in [
            (one.input ?? [], row.expected.input, "input"),
            (one.weight, row.expected.weight, "weight"), (one.bias, row.expected.bias, "bias"),
          ] {
            let scale = expected.reduce(1) { max($0, abs($1)) }
            let worst = zip(found, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
            #expect(worst <= factor * scale, "\(label): \(name)")
            let isFinite = found.allSatisfy { $0.isFinite }
            #expect(isFinite, "\(label): \(name)")
          }
        }
      }
    }
  }

  @Test func ofConvolutionsWithoutStride() {
    check([
      GradientCase(lk_conv2d(batch: 2, 35, 7, 9, to: 50)),
      GradientCase(lk_conv2d(batch: 3, 16, 6, 6, to: 16), spare: (1, 2)),
      GradientCase(lk_conv2d(batch: 2, 17, 9, 8, to: 33, kernel: (3, 3), pads: (1, 1, 1, 1))),
      GradientCase(lk_conv2d(6, 12, 13, to: 40, kernel: (5, 4), pads: (2, 0, 1, 3))),
      GradientCase(
        lk_conv2d(6, 12, 13, to: 20, kernel: (3, 3), dilation: (2, 3), pads: (2, 3, 2, 3))),
    ])
  }

  @Test func ofStrides() {
    check([
      GradientCase(lk_conv2d(batch: 2, 35, 7, 9, to: 50, stride: (2, 2))),
      GradientCase(
        lk_conv2d(
          batch: 2, 17, 13, 12, to: 33, kernel: (3, 3), stride: (2, 2), pads: (1, 1, 1, 1)),
        spare: (1, 1)),
      GradientCase(
        lk_conv2d(17, 14, 13, to: 20, kernel: (4, 3), stride: (3, 2), pads: (1, 0, 2, 1))),
      GradientCase(
        lk_conv2d(
          17, 14, 13, to: 20, kernel: (3, 3), stride: (2, 4), dilation: (2, 3), pads: (2, 0, 2, 1))),
    ])
  }

  @Test func ofGroups() {
    check([
      GradientCase(
        lk_conv2d(batch: 2, 32, 7, 8, to: 64, kernel: (3, 3), pads: (1, 1, 1, 1), groups: 2)),
      GradientCase(
        lk_conv2d(
          batch: 2, 32, 7, 8, to: 32, kernel: (3, 3), stride: (2, 2), pads: (1, 1, 1, 1), groups: 2
        )),
      GradientCase(
        lk_conv2d(batch: 2, 21, 7, 9, to: 21, kernel: (3, 3), pads: (1, 1, 1, 1), groups: 21)),
      GradientCase(
        lk_conv2d(
          batch: 2, 21, 9, 8, to: 21, kernel: (5, 2), stride: (2, 2), pads: (2, 0, 2, 1),
          groups: 21)),
    ])
  }

  @Test func ofPlainInputs() {
    check(
      [
        GradientCase(
          lk_conv2d(
            batch: 2, 3, 22, 25, to: 40, kernel: (7, 7), stride: (2, 2), pads: (3, 3, 3, 3)),
          isPlain: true),
        GradientCase(
          lk_conv2d(batch: 2, 1, 23, 27, to: 20, kernel: (11, 11), stride: (4, 4)), isPlain: true),
        GradientCase(
          lk_conv2d(4, 9, 12, to: 20, kernel: (3, 3), dilation: (1, 2), pads: (1, 2, 1, 2)),
          isPlain: true),
        GradientCase(lk_conv2d(batch: 3, 2, 14, 13, to: 16, kernel: (5, 5)), isPlain: true),
        GradientCase(
          lk_conv2d(batch: 3, 1, 7, 4, to: 37, kernel: (3, 5), pads: (0, 2, 1, 3)), isPlain: true,
          spare: (0, 2)),
      ])
  }

  @Test(arguments: windowForms.indices)
  func byWinogradsTransforms(form: Int) {
    let kernel = windowForms[form].kernel
    let pads = (kernel.0 / 2, kernel.1 / 2, kernel.0 / 2, kernel.1 / 2)
    check(
      [
        GradientCase(
          lk_conv2d(batch: 3, 18, 13, 10, to: 36, kernel: kernel, pads: pads), spare: (0, 1)),
        GradientCase(lk_conv2d(batch: 20, 4, 7, 8, to: 16, kernel: kernel)),
      ], form: form, factor: 4e-5)
  }

  /// Adam makes a whole step of the rounding error of a gradient that is 0.
  @Test func withoutTransformsAreZeroWhereNoInputMeetsAGradient() {
    let row = GradientCase(
      lk_conv2d(batch: 2, 18, 13, 10, to: 36, kernel: (3, 3), pads: (1, 1, 1, 1)), every: 16)
    withEveryISA { isa in
      guard var blocked = row.make(threads: 1, form: 0) else {
        Issue.record("\(isa): not taken")
        return
      }
      func worstOfZeros() -> Float {
        zip(row.run(blocked, pool: nil, adds: false).weight, row.expected.weight)
          .reduce(0) { $1.1 == 0 ? max($0, abs($1.0)) : $0 }
      }
      #expect(worstOfZeros() > 0, "\(isa): transformed")
      blocked.conv.allow_winograd = false
      #expect(worstOfZeros() == 0, "\(isa)")
    }
  }
}
