/// Copies a feature map of rank 4 from one layout to another. Missing channels and halos are zeros.
func convertLayout(
  _ shape: Shape, from source: UnsafePointer<Float>, _ sourceLayout: TensorLayout,
  to target: UnsafeMutablePointer<Float>, _ targetLayout: TensorLayout, pool: ThreadPool
) {
  let from = LayoutStrides(shape, sourceLayout)
  let to = LayoutStrides(shape, targetLayout)
  let (channels, height, width) = (shape[1], shape[2], shape[3])
  if case .blocked = targetLayout {
    target.update(repeating: 0, count: to.elementCount)
  }
  nonisolated(unsafe) let (source, target) = (source, target)
  pool.parallelFor(shape[0] * channels) { plane in
    let (n, c) = (plane / channels, plane % channels)
    for y in 0..<height {
      var read = source + from.offset(n, c, y)
      var write = target + to.offset(n, c, y)
      for _ in 0..<width {
        write.pointee = read.pointee
        read += from.columnStride
        write += to.columnStride
      }
    }
  }
}

/// Where the elements of a feature map lie in a layout.
private struct LayoutStrides {
  let elementCount: Int
  /// Distance of horizontal neighbours.
  let columnStride: Int
  private let batchStride: Int
  private let blockStride: Int
  private let rowStride: Int
  private let block: Int
  private let origin: Int

  init(_ shape: Shape, _ layout: TensorLayout) {
    let (channels, height, width) = (shape[1], shape[2], shape[3])
    switch layout {
    case .plain:
      block = 1
      columnStride = 1
      rowStride = width
      blockStride = height * width
      batchStride = channels * blockStride
      origin = 0
    case .blocked(let size, let halo):
      block = size
      columnStride = size
      rowStride = (width + 2 * halo) * size
      blockStride = (height + 2 * halo) * rowStride
      batchStride = (channels + size - 1) / size * blockStride
      origin = halo * rowStride + halo * size
    }
    elementCount = shape[0] * batchStride
  }

  func offset(_ n: Int, _ c: Int, _ y: Int) -> Int {
    n * batchStride + c / block * blockStride + c % block + y * rowStride + origin
  }
}
