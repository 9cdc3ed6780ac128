import LaminaCore
import LaminaKernels

/// The products of a convolution's three tensors by the patches of its wide one, over all images and
/// groups: `narrow` [batch, groups · filters, positions], `wide` [batch, groups · channels, pixels] and
/// `weight` [groups · filters, channels, taps].
///
/// A convolution reads the wide tensor and writes the narrow one, a transposed one the other way round.
/// Every sum is taken in an order that follows from the extents alone.
struct PatchProducts: Sendable {
  let patches: Patches
  let batch: Int
  let groups: Int
  let filters: Int
  let channels: Int

  private var rows: Int { channels * patches.taps }
  private var columnBytes: Int {
    patches.areThePicture ? 0 : (saturatingProduct(rows, patches.positions) * 4 + 63) & ~63
  }

  /// Groups run side by side where there are several, else each product runs on all threads.
  private func workers(threads: Int) -> Int { min(groups, max(threads, 1)) }

  private func workerBytes(threads: Int) -> Int {
    let own = Int32(clamping: groups > 1 ? 1 : threads)
    let (f, p) = (filters, patches.positions)
    let product = max(
      lk_f32_gemm_scratch_bytes(f, rows, p, own), lk_f32_gemm_scratch_bytes(f, p, rows, own),
      lk_f32_gemm_scratch_bytes(rows, p, f, own))
    return (columnBytes + product + 63) & ~63
  }

  /// Bytes of scratch memory.
  func scratchBytes(threads: Int) -> Int {
    saturatingProduct(workerBytes(threads: threads), workers(threads: threads))
  }

  /// weight += Σ narrow · patches(wide)ᵀ, and narrow += weight · patches(wide).
  ///
  /// The first where `weightSum` is given, the second where `narrowSum` is.
  func gather(
    wide: UnsafePointer<Float>, narrow: UnsafePointer<Float>?,
    weightSum: UnsafeMutablePointer<Float>?, weight: UnsafePointer<Float>?,
    narrowSum: UnsafeMutablePointer<Float>?, pool: ThreadPool, scratch: UnsafeMutableRawPointer
  ) {
    guard weightSum != nil || narrowSum != nil else { return }
    run(pool, scratch) { [self] columns, products, pool, image, group in
      let part = image * groups + group
      let source = wide + part * channels * patches.pixels
      var matrix = source
      if let columns {
        SharedLoop {
          patches.gather(
            source + $0 * patches.pixels, to: columns + $0 * patches.taps * patches.positions)
        }.run(channels, on: pool)
        matrix = UnsafePointer(columns)
      }
      let (f, p) = (filters, patches.positions)
      if let narrow, let weightSum {
        lk_f32_gemm(
          pool?.handle, f, rows, p, 1, narrow + part * f * p, p, false, matrix, p, true, 1,
          weightSum + group * f * rows, rows, products)
      }
      if let weight, let narrowSum {
        lk_f32_gemm(
          pool?.handle, f, p, rows, 1, weight + group * f * rows, rows, false, matrix, p, false, 1,
          narrowSum + part * f * p, p, products)
      }
    }
  }

  /// wide += weightᵀ · narrow, each element of a patch at its pixel.
  func scatter(
    weight: UnsafePointer<Float>, narrow: UnsafePointer<Float>,
    wideSum: UnsafeMutablePointer<Float>, pool: ThreadPool, scratch: UnsafeMutableRawPointer
  ) {
    run(pool, scratch) { [self] columns, products, pool, image, group in
      let part = image * groups + group
      let target = wideSum + part * channels * patches.pixels
      let (f, p) = (filters, patches.positions)
      lk_f32_gemm(
        pool?.handle, rows, p, f, 1, weight + group * f * rows, rows, true, narrow + part * f * p,
        p, false, columns == nil ? 1 : 0, columns ?? target, p, products)
      guard let columns else { return }
      SharedLoop {
        patches.scatter(
          columns + $0 * patches.taps * patches.positions,
          addingTo: target + $0 * patches.pixels)
      }.run(channels, on: pool)
    }
  }

  private typealias Part = (
    _ columns: UnsafeMutablePointer<Float>?, _ scratch: UnsafeMutableRawPointer,
    _ pool: ThreadPool?,
    _ image: Int, _ group: Int
  ) -> Void

  /// Calls `part` for every image of every group; the images of a group in order.
  private func run(
    _ pool: ThreadPool, _ scratch: UnsafeMutableRawPointer, _ part: @escaping Part
  ) {
    let workers = workers(threads: pool.threadCount)
    let bytes = workerBytes(threads: pool.threadCount)
    let own = groups == 1 ? pool : nil
    SharedLoop { worker in
      let start = scratch + worker * bytes
      let columns = columnBytes == 0 ? nil : start.assumingMemoryBound(to: Float.self)
      for group in stride(from: worker, to: groups, by: workers) {
        for image in 0..<batch { part(columns, start + columnBytes, own, image, group) }
      }
    }.run(workers, on: pool)
  }

  /// sums[c] += Σ over images and pixels of values [batch, channels, count].
  static func addSums(
    of values: UnsafePointer<Float>, batch: Int, channels: Int, count: Int,
    to sums: UnsafeMutablePointer<Float>, pool: ThreadPool
  ) {
    SharedLoop { channel in
      var sum = 0.0
      for image in 0..<batch {
        let plane = values + (image * channels + channel) * count
        var parts = SIMD16<Float>.zero
        var index = 0
        while index + 16 <= count {
          parts += UnsafeRawPointer(plane + index).loadUnaligned(as: SIMD16<Float>.self)
          index += 16
        }
        var part = parts.sum()
        while index < count {
          part += plane[index]
          index += 1
        }
        sum += Double(part)
      }
      sums[channel] += Float(sum)
    }.run(channels, on: pool)
  }
}

/// A loop of which each index touches memory of its own.
struct SharedLoop: @unchecked Sendable {
  private let body: (Int) -> Void

  init(_ body: @escaping (Int) -> Void) { self.body = body }

  /// Calls the body for 0 ..< count; nil runs on the caller's thread.
  func run(_ count: Int, on pool: ThreadPool?) {
    if let pool { return pool.parallelFor(count) { self.body($0) } }
    for index in 0..<count { body(index) }
  }
}
