import Lamina

/// What this machine can do, and how much of that single convolutions reach on one thread.
struct MachineProbe {
  /// A rate on so many threads.
  struct Arithmetic {
    var threads: Int
    /// Multiply-adds alone, in 10⁹ operations a second.
    var multiplyAdds: Double
    /// With additions beside them.
    var mixed: Double
  }

  /// How fast memory of some level is read, by all threads together.
  struct Reading {
    var level: String
    var threads: Int
    /// What each thread reads again and again.
    var bytesPerThread: Int
    /// 10⁹ bytes a second.
    var rate: Double
  }

  /// A convolution on one thread.
  struct Gate {
    var name: String
    /// What ran.
    var kernel: String
    /// 10⁹ operations a second, two for each multiplication of direct evaluation.
    var rate: Double
    /// Of the multiply-adds that one thread can do.
    var share: Double
  }

  let arithmetic: [Arithmetic]
  let readings: [Reading]
  /// Threads of the pool, and microseconds of a parallel loop with nothing to do: as it comes, and when
  /// every thread takes part.
  let loop: (threads: Int, microseconds: Double, together: Double)
  let gates: [Gate]

  /// Measures for some seconds.
  init() throws {
    let all = ThreadPool()
    let pools = all.threadCount > 1 ? [ThreadPool(threads: 1), all] : [all]
    let arithmetic = pools.map {
      Arithmetic(
        threads: $0.threadCount, multiplyAdds: Processor.multiplyAddGFLOPS($0),
        mixed: Processor.mixedGFLOPS($0))
    }
    self.arithmetic = arithmetic
    readings = MachineProbe.levels.flatMap { level in
      pools.map { pool in
        let bytes = level.isShared ? level.bytes / pool.threadCount : level.bytes
        return Reading(
          level: level.name, threads: pool.threadCount, bytesPerThread: bytes,
          rate: Processor.readRate(pool, bytes: bytes))
      }
    }
    loop = (
      all.threadCount, 1e6 * Processor.loopSeconds(all, together: false),
      1e6 * Processor.loopSeconds(all, together: true)
    )
    gates = try Chain.all.map { chain in
      let (rate, kernel) = try chain.measure()
      return Gate(
        name: chain.name, kernel: kernel, rate: rate, share: rate / arithmetic[0].multiplyAdds)
    }
  }

  /// Half of each cache, and memory several times the size of the last one.
  private static var levels: [(name: String, bytes: Int, isShared: Bool)] {
    let second = Processor.cacheBytes(level: 2)
    let third = Processor.cacheBytes(level: 3)
    let last = third ?? second ?? 8 << 20
    return [
      second.map { ("L2", $0 / 2, false) }, third.map { ("L3", $0 / 2, true) },
      ("memory", min(max(4 * last, 64 << 20), System.memory / 4), true),
    ].compactMap { $0 }
  }

  var rows: [[String]] {
    func on(_ threads: Int) -> String { threads == 1 ? "1 thread" : "\(threads) threads" }
    var rows = arithmetic.map { row in
      [
        "multiply-add, \(on(row.threads))",
        "\(row.multiplyAdds.decimal(1)) GFLOP/s, "
          + "\(row.mixed.decimal(1)) with additions beside (× \((row.mixed / row.multiplyAdds).decimal(2)))",
      ]
    }
    rows += readings.map { row in
      [
        "\(row.level) read, \(on(row.threads))",
        "\(row.rate.decimal(1)) GB/s, \(row.bytesPerThread >> 10) KiB each",
      ]
    }
    rows.append([
      "empty parallel loop, \(on(loop.threads))",
      "\(loop.microseconds.decimal(2)) µs, \(loop.together.decimal(2)) µs when every thread takes part",
    ])
    rows += gates.map { row in
      [
        "convolution \(row.name)",
        "\(row.rate.decimal(1)) GFLOP/s, \((100 * row.share).decimal(1)) % of the peak of 1 thread, "
          + "\(row.kernel)",
      ]
    }
    return rows
  }

  var json: JSON {
    .object([
      "arithmetic": .array(
        arithmetic.map {
          .object([
            "threads": .int(Int64($0.threads)),
            "fma_gflops": .double($0.multiplyAdds),
            "fma_add_gflops": .double($0.mixed),
          ])
        }),
      "read": .array(
        readings.map {
          .object([
            "level": .string($0.level),
            "threads": .int(Int64($0.threads)),
            "bytes_per_thread": .int(Int64($0.bytesPerThread)),
            "gb_per_s": .double($0.rate),
          ])
        }),
      "empty_loop": .object([
        "threads": .int(Int64(loop.threads)),
        "microseconds": .double(loop.microseconds),
        "microseconds_together": .double(loop.together),
      ]),
      "convolutions": .array(
        gates.map {
          .object([
            "name": .string($0.name),
            "kernel": .string($0.kernel),
            "gflops": .double($0.rate),
            "share_of_peak": .double($0.share),
          ])
        }),
    ])
  }
}

/// Convolutions one behind the other, so that what happens once at both ends weighs little.
private struct Chain {
  let name: String
  let kernel: Int
  let side: Int
  /// Channels of the input and of each convolution's output.
  let channels: [Int]
  /// Above 1 there is no way but direct summation.
  var dilation = 1
  var isStrict = false

  static let all = [
    Chain(
      name: "1×1, 256 → 1024 → 256 on 14×14", kernel: 1, side: 14,
      channels: [256, 1024, 256, 1024, 256, 1024, 256]),
    Chain(
      name: "3×3 dilated by 2, 128 → 128 on 28×28", kernel: 3, side: 28,
      channels: [Int](repeating: 128, count: 7), dilation: 2),
    Chain(
      name: "3×3, 128 → 128 on 28×28, strict", kernel: 3, side: 28,
      channels: [Int](repeating: 128, count: 7), isStrict: true),
    Chain(
      name: "3×3, 128 → 128 on 28×28", kernel: 3, side: 28,
      channels: [Int](repeating: 128, count: 7)),
    Chain(
      name: "3×3, 64 → 64 on 56×56", kernel: 3, side: 56,
      channels: [Int](repeating: 64, count: 7)),
  ]

  /// 10⁹ operations a second on one thread, the best of many runs; and the kernels.
  func measure() throws -> (rate: Double, kernel: String) {
    var builder = GraphBuilder(name: "chain", registry: .standard)
    var x = try builder.input("x", [.fixed(1), .fixed(channels[0]), .fixed(side), .fixed(side)])
    for (index, count) in channels.dropFirst().enumerated() {
      let padding = kernel / 2 * dilation
      x = try builder.add(
        "lamina.conv2d", "conv\(index)", x,
        attributes: [
          "out_channels": .int(count), "kernel_size": .ints([kernel, kernel]),
          "dilations": .ints([dilation, dilation]),
          "padding": .ints([padding, padding, padding, padding]),
        ])
    }
    try builder.output(x, name: "y")
    let model = try Model(initializing: builder.graph, registry: .standard)
    var options = SessionOptions()
    options.threads = 1
    options.isStrict = isStrict
    let session = try Session(model: model, options: options)
    let input = try Tensor.noise(TensorSpec(try Shape([1, channels[0], side, side])))
    let clock = ContinuousClock()
    let end = clock.now + .milliseconds(300)
    var best = Double.infinity
    try withExtendedLifetime(input) {
      repeat {
        let time = try clock.measure { try session.withOutputs(of: [input.view]) { _ in } }
        best = min(best, time / .seconds(1))
      } while clock.now < end
    }
    let steps = try session.plan(for: [input.spec]).stepSummaries.filter { $0.multiplyAdds > 0 }
    let operations = 2 * Double(steps.reduce(0) { $0 + $1.multiplyAdds })
    return (operations / best / 1e9, Set(steps.map(\.kernel)).sorted().joined(separator: ", "))
  }
}
